/**
 * agree: all that is done with a secret scalar but signing (docs/protocol.md, 1).
 *
 * Secret scalars (r, e, S_X, the P-256 half of an epoch) are multiplied by OpenSSL's ECDH, through node:crypto, in constant
 * time, or by a token; @noble/curves, which works with bigint, has public points alone.
 */

import { createECDH, createHash, type ECDH } from "node:crypto";
import { hmacSha256, text } from "./bytes.js";
import { CURVE } from "./curve.js";
import { Refusal } from "./refusal.js";
import { transcript } from "./transcript.js";

const SHARED_INFO = text("medunion/v1");
const ONE = Uint8Array.of(0, 0, 0, 1);

/** A secret scalar d, perhaps in a token. Points are SEC 1's, of either form, and have been checked. */
export interface Agreeing {
  /** HMAC-SHA256(X9.63-KDF(x(d Q)), message): how much of it a token does itself is its own business. */
  prf(peer: Uint8Array, message: Uint8Array): Promise<Uint8Array>;
}

/** A scalar that gives x itself, as KEMs and Z need it. */
export interface AgreementKey extends Agreeing {
  /** x(d Q), 32 bytes, leading zeros kept. */
  exchange(peer: Uint8Array): Promise<Uint8Array>;
}

/** agree(d, Q, label, f1..fn), 32 bytes. */
export function agree(
  key: Agreeing,
  peer: Uint8Array,
  label: string,
  ...fields: readonly Uint8Array[]
): Promise<Uint8Array> {
  return key.prf(peer, transcript(label, ...fields));
}

/** What `prf` gives for a message once x(d Q) is known: the KDF and the HMAC, in software. */
export function prfOf(x: Uint8Array, message: Uint8Array): Uint8Array {
  return hmacSha256(keyDerivation(x), message);
}

/** X9.63-KDF-SHA256(x, 32 bytes, SharedInfo "medunion/v1"): one block (SEC 1, 3.6.1). */
function keyDerivation(x: Uint8Array): Uint8Array {
  return new Uint8Array(createHash("sha256").update(x).update(ONE).update(SHARED_INFO).digest());
}

/** A scalar in memory, 32 bytes, from 1 to n - 1. */
export class SoftwareAgreement implements AgreementKey {
  readonly #ecdh: ECDH = createECDH(CURVE);

  constructor(scalar: Uint8Array) {
    try {
      this.#ecdh.setPrivateKey(scalar);
    } catch (error) {
      throw new Refusal("KEY_INVALID", "not a scalar of the curve", { cause: error });
    }
  }

  /** d B, 65 bytes. */
  get publicKey(): Uint8Array {
    return new Uint8Array(this.#ecdh.getPublicKey());
  }

  async exchange(peer: Uint8Array): Promise<Uint8Array> {
    try {
      return new Uint8Array(this.#ecdh.computeSecret(peer));
    } catch (error) {
      throw new Refusal("INVALID_POINT", "not a point of the curve", { cause: error });
    }
  }

  async prf(peer: Uint8Array, message: Uint8Array): Promise<Uint8Array> {
    return prfOf(await this.exchange(peer), message);
  }
}
