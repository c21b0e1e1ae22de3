/** The revocation list and the authorities' CRLs as last received. Stale or absent means no. */

import { type RevocationList, RevocationListSchema, type SignedStatement } from "../gen/federation/v1/statement_pb.js";
import type { Grant } from "./access.js";
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
  readonly #statements: ReadonlySet<string>;
  /** Before when everything that a patient signed is taken back, by its entry. */
  readonly #sweeps: ReadonlyMap<string, Instant>;
  readonly #keyIds: ReadonlySet<string>;

  private constructor(
    readonly revocations: RevocationList,
    readonly crls: readonly Crl[],
  ) {
    this.#serials = new Set(revocations.serials.map(hex));
    this.#statements = new Set(revocations.statements.map(hex));
    this.#sweeps = sweepsIn(revocations);
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

  /** Whether a statement was taken back by itself: a "grant" or "mandate" about a patient, a "duty" or "guardian" that a hospital stated. */
  isRevoked(kind: string, ownerId: string, statementId: Uint8Array): boolean {
    const entry = sha256(transcript("revoked", text(kind), text(ownerId), statementId));
    return this.#statements.has(hex(entry));
  }

  /** Whether it was taken back by itself, or with all that its patient signed. */
  isTakenBack(kind: "grant" | "mandate", { patientId, id, statedAt }: About): boolean {
    return statedAt < this.sweptBefore(patientId) || this.isRevoked(kind, patientId, id);
  }

  /** Before when everything that the patient, or its deputies, signed is taken back; 0 where nothing is. */
  sweptBefore(patientId: string): Instant {
    return this.#sweeps.get(hex(sha256(transcript("sweep", text(patientId))))) ?? 0n;
  }
}

/** What is about a patient. */
type About = Pick<Grant, "patientId" | "id" | "statedAt">;

function sweepsIn({ sweeps }: RevocationList): Map<string, Instant> {
  const found = new Map<string, Instant>();
  for (const { patientDigest, before } of sweeps) {
    const entry = hex(patientDigest!);
    if (before! > (found.get(entry) ?? 0n)) found.set(entry, before!);
  }
  return found;
}
