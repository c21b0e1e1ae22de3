/** Signed notes (C2SP signed-note): a text, an empty line, and a line for each signature (docs/protocol.md, 8, Head). */

import { concat, equal, fromHex, sha256 } from "./bytes.js";
import { uncompressed } from "./curve.js";
import { Refusal, require } from "./refusal.js";
import { verifyText } from "./signatures.js";

/** One line under a note: the key's name, the four bytes that say which key, and what it signed with. */
export interface NoteSignature {
  readonly name: string;
  readonly keyId: Uint8Array;
  readonly signature: Uint8Array;
}

/** A note that was taken apart. Its text is nobody's until a signature under it holds. */
export interface Note {
  readonly text: string;
  readonly signatures: readonly NoteSignature[];
}

export const KEY_ID_BYTES = 4;

const MOST_NOTE_BYTES = 16384;
const MOST_SIGNATURES = 64;
const REASON = "NOTE_MALFORMED";
const LINE = /^\u2014 ([!-*,-~]+) ([A-Za-z0-9+/]+={0,2})$/;

// RFC 5480: the DER before an uncompressed key of P-256.
const SPKI = fromHex("3059301306072a8648ce3d020106082a8648ce3d030107034200");

/** A key as X.509 has it: its SubjectPublicKeyInfo, DER. */
export function spkiOf(verifyingKey: Uint8Array): Uint8Array {
  return concat(SPKI, uncompressed(verifyingKey));
}

/** Take a note apart. */
export function readNote(data: Uint8Array): Note {
  const note = printable(data);
  const gap = note.lastIndexOf("\n\n");
  const formed = gap > 0 && note.endsWith("\n") && gap + 2 < note.length;
  require(formed, REASON, "a note is a text, an empty line, and signatures");
  const lines = note.slice(gap + 2, -1).split("\n");
  require(lines.length <= MOST_SIGNATURES, REASON, "a note has not as many signatures as that");
  return { text: note.slice(0, gap + 1), signatures: lines.map(readSignature) };
}

/** The lines under a note, each with its newline. */
export function linesOf(data: Uint8Array): readonly Uint8Array[] {
  const note = printable(data);
  const lines = note.slice(note.lastIndexOf("\n\n") + 2, -1).split("\n");
  return lines.map((line) => new Uint8Array(Buffer.from(`${line}\n`, "utf8")));
}

/** Read one line of a signature, with its newline. */
export function readLine(data: Uint8Array): NoteSignature {
  const line = printable(data);
  require(line.endsWith("\n"), REASON, "a line ends with a newline");
  return readSignature(line.slice(0, -1));
}

/** Require a signature under the note by this key under this name; others' are left alone. */
export function requireSigned(note: Note, name: string, verifyingKey: Uint8Array): void {
  const keyId = sha256(spkiOf(verifyingKey)).subarray(0, KEY_ID_BYTES);
  const own = note.signatures.filter((line) => line.name === name && equal(line.keyId, keyId));
  require(own.length > 0, "SIGNATURE_INVALID", "the note is not signed by this key");
  for (const { signature } of own) verifyText(verifyingKey, signature, note.text);
}

/** Read base64 in its one form (RFC 4648, section 4). */
export function readBase64(encoded: string): Uint8Array {
  const data = Buffer.from(encoded, "base64");
  require(data.toString("base64") === encoded, REASON, "this is not base64 in its one form");
  return new Uint8Array(data);
}

function readSignature(line: string): NoteSignature {
  const found = LINE.exec(line);
  require(found !== null, REASON, "a line under a note is a dash, a name and a signature");
  const signature = readBase64(found[2]!);
  require(signature.length > KEY_ID_BYTES, REASON, "a signature of a note is longer than its key id");
  return {
    name: found[1]!,
    keyId: signature.subarray(0, KEY_ID_BYTES),
    signature: signature.subarray(KEY_ID_BYTES),
  };
}

function printable(data: Uint8Array): string {
  require(data.length <= MOST_NOTE_BYTES, REASON, "a note is not as long as that");
  const decoded = utf8(data);
  // eslint-disable-next-line no-control-regex
  require(!/[\u0000-\u0009\u000b-\u001f]/.test(decoded), REASON, "a note has no control characters");
  return decoded;
}

function utf8(data: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(data);
  } catch (error) {
    throw new Refusal(REASON, "a note is UTF-8", { cause: error });
  }
}
