/** S_PRK: ECDSA on P-256 with SHA-256 over T("sig", PUK_X, m), r || s, the smaller s (docs/protocol.md, 1). */

import { createPublicKey, verify } from "node:crypto";
import { fromHex } from "./bytes.js";
import { ORDER } from "./curve.js";
import { Refusal, require } from "./refusal.js";
import { transcript } from "./transcript.js";

const SCALAR_BYTES = 32;

// RFC 5480: the DER before a compressed key of P-256.
const SPKI_COMPRESSED = fromHex("3039301306072a8648ce3d020106082a8648ce3d030107032200");

/** An ECDSA key on P-256, perhaps in a token. */
export interface EcdsaKey {
  /** 33 bytes. */
  readonly publicKey: Uint8Array;
  /** r || s of SHA-256(data), 64 bytes, whichever s. */
  sign(data: Uint8Array): Promise<Uint8Array>;
}

/** PRK_X. What it signs is verified before it is released: a faulty signature can give the key away. */
export class SigningKey {
  readonly #key: EcdsaKey;

  constructor(key: EcdsaKey) {
    this.#key = key;
  }

  /** PUK_X, 33 bytes. */
  get publicKey(): Uint8Array {
    return this.#key.publicKey;
  }

  /** S_PRK_X(message), 64 bytes; the message is T(...). */
  async sign(message: Uint8Array): Promise<Uint8Array> {
    return withLowS(await this.signX509(signed(this.publicKey, message)));
  }

  /** r || s over the bytes themselves, 64 bytes: as X.509 signs, for certificate requests alone. */
  async signX509(data: Uint8Array): Promise<Uint8Array> {
    const signature = await this.#key.sign(data);
    if (!isEcdsa(this.publicKey, signature, data))
      throw new Refusal("KEY_INVALID", "the key gave a wrong signature: withheld");
    return signature;
  }
}

/** Whether this is S_PRK(message) by the private half of that key. */
export function isSignature(verifyingKey: Uint8Array, signature: Uint8Array, message: Uint8Array): boolean {
  return isLow(signature) && isEcdsa(verifyingKey, signature, signed(verifyingKey, message));
}

export function verifySignature(verifyingKey: Uint8Array, signature: Uint8Array, message: Uint8Array): void {
  require(isSignature(verifyingKey, signature, message), "SIGNATURE_INVALID", "a signature does not hold");
}

/** Verify a signature of a note (C2SP signed-note, type 0x02): DER in its one form, over the text itself, s at most n/2. */
export function verifyText(verifyingKey: Uint8Array, signature: Uint8Array, text: string): void {
  const raw = fromDer(signature);
  const holds = raw !== undefined && isLow(raw) && isEcdsa(verifyingKey, raw, Buffer.from(text, "utf8"));
  require(holds, "SIGNATURE_INVALID", "a signature of a note does not hold");
}

/** Whether r || s, whichever s, is an ECDSA signature of SHA-256(data): of s itself, (R_X1, S_X) is one. */
export function isEcdsa(verifyingKey: Uint8Array, signature: Uint8Array, data: Uint8Array): boolean {
  if (signature.length !== 2 * SCALAR_BYTES) return false;
  const key = createPublicKey({ key: Buffer.concat([SPKI_COMPRESSED, verifyingKey]), format: "der", type: "spki" });
  return verify("sha256", data, { key, dsaEncoding: "ieee-p1363" }, signature);
}

/** T("sig", PUK_X, m): ECDSA does not bind its key, so the key stands in what is signed. */
function signed(verifyingKey: Uint8Array, message: Uint8Array): Uint8Array {
  return transcript("sig", verifyingKey, message);
}

/** r || s of Ecdsa-Sig-Value (RFC 3279, 2.2.3), where it is in DER's one form. */
function fromDer(signature: Uint8Array): Uint8Array | undefined {
  const bytes = Buffer.from(signature);
  const first = bytes[3] ?? 0;
  const numbers = [bytes.subarray(4, 4 + first), bytes.subarray(6 + first)].map((number) =>
    number[0] === 0 ? number.subarray(1) : number,
  );
  if (numbers.some((number) => number.length === 0 || number.length > SCALAR_BYTES)) return undefined;
  const raw = Buffer.concat(numbers.map((it) => Buffer.concat([Buffer.alloc(SCALAR_BYTES - it.length), it])));
  return toDer(raw).equals(bytes) ? new Uint8Array(raw) : undefined;
}

function toDer(raw: Buffer): Buffer {
  const numbers = [raw.subarray(0, SCALAR_BYTES), raw.subarray(SCALAR_BYTES)].map((number) => {
    const shortest = number.subarray(
      Math.max(
        0,
        number.findIndex((byte) => byte !== 0),
      ),
    );
    const positive = shortest[0]! & 0x80 ? Buffer.concat([Buffer.alloc(1), shortest]) : shortest;
    return Buffer.concat([Buffer.of(2, positive.length), positive]);
  });
  const content = Buffer.concat(numbers);
  return Buffer.concat([Buffer.of(0x30, content.length), content]);
}

function sOf(signature: Uint8Array): bigint {
  return BigInt("0x0" + Buffer.from(signature.subarray(SCALAR_BYTES)).toString("hex"));
}

function isLow(signature: Uint8Array): boolean {
  return 2n * sOf(signature) <= ORDER;
}

function withLowS(signature: Uint8Array): Uint8Array {
  if (isLow(signature)) return signature;
  const other = (ORDER - sOf(signature)).toString(16).padStart(2 * SCALAR_BYTES, "0");
  return new Uint8Array(Buffer.concat([signature.subarray(0, SCALAR_BYTES), Buffer.from(other, "hex")]));
}
