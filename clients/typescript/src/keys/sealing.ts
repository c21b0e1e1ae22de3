/** Seals at rest (docs/protocol.md, 1): one PRF by a key that stays where it is, and AES-256-GCM under what that gives. */

import { createCipheriv, createDecipheriv, createHmac, randomBytes } from "node:crypto";
import { concat, text } from "../protocol/bytes.js";
import { Refusal } from "../protocol/refusal.js";
import { transcript } from "../protocol/transcript.js";

const GENERATION_BYTES = 2;
const BATCH_BYTES = 16;
const SALT_BYTES = 16;
const HEAD_BYTES = GENERATION_BYTES + BATCH_BYTES + SALT_BYTES;
const TAG_BYTES = 16;
const CIPHER = "aes-256-gcm";

/** Each key seals once, so the nonce need not vary. */
const NONCE = new Uint8Array(12);

/** PRF(m), 32 bytes, of a message that is a T(...). */
export type Prf = (message: Uint8Array) => Uint8Array;

/** u16be(generation) || batch || salt || ciphertext || tag: each seal a batch of its own. `place` is bound and not kept. */
export function sealAtRest(
  prf: Prf,
  purpose: string,
  generation: number,
  plaintext: Uint8Array,
  place: Uint8Array,
  fresh: Uint8Array = randomBytes(BATCH_BYTES + SALT_BYTES),
): Uint8Array {
  const number = new Uint8Array(GENERATION_BYTES);
  new DataView(number.buffer).setUint16(0, generation);
  const head = concat(number, fresh);
  const key = keyOf(prf, purpose, head);
  try {
    const cipher = createCipheriv(CIPHER, key, NONCE).setAAD(place);
    return concat(head, cipher.update(plaintext), cipher.final(), cipher.getAuthTag());
  } finally {
    key.fill(0);
  }
}

/** Open what `sealAtRest` made. */
export function unsealAtRest(prf: Prf, purpose: string, sealed: Uint8Array, place: Uint8Array): Uint8Array {
  const content = sealed.subarray(HEAD_BYTES);
  if (content.length < TAG_BYTES) throw new Refusal("SEAL_BROKEN", "what was sealed is cut short");
  const key = keyOf(prf, purpose, sealed.subarray(0, HEAD_BYTES));
  try {
    const decipher = createDecipheriv(CIPHER, key, NONCE).setAAD(place);
    decipher.setAuthTag(content.subarray(-TAG_BYTES));
    return concat(decipher.update(content.subarray(0, -TAG_BYTES)), decipher.final());
  } catch (error) {
    throw new Refusal("SEAL_BROKEN", "what was sealed does not open", { cause: error });
  } finally {
    key.fill(0);
  }
}

/** HMAC(PRF(T("seal-batch", purpose, generation, batch)), T("seal", salt)). */
function keyOf(prf: Prf, purpose: string, head: Uint8Array): Uint8Array {
  const [number, batch] = [head.subarray(0, GENERATION_BYTES), head.subarray(GENERATION_BYTES, -SALT_BYTES)];
  const batchKey = prf(transcript("seal-batch", text(purpose), number, batch));
  try {
    return createHmac("sha256", batchKey)
      .update(transcript("seal", head.subarray(-SALT_BYTES)))
      .digest();
  } finally {
    batchKey.fill(0);
  }
}
