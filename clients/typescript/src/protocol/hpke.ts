/**
 * E_PUK: HPKE (RFC 9180), base mode, single shot; KEM MLKEM768-P256 (draft-ietf-hpke-pq, 0x0050), HKDF-SHA256, AES-256-GCM.
 *
 * The key schedule and the AEAD are @hpke/core's. It has no such KEM, and @noble/post-quantum's ml_kem768_p256 makes both halves
 * of one seed, where ours are in two places, an ML-KEM seed here and a P-256 key perhaps in a token. So the combiner stands
 * here: SHA3-256(ss_M || x || ct_P || pk_P || label), with ML-KEM of @noble/post-quantum, and ECDH and SHA-3 of Node's OpenSSL.
 * tests/vectors/hpke.json tries it, and a test holds it to noble's.
 */

import { createECDH, createHash, type webcrypto } from "node:crypto";
import { Aes256Gcm, CipherSuite, HkdfSha256, type KemInterface } from "@hpke/core";
import { ml_kem768 } from "@noble/post-quantum/ml-kem.js";
import type { AgreementKey } from "./agreement.js";
import { concat, EMPTY, sha256, text } from "./bytes.js";
import { CURVE, requireUncompressed, UNCOMPRESSED_BYTES } from "./curve.js";
import { Refusal } from "./refusal.js";

export const KEM_ID = 0x0050;
const MLKEM_PUBLIC = 1184;
const MLKEM_CIPHERTEXT = 1088;
const ENCAPSULATED = MLKEM_CIPHERTEXT + UNCOMPRESSED_BYTES;
const LABEL = text("MLKEM768-P256");

/** The private half of an epoch that may be in a token. */
export interface KemHalf extends Pick<AgreementKey, "exchange"> {
  /** 65 bytes. */
  readonly publicKey: Uint8Array;
}

/** The private key of one epoch: an ML-KEM-768 key of a 64-byte seed (FIPS 203), and a P-256 key. */
export class DecryptionKey {
  /** PUK_kem, 1,249 bytes: the ML-KEM encapsulation key and the P-256 key, uncompressed. */
  readonly encryptionKey: Uint8Array;
  /** The first 16 bytes of SHA-256(PUK_kem). */
  readonly keyId: Uint8Array;
  readonly #mlkem: Uint8Array;

  constructor(
    seed: Uint8Array,
    readonly p256: KemHalf,
  ) {
    const keys = ml_kem768.keygen(seed);
    this.#mlkem = keys.secretKey;
    this.encryptionKey = concat(keys.publicKey, p256.publicKey);
    this.keyId = keyIdOf(this.encryptionKey);
  }

  /** Open enc || ct. */
  async open(sealed: Uint8Array, info: Uint8Array): Promise<Uint8Array> {
    try {
      const secret = await this.#decapsulate(sealed.subarray(0, ENCAPSULATED));
      const context = await suite(secret).createRecipientContext({
        recipientKey: PLACEHOLDER,
        enc: exact(sealed.subarray(0, ENCAPSULATED)),
        info: exact(info),
      });
      return new Uint8Array(await context.open(exact(sealed.subarray(ENCAPSULATED))));
    } catch (error) {
      // That a token is away says nothing of the seal.
      if (error instanceof Refusal && error.reason === "TOKEN_UNAVAILABLE") throw error;
      throw new Refusal("SEAL_INVALID", "the seal does not open", { cause: error });
    }
  }

  async #decapsulate(encapsulated: Uint8Array): Promise<Uint8Array> {
    const peer = encapsulated.subarray(MLKEM_CIPHERTEXT);
    requireUncompressed(peer);
    const fromMlkem = ml_kem768.decapsulate(encapsulated.subarray(0, MLKEM_CIPHERTEXT), this.#mlkem);
    return combine(fromMlkem, await this.p256.exchange(peer), peer, this.p256.publicKey);
  }
}

/** The first 16 bytes of SHA-256(PUK_kem). */
export function keyIdOf(encryptionKey: Uint8Array): Uint8Array {
  return sha256(encryptionKey).subarray(0, 16);
}

/** Seal to PUK_kem (1,249 bytes); give enc || ct. */
export async function seal(encryptionKey: Uint8Array, plaintext: Uint8Array, info: Uint8Array): Promise<Uint8Array> {
  const { secret, encapsulated } = encapsulate(encryptionKey);
  const context = await suite(secret, encapsulated).createSenderContext({
    recipientPublicKey: PLACEHOLDER,
    info: exact(info),
  });
  return concat(encapsulated, new Uint8Array(await context.seal(exact(plaintext))));
}

/** Refuse bytes to which nothing can be sealed: no ML-KEM key (FIPS 203, 7.2), or no uncompressed point of the curve. */
export function requireEncryptionKey(encryptionKey: Uint8Array): void {
  encapsulate(encryptionKey);
}

function encapsulate(encryptionKey: Uint8Array): { secret: Uint8Array; encapsulated: Uint8Array } {
  try {
    const { cipherText, sharedSecret } = ml_kem768.encapsulate(encryptionKey.subarray(0, MLKEM_PUBLIC));
    const peer = encryptionKey.subarray(MLKEM_PUBLIC);
    requireUncompressed(peer);
    const ephemeral = createECDH(CURVE);
    const own = new Uint8Array(ephemeral.generateKeys());
    const x = new Uint8Array(ephemeral.computeSecret(peer));
    return { secret: combine(sharedSecret, x, own, peer), encapsulated: concat(cipherText, own) };
  } catch (error) {
    throw new Refusal("CREDENTIAL_INVALID", "nothing can be sealed to the encryption key", { cause: error });
  }
}

function combine(fromMlkem: Uint8Array, x: Uint8Array, ciphertext: Uint8Array, publicKey: Uint8Array): Uint8Array {
  return new Uint8Array(
    createHash("sha3-256")
      .update(concat(fromMlkem, x, ciphertext, publicKey, LABEL))
      .digest(),
  );
}

/** Stands where @hpke/core wants a CryptoKey: the KEM below has done its work before it is asked. */
const PLACEHOLDER = {
  type: "public",
  algorithm: { name: "MLKEM768-P256" },
  usages: [],
  extractable: true,
} as unknown as webcrypto.CryptoKey;

/** HPKE's suite around the result of one encapsulation or decapsulation. */
function suite(secret: Uint8Array, encapsulated: Uint8Array = EMPTY): CipherSuite {
  const refuse = () => Promise.reject(new Error("keys of this KEM are not made here"));
  const kem: KemInterface = {
    id: KEM_ID as KemInterface["id"],
    secretSize: 32,
    encSize: ENCAPSULATED,
    publicKeySize: MLKEM_PUBLIC + UNCOMPRESSED_BYTES,
    privateKeySize: 32,
    encap: () => Promise.resolve({ sharedSecret: exact(secret), enc: exact(encapsulated) }),
    decap: () => Promise.resolve(exact(secret)),
    serializePublicKey: refuse,
    deserializePublicKey: refuse,
    serializePrivateKey: refuse,
    deserializePrivateKey: refuse,
    importKey: refuse,
    generateKeyPair: refuse,
    deriveKeyPair: refuse,
  };
  return new CipherSuite({ kem, kdf: new HkdfSha256(), aead: new Aes256Gcm() });
}

/** The bytes in a buffer of exactly their size, as Web Crypto takes them. */
function exact(data: Uint8Array): ArrayBuffer {
  return data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength) as ArrayBuffer;
}
