/** Bytes, and what is done with them everywhere. */

import { createHash, createHmac, hkdfSync, timingSafeEqual } from "node:crypto";

/** Milliseconds since the Unix epoch, as T travels. */
export type Instant = bigint;

/** Fresh randomness: so many uniform bytes. A parameter of every step that needs it, so that vectors can fix it. */
export type Entropy = (size: number) => Uint8Array;

export const EMPTY = new Uint8Array();

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const joined = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    joined.set(part, offset);
    offset += part.length;
  }
  return joined;
}

/** Compare in time that depends on the lengths alone. */
export function equal(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && timingSafeEqual(left, right);
}

export function hex(data: Uint8Array): string {
  return Buffer.from(data).toString("hex");
}

export function fromHex(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, "hex"));
}

/** An integer as a field's value: 8 bytes, big-endian. */
export function u64(value: bigint | number): Uint8Array {
  const data = new Uint8Array(8);
  new DataView(data.buffer).setBigUint64(0, BigInt(value));
  return data;
}

/** Text as a field's value. */
export function text(value: string): Uint8Array {
  return new Uint8Array(Buffer.from(value, "ascii"));
}

export function sha256(data: Uint8Array): Uint8Array {
  return new Uint8Array(createHash("sha256").update(data).digest());
}

export function hmacSha256(key: Uint8Array, message: Uint8Array): Uint8Array {
  return new Uint8Array(createHmac("sha256", key).update(message).digest());
}

/** HKDF-SHA256 (RFC 5869) without salt. */
export function hkdf(material: Uint8Array, info: Uint8Array, size: number): Uint8Array {
  return new Uint8Array(hkdfSync("sha256", material, EMPTY, info, size));
}
