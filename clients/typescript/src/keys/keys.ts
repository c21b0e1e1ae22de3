/**
 * Where a party's private keys are, and what is asked of them: PRK_X signs; S_X and the P-256 half of each epoch's KEM key
 * meet points. `SoftwareKeys` has them in the key file itself, `Pkcs11Keys` in a token.
 */

import { type Agreeing, prfOf } from "../protocol/agreement.js";
import { equal } from "../protocol/bytes.js";
import { pointOver, xOf } from "../protocol/curve.js";
import type { KemHalf } from "../protocol/hpke.js";
import { require } from "../protocol/refusal.js";
import type { SigningKey } from "../protocol/signatures.js";
import { transcript } from "../protocol/transcript.js";
import type { VerifiedParty } from "../protocol/verifier.js";

/**
 * A party's private keys. Each has a reference, a word that the key file keeps: in software that is the key itself, in a
 * token its label.
 */
export interface KeyStore {
  /** Make PRK_X, and what else a party has for good. */
  makeIdentity(): string;
  signingKey(reference: string): SigningKey;
  /** Make the P-256 half of an epoch's KEM key. */
  makeKemHalf(): string;
  /** Refuses with KEY_NOT_FOUND one that is destroyed. */
  kemHalf(reference: string): KemHalf;
  /** Take S_X (32 bytes) of the credential with that serial; the caller wipes it. */
  importRegistrationSecret(secret: Uint8Array, serial: Uint8Array): string;
  registrationSecret(reference: string): Agreeing;
  /** Destroy a key for good; one that is gone already is no error. */
  destroy(reference: string): void;
  /** Seal the key file. */
  seal(plaintext: Uint8Array): Uint8Array;
  /** Open what `seal` made. Refuses with PIN_INCORRECT or SEAL_INVALID. */
  unseal(sealed: Uint8Array): Uint8Array;
  /** Let go of the keys. A program that ends lets go of a token, too. */
  close(): void;
}

/** Require S_X, where it is now, to be this credential's: x(S_X R) = x(U_X), as far as a token tells it. */
export async function requireConsistent(secret: Agreeing, party: VerifiedParty): Promise<void> {
  const message = transcript("consistent");
  const made = await secret.prf(pointOver(party.registrationPoint), message);
  const own = equal(made, prfOf(xOf(party.publicPoint), message));
  require(own, "CREDENTIAL_MISMATCH", "S_X does not belong to the credential");
}
