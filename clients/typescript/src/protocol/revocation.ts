/** Taking back what one signed, before its end (docs/protocol.md, 2): rev is sent, and the head and shards of the answer checked. */

import { create } from "@bufbuild/protobuf";
import type { Deputyship } from "../gen/federation/v1/access_pb.js";
import type { SealedOpening } from "../gen/federation/v1/envelope_pb.js";
import {
  type Revocation,
  RevocationSchema,
  type RevokeResponse,
  RevokeResponseSchema,
  RevokedStatementSchema,
  StatementKind,
} from "../gen/federation/v1/revocation_pb.js";
import { GrantSchema, MandateSchema, type SignedStatement } from "../gen/federation/v1/statement_pb.js";
import type { TrustedBundle } from "./bundle.js";
import { EMPTY, type Entropy, type Instant, text, u64 } from "./bytes.js";
import { deputyshipStatement } from "./consent.js";
import { Lists } from "./lists.js";
import type { Party } from "./party.js";
import { require } from "./refusal.js";
import { checkOuter } from "./rules.js";
import { sealOpening, UNNAMED } from "./sealing.js";
import { missingIn } from "./shards.js";
import { peekStatement } from "./statements.js";
import { listing, signedDigest, transcript } from "./transcript.js";
import type { EncryptionKey } from "./verifier.js";

/** A grant or mandate. */
export interface Given {
  readonly kind: "grant" | "mandate";
  readonly statement: SignedStatement;
}

/** Statements at most in one rev. */
export const MOST_STATEMENTS = 16;

/** What is taken back, of oneself or of whom one stands for: some statements, or everything that was signed before a moment. */
export interface TakenBack {
  readonly ownerId: string;
  readonly statements?: readonly Given[];
  readonly before?: Instant;
  readonly deputyship?: Deputyship;
}

/** Send rev. */
export async function revoke(
  party: Party,
  takenBack: TakenBack,
  cloud: EncryptionKey,
  now: Instant,
  entropy: Entropy,
): Promise<{ awaiting: AwaitingList; opening: SealedOpening }> {
  const { ownerId, before, deputyship } = takenBack;
  const statements = (takenBack.statements ?? []).map(({ kind, statement }) =>
    create(RevokedStatementSchema, { kind: KINDS[kind], statement }),
  );
  const { keyStatement } = party.self;
  const fields = { ownerId, statements, before, deputyship, keyStatement, nonce: entropy(16), sentAt: now };
  const revocation = create(RevocationSchema, fields);
  revocation.signature = await party.signingKey.sign(revocationTranscript(revocation, cloud.owner));
  const { owner: receiver, keyId } = cloud;
  const context = { name: "rev", sender: UNNAMED, receiver, keyId, sessionId: EMPTY, sentAt: now };
  const { opening } = await sealOpening(RevocationSchema, revocation, cloud.encryptionKey, context);
  return { awaiting: new AwaitingList(takenBack), opening };
}

/** rev is sent. */
export class AwaitingList {
  constructor(readonly takenBack: TakenBack) {}

  /** Take the answer: a head of the cloud, and shards that name all that was taken back. */
  receive(answer: RevokeResponse, bundle: TrustedBundle): Lists {
    checkOuter(RevokeResponseSchema, answer);
    const { lists } = Lists.excerpt(bundle, answer.revocations!, []); // rev.13
    const isNamed = this.#isNamedIn(lists);
    require(isNamed, "ANSWER_MISMATCH", "the revocation list of the answer does not name what was taken back"); // rev.14
    return lists;
  }

  #isNamedIn(lists: Lists): boolean {
    const { ownerId, statements = [], before } = this.takenBack;
    try {
      const isSwept = before === undefined || lists.sweptBefore(ownerId) >= before;
      return isSwept && statements.every((given) => lists.isRevoked(given.kind, ownerId, idOf(given)));
    } catch (error) {
      if (missingIn(error) === undefined) throw error;
      return false;
    }
  }
}

const KINDS = { grant: StatementKind.GRANT, mandate: StatementKind.MANDATE };

function idOf({ kind, statement }: Given): Uint8Array {
  if (kind === "grant") return peekStatement(GrantSchema, statement).grantId!;
  return peekStatement(MandateSchema, statement).mandateId!;
}

/** What the signature in rev covers. */
function revocationTranscript(revocation: Revocation, cloudId: string): Uint8Array {
  const { ownerId, statements, before, deputyship, keyStatement, nonce, sentAt } = revocation;
  const rows = statements.map(({ kind, statement }) =>
    transcript("row", text(kind === KINDS.grant ? "grant" : "mandate"), statement!.statement!),
  );
  const by = deputyship && deputyshipStatement(deputyship);
  return transcript(
    "rev",
    text(ownerId!),
    listing(rows),
    before === undefined ? EMPTY : u64(before),
    by === undefined ? EMPTY : signedDigest(by.label, by.signed),
    keyStatement!.statement!,
    nonce!,
    u64(sentAt!),
    text(cloudId),
  );
}
