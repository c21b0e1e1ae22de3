/** A party's own side: who it is and the keys that it acts with. The keys may be in a token; these are their handles. */

import type { SignedStatement } from "../gen/federation/v1/statement_pb.js";
import { agree, type Agreeing, type AgreementKey, SoftwareAgreement } from "./agreement.js";
import { type Entropy, text } from "./bytes.js";
import { hashToCurve, pointOver, SCALAR_SEED_BYTES, scalarFromSeed, xOf } from "./curve.js";
import type { DecryptionKey } from "./hpke.js";
import type { SigningKey } from "./signatures.js";
import { transcript } from "./transcript.js";
import type { VerifiedParty } from "./verifier.js";

export interface Party {
  readonly self: VerifiedParty;
  readonly signingKey: SigningKey;
  /** S_X. */
  readonly registrationSecret: Agreeing;
  /** Of the epoch that is announced. */
  readonly decryptionKey: DecryptionKey;
  /** Of every epoch that is not over, `decryptionKey` among them: what is sealed to one of them opens. */
  readonly keyring: readonly DecryptionKey[];
  /** The announced EK_X: the statement of `decryptionKey`. */
  readonly encryptionKeyStatement: SignedStatement;
  /** A doctor's Cert_D, else empty. */
  readonly certificate: Uint8Array;
}

/** The Cert_D that a doctor's message carries; a patient's carries none. */
export function carriedCertificate({ certificate }: Party): Uint8Array | undefined {
  return certificate.length === 0 ? undefined : certificate;
}

/** A step's random numbers, r5 to r8 and e5 to e8, and what is sent of them. */
export interface Draw {
  readonly r: Agreeing;
  readonly e: AgreementKey;
  /** x(r R), R being the peer's. */
  readonly agreementPoint: Uint8Array;
  /** x(e B). */
  readonly ephemeralPoint: Uint8Array;
}

/** Draw r for the base of this peer, and e, each of its own 48 bytes. */
export async function draw(peer: VerifiedParty, entropy: Entropy): Promise<Draw> {
  const [r, e] = [drawn(entropy), drawn(entropy)];
  const agreementPoint = await r.exchange(pointOver(peer.registrationPoint));
  return { r, e, agreementPoint, ephemeralPoint: xOf(e.publicKey) };
}

/** K_X = agree(S_X, Q(T("shared", ID_X, serial)), "shared", ID_X, serial), 32 bytes: X and the issuer can make it. */
export function sharedKey(secret: Agreeing, { identity, serial }: VerifiedParty): Promise<Uint8Array> {
  const fields = [text(identity), serial];
  return agree(secret, hashToCurve(transcript("shared", ...fields)), "shared", ...fields);
}

function drawn(entropy: Entropy): SoftwareAgreement {
  return new SoftwareAgreement(scalarFromSeed(entropy(SCALAR_SEED_BYTES)));
}
