package example.medunion.client.protocol;

import com.google.protobuf.ByteString;
import example.medunion.federation.v1.Power;
import example.medunion.federation.v1.Right;
import example.medunion.federation.v1.Role;
import example.medunion.federation.v1.Sensitivity;
import java.time.Duration;
import java.util.List;
import java.util.Set;

/**
 * By what somebody may do something with a patient's records, as facts: whoever holds them has verified the signatures behind them
 * ({@link ShownAccess}). {@link Decision} says what follows.
 */
public sealed interface Access {
  /** Every hospital, class or record. */
  String ANY = "*";

  /** How long what is granted to a doctor, a department or a hospital lives unless the patient says otherwise. */
  Duration DOCTORS_LIFE = Duration.ofHours(24);

  Duration DEPARTMENTS_LIFE = Duration.ofDays(30);
  Duration HOSPITALS_LIFE = Duration.ofDays(90);

  Duration LONGEST_GRANT = Duration.ofDays(366);
  Duration LONGEST_MANDATE = Duration.ofDays(1827);
  Duration LONGEST_GUARDIANSHIP = Duration.ofDays(18 * 366);
  Duration LONGEST_DUTY = Duration.ofHours(24);
  Duration LONGEST_EMERGENCY = Duration.ofHours(1);

  /** From when to when something holds, its end not included; in milliseconds. */
  record Validity(long notBefore, long notAfter) {
    /** Whether it is valid now; what began by a clock that is ahead within `skew` milliseconds has begun. */
    boolean holds(long now, long skew) {
      return notBefore <= now + skew && now < notAfter;
    }

    /** Whether it begins before it ends, and is no longer than that. */
    boolean isLife(Duration longest) {
      return notBefore < notAfter && notAfter - notBefore <= longest.toMillis();
    }
  }

  /** Who may use a grant. */
  sealed interface Grantee {}

  /** A doctor, under whichever certificate of that authority. */
  record ToDoctor(String doctorId, String authorityId) implements Grantee {}

  /** Those on duty in departments of a class at a hospital. */
  record ToDepartment(String hospitalId, String departmentClass) implements Grantee {}

  /** Those on duty at a hospital. */
  record ToHospital(String hospitalId) implements Grantee {}

  /** What a grant says. `grantee` is null where it names nobody that is known here. */
  record Grant(
      ByteString id,
      String patientId,
      String signerId,
      Grantee grantee,
      List<String> hospitals,
      List<String> departmentClasses,
      Sensitivity highestSensitivity,
      List<Right> rights,
      long statedAt,
      Validity validity) {}

  /** What a mandate or a guardianship says. `kind` is its label: "mandate" or "guardian"; `statedBy` is who signed it. */
  record Deputyship(
      String kind,
      ByteString id,
      String statedBy,
      String patientId,
      String deputyId,
      List<Power> powers,
      long statedAt,
      Validity validity) {}

  /** What a duty says. */
  record Duty(
      ByteString id, String hospitalId, String doctorId, List<String> departmentClasses, Validity validity) {}

  /** By a grant: of the patient, or of a deputy with its deputyship, else null; for those on duty, or to deposit, with a duty, else null. */
  record Consent(Grant grant, Deputyship deputyship, Duty duty) implements Access {}

  /** The patient itself, or a deputy with its deputyship, else null. */
  record Own(Deputyship deputyship) implements Access {}

  /** What a declared emergency says, and the doctor's duty. `secondDoctorId` is one whose signature held, or null. */
  record Emergency(
      ByteString id,
      String patientId,
      String doctorId,
      String hospital,
      String reasonCode,
      String secondDoctorId,
      Validity validity,
      Duty duty)
      implements Access {}

  /** Who asks, proved. `authorityId` is that of a doctor's certificate, null of a patient. */
  record Asker(Role role, String identity, String authorityId) {}

  /** What somebody wants to do with whose records. What is null is not of this decision. */
  record Question(Asker asker, Right right, String patientId, String hospitalId, String departmentClass) {}

  /** What a patient hides: at a hospital, of a class, one record; ANY is every one. `handle` is lower-case hexadecimal. */
  record Hidden(String hospital, String departmentClass, String handle) {
    /** Whether a record is among it. */
    boolean hides(String hospitalId, String ofClass, String ofHandle) {
      return isAmong(hospital, hospitalId) && isAmong(departmentClass, ofClass) && isAmong(handle, ofHandle);
    }

    private static boolean isAmong(String hidden, String value) {
      return hidden.equals(ANY) || hidden.equals(value);
    }
  }

  /**
   * What became of what is shown, and of who asks, as far as it is known here: `revoked` holds "grant", "deputyship", "duty";
   * `exhausted` "accesses", "emergencies": the budgets that are used up.
   */
  record Standing(Set<String> revoked, List<Hidden> hidden, boolean emergencyOverrides, Set<String> exhausted) {
    /** Of one who hides nothing and has used nothing up. */
    static Standing of(Set<String> revoked) {
      return new Standing(revoked, List.of(), false, Set.of());
    }
  }

  /** When an emergency is let in: for which reasons, of doctors on duty in which classes (ANY: in any, or none), by how many. */
  record EmergencyPolicy(Set<String> reasons, Set<String> dutyClasses, boolean secondClinician) {}

  /** What this receiver allows: how many milliseconds clocks may differ, and emergencies, null for none at all. */
  record Policy(long skew, EmergencyPolicy emergency) {}

  /** Whether a list of an access covers a value; asking for ANY needs ANY. */
  static boolean covers(List<String> allowed, String value) {
    return allowed.contains(ANY) || allowed.contains(value);
  }
}
