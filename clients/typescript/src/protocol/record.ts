/** A doctor's session with a hospital: D3, D4 or STO, and the checks of H1, H2, STOACK (eq. 33-35, 42-45, 48). */

import { create } from "@bufbuild/protobuf";
import {
  type SealedOpening,
  type SealedReply,
  SealedReplySchema,
  type SessionFrame,
  SessionFrameSchema,
} from "../gen/federation/v1/envelope_pb.js";
import {
  type Deposit,
  DepositEndSchema,
  type DepositReceipt,
  DepositReceiptSchema,
  DepositSchema,
  Purpose,
  type RecordEnd,
  RecordEndSchema,
  RecordOpeningSchema,
  type RecordOpening,
  RecordQuerySchema,
  RecordReplySchema,
  type RecordReply,
  type Scope,
  SessionOutcome,
} from "../gen/federation/v1/record_pb.js";
import { GrantSchema, Role, type SignedStatement } from "../gen/federation/v1/statement_pb.js";
import { concat, type Entropy, equal, type Instant, sha256, text, u64 } from "./bytes.js";
import { Direction, sealContent, Slices } from "./frames.js";
import { requireFresh, requireSameTime } from "./freshness.js";
import { type Layout, layoutOf, requireWithin } from "./manifest.js";
import { ephemeral, type Party } from "./party.js";
import { afterOpening, afterOpeningAsync, Refusal, require } from "./refusal.js";
import { check, parse } from "./rules.js";
import { agree, derive, type SessionKeys } from "./schedule.js";
import { openPayload, sealOpening, serialised, UNNAMED } from "./sealing.js";
import { openStatement, peekStatement, verifySignature } from "./statements.js";
import { listing, statementDigest, transcript } from "./transcript.js";
import type { EncryptionKey, VerifiedParty, Verifier } from "./verifier.js";

const PURPOSES: Partial<Record<Purpose, string>> = { [Purpose.READ]: "read", [Purpose.STORE]: "store" };

/** What a session's last frame says is wrong, and the reason it has here. */
const REASONS: Partial<Record<SessionOutcome, string>> = {
  [SessionOutcome.NO_RECORD]: "NO_SUCH_RECORD",
  [SessionOutcome.GRANT_EXPIRED]: "GRANT_EXPIRED",
  [SessionOutcome.GRANT_REVOKED]: "GRANT_REVOKED",
  [SessionOutcome.GRANT_SCOPE]: "GRANT_SCOPE",
  [SessionOutcome.GRANT_MISSING]: "GRANT_MISSING",
  [SessionOutcome.EMERGENCY_REFUSED]: "EMERGENCY_NOT_SUPPORTED",
};

/** The hospital that the doctor addresses, verified. */
export interface AddressedHospital {
  readonly party: VerifiedParty;
  readonly encryptionKey: EncryptionKey;
}

/** What the session is for: c_P commits to it. `blind` is rho, 32 bytes; keep the intent to repeat a deposit. */
export interface Intent {
  readonly patientId: string;
  readonly scope: Scope;
  readonly grant: SignedStatement;
  readonly patientKeyStatement: SignedStatement;
  readonly blind: Uint8Array;
}

/** c_P = H(T("cp", ID_P, H(grant), H(scope), rho)). */
export function commitment(intent: Intent): Uint8Array {
  const { patientId, grant, scope, blind } = intent;
  const encoded = transcript(
    "scope",
    text(PURPOSES[scope.purpose!]!),
    text(scope.departmentClass!),
    listing(scope.handles),
  );
  return sha256(transcript("cp", text(patientId), statementDigest("grant", grant), sha256(encoded), blind));
}

/** Send D3: pick r7, R_D3 = r7 B (eq. 33), commit to the patient, sign for this hospital (eq. 35), seal (eq. 34). */
export async function begin(
  doctor: Party,
  hospital: AddressedHospital,
  intent: Intent,
  now: Instant,
  entropy: Entropy,
): Promise<{ awaiting: AwaitingReply; opening: SealedOpening }> {
  const { secret, point } = ephemeral(entropy);
  const sessionId = entropy(16);
  const payload = create(RecordOpeningSchema, {
    doctorCertificate: doctor.certificate,
    sentAt: now,
    doctorId: doctor.self.identity,
    ephemeralPoint: point,
    registrationPoint: doctor.self.registrationPoint,
    patientCommitment: commitment(intent),
    contribution: entropy(32),
    keyStatement: doctor.self.keyStatement,
    encryptionKeyStatement: doctor.encryptionKeyStatement,
  });
  const { keyId, encryptionKey } = hospital.encryptionKey;
  const receiver = hospital.party.identity;
  payload.signature = await doctor.signingKey.sign(
    openingTranscript(payload, doctor.self.issuer, receiver, keyId, sessionId),
  );
  const context = { name: "d3", sender: UNNAMED, receiver, keyId, sessionId, sentAt: now };
  const { opening, plaintext } = await sealOpening(RecordOpeningSchema, payload, encryptionKey, context);
  return {
    awaiting: new AwaitingReply(doctor, hospital, intent, sessionId, secret, payload.contribution!, plaintext),
    opening,
  };
}

/** D3 is sent. r7 lives here and nowhere else. */
export class AwaitingReply {
  readonly #secret: bigint;
  readonly #contribution: Uint8Array;

  constructor(
    readonly doctor: Party,
    readonly hospital: AddressedHospital,
    readonly intent: Intent,
    readonly sessionId: Uint8Array,
    secret: bigint,
    contribution: Uint8Array,
    readonly openingPlaintext: Uint8Array,
  ) {
    this.#secret = secret;
    this.#contribution = contribution;
  }

  /** Take H1 (eq. 42-44). */
  async receive(reply: SealedReply, verifier: Verifier, now: Instant): Promise<Established> {
    check(SealedReplySchema, reply);
    require(equal(reply.sessionId!, this.sessionId), "SESSION_UNKNOWN", "the answer belongs to another session");
    requireFresh(reply.sentAt!, now);
    return afterOpeningAsync(() => this.#accept(reply, verifier, now));
  }

  async #accept(reply: SealedReply, verifier: Verifier, now: Instant): Promise<Established> {
    const { doctor, sessionId } = this;
    const addressed = this.hospital.party.identity;
    const { keyId } = doctor.decryptionKey;
    const context = {
      name: "h1",
      sender: addressed,
      receiver: doctor.self.identity,
      keyId,
      sessionId,
      sentAt: reply.sentAt!,
    };
    const { payload: h1 } = await openPayload(RecordReplySchema, reply.sealed!, doctor.decryptionKey, context);
    require(h1.hospitalId === addressed, "IDENTITY_MISMATCH", "another hospital answers than the one addressed");
    const hospital = verifier.party(h1.keyStatement!, Role.HOSPITAL, now);
    const same = hospital.identity === addressed && equal(hospital.registrationPoint, h1.registrationPoint!);
    require(same, "IDENTITY_MISMATCH", "the key statement is not of the hospital that answers");
    const hash = sessionTranscriptHash(this.openingPlaintext, h1, hospital.credential, sessionId);
    const shared = await agree(doctor.registrationSecret, h1.ephemeralPoint!, this.#secret, hospital);
    const keys = derive(shared, [this.#contribution, h1.contribution!], hash, "DH");
    const confirmed = equal(keys.keyConfirmation, h1.keyConfirmation!);
    require(confirmed, "KEY_CONFIRMATION_FAILED", "the hospital does not hold the session key");
    verifySignature(hospital.verifyingKey, h1.signature!, replyTranscript(h1, hospital.issuer, hash));
    return new Established(doctor, hospital, this.intent, sessionId, hash, keys);
  }
}

/** The hospital has proved itself and the key. */
export class Established {
  constructor(
    readonly doctor: Party,
    readonly hospital: VerifiedParty,
    readonly intent: Intent,
    readonly sessionId: Uint8Array,
    readonly transcriptHash: Uint8Array,
    readonly keys: SessionKeys,
  ) {}

  /** Send D4 (eq. 45): open c_P and show the grant. A record of more bytes than `most` is not taken. */
  query(now: Instant, most: number): { awaiting: AwaitingRecord; frame: SessionFrame } {
    const { patientId, scope, grant, patientKeyStatement, blind } = this.intent;
    const payload = create(RecordQuerySchema, {
      patientId,
      doctorId: this.doctor.self.identity,
      sentAt: now,
      doctorCertificateDigest: sha256(this.doctor.certificate),
      blind,
      scope,
      authorization: { case: "grant", value: grant },
      patientKeyStatement,
    });
    const sending = new Direction(this.sessionId, this.keys.forward);
    const { frame } = sending.seal("d4", serialised(RecordQuerySchema, payload), true, now);
    const receiving = new Direction(this.sessionId, this.keys.backward);
    return { awaiting: new AwaitingRecord(this, receiving, most), frame };
  }

  /** Send STO: M_SD and M_DINF in slices, then the deposit. The same deposit may be sent again in a new session. */
  deposit(
    biosignal: Uint8Array,
    diagnosis: Uint8Array,
    deposit: Deposit,
  ): { awaiting: AwaitingDeposit; frames: SessionFrame[] } {
    const message = serialised(DepositSchema, deposit);
    const sending = new Direction(this.sessionId, this.keys.forward);
    const { frames } = sealContent(sending, "sto", concat(biosignal, diagnosis), message, deposit.sentAt!);
    const receiving = new Direction(this.sessionId, this.keys.backward);
    return { awaiting: new AwaitingDeposit(this.hospital, receiving, sha256(message)), frames };
  }
}

/** M_EMR, whole and verified (C8). */
export interface ReceivedRecord {
  readonly layout: Layout;
  readonly content: Uint8Array;
  readonly digest: Uint8Array;
  readonly end: RecordEnd;
}

/** D4 is sent; M_EMR comes in. Nothing of it is proved before the last frame: show nothing. */
export class AwaitingRecord {
  constructor(
    readonly session: Established,
    readonly receiving: Direction,
    readonly mostBytes: number,
    readonly slices = new Slices(),
    readonly layout?: Layout,
  ) {}

  /** Take one frame of H2 (eq. 48). T is checked on the first. */
  receive(frame: SessionFrame, verifier: Verifier, now: Instant): AwaitingRecord | ReceivedRecord {
    check(SessionFrameSchema, frame);
    if (frame.sequence === 0n) requireFresh(frame.sentAt!, now);
    const taken = afterOpening(() => this.#open(frame, verifier, now));
    if ("refused" in taken) throw refusalOf(taken.refused);
    return taken;
  }

  #open(
    frame: SessionFrame,
    verifier: Verifier,
    now: Instant,
  ): AwaitingRecord | ReceivedRecord | { refused: SessionOutcome } {
    const { next, content } = this.receiving.open("h2", frame);
    if (!frame.last!) return this.#with(next, content);
    const end = parse(RecordEndSchema, content);
    requireSameTime(end.sentAt, frame.sentAt!);
    if (end.outcome !== SessionOutcome.SERVED) return { refused: end.outcome! };
    verifier.party(this.session.hospital.keyStatement, Role.HOSPITAL, now); // it may have been revoked since H1
    return this.#complete(end);
  }

  #with(next: Direction, slice: Uint8Array): AwaitingRecord {
    const slices = this.slices.with(slice);
    const layout = this.layout ?? layoutOf(slices, this.mostBytes);
    if (layout !== undefined) requireWithin(layout, slices, slice);
    return new AwaitingRecord(this.session, next, this.mostBytes, slices, layout);
  }

  /** Sig_HPC2 = S_PRK_HPC(T("H2", TH2, c_P, H(M_EMR), grant id, version, T_HPC2)) (C8). */
  #complete(end: RecordEnd): ReceivedRecord {
    const { layout, slices } = this;
    require(end.signature !== undefined && end.version !== undefined, "MISSING_FIELD", "a served record is signed");
    const isWhole = layout !== undefined && slices.size >= layout.size;
    require(isWhole, "RECORD_CUT_SHORT", "the record ends before its manifest says");
    const content = slices.content(layout.size);
    const digest = sha256(content);
    const { transcriptHash, intent, hospital } = this.session;
    const { grantId } = peekStatement(GrantSchema, intent.grant);
    const fields = [transcriptHash, commitment(intent), digest, grantId!, u64(end.version), u64(end.sentAt!)];
    verifySignature(hospital.verifyingKey, end.signature, transcript("H2", ...fields));
    return { layout, content, digest, end };
  }
}

/** STO is sent. */
export class AwaitingDeposit {
  constructor(
    readonly hospital: VerifiedParty,
    readonly receiving: Direction,
    readonly depositDigest: Uint8Array,
  ) {}

  /** Take STOACK: the hospital's signed receipt. The receipt of a deposit that was made before is as old as that deposit. */
  receive(frame: SessionFrame): DepositReceipt {
    const { end, receipt } = afterOpening(() => {
      const { content } = this.receiving.open("stoack", frame);
      require(frame.last!, "OUT_OF_ORDER", "a receipt is one frame");
      const opened = parse(DepositEndSchema, content);
      requireSameTime(opened.sentAt, frame.sentAt!);
      return {
        end: opened,
        receipt: opened.outcome === SessionOutcome.SERVED ? this.#receipt(opened.receipt) : undefined,
      };
    });
    if (receipt === undefined) throw refusalOf(end.outcome!);
    return receipt;
  }

  #receipt(signed: SignedStatement | undefined): DepositReceipt {
    require(signed !== undefined, "MISSING_FIELD", "a served deposit has a receipt");
    const receipt = openStatement("stoack", DepositReceiptSchema, signed, this.hospital.verifyingKey);
    require(equal(receipt.depositDigest!, this.depositDigest), "ANSWER_MISMATCH", "the receipt is for another deposit");
    return receipt;
  }
}

function refusalOf(outcome: SessionOutcome): Refusal {
  return new Refusal(REASONS[outcome] ?? "UNAUTHORIZED", "the hospital refuses");
}

/** What Sig_D3 covers: eq. 35 with c_P for ID_P, and the hospital (C3). */
function openingTranscript(
  opening: RecordOpening,
  issuer: Uint8Array,
  hospitalId: string,
  keyId: Uint8Array,
  sessionId: Uint8Array,
): Uint8Array {
  return transcript(
    "D3",
    issuer,
    u64(opening.sentAt!),
    opening.patientCommitment!,
    opening.ephemeralPoint!,
    opening.registrationPoint!,
    text(hospitalId),
    keyId,
    sessionId,
    sha256(opening.contribution!),
    sha256(opening.doctorCertificate!),
  );
}

/** TH2 = H(T("th2", H(d3 plaintext), ID_HPC, M_HPC, R_HPC1, R_HPC2, T_HPC1, session id)). */
function sessionTranscriptHash(
  openingPlaintext: Uint8Array,
  h1: RecordReply,
  credential: Uint8Array,
  sessionId: Uint8Array,
): Uint8Array {
  const who = [text(h1.hospitalId!), credential, h1.registrationPoint!];
  return sha256(transcript("th2", sha256(openingPlaintext), ...who, h1.ephemeralPoint!, u64(h1.sentAt!), sessionId));
}

/** What Sig_HPC1 covers: eq. 41, and the session (C4). */
function replyTranscript(h1: RecordReply, issuer: Uint8Array, hash: Uint8Array): Uint8Array {
  return transcript("H1", issuer, u64(h1.sentAt!), text(h1.hospitalId!), h1.keyConfirmation!, hash);
}
