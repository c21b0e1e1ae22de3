/**
 * Consultation (eq. 11-24; docs/protocol.md, 4): what both sides sign and hash.
 *
 * P1  The patient sends its identity, B_P, R_P2 = r5 R_D1 and E_P = e5 B sealed to the doctor of the code, signed for it.
 * D1  The doctor sends R_D2 = r6 R_P1 and E_D = e6 B; both compute SEK_1 from K1 of S_D R_P2 = r5 U_D, K2 of r6 U_P = S_P R_D2
 *     and Z = e5 e6 B. kc_D proves the key.
 * P2  Only then the patient sends M_SD and its consent under SEK_1: this confirms the key to the doctor.
 * D5  The signed diagnosis; P6, the patient's receipt.
 */

import { create } from "@bufbuild/protobuf";
import {
  type ConsultationOpening,
  ConsultationOpeningSchema,
  type ConsultationReply,
  ConsultationReplySchema,
} from "../gen/federation/v1/consultation_pb.js";
import type { DiagnosisDelivery } from "../gen/federation/v1/diagnosis_pb.js";
import { Role } from "../gen/federation/v1/statement_pb.js";
import { EMPTY, equal, type Instant, sha256, text, u64 } from "./bytes.js";
import type { Kind } from "./handshake.js";
import { require } from "./refusal.js";
import { attributeOf } from "./registration.js";
import type { Shown } from "./shown.js";
import { listing, transcript } from "./transcript.js";

/** How long a consultation lives: 12 hours. */
export const CONSULTATION_LIFE = 12n * 3_600_000n;

/** How often the diagnosis of a consultation is amended at most. Frame k of the doctor's direction is D5 k, so its number counts them. */
export const MOST_AMENDMENTS = 8n;

/** Bytes, at most, of M_SD, here and in a deposit. */
export const MOST_BIOSIGNAL_BYTES = 16 * 1024 * 1024;

/** The handshake of a patient with a doctor: P1 and D1 (eq. 11-22), which give SEK_1. */
export const CONSULTATION: Kind<ConsultationOpening, ConsultationReply> = {
  openingLabel: "P1",
  replyLabel: "D1",
  openingSchema: ConsultationOpeningSchema,
  replySchema: ConsultationReplySchema,
  initiators: [Role.PATIENT],
  responder: Role.DOCTOR,
  keyRoles: "PD",
  initiatorId: ({ patientId }) => patientId!,
  responderId: ({ doctorId }) => doctorId!,
  replyOf: ({ self, certificate }) =>
    create(ConsultationReplySchema, { doctorId: self.identity, doctorCertificate: certificate }),
  openingTranscript,
  transcriptHash,
  replyTranscript,
  /** B_P authenticates nobody by itself. */
  requireOpening({ biometricPassword }, patient) {
    const registered = equal(attributeOf(Role.PATIENT, biometricPassword!), patient.attribute);
    require(registered, "CREDENTIAL_INVALID", "the biometric password is not the one registered");
  },
};

/** SHA-256(T("code", KS_D, its signature, Cert_D)): what the doctor's code shows (X13, B4). */
export function codeDigest(keyStatement: Uint8Array, signature: Uint8Array, certificate: Uint8Array): Uint8Array {
  return sha256(transcript("code", keyStatement, signature, certificate));
}

/** What Sig_P1 covers: eq. 13, and the doctor (B4). */
function openingTranscript(
  opening: ConsultationOpening,
  issuer: Uint8Array,
  doctorId: string,
  keyId: Uint8Array,
  sessionId: Uint8Array,
): Uint8Array {
  return transcript(
    "P1",
    opening.registrationPoint!,
    text(opening.patientId!),
    opening.agreementPoint!,
    opening.ephemeralPoint!,
    opening.biometricPassword!,
    issuer,
    u64(opening.sentAt!),
    text(doctorId),
    opening.responderSerial!,
    keyId,
    sessionId,
    sha256(opening.contribution!),
  );
}

/** TH1 = H(T("th1", H(p1 plaintext), ID_D, M_D, R_D1, H(Cert_D), R_D2, E_D, T_D1, session id)) (B11, B13). */
function transcriptHash(
  openingPlaintext: Uint8Array,
  reply: ConsultationReply,
  credential: Uint8Array,
  sessionId: Uint8Array,
): Uint8Array {
  return sha256(
    transcript(
      "th1",
      sha256(openingPlaintext),
      text(reply.doctorId!),
      credential,
      reply.registrationPoint!,
      sha256(reply.doctorCertificate!),
      reply.agreementPoint!,
      reply.ephemeralPoint!,
      u64(reply.sentAt!),
      sessionId,
    ),
  );
}

/** What Sig_D1 covers: eq. 19 with kc_D in SEK_1's slot (B5). */
function replyTranscript(reply: ConsultationReply, issuer: Uint8Array, hash: Uint8Array): Uint8Array {
  return transcript(
    "D1",
    reply.agreementPoint!,
    reply.ephemeralPoint!,
    text(reply.doctorId!),
    u64(reply.sentAt!),
    sha256(reply.doctorCertificate!),
    reply.keyConfirmation!,
    issuer,
    hash,
  );
}

/**
 * What Sig_P2 covers: T("P2", TH1, ID_D, H(Cert_D), ID_P, H(M_SD), H(grant) or empty, T_P2) (B15): whom the patient addressed, and whose
 * visit it is, in clear fields.
 */
export function biosignalTranscript(
  hash: Uint8Array,
  doctorId: string,
  certificate: Uint8Array,
  { patientId, grantDigest }: Shown,
  digest: Uint8Array,
  sentAt: Instant,
): Uint8Array {
  const people = [text(doctorId), sha256(certificate), text(patientId)];
  return transcript("P2", hash, ...people, digest, grantDigest, u64(sentAt));
}

/** What Sig_D5 covers: T("D5", TH1, H(M_DINF), H(Sig_P2), [H(Sig_HPC2)...], T_D5, amends or empty). */
export function diagnosisTranscript(
  hash: Uint8Array,
  d5: DiagnosisDelivery,
  biosignalSignature: Uint8Array,
): Uint8Array {
  return transcript(
    "D5",
    hash,
    sha256(d5.diagnosis!),
    sha256(biosignalSignature),
    listing(d5.basedOn),
    u64(d5.sentAt!),
    d5.amends ?? EMPTY,
  );
}

/** What P6's signature covers: T("P6", H(Sig_D5), T). */
export function receiptTranscript(diagnosisDigest: Uint8Array, sentAt: Instant): Uint8Array {
  return transcript("P6", diagnosisDigest, u64(sentAt));
}
