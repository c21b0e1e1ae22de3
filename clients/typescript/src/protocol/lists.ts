/** The revocation list and the authorities' CRLs as last received. Stale or absent means no. */

import { type RevocationList, RevocationListSchema, type SignedStatement } from "../gen/federation/v1/statement_pb.js";
import type { TrustedBundle } from "./bundle.js";
import { hex, type Instant, sha256, text } from "./bytes.js";
import { type Crl, readCrl } from "./crl.js";
import { SKEW } from "./freshness.js";
import { require } from "./refusal.js";
import { openStatement, peekStatement } from "./statements.js";
import { transcript } from "./transcript.js";

const LONGEST_LIFE = 3_600_000n;

export class Lists {
  readonly #serials: ReadonlySet<string>;
  readonly #grants: ReadonlySet<string>;
  readonly #keyIds: ReadonlySet<string>;

  private constructor(
    readonly revocations: RevocationList,
    readonly crls: readonly Crl[],
  ) {
    this.#serials = new Set(revocations.serials.map(hex));
    this.#grants = new Set(revocations.grants.map(hex));
    this.#keyIds = new Set(revocations.keyIds.map(hex));
  }

  /** Verify a list by the PUK_C of its time, and parse the CRLs; a CRL is verified where it is used. */
  static read(bundle: TrustedBundle, signed: SignedStatement, crls: readonly Uint8Array[]): Lists {
    const key = bundle.cloudKeyAt(peekStatement(RevocationListSchema, signed).thisUpdate!);
    const list = openStatement("rl", RevocationListSchema, signed, key);
    const short = list.nextUpdate! - list.thisUpdate! <= LONGEST_LIFE;
    require(short, "MALFORMED_MESSAGE", "a revocation list may not live longer than an hour");
    return new Lists(list, crls.map(readCrl));
  }

  requireCurrent(now: Instant): void {
    require(now < this.revocations.nextUpdate!, "REVOCATION_LIST_STALE", "no current revocation list is at hand");
    require(now + SKEW >=
      this.revocations.thisUpdate!, "REVOCATION_LIST_STALE", "the revocation list is from the future");
  }

  requireSerialGood(serial: Uint8Array): void {
    const entry = sha256(transcript("serial", serial));
    require(!this.#serials.has(hex(entry)), "CREDENTIAL_REVOKED", "the credential is revoked");
  }

  requireKeyGood(keyId: Uint8Array): void {
    require(!this.#keyIds.has(hex(keyId)), "CREDENTIAL_REVOKED", "the encryption key is revoked");
  }

  requireGrantGood(patientId: string, grantId: Uint8Array): void {
    const entry = sha256(transcript("gid", text(patientId), grantId));
    require(!this.#grants.has(hex(entry)), "GRANT_REVOKED", "the patient took this grant back");
  }
}
