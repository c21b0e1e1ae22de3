/** EMR search, the side of who asks, a doctor or the patient itself (eq. 25-32): D2 asks the cloud where a patient's records are, C answers. */

import { create } from "@bufbuild/protobuf";
import { type AccessEntry, AccessGround, AccessKind, type ProvedHead } from "../gen/federation/v1/access_pb.js";
import type { SealedOpening, SealedReply } from "../gen/federation/v1/envelope_pb.js";
import {
  type IndexDepartment,
  type IndexHospital,
  type PlacesPage,
  type SearchAnswer,
  SearchAnswerSchema,
  type SearchQuery,
  SearchQuerySchema,
} from "../gen/federation/v1/search_pb.js";
import { Right, Role } from "../gen/federation/v1/statement_pb.js";
import { EMPTY, type Entropy, equal, hex, hmacSha256, type Instant, sha256, text, u64 } from "./bytes.js";
import { type Peer, requireReply } from "./handshake.js";
import { ofSearch, refusalIn } from "./outcomes.js";
import { carriedCertificate, type Party, sharedKey } from "./party.js";
import { afterOpeningAsync, require } from "./refusal.js";
import { openPayload, sealOpening, UNNAMED } from "./sealing.js";
import type { Shown } from "./shown.js";
import { verifySignature } from "./signatures.js";
import { certificateDigest, listing, transcript } from "./transcript.js";
import type { EncryptionKey, VerifiedParty, Verifier } from "./verifier.js";

/**
 * What somebody wants to know: a page of a patient's records of one department class, or of "*"; for the log, who asked for them, of "*",
 * proved from the head of `knownSize` on. `after` is the `next` of the page before.
 */
export interface Question {
  readonly departmentClass: string;
  readonly after?: Uint8Array;
  readonly right?: Right.INDEX | Right.LOG;
  readonly knownSize?: bigint | undefined;
}

/** Where a record is, at a hospital whose statements held. */
export interface RecordLocation {
  readonly hospital: Peer;
  readonly address: string;
  readonly departmentId: string;
  readonly handle: Uint8Array;
}

/**
 * What the cloud answered. No record yet is no error: `locations` is empty. `accesses` are the newest first, and proved by nothing yet but
 * `logHead` (requireTold), of a cloud whose key is `cloudKey`. `next` is what a question for the next page is to say, and absent where there
 * is none.
 */
export interface Answer {
  readonly locations: readonly RecordLocation[];
  readonly accesses: readonly AccessEntry[];
  readonly logHead?: ProvedHead | undefined;
  readonly cloudKey: Uint8Array;
  readonly next?: Uint8Array;
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
    after: question.after,
    nonce: entropy(16),
    keyStatement: asker.self.keyStatement,
    encryptionKeyStatement: asker.encryptionKeyStatement,
    access: shown.access,
    right: question.right ?? Right.INDEX,
    knownSize: question.knownSize,
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
    const { accesses, logHead, next } = answer;
    return { locations, accesses, logHead, cloudKey: verifier.bundle.cloudKeyAt(answer.sentAt!), next };
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
    const isOther =
      this.query.right === Right.LOG
        ? answer.hospitals.length > 0
        : answer.accesses.length > 0 || answer.logHead !== undefined;
    require(!isOther, "ANSWER_MISMATCH", "the answer is to another question");
    requireNamedOnce(answer.hospitals);
    return { answer, locations: answer.hospitals.flatMap((hospital) => locationsAt(hospital, verifier, now)) };
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
    query.after ?? EMPTY,
    query.nonce!,
    text(cloudId),
    text(query.right === Right.LOG ? "log" : "index"),
    query.knownSize === undefined ? EMPTY : u64(query.knownSize),
  );
}

/** What Sig_C covers: eq. 30, bound to the question (C2). */
function answerTranscript(answer: SearchAnswer, query: SearchQuery, asker: VerifiedParty): Uint8Array {
  const page = {
    departmentClass: query.departmentClass,
    proof: answer.proof,
    registrationPoint: asker.registrationPoint,
    serial: asker.serial,
    askerId: query.askerId,
    queryDigest: sha256(query.signature!),
    sentAt: answer.sentAt,
    next: answer.next,
  };
  const places = answer.hospitals.map((hospital) => {
    const statements = [hospital.keyStatement!.statement!, hospital.encryptionKeyStatement!.statement!] as const;
    const departments = hospital.departments.map(departmentDigest);
    return placeDigest(hospital.hospitalId!, hospital.address!, sha256(transcript("row", ...statements)), departments);
  });
  const accesses = sha256(listing(answer.accesses.map(entryTranscript)));
  const head = answer.logHead === undefined ? EMPTY : sha256(headTranscript(answer.logHead));
  return pageTranscript(page, ofSearch(answer.outcome!).name, query.patientId!, places, accesses, head);
}

/** The fields of a page that stand in what Sig_C covers as they are. */
type PageFields = Pick<
  PlacesPage,
  "departmentClass" | "proof" | "registrationPoint" | "serial" | "askerId" | "queryDigest" | "sentAt" | "next"
>;

/** What Sig_C covers, of a page as it is kept and the digests of its places. */
export function pageTranscript(
  page: PageFields,
  outcome: string,
  patientId: string,
  places: readonly Uint8Array[],
  accesses: Uint8Array,
  head: Uint8Array,
): Uint8Array {
  return transcript(
    "C",
    text(outcome),
    text(patientId),
    text(page.departmentClass!),
    page.proof!,
    page.registrationPoint!,
    page.serial!,
    listing(places),
    u64(page.sentAt!),
    text(page.askerId!),
    page.queryDigest!,
    page.next ?? EMPTY,
    accesses,
    head,
  );
}

/** H(place), of the digests of a hospital's statements and of its departments. */
export function placeDigest(
  hospitalId: string,
  address: string,
  statements: Uint8Array,
  departments: readonly Uint8Array[],
): Uint8Array {
  return sha256(transcript("row", text(hospitalId), text(address), statements, listing(departments)));
}

export function departmentDigest({ departmentId, handles }: IndexDepartment): Uint8Array {
  return sha256(transcript("row", text(departmentId!), listing(handles)));
}

/** What an access was for, as a transcript has it. */
export const KINDS: Partial<Record<AccessKind, string>> = {
  [AccessKind.SEARCH]: "SEARCH",
  [AccessKind.READ]: "READ",
  [AccessKind.STORE]: "STORE",
  [AccessKind.LOG]: "LOG",
  [AccessKind.ADD]: "ADD",
};
/** By what it was shown that it may be done, as a transcript has it. */
export const GROUNDS: Partial<Record<AccessGround, string>> = {
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
    u64(entry.leafIndex!),
    entry.blind!,
    listing(entry.inclusion),
  );
}

function headTranscript(head: ProvedHead): Uint8Array {
  const statements = head.witnessKeyStatements.map(({ statement }) => statement!);
  return transcript("row", head.note!, listing(head.consistency), listing(statements));
}

/** Require each hospital, each department of it and each record of that to be there once, and none without a record. */
function requireNamedOnce(hospitals: readonly IndexHospital[]): void {
  const departments = hospitals.flatMap((hospital) => hospital.departments);
  const names = [
    hospitals.map((hospital) => hospital.hospitalId!),
    departments.map((department) => department.departmentId!),
    ...departments.map((department) => department.handles.map(hex)),
  ];
  const isOnce = names.every((all) => new Set(all).size === all.length);
  require(isOnce, "FIELD_INVALID", "an answer names a hospital, a department or a record twice");
  const isFilled =
    hospitals.every((hospital) => hospital.departments.length > 0) &&
    departments.every((department) => department.handles.length > 0);
  require(isFilled, "FIELD_INVALID", "an answer names a hospital or a department without a record");
}

function locationsAt(found: IndexHospital, verifier: Verifier, now: Instant): RecordLocation[] {
  const party = verifier.party(found.keyStatement!, Role.HOSPITAL, now);
  require(party.identity ===
    found.hospitalId, "IDENTITY_MISMATCH", "an answer names another hospital than its statement");
  const encryptionKey = verifier.encryptionKey(found.encryptionKeyStatement!, party, now);
  const hospital = { party, encryptionKey, certificate: EMPTY };
  return found.departments.flatMap(({ departmentId, handles }) => {
    const isOwn = departmentId!.startsWith(`${party.identity}/`);
    require(isOwn, "DEPARTMENT_FOREIGN", "an answer names a department of another hospital");
    return handles.map((handle) => ({ hospital, address: found.address!, departmentId: departmentId!, handle }));
  });
}
