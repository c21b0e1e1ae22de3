package example.medunion.client.protocol;

import com.google.protobuf.ByteString;
import example.medunion.federation.v1.ConsultationOpening;
import example.medunion.federation.v1.ConsultationReply;
import example.medunion.federation.v1.DiagnosisDelivery;
import example.medunion.federation.v1.Role;
import java.util.List;

/**
 * Consultation (eq. 11-24; docs/protocol.md, 4): what both sides sign and hash.
 *
 * <ul>
 *   <li>P1: the patient sends its identity, B_P and R_P2 = r5 B sealed to the doctor of the code, signed for this doctor.
 *   <li>D1: the doctor picks r6; both compute SEK_1; kc_D proves the key.
 *   <li>P2: only then the patient sends M_SD and its consent under SEK_1, which confirms the key to the doctor.
 *   <li>D5: the signed diagnosis; P6: the patient's receipt.
 * </ul>
 */
public final class Consultation {
  /** How long a consultation lives: 12 hours, in milliseconds. */
  public static final long LIFE = 12 * 3_600_000L;

  /** How often a diagnosis is amended at most. Frame k of the doctor's direction is D5 k, so its number counts them. */
  public static final int MOST_AMENDMENTS = 8;

  /** How many bytes a biosignal has at most, in P2 and in a deposit. */
  public static final int MOST_BIOSIGNAL_BYTES = 16 * 1024 * 1024;

  /** The handshake of a patient with a doctor: P1 and D1 (eq. 11-22), which give SEK_1. */
  static final Handshake.Kind<ConsultationOpening, ConsultationReply> KIND =
      new Handshake.Kind<>(
          "P1",
          "D1",
          ConsultationOpening.getDefaultInstance(),
          ConsultationReply.getDefaultInstance(),
          List.of(Role.ROLE_PATIENT),
          Role.ROLE_DOCTOR,
          "PD",
          ConsultationOpening::getPatientId,
          ConsultationReply::getDoctorId,
          Consultation::replyOf,
          Consultation::openingTranscript,
          Consultation::transcriptHash,
          Consultation::replyTranscript,
          Consultation::requireBiometricPassword);

  private Consultation() {}

  private static ConsultationReply replyOf(Party doctor) {
    return ConsultationReply.newBuilder()
        .setDoctorId(doctor.identity())
        .setDoctorCertificate(ByteString.copyFrom(doctor.certificate()))
        .buildPartial();
  }

  /** Requires B_P to be the one of the patient's registration. It authenticates nobody by itself. */
  private static void requireBiometricPassword(ConsultationOpening opening, VerifiedParty patient) {
    byte[] attribute = Registration.attributeOf(Role.ROLE_PATIENT, opening.getBiometricPassword().toByteArray());
    boolean registered = Bytes.equal(attribute, patient.attribute());
    Refusal.require(registered, "CREDENTIAL_INVALID", "the biometric password is not the one registered");
  }

  /** Refuses a biosignal that no doctor takes. */
  public static void requireBounded(long biosignalBytes) {
    boolean bounded = biosignalBytes <= MOST_BIOSIGNAL_BYTES;
    Refusal.require(bounded, "LIMIT_REACHED", "a biosignal has at most " + MOST_BIOSIGNAL_BYTES + " bytes");
  }

  /** SHA-256(T("code", KS_D, its signature, Cert_D)): what the doctor's code shows (X13, B4). */
  static byte[] codeDigest(ByteString keyStatement, ByteString signature, byte[] certificate) {
    return Transcript.of("code").add(keyStatement).add(signature).add(certificate).digest();
  }

  /** What Sig_P1 covers: eq. 13, and the doctor (B4). */
  private static byte[] openingTranscript(
      ConsultationOpening opening, byte[] issuer, String doctorId, byte[] keyId, byte[] sessionId) {
    return Transcript.of("P1")
        .add(opening.getRegistrationPoint())
        .add(opening.getPatientId())
        .add(opening.getAgreementPoint())
        .add(opening.getEphemeralPoint())
        .add(opening.getBiometricPassword())
        .add(issuer)
        .add(opening.getSentAt())
        .add(doctorId)
        .add(opening.getResponderSerial())
        .add(keyId)
        .add(sessionId)
        .add(Bytes.sha256(opening.getContribution()))
        .bytes();
  }

  /** TH1 = H(T("th1", H(p1 plaintext), ID_D, M_D, R_D1, H(Cert_D), R_D2, E_D, T_D1, session id)) (B11, B13). */
  private static byte[] transcriptHash(
      byte[] openingPlaintext, ConsultationReply reply, byte[] credential, byte[] sessionId) {
    return Transcript.of("th1")
        .add(Bytes.sha256(openingPlaintext))
        .add(reply.getDoctorId())
        .add(credential)
        .add(reply.getRegistrationPoint())
        .add(Bytes.sha256(reply.getDoctorCertificate()))
        .add(reply.getAgreementPoint())
        .add(reply.getEphemeralPoint())
        .add(reply.getSentAt())
        .add(sessionId)
        .digest();
  }

  /** What Sig_D1 covers: eq. 19 with kc_D in SEK_1's slot (B5). */
  private static byte[] replyTranscript(ConsultationReply reply, byte[] issuer, byte[] hash) {
    return Transcript.of("D1")
        .add(reply.getAgreementPoint())
        .add(reply.getEphemeralPoint())
        .add(reply.getDoctorId())
        .add(reply.getSentAt())
        .add(Bytes.sha256(reply.getDoctorCertificate()))
        .add(reply.getKeyConfirmation())
        .add(issuer)
        .add(hash)
        .bytes();
  }

  /**
   * What Sig_P2 covers: T("P2", TH1, ID_D, H(Cert_D), ID_P, H(M_SD), H(grant) or empty, T_P2) (B15). It fits no other doctor's
   * deposit, and no other patient's.
   */
  static byte[] biosignalTranscript(
      byte[] hash, String doctorId, byte[] certificate, ShownAccess shown, byte[] digest, long sentAt) {
    return Transcript.of("P2")
        .add(hash)
        .add(doctorId)
        .add(Bytes.sha256(certificate))
        .add(shown.patientId())
        .add(digest)
        .add(shown.grantDigest())
        .add(sentAt)
        .bytes();
  }

  /** What Sig_D5 covers: T("D5", TH1, H(M_DINF), H(Sig_P2), [H(Sig_HPC2)...], T_D5, amends or empty). */
  static byte[] diagnosisTranscript(byte[] hash, DiagnosisDelivery d5, ByteString biosignalSignature) {
    return Transcript.of("D5")
        .add(hash)
        .add(Bytes.sha256(d5.getDiagnosis()))
        .add(Bytes.sha256(biosignalSignature))
        .add(Transcript.listing(d5.getBasedOnList().stream().map(ByteString::toByteArray).toList()))
        .add(d5.getSentAt())
        .add(d5.getAmends())
        .bytes();
  }

  /** What P6's signature covers: T("P6", H(Sig_D5), T). */
  static byte[] receiptTranscript(byte[] diagnosisDigest, long sentAt) {
    return Transcript.of("P6").add(diagnosisDigest).add(sentAt).bytes();
  }
}
