/** M_EMR = F(manifest) || the bytes of every part, in the manifest's order: judged as soon as its manifest is here, before the rest is taken. */

import { PartKind, type RecordManifest, RecordManifestSchema } from "../gen/federation/v1/record_pb.js";
import { paddedSize, requireZeros, type Slices } from "./frames.js";
import { require } from "./refusal.js";
import { parse, payloadRule } from "./rules.js";

const MOST_BUNDLE_BYTES = 17 * 1024 * 1024;

/** A manifest that came, and how many bytes M_EMR has by it. */
export interface Layout {
  readonly manifest: RecordManifest;
  /** Where the first part begins. */
  readonly begin: number;
  readonly size: number;
}

/** The layout of content that may have so many bytes, once the manifest is among what came. */
export function layoutOf(slices: Slices, mostBytes: number): Layout | undefined {
  if (slices.size < 4) return undefined;
  const manifestSize = Buffer.from(slices.head(4)).readUInt32BE();
  const most = payloadRule(RecordManifestSchema)!.maxSize!;
  require(manifestSize <= most, "MESSAGE_TOO_LARGE", `a manifest of ${manifestSize} bytes`);
  const begin = 4 + manifestSize;
  if (slices.size < begin) return undefined;
  const manifest = parse(RecordManifestSchema, slices.head(begin).subarray(4));
  const parts = manifest.records.flatMap((record) => record.parts);
  const small = parts.every((part) => part.kind !== PartKind.FHIR_BUNDLE || part.sizeBytes! <= MOST_BUNDLE_BYTES);
  require(small, "RECORD_TOO_LARGE", `a FHIR bundle of more than ${MOST_BUNDLE_BYTES} bytes`);
  const size = parts.reduce((sum, part) => sum + Number(part.sizeBytes), begin);
  require(size <= mostBytes, "RECORD_TOO_LARGE", `a record of ${size} bytes, where ${mostBytes} more are taken`);
  return { manifest, begin, size };
}

/** Require no more to have come with the newest slice than the manifest says, and zeros. */
export function requireWithin({ size }: Layout, slices: Slices, newest: Uint8Array): void {
  require(slices.size <= paddedSize(size), "PADDING_INVALID", "the hospital sends more than its manifest says");
  requireZeros(newest.subarray(Math.max(0, newest.length - Math.max(0, slices.size - size))));
}
