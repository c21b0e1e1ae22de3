/** A party's own side: who it is and the keys that it acts with. The keys may be in a token; these are their handles. */

import type { SignedStatement } from "../gen/federation/v1/statement_pb.js";
import { type Entropy, hkdf, text } from "./bytes.js";
import { multiplyBase, scalar } from "./group.js";
import type { DecryptionKey } from "./hpke.js";
import type { SigningKey } from "./statements.js";
import { transcript } from "./transcript.js";
import type { VerifiedParty } from "./verifier.js";

export interface Party {
  readonly self: VerifiedParty;
  readonly signingKey: SigningKey;
  readonly registrationSecret: RegistrationSecret;
  /** Of the epoch that is announced. */
  readonly decryptionKey: DecryptionKey;
  /** Of every epoch that is not over, `decryptionKey` among them: what is sealed to one of them opens. */
  readonly keyring: readonly DecryptionKey[];
  /** The announced EK_X: the statement of `decryptionKey`. */
  readonly encryptionKeyStatement: SignedStatement;
  /** A doctor's Cert_D, else empty. */
  readonly certificate: Uint8Array;
}

/** S_X, where it may be in a token. */
export interface RegistrationSecret {
  /** The full point S_X R for a received R. */
  agree(point: Uint8Array): Promise<Uint8Array>;
  /** u(S_X R), 32 bytes, as a token derives it. */
  derive(point: Uint8Array): Promise<Uint8Array>;
}

/** A step's random number, r5 to r8, and its point. */
export function ephemeral(entropy: Entropy): { secret: bigint; point: Uint8Array } {
  const secret = scalar(entropy(64));
  return { secret, point: multiplyBase(secret) };
}

/** K_X = HKDF-SHA256(ikm = u(S_X PK), no salt, info = T("shared", ID_X, serial), 32 bytes): X and the issuer can make it. */
export async function sharedKey(secret: RegistrationSecret, self: VerifiedParty): Promise<Uint8Array> {
  const info = transcript("shared", text(self.identity), self.serial);
  return hkdf(await secret.derive(self.issuer), info, 32);
}
