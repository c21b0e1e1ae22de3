/**
 * E_PUK: HPKE (RFC 9180), base mode, single shot; KEM MLKEM768-X25519 (draft-ietf-hpke-pq, also known as X-Wing, 0x647a),
 * HKDF-SHA256, AES-256-GCM.
 *
 * The key schedule and the AEAD are @hpke/core's. It has no such KEM whose private key is in two places, an ML-KEM seed here and
 * an X25519 key perhaps in a token, so the combiner stands here: SHA3-256(ss_M || ss_X || ct_X || pk_X || label), with ML-KEM of
 * @noble/post-quantum and X25519 and SHA-3 of Node's OpenSSL. tests/vectors/hpke.json tries it.
 */

import {
  createHash,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  type KeyObject,
  type webcrypto,
} from "node:crypto";
import { Aes256Gcm, CipherSuite, HkdfSha256, type KemInterface } from "@hpke/core";
import { ml_kem768 } from "@noble/post-quantum/ml-kem.js";
import { concat, EMPTY, sha256, text } from "./bytes.js";
import { Refusal, require } from "./refusal.js";

export const KEM_ID = 0x647a;
const MLKEM_PUBLIC = 1184;
const MLKEM_CIPHERTEXT = 1088;
const ENCAPSULATED = MLKEM_CIPHERTEXT + 32;
const LABEL = text("\\.//^\\");

/** The private half of an epoch that may be in a token: X25519 with a public key of 32 bytes. */
export interface X25519Key {
  readonly publicKey: Uint8Array;
  /** The shared secret, 32 bytes (RFC 7748, 6.1). */
  exchange(peer: Uint8Array): Promise<Uint8Array>;
}

/** The private key of one epoch: an ML-KEM-768 key of a 64-byte seed (FIPS 203), and an X25519 key. */
export class DecryptionKey {
  /** PUK_kem, 1,216 bytes: the ML-KEM encapsulation key and the X25519 key. */
  readonly encryptionKey: Uint8Array;
  /** The first 16 bytes of SHA-256(PUK_kem). */
  readonly keyId: Uint8Array;
  readonly #mlkem: Uint8Array;

  constructor(
    seed: Uint8Array,
    readonly x25519: X25519Key,
  ) {
    const keys = ml_kem768.keygen(seed);
    this.#mlkem = keys.secretKey;
    this.encryptionKey = concat(keys.publicKey, x25519.publicKey);
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
      throw new Refusal("SEAL_INVALID", "the seal does not open", { cause: error });
    }
  }

  async #decapsulate(encapsulated: Uint8Array): Promise<Uint8Array> {
    const peer = encapsulated.subarray(MLKEM_CIPHERTEXT);
    const fromMlkem = ml_kem768.decapsulate(encapsulated.subarray(0, MLKEM_CIPHERTEXT), this.#mlkem);
    return combine(fromMlkem, await this.x25519.exchange(peer), peer, this.x25519.publicKey);
  }
}

/** The first 16 bytes of SHA-256(PUK_kem). */
export function keyIdOf(encryptionKey: Uint8Array): Uint8Array {
  return sha256(encryptionKey).subarray(0, 16);
}

/** Seal to PUK_kem (1,216 bytes); give enc || ct. */
export async function seal(encryptionKey: Uint8Array, plaintext: Uint8Array, info: Uint8Array): Promise<Uint8Array> {
  const { secret, encapsulated } = encapsulate(encryptionKey);
  const context = await suite(secret, encapsulated).createSenderContext({
    recipientPublicKey: PLACEHOLDER,
    info: exact(info),
  });
  return concat(encapsulated, new Uint8Array(await context.seal(exact(plaintext))));
}

/** Refuse bytes to which nothing can be sealed: no ML-KEM key (FIPS 203, 7.2), or an X25519 key of low order. */
export function requireEncryptionKey(encryptionKey: Uint8Array): void {
  encapsulate(encryptionKey);
}

/** An X25519 key in software, of 32 bytes. */
export function softwareX25519(privateKey: Uint8Array): X25519Key {
  const key = createPrivateKey({ key: Buffer.concat([PKCS8_X25519, privateKey]), format: "der", type: "pkcs8" });
  return {
    publicKey: rawPublicKey(createPublicKey(key)),
    exchange: (peer) => Promise.resolve(agree(key, peer)),
  };
}

function encapsulate(encryptionKey: Uint8Array): { secret: Uint8Array; encapsulated: Uint8Array } {
  try {
    const { cipherText, sharedSecret } = ml_kem768.encapsulate(encryptionKey.subarray(0, MLKEM_PUBLIC));
    const peer = encryptionKey.subarray(MLKEM_PUBLIC);
    const { privateKey, publicKey } = generateKeyPairSync("x25519");
    const own = rawPublicKey(publicKey);
    return { secret: combine(sharedSecret, agree(privateKey, peer), own, peer), encapsulated: concat(cipherText, own) };
  } catch (error) {
    throw new Refusal("CREDENTIAL_INVALID", "nothing can be sealed to the encryption key", { cause: error });
  }
}

function agree(key: KeyObject, peer: Uint8Array): Uint8Array {
  require(peer.length === 32, "SEAL_INVALID", "an X25519 key has 32 bytes");
  const publicKey = createPublicKey({ key: Buffer.concat([SPKI_X25519, peer]), format: "der", type: "spki" });
  // OpenSSL refuses the all-zero result of a point of low order (RFC 7748, 6.1).
  return new Uint8Array(diffieHellman({ privateKey: key, publicKey }));
}

function combine(
  fromMlkem: Uint8Array,
  fromX25519: Uint8Array,
  ciphertext: Uint8Array,
  publicKey: Uint8Array,
): Uint8Array {
  return new Uint8Array(
    createHash("sha3-256")
      .update(concat(fromMlkem, fromX25519, ciphertext, publicKey, LABEL))
      .digest(),
  );
}

function rawPublicKey(key: KeyObject): Uint8Array {
  return new Uint8Array(key.export({ format: "der", type: "spki" }).subarray(-32));
}

// RFC 8410: the DER before the 32 bytes of an X25519 key.
const PKCS8_X25519 = Buffer.from("302e020100300506032b656e04220420", "hex");
const SPKI_X25519 = Buffer.from("302a300506032b656e032100", "hex");

/** Stands where @hpke/core wants a CryptoKey: the KEM below has done its work before it is asked. */
const PLACEHOLDER = {
  type: "public",
  algorithm: { name: "MLKEM768-X25519" },
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
    publicKeySize: MLKEM_PUBLIC + 32,
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
