/**
 * The doctor's code: what the patient scans, or types, to reach one doctor and nobody else (X13, B4).
 *
 *     medunion://<host:port>/<hospital label>/<room>/<digest>/<check>
 *
 * Room (16 bytes), digest (32 bytes) and check (3 bytes, of the SHA-256 of all before its slash) are base64url without padding; there is
 * one spelling, and what is mistyped is refused before anybody is dialled.
 */

import { Kind } from "../gen/federation/v1/rules_pb.js";
import { sha256 } from "../protocol/bytes.js";
import { Refusal } from "../protocol/refusal.js";
import { hasForm } from "../protocol/rules.js";

const FORM = /^medunion:\/\/([^/]+)\/([^/]+)\/([A-Za-z0-9_-]{22})\/([A-Za-z0-9_-]{43})\/[A-Za-z0-9_-]{4}$/;
const CHECK_BYTES = 3;

export interface DoctorCode {
  readonly address: string;
  readonly hospitalId: string;
  readonly roomId: Uint8Array;
  readonly digest: Uint8Array;
}

export function formatCode(code: DoctorCode): string {
  const text = `medunion://${code.address}/${code.hospitalId.slice(2)}/${encode(code.roomId)}/${encode(code.digest)}`;
  return `${text}/${encode(sha256(Buffer.from(text, "ascii")).subarray(0, CHECK_BYTES))}`;
}

export function parseCode(written: string): DoctorCode {
  const match = FORM.exec(written.trim());
  if (match === null)
    throw new Refusal("CODE_INVALID", "a doctor's code reads medunion://address/hospital/room/digest/check");
  const [, address, label, room, digest] = match as unknown as [string, string, string, string, string];
  const code = { address, hospitalId: `H:${label}`, roomId: decode(room), digest: decode(digest) };
  const wellFormed = hasForm(Kind.ADDRESS, address) && hasForm(Kind.HOSPITAL_ID, code.hospitalId);
  if (!wellFormed || formatCode(code) !== written.trim())
    throw new Refusal("CODE_INVALID", "the doctor's code is mistyped or damaged: look at it again");
  return code;
}

function encode(data: Uint8Array): string {
  return Buffer.from(data).toString("base64url");
}

function decode(written: string): Uint8Array {
  return new Uint8Array(Buffer.from(written, "base64url"));
}
