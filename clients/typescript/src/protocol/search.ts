/** EMR search, the side of who asks, a doctor or the patient itself (eq. 25-32): D2 asks the cloud where a patient's records are, C answers. */

import { create } from "@bufbuild/protobuf";
import { type AccessEntry, AccessGround, AccessKind } from "../gen/federation/v1/access_pb.js";
import type { SealedOpening, SealedReply } from "../gen/federation/v1/envelope_pb.js";
import {
  type IndexRow,
  type SearchAnswer,
  SearchAnswerSchema,
  type SearchQuery,
  SearchQuerySchema,
} from "../gen/federation/v1/search_pb.js";
import { Right, Role } from "../gen/federation/v1/statement_pb.js";
import { EMPTY, type Entropy, equal, hmacSha256, type Instant, sha256, text, u64 } from "./bytes.js";
import { type Peer, requireReply } from "./handshake.js";
import { ofSearch, refusalIn } from "./outcomes.js";
import { carriedCertificate, type Party, sharedKey } from "./party.js";
import { afterOpeningAsync, require } from "./refusal.js";
import { openPayload, sealOpening, UNNAMED } from "./sealing.js";
import type { Shown } from "./shown.js";
import { verifySignature } from "./signatures.js";
import { certificateDigest, listing, transcript } from "./transcript.js";
import type { EncryptionKey, VerifiedParty, Verifier } from "./verifier.js";

/** What somebody wants to know: a page of a patient's records of one department class, or of "*"; for the log, who asked for them, of "*". */
export interface Question {
  readonly departmentClass: string;
  readonly page: number;
  readonly right?: Right.INDEX | Right.LOG;
}

/** Where a record is: an index row whose hospital's statements held. */
export interface RecordLocation {
  readonly hospital: Peer;
  readonly address: string;
  readonly departmentId: string;
  readonly handle: Uint8Array;
}

/** What the cloud answered. No record yet is no error: `locations` is empty. `accesses` are the newest first. */
export interface Answer {
  readonly locations: readonly RecordLocation[];
  readonly accesses: readonly AccessEntry[];
  readonly pages: number;
}

/** Send D2 (eq. 25, 26). */
export async function ask(
  asker: Party,
  question: Question,
  shown: Shown,
  cloud: EncryptionKey,
  now: Instant,
  entropy: Entropy,
): Promise<{ awaiting: AwaitingAnswer; opening: SealedOpening }> {
  const sessionId = entropy(16);
  const query = create(SearchQuerySchema, {
    patientId: shown.patientId,
    sentAt: now,
    askerId: asker.self.identity,
    doctorCertificate: carriedCertificate(asker),
    departmentClass: question.departmentClass,
    page: question.page,
    nonce: entropy(16),
    keyStatement: asker.self.keyStatement,
    encryptionKeyStatement: asker.encryptionKeyStatement,
    access: shown.access,
    right: question.right ?? Right.INDEX,
  });
  const shared = await sharedKey(asker.registrationSecret, asker.self);
  query.proof = queryProof(shared, query);
  query.signature = await asker.signingKey.sign(queryTranscript(query, asker.self, shown, cloud.owner));
  const { owner: receiver, keyId } = cloud;
  const context = { name: "d2", sender: UNNAMED, receiver, keyId, sessionId, sentAt: now };
  const { opening } = await sealOpening(SearchQuerySchema, query, cloud.encryptionKey, context);
  return { awaiting: new AwaitingAnswer(asker, query, sessionId, shared, receiver), opening };
}

/** D2 is sent. */
export class AwaitingAnswer {
  readonly #shared: Uint8Array;

  constructor(
    readonly asker: Party,
    readonly query: SearchQuery,
    readonly sessionId: Uint8Array,
    shared: Uint8Array,
    readonly cloudId: string,
  ) {
    this.#shared = shared;
  }

  /** Take C (eq. 31, 32). Refuses with what the cloud says is wrong with the access, or REJECTED for a false answer. */
  async receive(reply: SealedReply, verifier: Verifier, now: Instant): Promise<Answer> {
    requireReply(reply, this.sessionId, now);
    const { answer, locations } = await afterOpeningAsync(() => this.#accept(reply, verifier, now));
    const outcome = ofSearch(answer.outcome!);
    if (outcome.reason !== undefined) throw refusalIn(outcome, "the public cloud");
    return { locations, accesses: answer.accesses, pages: answer.pages! };
  }

  async #accept(
    reply: SealedReply,
    verifier: Verifier,
    now: Instant,
  ): Promise<{ answer: SearchAnswer; locations: RecordLocation[] }> {
    const { decryptionKey, self } = this.asker;
    const { keyId } = decryptionKey;
    const context = {
      name: "c",
      sender: this.cloudId,
      receiver: self.identity,
      keyId,
      sessionId: this.sessionId,
      sentAt: reply.sentAt!,
    };
    const { payload: answer } = await openPayload(SearchAnswerSchema, reply.sealed!, decryptionKey, context);
    const proof = answerProof(this.#shared, answer.sentAt!, this.query.signature!);
    require(equal(
      proof,
      answer.proof!,
    ), "PROOF_INVALID", "the answer is not from the cloud that shares K_A, or to another question");
    const signed = answerTranscript(answer, this.query, self);
    verifySignature(verifier.bundle.cloudKeyAt(answer.sentAt!), answer.signature!, signed);
    require(answer.page === this.query.page, "ANSWER_MISMATCH", "the answer is of another page");
    const other = this.query.right === Right.LOG ? answer.rows : answer.accesses;
    require(other.length === 0, "ANSWER_MISMATCH", "the answer is to another question");
    return { answer, locations: answer.rows.map((row) => locationOf(row, verifier, now)) };
  }
}

/** HMAC(K_A, T("D2-proof", T_D2, ID_P, ID_DE, nonce)): only who asks and the cloud can make it (X7). */
function queryProof(shared: Uint8Array, query: SearchQuery): Uint8Array {
  const { sentAt, patientId, departmentClass, nonce } = query;
  return hmacSha256(shared, transcript("D2-proof", u64(sentAt!), text(patientId!), text(departmentClass!), nonce!));
}

/** HMAC(K_A, T("C-proof", T_C, H(Sig_D2))) (X8). */
function answerProof(shared: Uint8Array, sentAt: Instant, querySignature: Uint8Array): Uint8Array {
  return hmacSha256(shared, transcript("C-proof", u64(sentAt), sha256(querySignature)));
}

/** What Sig_D2 covers: eq. 26 with the proof in S_D's slot. */
function queryTranscript(query: SearchQuery, asker: VerifiedParty, shown: Shown, cloudId: string): Uint8Array {
  return transcript(
    "D2",
    query.proof!,
    asker.registrationPoint,
    asker.serial,
    u64(query.sentAt!),
    text(query.patientId!),
    text(query.departmentClass!),
    text(query.askerId!),
    certificateDigest(query.doctorCertificate),
    shown.signedDigest,
    u64(query.page!),
    query.nonce!,
    text(cloudId),
    text(query.right === Right.LOG ? "log" : "index"),
  );
}

/** What Sig_C covers: eq. 30, bound to the question (C2). */
function answerTranscript(answer: SearchAnswer, query: SearchQuery, asker: VerifiedParty): Uint8Array {
  return transcript(
    "C",
    text(ofSearch(answer.outcome!).name),
    text(query.departmentClass!),
    answer.proof!,
    asker.registrationPoint,
    asker.serial,
    listing(answer.rows.map((row) => text(row.hospitalId!))),
    u64(answer.sentAt!),
    text(query.askerId!),
    sha256(query.signature!),
    sha256(listing(answer.rows.map(rowTranscript))),
    u64(answer.page!),
    u64(answer.pages!),
    sha256(listing(answer.accesses.map(entryTranscript))),
  );
}

const KINDS: Partial<Record<AccessKind, string>> = {
  [AccessKind.SEARCH]: "SEARCH",
  [AccessKind.READ]: "READ",
  [AccessKind.STORE]: "STORE",
  [AccessKind.LOG]: "LOG",
  [AccessKind.ADD]: "ADD",
};
const GROUNDS: Partial<Record<AccessGround, string>> = {
  [AccessGround.CONSENT]: "consent",
  [AccessGround.OWN]: "own",
  [AccessGround.EMERGENCY]: "emergency",
  [AccessGround.NONE]: "none",
};

function entryTranscript(entry: AccessEntry): Uint8Array {
  return transcript(
    "row",
    u64(entry.number!),
    u64(entry.at!),
    text(entry.askerId!),
    text(KINDS[entry.kind!]!),
    text(entry.departmentClass!),
    text(GROUNDS[entry.ground!]!),
    entry.authorization ?? EMPTY,
    text(entry.reason!),
    entry.grantDigest ?? EMPTY,
  );
}

function rowTranscript(row: IndexRow): Uint8Array {
  const statements = [row.keyStatement!.statement!, row.encryptionKeyStatement!.statement!];
  return transcript(
    "row",
    text(row.hospitalId!),
    text(row.departmentId!),
    text(row.address!),
    ...statements,
    row.handle!,
  );
}

function locationOf(row: IndexRow, verifier: Verifier, now: Instant): RecordLocation {
  const hospital = verifier.party(row.keyStatement!, Role.HOSPITAL, now);
  require(hospital.identity ===
    row.hospitalId, "IDENTITY_MISMATCH", "an index row names another hospital than its statement");
  const encryptionKey = verifier.encryptionKey(row.encryptionKeyStatement!, hospital, now);
  const peer = { party: hospital, encryptionKey, certificate: EMPTY };
  return { hospital: peer, address: row.address!, departmentId: row.departmentId!, handle: row.handle! };
}
