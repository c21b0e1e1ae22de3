/**
 * Keys where there is no token: scalars in the key file, which is AES-256-GCM under a key that scrypt (RFC 7914) makes of a
 * PIN.
 */

import { createCipheriv, createDecipheriv, createPrivateKey, randomBytes, scryptSync, sign } from "node:crypto";
import { type Agreeing, SoftwareAgreement } from "../protocol/agreement.js";
import { fromHex, hex } from "../protocol/bytes.js";
import { compressed, SCALAR_SEED_BYTES, scalarFromSeed } from "../protocol/curve.js";
import type { KemHalf } from "../protocol/hpke.js";
import { Refusal } from "../protocol/refusal.js";
import { SigningKey } from "../protocol/signatures.js";
import { readPin } from "./files.js";
import type { KeyStore } from "./keys.js";

const SALT_BYTES = 16;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const WORK = { N: 2 ** 17, r: 8, p: 1, maxmem: 256 * 1024 * 1024 };

// SEC 1, C.4 (RFC 5915): the DER round the 32 bytes of a P-256 scalar.
const SEC1 = [fromHex("30310201010420"), fromHex("a00a06082a8648ce3d030107")] as const;

/** A key's reference is its scalar, hex: nothing is here but what opens the file. */
export class SoftwareKeys implements KeyStore {
  constructor(readonly pinFile: string) {}

  makeIdentity(): string {
    return madeScalar();
  }

  signingKey(reference: string): SigningKey {
    return softwareSigningKey(fromHex(reference));
  }

  makeKemHalf(): string {
    return madeScalar();
  }

  kemHalf(reference: string): KemHalf {
    return new SoftwareAgreement(fromHex(reference));
  }

  importRegistrationSecret(secret: Uint8Array): string {
    return hex(secret);
  }

  registrationSecret(reference: string): Agreeing {
    return new SoftwareAgreement(fromHex(reference));
  }

  /** It is gone with the file that names it. */
  destroy(): void {}

  /** They stand in the file; nothing is held open. */
  close(): void {}

  seal(plaintext: Uint8Array): Uint8Array {
    const salt = randomBytes(SALT_BYTES);
    const nonce = randomBytes(NONCE_BYTES);
    const key = this.#key(salt);
    try {
      const cipher = createCipheriv("aes-256-gcm", key, nonce);
      return Buffer.concat([salt, nonce, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
    } finally {
      key.fill(0);
    }
  }

  unseal(sealed: Uint8Array): Uint8Array {
    const salt = sealed.subarray(0, SALT_BYTES);
    const nonce = sealed.subarray(SALT_BYTES, SALT_BYTES + NONCE_BYTES);
    const key = this.#key(salt);
    try {
      const decipher = createDecipheriv("aes-256-gcm", key, nonce);
      decipher.setAuthTag(sealed.subarray(-TAG_BYTES));
      // GCM's plaintext is as long as its ciphertext: it is all in the first part, and the tag decides in the second.
      const plaintext = decipher.update(sealed.subarray(SALT_BYTES + NONCE_BYTES, -TAG_BYTES));
      decipher.final();
      return plaintext;
    } catch (error) {
      throw new Refusal("PIN_INCORRECT", "the PIN does not open the key file, or the file is damaged", {
        cause: error,
      });
    } finally {
      key.fill(0);
    }
  }

  #key(salt: Uint8Array): Buffer {
    return scryptSync(readPin(this.pinFile), salt, 32, WORK);
  }
}

/** PRK_X of a scalar: OpenSSL signs, in constant time. */
export function softwareSigningKey(scalar: Uint8Array): SigningKey {
  const key = createPrivateKey({ key: Buffer.concat([SEC1[0], scalar, SEC1[1]]), format: "der", type: "sec1" });
  return new SigningKey({
    publicKey: compressed(new SoftwareAgreement(scalar).publicKey),
    sign: async (data) => new Uint8Array(sign("sha256", data, { key, dsaEncoding: "ieee-p1363" })),
  });
}

function madeScalar(): string {
  return hex(scalarFromSeed(randomBytes(SCALAR_SEED_BYTES)));
}
