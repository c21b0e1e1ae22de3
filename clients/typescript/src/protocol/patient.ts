/** The patient's side of a consultation: P1, D1, P2, D5, P6 (eq. 11-13, 20-23, 50). */

import { create } from "@bufbuild/protobuf";
import {
  BiosignalDeliverySchema,
  ConsultationOpeningSchema,
  type GetRoomResponse,
  GetRoomResponseSchema,
} from "../gen/federation/v1/consultation_pb.js";
import {
  type DiagnosisDelivery,
  DiagnosisDeliverySchema,
  DiagnosisReceiptSchema,
} from "../gen/federation/v1/diagnosis_pb.js";
import { type SealedOpening, type SessionFrame } from "../gen/federation/v1/envelope_pb.js";
import type { Duty } from "./access.js";
import { EMPTY, type Entropy, equal, type Instant, sha256 } from "./bytes.js";
import * as common from "./consultation.js";
import { verifyDuty } from "./duty.js";
import { type Direction, sealContent } from "./frames.js";
import { requireNotFuture, requireSameTime, SKEW } from "./freshness.js";
import * as handshake from "./handshake.js";
import type { AwaitingReply, Peer, Session } from "./handshake.js";
import type { Party } from "./party.js";
import { afterOpeningAsync, require } from "./refusal.js";
import { checkOuter, parse } from "./rules.js";
import { serialised } from "./sealing.js";
import type { Shown } from "./shown.js";
import { verifySignature } from "./signatures.js";
import type { Verifier } from "./verifier.js";

/** Check what the relay serves against the doctor's code, and CRED(D), Cert_D, EK_D (X13, B4). */
export async function checkRoom(
  room: GetRoomResponse,
  code: Uint8Array,
  verifier: Verifier,
  now: Instant,
): Promise<Peer> {
  checkOuter(GetRoomResponseSchema, room);
  const certificate = room.doctorCertificate!;
  const served = common.codeDigest(room.keyStatement!.statement!, room.keyStatement!.signature!, certificate);
  require(equal(served, code), "IDENTITY_MISMATCH", "the relay serves another doctor than the code names");
  const party = await verifier.doctor(room.keyStatement!, certificate, now);
  return { party, certificate, encryptionKey: verifier.encryptionKey(room.encryptionKeyStatement!, party, now) };
}

/** Check that the room's doctor is on duty at the relay's hospital, and give where: what the patient is shown before it consents. */
export function checkDuty(
  room: GetRoomResponse,
  doctor: Peer,
  hospitalId: string,
  verifier: Verifier,
  now: Instant,
): Duty {
  return verifyDuty(room.duty!, doctor.party, hospitalId, verifier, now);
}

/** Send P1 to the doctor of the code. */
export function begin(
  patient: Party,
  doctor: Peer,
  biometricPassword: Uint8Array,
  now: Instant,
  entropy: Entropy,
): Promise<{ awaiting: AwaitingReply<Established>; opening: SealedOpening }> {
  const opening = create(ConsultationOpeningSchema, { patientId: patient.self.identity, biometricPassword });
  return handshake.begin(
    common.CONSULTATION,
    patient,
    doctor,
    opening,
    (session) => new Established(session),
    now,
    entropy,
  );
}

/** The doctor has proved itself and the key. */
export class Established {
  constructor(readonly session: Session) {}

  /**
   * Send P2 (eq. 23): M_SD in slices, then what signs it, and the consent. `shown` is whose visit it is, and the consent, if there is one:
   * signed by this patient, for itself or as a deputy.
   */
  async deliver(
    biosignal: Uint8Array,
    shown: Shown,
    now: Instant,
  ): Promise<{ awaiting: AwaitingDiagnosis; frames: SessionFrame[] }> {
    requireBiosignal(biosignal);
    const biosignalDigest = sha256(biosignal);
    const { own, peer, transcriptHash, sending } = this.session;
    const signed = common.biosignalTranscript(
      transcriptHash,
      peer.party.identity,
      peer.certificate,
      shown,
      biosignalDigest,
      now,
    );
    const signature = await own.signingKey.sign(signed);
    const biosignalSizeBytes = BigInt(biosignal.length);
    const { patientId, consent } = shown;
    const fields = { biosignalSizeBytes, biosignalDigest, patientId, sentAt: now, consent, signature };
    const payload = create(BiosignalDeliverySchema, fields);
    const message = serialised(BiosignalDeliverySchema, payload);
    const { next, frames } = sealContent(sending, "p2", biosignal, message, now);
    return { awaiting: new AwaitingDiagnosis({ ...this.session, sending: next }, signature), frames };
  }
}

/** Require a biosignal to have at most 16 MiB: no more can be deposited. */
export function requireBiosignal(biosignal: Uint8Array): void {
  const most = common.MOST_BIOSIGNAL_BYTES;
  require(biosignal.length <=
    most, "LIMIT_REACHED", `a biosignal has at most ${most} bytes, this one ${biosignal.length}`);
}

/** P2 is sent: the first diagnosis may come, or one that amends the newest. */
export class AwaitingDiagnosis {
  constructor(
    readonly session: Session,
    readonly biosignalSignature: Uint8Array,
    /** H(Sig_D5) of the diagnosis that came last; empty before the first. */
    readonly newest: Uint8Array = EMPTY,
  ) {}

  /**
   * Take D5 (eq. 50), the first or one that amends the newest. Its T lies within the consultation's life; the sequence stops a replay (D2 of
   * the findings).
   */
  async receive(frame: SessionFrame, verifier: Verifier, now: Instant): Promise<Diagnosed> {
    return afterOpeningAsync(() => this.#accept(frame, verifier, now));
  }

  async #accept(frame: SessionFrame, verifier: Verifier, now: Instant): Promise<Diagnosed> {
    const { peer, beganAt, transcriptHash, receiving } = this.session;
    const { next, content } = receiving.open("d5", frame);
    require(frame.last!, "OUT_OF_ORDER", "a diagnosis is one frame");
    const d5 = parse(DiagnosisDeliverySchema, content);
    requireSameTime(d5.sentAt, frame.sentAt!);
    requireNotFuture(d5.sentAt!, now);
    const alive = beganAt - SKEW <= d5.sentAt! && d5.sentAt! < beganAt + common.CONSULTATION_LIFE;
    require(alive, "SESSION_EXPIRED", "the diagnosis was not made within the consultation's life");
    const same = equal(d5.doctorCertificate!, peer.certificate);
    require(same, "CERTIFICATE_FOREIGN", "Cert_D is not the one of the consultation");
    const party = await verifier.doctor(peer.party.keyStatement, d5.doctorCertificate!, now);
    const signed = common.diagnosisTranscript(transcriptHash, d5, this.biosignalSignature);
    verifySignature(party.verifyingKey, d5.signature!, signed);
    const isAllowed = receiving.sequence <= common.MOST_AMENDMENTS;
    require(isAllowed, "LIMIT_REACHED", `a diagnosis is amended at most ${common.MOST_AMENDMENTS} times`);
    const isNext = equal(d5.amends ?? EMPTY, this.newest);
    require(isNext, "AMENDMENT_MISMATCH", "the diagnosis does not amend the newest before it");
    return new Diagnosed(this, next, d5);
  }
}

/** The signed diagnosis is here. */
export class Diagnosed {
  constructor(
    readonly consultation: AwaitingDiagnosis,
    readonly receiving: Direction,
    readonly delivery: DiagnosisDelivery,
  ) {}

  /**
   * Send P6, a receipt for the diagnosis; the state that follows takes an amendment. P6 k answers D5 k under that number, so one that never
   * arrives leaves no gap.
   */
  async receipt(now: Instant): Promise<{ following: AwaitingDiagnosis; frame: SessionFrame }> {
    const diagnosisDigest = sha256(this.delivery.signature!);
    const { session, biosignalSignature } = this.consultation;
    const signature = await session.own.signingKey.sign(common.receiptTranscript(diagnosisDigest, now));
    const payload = create(DiagnosisReceiptSchema, { diagnosisDigest, sentAt: now, signature });
    const { next, frame } = session.sending.seal("p6", serialised(DiagnosisReceiptSchema, payload), true, now);
    const after = { ...session, sending: next, receiving: this.receiving };
    return { following: new AwaitingDiagnosis(after, biosignalSignature, diagnosisDigest), frame };
  }
}
