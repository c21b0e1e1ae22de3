/** The doctor's side of a consultation: room, P1, D1, P2, D5, P6 (eq. 14-19, 24, 49). */

import { create } from "@bufbuild/protobuf";
import type { Consent, ShownDuty } from "../gen/federation/v1/access_pb.js";
import {
  type BiosignalDelivery,
  BiosignalDeliverySchema,
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
import { type SealedOpening, type SessionFrame, SessionFrameSchema } from "../gen/federation/v1/envelope_pb.js";
import { Role } from "../gen/federation/v1/statement_pb.js";
import type { Grant } from "./access.js";
import { type Entropy, equal, type Instant, sha256, text, u64 } from "./bytes.js";
import * as common from "./consultation.js";
import { Slices } from "./frames.js";
import { requireFreshSince, requireNotFuture, requireSameTime } from "./freshness.js";
import * as handshake from "./handshake.js";
import type { Pending, ReceivedOpening, Session } from "./handshake.js";
import type { Party } from "./party.js";
import { afterOpening, require } from "./refusal.js";
import { check, parse } from "./rules.js";
import { serialised } from "./sealing.js";
import { Shown } from "./shown.js";
import { verifySignature } from "./signatures.js";
import { transcript } from "./transcript.js";
import type { Verifier } from "./verifier.js";

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

/** Take P1. The patient is present only once P2 confirms the key. */
export function receiveOpening(
  doctor: Party,
  opening: SealedOpening,
  verifier: Verifier,
  now: Instant,
): Promise<Pending<ReceivedOpening<AwaitingBiosignal>>> {
  const replied = (session: Session) => new AwaitingBiosignal(session);
  return handshake.receiveOpening(common.CONSULTATION, doctor, opening, verifier, replied, now);
}

/** D1 is sent; slices of M_SD come in. */
export class AwaitingBiosignal {
  constructor(
    readonly session: Session,
    readonly slices = new Slices(),
    readonly heardAt?: Instant,
  ) {}

  /**
   * Take one frame of P2 (eq. 24). Opening the first confirms the key: only now is the patient present (B2). With the last one everything
   * is decided anew: the patient may have been revoked since P1. `duty` is the doctor's own.
   */
  receive(frame: SessionFrame, verifier: Verifier, now: Instant, duty?: ShownDuty): AwaitingBiosignal | InConsultation {
    check(SessionFrameSchema, frame);
    const heardAt = this.heardAt ?? now;
    requireFreshSince(frame.sentAt!, heardAt, now);
    return afterOpening(() => {
      const { next, content } = this.session.receiving.open("p2", frame);
      const session = { ...this.session, receiving: next };
      if (frame.last!) return this.#complete(session, content, frame, verifier, now, duty);
      const slices = this.slices.with(content);
      const bounded = slices.count <= MOST_SLICES && slices.size <= common.MOST_BIOSIGNAL_BYTES;
      require(bounded, "LIMIT_REACHED", `a biosignal has at most ${common.MOST_BIOSIGNAL_BYTES} bytes`);
      return new AwaitingBiosignal(session, slices, heardAt);
    });
  }

  #complete(
    session: Session,
    content: Uint8Array,
    frame: SessionFrame,
    verifier: Verifier,
    now: Instant,
    duty: ShownDuty | undefined,
  ): InConsultation {
    const { own } = session;
    const { party: patient } = session.peer;
    verifier.party(patient.keyStatement, Role.PATIENT, now); // P2.5
    const p2 = parse(BiosignalDeliverySchema, content); // P2.6
    requireSameTime(p2.sentAt, frame.sentAt!); // P2.7
    const isNamed = p2.patientId === patient.identity || p2.consent?.deputyship !== undefined;
    require(isNamed, "IDENTITY_MISMATCH", "P2 names another patient, and no deputyship for it"); // P2.8
    const biosignal = this.slices.content(Number(p2.biosignalSizeBytes));
    const whole = equal(p2.biosignalDigest!, sha256(biosignal));
    require(whole, "RECORD_DIGEST_MISMATCH", "the biosignal is not the one that was signed");
    const shown = Shown.byConsent(p2.patientId!, p2.consent, duty);
    const signed = common.biosignalTranscript(
      session.transcriptHash,
      own.self.identity,
      own.certificate,
      shown,
      p2.biosignalDigest!,
      p2.sentAt!,
    );
    verifySignature(patient.verifyingKey, p2.signature!, signed);
    const grant = p2.consent && grantIn(shown, p2.consent, session, verifier, now);
    return new InConsultation(session, biosignal, p2, shown, grant);
  }
}

/** What the consent's grant says. Refuses unless the patient who came signed it, and it is of use to this doctor now. */
function grantIn(shown: Shown, consent: Consent, { own, peer }: Session, verifier: Verifier, now: Instant): Grant {
  const [given, came] = [consent.keyStatement!, peer.party.keyStatement];
  const same = equal(given.statement!, came.statement!) && equal(given.signature!, came.signature!);
  require(same, "IDENTITY_MISMATCH", "the consent is of another patient than the one who came"); // P2.12
  return shown.decide(own.self, undefined, verifier, now).grant; // P2.13
}

/** The patient is present, its biosignal and consent are here. */
export class InConsultation {
  constructor(
    readonly session: Session,
    readonly biosignal: Uint8Array,
    readonly delivery: BiosignalDelivery,
    /** What the doctor may show elsewhere. */
    readonly shown: Shown,
    /** None where nothing is consented to beyond this consultation. */
    readonly grant: Grant | undefined,
  ) {}

  /** ID_P, whose visit it is. */
  get patientId(): string {
    return this.shown.patientId;
  }

  /** Who came: the patient, or its deputy. */
  get visitorId(): string {
    return this.session.peer.party.identity;
  }

  /**
   * Send D5 (eq. 49), signed over the biosignal's and the records' signatures (Sig_HPC2) that it rests on. It is made once: another would use
   * its nonce again, and a further one amends it.
   */
  diagnose(diagnosis: Uint8Array, recordSignatures: readonly Uint8Array[], now: Instant): Promise<Sent> {
    return sent(this, diagnosis, recordSignatures, undefined, now);
  }

  /** The same in another state of its session. */
  in(session: Session): InConsultation {
    return new InConsultation(session, this.biosignal, this.delivery, this.shown, this.grant);
  }
}

/** D5, and the state after it. */
interface Sent {
  readonly awaiting: AwaitingReceipt;
  readonly frame: SessionFrame;
}

async function sent(
  consultation: InConsultation,
  diagnosis: Uint8Array,
  recordSignatures: readonly Uint8Array[],
  amends: Uint8Array | undefined,
  now: Instant,
): Promise<Sent> {
  const { session, delivery } = consultation;
  const { own, transcriptHash, sending, beganAt } = session;
  require(now < beganAt + common.CONSULTATION_LIFE, "SESSION_EXPIRED", "the consultation's life is over");
  const { certificate: doctorCertificate, signingKey } = own;
  const basedOn = recordSignatures.map(sha256);
  const payload = create(DiagnosisDeliverySchema, { diagnosis, basedOn, doctorCertificate, sentAt: now, amends });
  const signed = common.diagnosisTranscript(transcriptHash, payload, delivery.signature!);
  payload.signature = await signingKey.sign(signed);
  const { next, frame } = sending.seal("d5", serialised(DiagnosisDeliverySchema, payload), true, now);
  return { awaiting: new AwaitingReceipt(consultation.in({ ...session, sending: next }), payload), frame };
}

/** D5 is sent; the patient may send a receipt, and the doctor may amend it. */
export class AwaitingReceipt {
  constructor(
    readonly consultation: InConsultation,
    readonly diagnosis: DiagnosisDelivery,
  ) {}

  /** Send a further D5, which takes the place of this one and names it by H(Sig_D5). It is made once. This state still takes its own P6. */
  async amend(diagnosis: Uint8Array, recordSignatures: readonly Uint8Array[], now: Instant): Promise<Sent> {
    const { session } = this.consultation;
    const isLast = session.sending.sequence > common.MOST_AMENDMENTS;
    require(!isLast, "LIMIT_REACHED", `a diagnosis is amended at most ${common.MOST_AMENDMENTS} times`);
    // P6 of this D5 has the number before, whether it comes or not.
    const after = this.consultation.in({ ...session, receiving: session.receiving.after() });
    return sent(after, diagnosis, recordSignatures, sha256(this.diagnosis.signature!), now);
  }

  /** Take P6: the patient's own receipt for this diagnosis. */
  receive(frame: SessionFrame, now: Instant): DiagnosisReceipt {
    return afterOpening(() => {
      const { content } = this.consultation.session.receiving.open("p6", frame);
      require(frame.last!, "OUT_OF_ORDER", "a receipt is one frame");
      const receipt = parse(DiagnosisReceiptSchema, content);
      requireSameTime(receipt.sentAt, frame.sentAt!);
      requireNotFuture(receipt.sentAt!, now);
      const ours = equal(receipt.diagnosisDigest!, sha256(this.diagnosis.signature!));
      require(ours, "SIGNATURE_INVALID", "the receipt is for another diagnosis");
      const signed = common.receiptTranscript(receipt.diagnosisDigest!, receipt.sentAt!);
      verifySignature(this.consultation.session.peer.party.verifyingKey, receipt.signature!, signed);
      return receipt;
    });
  }
}
