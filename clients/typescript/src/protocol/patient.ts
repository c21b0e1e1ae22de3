/** The patient's side of a consultation: P1, D1, P2, D5, P6 (eq. 11-13, 20-23, 50). */

import { create } from "@bufbuild/protobuf";
import {
  BiosignalDeliverySchema,
  ConsultationOpeningSchema,
  type ConsultationReply,
  ConsultationReplySchema,
  type GetRoomResponse,
  GetRoomResponseSchema,
} from "../gen/federation/v1/consultation_pb.js";
import {
  type DiagnosisDelivery,
  DiagnosisDeliverySchema,
  DiagnosisReceiptSchema,
} from "../gen/federation/v1/diagnosis_pb.js";
import {
  type SealedOpening,
  type SealedReply,
  SealedReplySchema,
  type SessionFrame,
} from "../gen/federation/v1/envelope_pb.js";
import type { SignedStatement } from "../gen/federation/v1/statement_pb.js";
import { type Entropy, equal, type Instant, sha256 } from "./bytes.js";
import * as common from "./consultation.js";
import { Direction, sealContent } from "./frames.js";
import { requireFresh, requireNotFuture, requireSameTime, SKEW } from "./freshness.js";
import { ephemeral, type Party } from "./party.js";
import { afterOpeningAsync, require } from "./refusal.js";
import { check, checkOuter, parse } from "./rules.js";
import { agree, derive, type SessionKeys } from "./schedule.js";
import { openPayload, sealOpening, serialised, UNNAMED } from "./sealing.js";
import { verifySignature } from "./statements.js";
import { statementDigest } from "./transcript.js";
import type { EncryptionKey, VerifiedParty, Verifier } from "./verifier.js";

/** The doctor of the code that the patient scanned, verified. */
export interface AddressedDoctor {
  readonly party: VerifiedParty;
  readonly certificate: Uint8Array;
  readonly encryptionKey: EncryptionKey;
}

/** Check what the relay serves against the doctor's code, and CRED(D), Cert_D, EK_D (X13, B4). */
export async function checkRoom(
  room: GetRoomResponse,
  code: Uint8Array,
  verifier: Verifier,
  now: Instant,
): Promise<AddressedDoctor> {
  checkOuter(GetRoomResponseSchema, room);
  const certificate = room.doctorCertificate!;
  const served = common.codeDigest(room.keyStatement!.statement!, room.keyStatement!.signature!, certificate);
  require(equal(served, code), "IDENTITY_MISMATCH", "the relay serves another doctor than the code names");
  const party = await verifier.doctor(room.keyStatement!, certificate, now);
  return { party, certificate, encryptionKey: verifier.encryptionKey(room.encryptionKeyStatement!, party, now) };
}

/** Send P1: pick r5, R_P2 = r5 B (eq. 11), sign it for this doctor (eq. 13) and seal it to it (eq. 12). */
export async function begin(
  patient: Party,
  doctor: AddressedDoctor,
  biometricPassword: Uint8Array,
  now: Instant,
  entropy: Entropy,
): Promise<{ awaiting: AwaitingReply; opening: SealedOpening }> {
  const { secret, point } = ephemeral(entropy);
  const sessionId = entropy(16);
  const payload = create(ConsultationOpeningSchema, {
    patientId: patient.self.identity,
    biometricPassword,
    registrationPoint: patient.self.registrationPoint,
    ephemeralPoint: point,
    sentAt: now,
    contribution: entropy(32),
    keyStatement: patient.self.keyStatement,
    encryptionKeyStatement: patient.encryptionKeyStatement,
  });
  const { keyId, encryptionKey } = doctor.encryptionKey;
  const receiver = doctor.party.identity;
  const signed = common.openingTranscript(payload, patient.self.issuer, receiver, keyId, sessionId);
  payload.signature = await patient.signingKey.sign(signed);
  const context = { name: "p1", sender: UNNAMED, receiver, keyId, sessionId, sentAt: now };
  const { opening, plaintext } = await sealOpening(ConsultationOpeningSchema, payload, encryptionKey, context);
  return {
    awaiting: new AwaitingReply(patient, doctor, sessionId, secret, payload.contribution!, plaintext, now),
    opening,
  };
}

/** P1 is sent. r5 lives here and nowhere else. */
export class AwaitingReply {
  readonly #secret: bigint;
  readonly #contribution: Uint8Array;

  constructor(
    readonly patient: Party,
    readonly doctor: AddressedDoctor,
    readonly sessionId: Uint8Array,
    secret: bigint,
    contribution: Uint8Array,
    readonly openingPlaintext: Uint8Array,
    readonly sentAt: Instant,
  ) {
    this.#secret = secret;
    this.#contribution = contribution;
  }

  /** Take D1 (eq. 20-22). */
  async receive(reply: SealedReply, verifier: Verifier, now: Instant): Promise<Established> {
    check(SealedReplySchema, reply);
    require(equal(reply.sessionId!, this.sessionId), "SESSION_UNKNOWN", "the answer belongs to another session");
    requireFresh(reply.sentAt!, now);
    return afterOpeningAsync(() => this.#accept(reply, verifier, now));
  }

  async #accept(reply: SealedReply, verifier: Verifier, now: Instant): Promise<Established> {
    const { doctor, patient } = this;
    const addressed = doctor.party.identity;
    const { keyId } = patient.decryptionKey;
    const receiver = patient.self.identity;
    const context = {
      name: "d1",
      sender: addressed,
      receiver,
      keyId,
      sessionId: this.sessionId,
      sentAt: reply.sentAt!,
    };
    const { payload: d1 } = await openPayload(ConsultationReplySchema, reply.sealed!, patient.decryptionKey, context);
    require(d1.doctorId === addressed, "IDENTITY_MISMATCH", "another doctor answers than the one addressed");
    require(equal(
      d1.doctorCertificate!,
      doctor.certificate,
    ), "CERTIFICATE_FOREIGN", "Cert_D is not the one that was checked");
    const replying = await verifier.doctor(d1.keyStatement!, d1.doctorCertificate!, now);
    const same = replying.identity === addressed && equal(replying.registrationPoint, d1.registrationPoint!);
    require(same, "IDENTITY_MISMATCH", "the key statement is not of the doctor who answers");
    const hash = this.#transcriptHash(d1, replying);
    const shared = await agree(patient.registrationSecret, d1.ephemeralPoint!, this.#secret, replying);
    const keys = derive(shared, [this.#contribution, d1.contribution!], hash, "PD");
    const confirmed = equal(keys.keyConfirmation, d1.keyConfirmation!);
    require(confirmed, "KEY_CONFIRMATION_FAILED", "the doctor does not hold the session key");
    verifySignature(replying.verifyingKey, d1.signature!, common.replyTranscript(d1, replying.issuer, hash));
    return new Established(patient, doctor, this.sessionId, hash, keys, this.sentAt);
  }

  #transcriptHash(d1: ConsultationReply, doctor: VerifiedParty): Uint8Array {
    const { doctorCertificate, ephemeralPoint, sentAt } = d1;
    const reply = { certificate: doctorCertificate!, ephemeralPoint: ephemeralPoint!, sentAt: sentAt! };
    return common.transcriptHash(this.openingPlaintext, doctor, reply, this.sessionId);
  }
}

/** The doctor has proved itself and the key. */
export class Established {
  constructor(
    readonly patient: Party,
    readonly doctor: AddressedDoctor,
    readonly sessionId: Uint8Array,
    readonly transcriptHash: Uint8Array,
    readonly keys: SessionKeys,
    readonly beganAt: Instant,
  ) {}

  /** Send P2 (eq. 23): M_SD in slices, then what signs it and the grant. */
  async deliver(
    biosignal: Uint8Array,
    grant: SignedStatement | undefined,
    now: Instant,
  ): Promise<{ awaiting: AwaitingDiagnosis; frames: SessionFrame[] }> {
    requireBiosignal(biosignal);
    const biosignalDigest = sha256(biosignal);
    const addressed = { identity: this.doctor.party.identity, certificate: this.doctor.certificate };
    const signed = common.biosignalTranscript(
      this.transcriptHash,
      addressed,
      biosignalDigest,
      statementDigest("grant", grant),
      now,
    );
    const signature = await this.patient.signingKey.sign(signed);
    const biosignalSizeBytes = BigInt(biosignal.length);
    const patientId = this.patient.self.identity;
    const fields = { biosignalSizeBytes, biosignalDigest, patientId, sentAt: now, signature };
    const payload = create(BiosignalDeliverySchema, grant === undefined ? fields : { ...fields, grant });
    const message = serialised(BiosignalDeliverySchema, payload);
    const { next, frames } = sealContent(
      new Direction(this.sessionId, this.keys.forward),
      "p2",
      biosignal,
      message,
      now,
    );
    return { awaiting: new AwaitingDiagnosis(this, next, signature), frames };
  }
}

/** Require a biosignal to have at most 16 MiB: no more can be deposited. */
export function requireBiosignal(biosignal: Uint8Array): void {
  const most = common.MOST_BIOSIGNAL_BYTES;
  require(biosignal.length <=
    most, "LIMIT_REACHED", `a biosignal has at most ${most} bytes, this one ${biosignal.length}`);
}

/** P2 is sent. */
export class AwaitingDiagnosis {
  readonly receiving: Direction;

  constructor(
    readonly session: Established,
    readonly sending: Direction,
    readonly biosignalSignature: Uint8Array,
  ) {
    this.receiving = new Direction(session.sessionId, session.keys.backward);
  }

  /** Take D5 (eq. 50). Its T lies within the consultation's life; the sequence stops a replay (D2 of the findings). */
  async receive(frame: SessionFrame, verifier: Verifier, now: Instant): Promise<Diagnosed> {
    return afterOpeningAsync(() => this.#accept(frame, verifier, now));
  }

  async #accept(frame: SessionFrame, verifier: Verifier, now: Instant): Promise<Diagnosed> {
    const { doctor, beganAt, transcriptHash } = this.session;
    const { content } = this.receiving.open("d5", frame);
    require(frame.last!, "OUT_OF_ORDER", "a diagnosis is one frame");
    const d5 = parse(DiagnosisDeliverySchema, content);
    requireSameTime(d5.sentAt, frame.sentAt!);
    requireNotFuture(d5.sentAt!, now);
    const alive = beganAt - SKEW <= d5.sentAt! && d5.sentAt! < beganAt + common.CONSULTATION_LIFE;
    require(alive, "SESSION_EXPIRED", "the diagnosis was not made within the consultation's life");
    const same = equal(d5.doctorCertificate!, doctor.certificate);
    require(same, "CERTIFICATE_FOREIGN", "Cert_D is not the one of the consultation");
    const party = await verifier.doctor(doctor.party.keyStatement, d5.doctorCertificate!, now);
    const signed = common.diagnosisTranscript(transcriptHash, d5, this.biosignalSignature);
    verifySignature(party.verifyingKey, d5.signature!, signed);
    return new Diagnosed(this, d5);
  }
}

/** The signed diagnosis is here. */
export class Diagnosed {
  constructor(
    readonly consultation: AwaitingDiagnosis,
    readonly delivery: DiagnosisDelivery,
  ) {}

  /** Send P6: a receipt for the diagnosis. */
  async receipt(now: Instant): Promise<SessionFrame> {
    const diagnosisDigest = sha256(this.delivery.signature!);
    const { signingKey } = this.consultation.session.patient;
    const signature = await signingKey.sign(common.receiptTranscript(diagnosisDigest, now));
    const payload = create(DiagnosisReceiptSchema, { diagnosisDigest, sentAt: now, signature });
    return this.consultation.sending.seal("p6", serialised(DiagnosisReceiptSchema, payload), true, now).frame;
  }
}
