package example.medunion.client.protocol;

import static example.medunion.client.protocol.Refusal.require;

import com.google.protobuf.ByteString;
import com.google.protobuf.Message;
import example.medunion.federation.v1.Consent;
import example.medunion.federation.v1.DepartmentGrantee;
import example.medunion.federation.v1.Deputyship;
import example.medunion.federation.v1.DoctorGrantee;
import example.medunion.federation.v1.Duty;
import example.medunion.federation.v1.Grant;
import example.medunion.federation.v1.Grantee;
import example.medunion.federation.v1.Guardianship;
import example.medunion.federation.v1.HospitalGrantee;
import example.medunion.federation.v1.Mandate;
import example.medunion.federation.v1.Power;
import example.medunion.federation.v1.Right;
import example.medunion.federation.v1.Sensitivity;
import example.medunion.federation.v1.ShownDuty;
import example.medunion.federation.v1.SignedStatement;
import java.time.Duration;
import java.util.List;

/**
 * The statements by which people say who may do what. A patient makes grants and mandates here. What others made is opened here: the
 * signature is verified by the key of the credential that the statement names; what follows from it is {@link Decision}'s to say.
 */
public final class AccessStatements {
  private AccessStatements() {}

  /** What a patient allows. Empty lists allow nothing; "*" allows every one. */
  public record Terms(
      List<String> hospitals,
      List<String> departmentClasses,
      List<Right> rights,
      Sensitivity highestSensitivity,
      String purpose,
      Duration life) {}

  /** Signs a grant about the signer's own records, or by a deputyship, else null, about another's. Refuses with GRANT_INVALID for its life. */
  public static SignedStatement makeGrant(
      Party signer, Access.Grantee grantee, Terms terms, Deputyship deputyship, long now, Entropy entropy) {
    Access.Validity validity = lasting(terms.life(), Access.LONGEST_GRANT, "GRANT_INVALID", now);
    Grant.Builder grant =
        Grant.newBuilder()
            .setGrantId(ByteString.copyFrom(entropy.draw(16)))
            .setPatientId(deputyship == null ? signer.identity() : peek(deputyship).patientId())
            .setSignerId(signer.identity())
            .setSignerSerial(ByteString.copyFrom(signer.self().serial()))
            .setGrantee(write(grantee))
            .addAllHospitals(terms.hospitals())
            .addAllDepartmentClasses(terms.departmentClasses())
            .setHighestSensitivity(terms.highestSensitivity())
            .addAllRights(terms.rights())
            .setPurpose(terms.purpose())
            .setStatedAt(now)
            .setNotBefore(validity.notBefore())
            .setNotAfter(validity.notAfter());
    if (deputyship != null) {
      grant.setDeputyshipDigest(ByteString.copyFrom(statementOf(deputyship).digest()));
    }
    return Statements.sign("grant", grant.build(), signer.signingKey());
  }

  /** Makes another patient one's deputy. Refuses with DEPUTY_INVALID for its life. */
  public static SignedStatement makeMandate(
      Party patient, String deputyId, List<Power> powers, Duration life, long now, Entropy entropy) {
    Access.Validity validity = lasting(life, Access.LONGEST_MANDATE, "DEPUTY_INVALID", now);
    Mandate mandate =
        Mandate.newBuilder()
            .setMandateId(ByteString.copyFrom(entropy.draw(16)))
            .setPatientId(patient.identity())
            .setPatientSerial(ByteString.copyFrom(patient.self().serial()))
            .setDeputyId(deputyId)
            .addAllPowers(powers)
            .setStatedAt(now)
            .setNotBefore(validity.notBefore())
            .setNotAfter(validity.notAfter())
            .build();
    return Statements.sign("mandate", mandate, patient.signingKey());
  }

  /** What a grant says, if this patient signed it, by the deputyship beside it if there is one. Refuses with GRANT_INVALID. */
  static Access.Grant openGrant(Consent shown, VerifiedParty signer) {
    Grant grant = opened("grant", Grant.getDefaultInstance(), shown.getGrant(), signer, "GRANT_INVALID"); // shown.2
    boolean own =
        grant.getSignerId().equals(signer.identity()) && Bytes.equal(grant.getSignerSerial(), signer.serial());
    // shown.3
    require(own, "GRANT_INVALID", "the grant is another patient's, or of an earlier registration");
    byte[] digest = shown.hasDeputyship() ? statementOf(shown.getDeputyship()).digest() : Bytes.EMPTY;
    boolean by = Bytes.equal(grant.getDeputyshipDigest(), digest);
    require(by, "GRANT_INVALID", "the grant was signed by another deputyship than the one shown"); // shown.4
    return read(grant);
  }

  /** What a mandate or guardianship says, if this party signed it. Refuses with DEPUTY_INVALID. */
  static Access.Deputyship openDeputyship(Deputyship shown, VerifiedParty signer) {
    Labelled stated = statementOf(shown);
    Message type = shown.hasMandate() ? Mandate.getDefaultInstance() : Guardianship.getDefaultInstance();
    Message statement = opened(stated.label(), type, stated.signed(), signer, "DEPUTY_INVALID"); // shown.6
    boolean own =
        statement instanceof Mandate mandate
            ? isOf(signer, mandate.getPatientId(), mandate.getPatientSerial())
            : isOf(signer, ((Guardianship) statement).getHospitalId(), ((Guardianship) statement).getHospitalSerial());
    // shown.7
    require(own, "DEPUTY_INVALID", "the deputyship is somebody else's, or of an earlier registration");
    return read(statement);
  }

  /** What a duty says, if this hospital stated it for the key of this doctor. Refuses with DUTY_INVALID. */
  static Access.Duty openDuty(ShownDuty shown, VerifiedParty hospital, VerifiedParty doctor) {
    Duty duty = opened("duty", Duty.getDefaultInstance(), shown.getDuty(), hospital, "DUTY_INVALID"); // shown.9
    boolean own = isOf(hospital, duty.getHospitalId(), duty.getHospitalSerial());
    // shown.10
    require(own, "DUTY_INVALID", "the duty is another hospital's, or of an earlier registration");
    boolean bound = Bytes.equal(duty.getVerifyingKeyDigest(), Bytes.sha256(doctor.verifyingKey()));
    require(bound, "DUTY_INVALID", "the duty is for another key than the doctor's"); // shown.11
    return read(duty);
  }

  /** What a grant says, unverified: for who shows it. */
  public static Access.Grant peekGrant(SignedStatement signed) {
    return read(Statements.peek(Grant.getDefaultInstance(), signed));
  }

  /** What a duty says, unverified: for who shows it. */
  public static Access.Duty peekDuty(ShownDuty shown) {
    return read(Statements.peek(Duty.getDefaultInstance(), shown.getDuty()));
  }

  /** A statement with its label. */
  record Labelled(String label, SignedStatement signed) {
    byte[] digest() {
      return Transcript.statementDigest(label, signed);
    }

    byte[] signedDigest() {
      return Transcript.signedDigest(label, signed);
    }
  }

  /** The mandate or the guardianship. Refuses with DEPUTY_INVALID where there is neither. */
  static Labelled statementOf(Deputyship shown) {
    return switch (shown.getByCase()) {
      case MANDATE -> new Labelled("mandate", shown.getMandate());
      case GUARDIANSHIP -> new Labelled("guardian", shown.getGuardianship());
      case BY_NOT_SET ->
          throw new Refusal("DEPUTY_INVALID", "a deputyship without mandate or guardianship"); // shown.5
    };
  }

  private static Access.Deputyship peek(Deputyship shown) {
    Message type = shown.hasMandate() ? Mandate.getDefaultInstance() : Guardianship.getDefaultInstance();
    return read(Statements.peek(type, statementOf(shown).signed()));
  }

  private static Access.Grant read(Grant grant) {
    return new Access.Grant(
        grant.getGrantId(),
        grant.getPatientId(),
        grant.getSignerId(),
        read(grant.getGrantee()),
        List.copyOf(grant.getHospitalsList()),
        List.copyOf(grant.getDepartmentClassesList()),
        grant.getHighestSensitivity(),
        List.copyOf(grant.getRightsList()),
        grant.getStatedAt(),
        new Access.Validity(grant.getNotBefore(), grant.getNotAfter()));
  }

  private static Access.Duty read(Duty duty) {
    return new Access.Duty(
        duty.getDutyId(),
        duty.getHospitalId(),
        duty.getDoctorId(),
        List.copyOf(duty.getDepartmentClassesList()),
        new Access.Validity(duty.getNotBefore(), duty.getNotAfter()));
  }

  /** What a mandate or a guardianship says. */
  private static Access.Deputyship read(Message statement) {
    if (statement instanceof Mandate mandate) {
      return new Access.Deputyship(
          "mandate",
          mandate.getMandateId(),
          mandate.getPatientId(),
          mandate.getPatientId(),
          mandate.getDeputyId(),
          List.copyOf(mandate.getPowersList()),
          mandate.getStatedAt(),
          new Access.Validity(mandate.getNotBefore(), mandate.getNotAfter()));
    }
    Guardianship guardianship = (Guardianship) statement;
    return new Access.Deputyship(
        "guardian",
        guardianship.getGuardianshipId(),
        guardianship.getHospitalId(),
        guardianship.getPatientId(),
        guardianship.getDeputyId(),
        List.copyOf(guardianship.getPowersList()),
        guardianship.getStatedAt(),
        new Access.Validity(guardianship.getNotBefore(), guardianship.getNotAfter()));
  }

  private static Access.Grantee read(Grantee grantee) {
    return switch (grantee.getWhoCase()) {
      case DOCTOR -> new Access.ToDoctor(grantee.getDoctor().getDoctorId(), grantee.getDoctor().getAuthorityId());
      case DEPARTMENT ->
          new Access.ToDepartment(
              grantee.getDepartment().getHospitalId(), grantee.getDepartment().getDepartmentClass());
      case HOSPITAL -> new Access.ToHospital(grantee.getHospital().getHospitalId());
      case WHO_NOT_SET -> null;
    };
  }

  private static Grantee write(Access.Grantee grantee) {
    Grantee.Builder named = Grantee.newBuilder();
    if (grantee instanceof Access.ToDoctor doctor) {
      named.setDoctor(
          DoctorGrantee.newBuilder().setDoctorId(doctor.doctorId()).setAuthorityId(doctor.authorityId()));
    } else if (grantee instanceof Access.ToDepartment department) {
      named.setDepartment(
          DepartmentGrantee.newBuilder()
              .setHospitalId(department.hospitalId())
              .setDepartmentClass(department.departmentClass()));
    } else if (grantee instanceof Access.ToHospital hospital) {
      named.setHospital(HospitalGrantee.newBuilder().setHospitalId(hospital.hospitalId()));
    }
    return named.build();
  }

  private static <M extends Message> M opened(
      String label, M type, SignedStatement signed, VerifiedParty signer, String reason) {
    try {
      return Statements.open(label, type, signed, signer.verifyingKey());
    } catch (Refusal error) {
      throw new Refusal(reason, "the " + label + " does not bear its signer's signature", error);
    }
  }

  private static boolean isOf(VerifiedParty signer, String identity, ByteString serial) {
    return identity.equals(signer.identity()) && Bytes.equal(serial, signer.serial());
  }

  private static Access.Validity lasting(Duration life, Duration longest, String reason, long now) {
    Access.Validity validity = new Access.Validity(now, now + life.toMillis());
    boolean lives = validity.isLife(longest);
    require(lives, reason, "it begins before it ends, and ends after at most " + longest.toDays() + " days");
    return validity;
  }
}
