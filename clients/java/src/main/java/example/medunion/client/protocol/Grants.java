package example.medunion.client.protocol;

import static example.medunion.client.protocol.Refusal.require;

import com.google.protobuf.ByteString;
import example.medunion.federation.v1.Grant;
import example.medunion.federation.v1.Right;
import example.medunion.federation.v1.SignedStatement;
import java.time.Duration;
import java.util.List;

/** The patient's grant (C1): made by the patient, and judged by the doctor who is given it. */
public final class Grants {
  /** How long a grant lives at most. */
  public static final Duration LONGEST_LIFE = Duration.ofDays(366);

  private Grants() {}

  /** What a patient allows a doctor. Empty lists allow nothing; "*" allows every one. */
  public record Terms(
      List<String> hospitals, List<String> departmentClasses, List<Right> rights, String purpose, Duration life) {
    /** Everything, for so long. */
    public static Terms everything(Duration life) {
      List<Right> rights = List.of(Right.RIGHT_INDEX, Right.RIGHT_READ, Right.RIGHT_WRITE);
      return new Terms(List.of("*"), List.of("*"), rights, "consultation", life);
    }
  }

  /** Signs a grant for one doctor: a copy is of no use to another. */
  public static SignedStatement make(
      Party patient, Handshake.Peer doctor, Terms terms, long now, Entropy entropy) {
    requireLife(now, now + terms.life().toMillis());
    Grant grant =
        Grant.newBuilder()
            .setGrantId(ByteString.copyFrom(entropy.draw(16)))
            .setPatientId(patient.identity())
            .setPatientSerial(ByteString.copyFrom(patient.self().serial()))
            .setDoctorId(doctor.identity())
            .setDoctorCertificateDigest(ByteString.copyFrom(Bytes.sha256(doctor.certificate())))
            .addAllHospitals(terms.hospitals())
            .addAllDepartmentClasses(terms.departmentClasses())
            .addAllRights(terms.rights())
            .setPurpose(terms.purpose())
            .setNotBefore(now)
            .setNotAfter(now + terms.life().toMillis())
            .build();
    return Statements.sign("grant", grant, patient.signingKey());
  }

  /** The grant if its patient signed it for this doctor with this Cert_D, and now is its time (eq. 24). */
  static Grant openFor(SignedStatement signed, VerifiedParty patient, Party doctor, long now) {
    Grant grant = open(signed, patient);
    boolean own = grant.getPatientId().equals(patient.identity()) && Bytes.equal(grant.getPatientSerial(), patient.serial());
    require(own, "GRANT_INVALID", "the grant is another patient's, or of an earlier registration");
    boolean addressed =
        grant.getDoctorId().equals(doctor.identity())
            && Bytes.equal(grant.getDoctorCertificateDigest(), Bytes.sha256(doctor.certificate()));
    require(addressed, "GRANT_INVALID", "the grant is for another doctor");
    requireLife(grant.getNotBefore(), grant.getNotAfter());
    boolean valid = Freshness.hasBegun(grant.getNotBefore(), now) && !Freshness.hasEnded(grant.getNotAfter(), now);
    require(valid, "GRANT_EXPIRED", "the grant is not yet, or no longer, valid");
    return grant;
  }

  private static void requireLife(long notBefore, long notAfter) {
    boolean lives = notBefore < notAfter && notAfter - notBefore <= LONGEST_LIFE.toMillis();
    require(lives, "GRANT_INVALID", "a grant begins before it ends, and lives at most 366 days");
  }

  private static Grant open(SignedStatement signed, VerifiedParty patient) {
    try {
      Grant type = Grant.getDefaultInstance();
      return Statements.open("grant", type, signed, patient.verifyingKey());
    } catch (Refusal error) {
      throw new Refusal("GRANT_INVALID", "the grant does not bear this patient's signature", error);
    }
  }
}
