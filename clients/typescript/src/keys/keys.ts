/**
 * What the protocol asks of a party's keys. The three can stand in a PKCS#11 token: PRK_X signs, S_X is an X25519 key in the form
 * that `tokenForm` gives, and so is one half of an epoch's KEM key. `SoftwareSecret` does the same with S_X in memory.
 */

import { createPrivateKey, createPublicKey, sign } from "node:crypto";
import { BASE_POINT, add, recoverPoint, requireReceivedPoint, tokenForm, uCoordinate } from "../protocol/group.js";
import { type DecryptionKey, softwareX25519, type X25519Key } from "../protocol/hpke.js";
import type { RegistrationSecret } from "../protocol/party.js";
import type { SigningKey } from "../protocol/statements.js";

/** All keys of a registered party. */
export interface PartyKeys {
  readonly signingKey: SigningKey;
  /** One of every epoch that is not over; each has an X25519 half of its own. */
  readonly keyring: readonly DecryptionKey[];
  readonly registrationSecret: RegistrationSecret;
}

/**
 * S_X as an X25519 key, in a token or not. A token gives u-coordinates alone; the full point S_X R is recovered from two derives
 * and U_X (docs/protocol.md, 1; findings, 3).
 */
export class DerivedSecret implements RegistrationSecret {
  constructor(
    readonly key: X25519Key,
    readonly publicPoint: Uint8Array,
  ) {}

  /** S_X R for a received R. */
  async agree(point: Uint8Array): Promise<Uint8Array> {
    requireReceivedPoint(point);
    const product = await this.derive(point);
    return recoverPoint(product, await this.derive(add(point, BASE_POINT)), this.publicPoint);
  }

  /** u(S_X R), 32 bytes. */
  derive(point: Uint8Array): Promise<Uint8Array> {
    return this.key.exchange(uCoordinate(point));
  }
}

/** S_X in software, of its 32 bytes. */
export function softwareSecret(secret: Uint8Array, publicPoint: Uint8Array): DerivedSecret {
  return new DerivedSecret(softwareX25519(tokenForm(secret)), publicPoint);
}

// RFC 8410: the DER before the 32 bytes of an Ed25519 seed.
const PKCS8_ED25519 = Buffer.from("302e020100300506032b657004220420", "hex");

/** PRK_X of a 32-byte seed (RFC 8032, 5.1.5). */
export function softwareSigningKey(seed: Uint8Array): SigningKey {
  const key = createPrivateKey({ key: Buffer.concat([PKCS8_ED25519, seed]), format: "der", type: "pkcs8" });
  const publicKey = new Uint8Array(createPublicKey(key).export({ format: "der", type: "spki" }).subarray(-32));
  return { publicKey, sign: (message) => Promise.resolve(new Uint8Array(sign(null, message, key))) };
}
