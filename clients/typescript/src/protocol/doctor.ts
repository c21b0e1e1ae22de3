/** The doctor's side of a consultation: room, P1, D1, P2, D5, P6 (eq. 14-19, 24, 49). */

import { create } from "@bufbuild/protobuf";
import {
  type BiosignalDelivery,
  BiosignalDeliverySchema,
  type ConsultationOpening,
  ConsultationOpeningSchema,
  ConsultationReplySchema,
  type CloseRoomRequest,
  CloseRoomRequestSchema,
  type OpenRoomRequest,
  OpenRoomRequestSchema,
} from "../gen/federation/v1/consultation_pb.js";
import {
  type DiagnosisDelivery,
  DiagnosisDeliverySchema,
  type DiagnosisReceipt,
  DiagnosisReceiptSchema,
} from "../gen/federation/v1/diagnosis_pb.js";
import {
  type SealedOpening,
  type SealedReply,
  type SessionFrame,
  SessionFrameSchema,
} from "../gen/federation/v1/envelope_pb.js";
import { Role, type SignedStatement } from "../gen/federation/v1/statement_pb.js";
import { type Entropy, equal, type Instant, sha256, text, u64 } from "./bytes.js";
import * as common from "./consultation.js";
import { Direction, Slices } from "./frames.js";
import { requireFreshSince, requireNotFuture, requireSameTime } from "./freshness.js";
import { openGrantFor } from "./grant.js";
import { attributeOf } from "./registration.js";
import { ephemeral, type Party } from "./party.js";
import { afterOpening, afterOpeningAsync, require } from "./refusal.js";
import { check, parse } from "./rules.js";
import { agree, derive } from "./schedule.js";
import { findKey, openPayload, type Opened, sealReply, serialised, UNNAMED } from "./sealing.js";
import { verifySignature } from "./statements.js";
import { statementDigest, transcript } from "./transcript.js";
import type { EncryptionKey, VerifiedParty, Verifier } from "./verifier.js";

/** Slices of M_SD at most: work is bounded by them, too. */
const MOST_SLICES = 1024;

/** Ask a hospital's relay for a room. */
export async function askForRoom(
  doctor: Party,
  hospitalId: string,
  now: Instant,
  entropy: Entropy,
): Promise<OpenRoomRequest> {
  const request = create(OpenRoomRequestSchema, {
    keyStatement: doctor.self.keyStatement,
    doctorCertificate: doctor.certificate,
    encryptionKeyStatement: doctor.encryptionKeyStatement,
    nonce: entropy(16),
    sentAt: now,
  });
  const statement = doctor.encryptionKeyStatement.statement!;
  request.signature = await doctor.signingKey.sign(
    transcript("room", text(doctor.self.identity), text(hospitalId), statement, request.nonce!, u64(now)),
  );
  check(OpenRoomRequestSchema, request);
  return request;
}

/** Ask the relay to close a room of one's own. No room has this number again, so it needs no time and no nonce. */
export async function askToClose(doctor: Party, hospitalId: string, roomId: Uint8Array): Promise<CloseRoomRequest> {
  const signed = transcript("room-close", text(doctor.self.identity), text(hospitalId), roomId);
  const request = create(CloseRoomRequestSchema, { roomId, signature: await doctor.signingKey.sign(signed) });
  check(CloseRoomRequestSchema, request);
  return request;
}

/** Take P1 (eq. 14, 15). The caller keeps `replayKey` and refuses a P1 that it saw before. */
export async function receiveOpening(
  doctor: Party,
  opening: SealedOpening,
  verifier: Verifier,
  now: Instant,
): Promise<{ asked: Asked; replayKey: Uint8Array }> {
  const key = findKey(opening, doctor.keyring, now);
  const asked = await afterOpeningAsync(async () => {
    const sessionId = opening.sessionId!;
    const receiver = doctor.self.identity;
    const context = { name: "p1", sender: UNNAMED, receiver, keyId: key.keyId, sessionId, sentAt: opening.sentAt! };
    const opened = await openPayload(ConsultationOpeningSchema, opening.sealed!, key, context);
    const p1 = opened.payload;
    const patient = verifier.party(p1.keyStatement!, Role.PATIENT, now);
    const same = p1.patientId === patient.identity && equal(p1.registrationPoint!, patient.registrationPoint);
    require(same, "IDENTITY_MISMATCH", "the key statement is another patient's");
    const registered = equal(attributeOf(Role.PATIENT, p1.biometricPassword!), patient.attribute);
    require(registered, "CREDENTIAL_INVALID", "the biometric password is not the one registered");
    const patientKey = verifier.encryptionKey(p1.encryptionKeyStatement!, patient, now);
    const signed = common.openingTranscript(p1, patient.issuer, receiver, key.keyId, sessionId);
    verifySignature(patient.verifyingKey, p1.signature!, signed);
    return new Asked(doctor, patient, patientKey, sessionId, opened);
  });
  const { patientId, ephemeralPoint } = asked.opened.payload;
  return { asked, replayKey: sha256(transcript("P1", text(patientId!), ephemeralPoint!)) };
}

/** P1 held: a patient asks this doctor. It is present only once P2 confirms the key. */
export class Asked {
  constructor(
    readonly doctor: Party,
    readonly patient: VerifiedParty,
    readonly patientKey: EncryptionKey,
    readonly sessionId: Uint8Array,
    readonly opened: Opened<ConsultationOpening>,
  ) {}

  /** Send D1: pick r6, R_D2 = r6 B (eq. 16), derive SEK_1 (eq. 17), confirm it (eq. 18, 19). */
  async reply(now: Instant, entropy: Entropy): Promise<{ awaiting: AwaitingBiosignal; reply: SealedReply }> {
    const { doctor, patient, patientKey, sessionId } = this;
    const p1 = this.opened.payload;
    const { secret, point: ephemeralPoint } = ephemeral(entropy);
    const contribution = entropy(32);
    const sent = { certificate: doctor.certificate, ephemeralPoint, sentAt: now };
    const hash = common.transcriptHash(this.opened.plaintext, doctor.self, sent, sessionId);
    const shared = await afterOpeningAsync(() => agree(doctor.registrationSecret, p1.ephemeralPoint!, secret, patient));
    const keys = derive(shared, [p1.contribution!, contribution], hash, "PD");
    const payload = create(ConsultationReplySchema, {
      doctorId: doctor.self.identity,
      doctorCertificate: doctor.certificate,
      keyStatement: doctor.self.keyStatement,
      registrationPoint: doctor.self.registrationPoint,
      ephemeralPoint,
      contribution,
      keyConfirmation: keys.keyConfirmation,
      sentAt: now,
    });
    payload.signature = await doctor.signingKey.sign(common.replyTranscript(payload, doctor.self.issuer, hash));
    const { keyId, encryptionKey } = patientKey;
    const context = {
      name: "d1",
      sender: doctor.self.identity,
      receiver: patient.identity,
      keyId,
      sessionId,
      sentAt: now,
    };
    const reply = await sealReply(ConsultationReplySchema, payload, encryptionKey, context);
    const receiving = new Direction(sessionId, keys.forward);
    const sending = new Direction(sessionId, keys.backward);
    return { awaiting: new AwaitingBiosignal(this, hash, receiving, sending, p1.sentAt!), reply };
  }
}

/** D1 is sent; slices of M_SD come in. */
export class AwaitingBiosignal {
  constructor(
    readonly asked: Asked,
    readonly transcriptHash: Uint8Array,
    readonly receiving: Direction,
    readonly sending: Direction,
    readonly beganAt: Instant,
    readonly slices = new Slices(),
    readonly heardAt?: Instant,
  ) {}

  /** Take one frame of P2 (eq. 24). Opening the first confirms the key: only now is the patient present (B2). */
  receive(frame: SessionFrame, verifier: Verifier, now: Instant): AwaitingBiosignal | InConsultation {
    check(SessionFrameSchema, frame);
    const heardAt = this.heardAt ?? now;
    requireFreshSince(frame.sentAt!, heardAt, now);
    return afterOpening(() => {
      const { next, content } = this.receiving.open("p2", frame);
      if (frame.last!) return this.#complete(next, parse(BiosignalDeliverySchema, content), frame, verifier, now);
      const slices = this.slices.with(content);
      const bounded = slices.count <= MOST_SLICES && slices.size <= common.MOST_BIOSIGNAL_BYTES;
      require(bounded, "LIMIT_REACHED", `a biosignal has at most ${common.MOST_BIOSIGNAL_BYTES} bytes`);
      const { asked, transcriptHash, sending, beganAt } = this;
      return new AwaitingBiosignal(asked, transcriptHash, next, sending, beganAt, slices, heardAt);
    });
  }

  #complete(
    receiving: Direction,
    p2: BiosignalDelivery,
    frame: SessionFrame,
    verifier: Verifier,
    now: Instant,
  ): InConsultation {
    const { patient, doctor } = this.asked;
    requireSameTime(p2.sentAt, frame.sentAt!);
    verifier.party(patient.keyStatement, Role.PATIENT, now); // the patient may have been revoked since P1
    require(p2.patientId === patient.identity, "IDENTITY_MISMATCH", "P2 names another patient");
    const biosignal = this.slices.content(Number(p2.biosignalSizeBytes));
    const whole = equal(p2.biosignalDigest!, sha256(biosignal));
    require(whole, "RECORD_DIGEST_MISMATCH", "the biosignal is not the one that was signed");
    const addressed = { identity: doctor.self.identity, certificate: doctor.certificate };
    const signed = common.biosignalTranscript(
      this.transcriptHash,
      addressed,
      p2.biosignalDigest!,
      statementDigest("grant", p2.grant),
      p2.sentAt!,
    );
    verifySignature(patient.verifyingKey, p2.signature!, signed);
    if (p2.grant !== undefined) openGrantFor(p2.grant, patient, addressed, now);
    return new InConsultation(this.asked, this.transcriptHash, receiving, this.sending, this.beganAt, biosignal, p2);
  }
}

/** The patient is present, its biosignal and grant are here. */
export class InConsultation {
  constructor(
    readonly asked: Asked,
    readonly transcriptHash: Uint8Array,
    readonly receiving: Direction,
    readonly sending: Direction,
    readonly beganAt: Instant,
    readonly biosignal: Uint8Array,
    readonly delivery: BiosignalDelivery,
  ) {}

  get grant(): SignedStatement | undefined {
    return this.delivery.grant;
  }

  /** Send D5 (eq. 49), signed over the biosignal's and the records' signatures (Sig_HPC2) that it rests on. */
  async diagnose(
    diagnosis: Uint8Array,
    recordSignatures: readonly Uint8Array[],
    now: Instant,
  ): Promise<{ awaiting: AwaitingReceipt; frame: SessionFrame }> {
    require(now < this.beganAt + common.CONSULTATION_LIFE, "SESSION_EXPIRED", "the consultation's life is over");
    const { certificate: doctorCertificate, signingKey } = this.asked.doctor;
    const basedOn = recordSignatures.map(sha256);
    const payload = create(DiagnosisDeliverySchema, { diagnosis, basedOn, doctorCertificate, sentAt: now });
    const signed = common.diagnosisTranscript(this.transcriptHash, payload, this.delivery.signature!);
    payload.signature = await signingKey.sign(signed);
    const { frame } = this.sending.seal("d5", serialised(DiagnosisDeliverySchema, payload), true, now);
    return { awaiting: new AwaitingReceipt(this, payload), frame };
  }
}

/** D5 is sent; the patient may send a receipt. */
export class AwaitingReceipt {
  constructor(
    readonly consultation: InConsultation,
    readonly diagnosis: DiagnosisDelivery,
  ) {}

  /** Take P6: the patient's own receipt for this diagnosis. */
  receive(frame: SessionFrame, now: Instant): DiagnosisReceipt {
    return afterOpening(() => {
      const { content } = this.consultation.receiving.open("p6", frame);
      require(frame.last!, "OUT_OF_ORDER", "a receipt is one frame");
      const receipt = parse(DiagnosisReceiptSchema, content);
      requireSameTime(receipt.sentAt, frame.sentAt!);
      requireNotFuture(receipt.sentAt!, now);
      const ours = equal(receipt.diagnosisDigest!, sha256(this.diagnosis.signature!));
      require(ours, "SIGNATURE_INVALID", "the receipt is for another diagnosis");
      const signed = common.receiptTranscript(receipt.diagnosisDigest!, receipt.sentAt!);
      verifySignature(this.consultation.asked.patient.verifyingKey, receipt.signature!, signed);
      return receipt;
    });
  }
}
