/**
 * The transcript encoding T (docs/protocol.md, 1): what is signed, hashed, and bound as HPKE info or associated data. It is only
 * ever produced; nothing parses it, and serialised protobuf is never signed in its place.
 */

import { concat, EMPTY, sha256, text } from "./bytes.js";

const DOMAIN = concat(text("medunion/v1"), new Uint8Array(1));

/** F(x) = u32be(len x) || x. */
export function field(value: Uint8Array): Uint8Array {
  const size = new Uint8Array(4);
  new DataView(size.buffer).setUint32(0, value.length);
  return concat(size, value);
}

/** T(label, f1..fn). Fields stand in the order printed in docs/protocol.md; what is absent is an empty field. */
export function transcript(label: string, ...fields: readonly Uint8Array[]): Uint8Array {
  return concat(DOMAIN, field(text(label)), ...fields.map(field));
}

/** A list as one field: u32be(n) || F(e1) || ... */
export function listing(elements: readonly Uint8Array[]): Uint8Array {
  const count = new Uint8Array(4);
  new DataView(count.buffer).setUint32(0, elements.length);
  return concat(count, ...elements.map(field));
}

/** H of a statement: SHA-256(T(name, its bytes)), without its signature; an empty field where there is none. */
export function statementDigest(label: string, signed: { statement?: Uint8Array } | undefined): Uint8Array {
  return signed?.statement === undefined ? EMPTY : sha256(transcript(label, signed.statement));
}

/** H(Cert_D); an empty field where there is none, for a patient asks. */
export function certificateDigest(certificate: Uint8Array | undefined): Uint8Array {
  return certificate === undefined || certificate.length === 0 ? EMPTY : sha256(certificate);
}

/** Hs of a statement: SHA-256(T("signed", name, its bytes, its signature)); an empty field where there is none. */
export function signedDigest(
  label: string,
  signed: { statement?: Uint8Array; signature?: Uint8Array } | undefined,
): Uint8Array {
  return signed === undefined ? EMPTY : sha256(transcript("signed", text(label), signed.statement!, signed.signature!));
}
