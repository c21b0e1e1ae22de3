/** The head of the revocation list, what is at hand of its set, and the authorities' CRLs as last received. Stale or absent means no. */

import {
  type RevocationExcerpt,
  type RevocationHead,
  RevocationHeadSchema,
  type SignedStatement,
} from "../gen/federation/v1/statement_pb.js";
import type { Grant } from "./access.js";
import type { TrustedBundle } from "./bundle.js";
import { type Instant, sha256, text } from "./bytes.js";
import { type Crl, readCrl } from "./crl.js";
import { require } from "./refusal.js";
import { type Listed, Shards } from "./shards.js";
import { openStatement, peekStatement } from "./statements.js";
import { transcript } from "./transcript.js";

const LONGEST_LIFE = 3_600_000n;

export class Lists {
  private constructor(
    readonly head: RevocationHead,
    readonly crls: readonly Crl[],
    readonly listed: Listed,
  ) {}

  /** Verify a head by the PUK_C of its time, and parse the CRLs; a CRL is verified where it is used. No shard is at hand yet. */
  static read(bundle: TrustedBundle, signed: SignedStatement, crls: readonly Uint8Array[]): Lists {
    const key = bundle.cloudKeyAt(peekStatement(RevocationHeadSchema, signed).thisUpdate!);
    const head = openStatement("rl", RevocationHeadSchema, signed, key); // rl.1
    const short = head.nextUpdate! - head.thisUpdate! <= LONGEST_LIFE;
    require(short, "MALFORMED_MESSAGE", "a head of the revocation list may not live longer than an hour"); // rl.2
    return new Lists(head, crls.map(readCrl), Shards.NONE); // rl.3
  }

  /** Verify a head, and the shards that came with it. Refuses as `read`, and with REVOCATION_SHARD_INVALID. */
  static excerpt(bundle: TrustedBundle, excerpt: RevocationExcerpt, crls: readonly Uint8Array[]): Excerpt {
    const lists = Lists.read(bundle, excerpt.head!, crls);
    const shards = Shards.read(lists.head.root!, excerpt.shards);
    return { lists: lists.by(shards), shards };
  }

  /** The same, looked up in what is at hand there. */
  by(listed: Listed): Lists {
    return new Lists(this.head, this.crls, listed);
  }

  requireSerialGood(serial: Uint8Array): void {
    const isListed = this.#find(transcript("serial", serial)) !== undefined;
    require(!isListed, "CREDENTIAL_REVOKED", "the credential is revoked");
  }

  requireKeyGood(keyId: Uint8Array): void {
    const isListed = this.#find(transcript("key", keyId)) !== undefined;
    require(!isListed, "CREDENTIAL_REVOKED", "the encryption key is revoked");
  }

  /** Whether a statement was taken back by itself: a "grant" or "mandate" about a patient, a "duty" or "guardian" that a hospital stated. */
  isRevoked(kind: string, ownerId: string, statementId: Uint8Array): boolean {
    return this.#find(transcript("revoked", text(kind), text(ownerId), statementId)) !== undefined;
  }

  /** Whether it was taken back by itself, or with all that its patient signed. */
  isTakenBack(kind: "grant" | "mandate", { patientId, id, statedAt }: About): boolean {
    return statedAt < this.sweptBefore(patientId) || this.isRevoked(kind, patientId, id);
  }

  /** Before when everything that the patient, or its deputies, signed is taken back; 0 where nothing is. */
  sweptBefore(patientId: string): Instant {
    return this.#find(transcript("sweep", text(patientId))) ?? 0n;
  }

  /** Look up H(what). Refuses as ShardMissing. */
  #find(what: Uint8Array): Instant | undefined {
    return this.listed.find(sha256(what), this.head.root!);
  }
}

/** A head with shards that it proves. */
export interface Excerpt {
  readonly lists: Lists;
  readonly shards: Shards;
}

/** What is about a patient. */
type About = Pick<Grant, "patientId" | "id" | "statedAt">;
