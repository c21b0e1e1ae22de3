/** Calls to the federation's servers: authenticated by who the server is (its TLS name), and typed refusals in place of gRPC's. */

import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import { Code, ConnectError, type Transport } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import type { TrustedBundle } from "../protocol/bundle.js";
import { Refusal, require } from "../protocol/refusal.js";
import { addressOf } from "../protocol/rules.js";
import { wordsOf } from "../protocol/words.js";
import type { Networks } from "./networks.js";

/** How long a call may take that states nothing else. */
export const CALL_MS = 15_000;
const LARGEST_MESSAGE = 2 * 1024 * 1024;

/** A peer that vanished without a word is found out by PINGs; the servers allow one every 20 seconds. */
const KEEPALIVE = { pingIntervalMs: 30_000, pingTimeoutMs: 40_000 };

/** What a server says of itself, or nobody at all: it passes. */
const BUSY = [Code.Unavailable, Code.ResourceExhausted, Code.DeadlineExceeded];

/** What a broken connection looks like, where no server says otherwise. */
const BROKEN = [Code.Canceled, Code.Aborted];

/** Between two tries while somebody is awaited: it doubles from the one to the other. */
export const FIRST_PAUSE_MS = 200;
export const LONGEST_PAUSE_MS = 5_000;

/** The longest that a peer has this side pause. */
const LONGEST_ASKED_MS = 60_000;

/** How often a call that may be made again is made. */
export const PATIENT = 6;

/** How often while somebody waits for the visit. */
export const BRIEFLY = 3;

/**
 * A transport to `host:port` that answers to that identity: `H:alpha` is alpha.hospital.medunion.internal (ADR 10). It is dialled as it
 * stands, whatever proxy the environment names, and only in these networks, if there are any.
 */
export function transportTo(address: string, identity: string, bundle: TrustedBundle, networks?: Networks): Transport {
  require(addressOf(address) !== undefined, "FIELD_INVALID", "an address reads host:port");
  networks?.requireAllowed(address);
  const servername = tlsName(identity);
  const resolved = networks === undefined ? {} : { lookup: networks.lookup };
  return createGrpcTransport({
    baseUrl: `https://${address}`,
    nodeOptions: { ca: bundle.content.tlsCaCertificates.map(pem), servername, minVersion: "TLSv1.3", ...resolved },
    readMaxBytes: LARGEST_MESSAGE,
    defaultTimeoutMs: CALL_MS,
    ...KEEPALIVE,
  });
}

/** Make a call, and say what is wrong by the peer's reason. */
export async function called<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw refusalOf(error);
  }
}

/** A call that may safely be made again: it is, while the server is away or asks for patience, for as long as it asks. */
export async function repeated<T>(
  call: () => Promise<T>,
  attempts: number = PATIENT,
  time: Time = REAL_TIME,
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await call();
    } catch (error) {
      const refusal = refusalOf(error);
      if (!refusal.passes || attempt === attempts) throw refusal;
      await time.pause(refusal.retryAfterMs ?? FIRST_PAUSE_MS * 2 ** attempt);
    }
  }
}

/** Whether something went wrong that passes. */
export function passes(error: unknown): boolean {
  return error instanceof Refusal && error.passes;
}

/** A server's refusal by its ErrorInfo; what has none is the network's. Whether it passes, gRPC's code says: servers have many reasons for it. */
export function refusalOf(error: unknown): Refusal {
  const causes = causesOf(error);
  const own = causes.find((cause) => cause instanceof Refusal);
  if (own !== undefined) return own;
  const failure = ConnectError.from(error);
  const busy = BUSY.includes(failure.code);
  const retryAfterMs = retryDelay(failure);
  const said = readReason(failure);
  const errno = said === undefined ? errnoOf(causes.at(-1)) : undefined;
  const passes = busy || (said === undefined && (BROKEN.includes(failure.code) || errno !== undefined));
  const reason = said ?? (passes ? "UNAVAILABLE" : "INTERNAL");
  const { happened } = wordsOf(reason)!;
  const sentence = errno === undefined ? `${happened}${requestOf(failure)}` : `${happened} (${errno})`;
  return new Refusal(reason, sentence, { cause: error, passes, retryAfterMs });
}

/** How the server calls the call: by that its operator finds the cause. Nothing where it says something of another form. */
function requestOf(failure: ConnectError): string {
  const named = failure.metadata.get("medunion-request-id") ?? "";
  return /^[0-9a-f]{16}$/.test(named) ? ` (request ${named})` : "";
}

/** ErrorInfo's reason, if it is one that a peer may tell: its own sentence is shown to nobody, for it could ask people to do things. */
function readReason(failure: ConnectError): string | undefined {
  const reason = detail(failure, "google.rpc.ErrorInfo", 1);
  const word = reason && new TextDecoder().decode(reason);
  return word !== undefined && wordsOf(word)?.isTold ? word : undefined;
}

/** A clock that nobody sets, in whole milliseconds, and pauses by it. */
export interface Time {
  now(): number;
  pause(milliseconds: number): Promise<void>;
}

export const REAL_TIME: Time = { now: () => Math.round(performance.now()), pause };

export function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

function tlsName(identity: string): string {
  const [kind, label] = identity.split(":", 2);
  return `${label}.${kind === "C" ? "cloud" : "hospital"}.medunion.internal`;
}

function pem(certificate: Uint8Array): string {
  const lines = Buffer.from(certificate)
    .toString("base64")
    .match(/.{1,64}/g)!;
  return ["-----BEGIN CERTIFICATE-----", ...lines, "-----END CERTIFICATE-----", ""].join("\n");
}

/** An error and what lies behind it, the innermost last. */
function causesOf(error: unknown): unknown[] {
  const { cause } = Object(error) as { cause?: unknown };
  return cause instanceof Error ? [error, ...causesOf(cause)] : [error];
}

/** The code of an error that is the operating system's, of a socket: connect-node knows some, and calls the others internal. */
function errnoOf(error: unknown): string | undefined {
  // Where a name has several addresses, each has an error of its own.
  if (error instanceof AggregateError) return error.errors.map(errnoOf).find((code) => code !== undefined);
  const { syscall, code } = Object(error) as NodeJS.ErrnoException;
  return syscall === undefined ? undefined : code;
}

/** RetryInfo's delay in milliseconds, if the server states one: within reason, for it is the peer that asks. */
function retryDelay(failure: ConnectError): number | undefined {
  const duration = detail(failure, "google.rpc.RetryInfo", 1);
  const asked = duration && readable(() => milliseconds(duration));
  return asked === undefined ? undefined : Math.min(Math.max(asked, 0), LONGEST_ASKED_MS);
}

/** Of a google.protobuf.Duration. */
function milliseconds(duration: Uint8Array): number {
  let sum = 0;
  const reader = new BinaryReader(duration);
  while (reader.pos < reader.len) {
    const [number] = reader.tag();
    sum += number === 1 ? Number(reader.int64()) * 1000 : reader.int32() / 1e6;
  }
  return sum;
}

/** A length-delimited field of one of google.rpc's details (AIP-193), which travel as messages of a known shape. */
function detail(failure: ConnectError, type: string, wanted: number): Uint8Array | undefined {
  for (const entry of failure.details) {
    if (!("type" in entry) || entry.type !== type) continue;
    const found = readable(() => field(entry.value as Uint8Array, wanted));
    if (found !== undefined) return found;
  }
  return undefined;
}

function field(message: Uint8Array, wanted: number): Uint8Array | undefined {
  const reader = new BinaryReader(message);
  while (reader.pos < reader.len) {
    const [number, wireType] = reader.tag();
    if (number === wanted && wireType === WireType.LengthDelimited) return reader.bytes();
    reader.skip(wireType, number);
  }
  return undefined;
}

/** Details that can't be read say nothing: the code alone counts. */
function readable<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
