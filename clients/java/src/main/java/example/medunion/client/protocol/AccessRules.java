package example.medunion.client.protocol;

import static example.medunion.client.protocol.Refusal.require;

import example.medunion.federation.v1.Power;
import example.medunion.federation.v1.Right;
import example.medunion.federation.v1.Role;
import example.medunion.federation.v1.Sensitivity;
import java.time.Duration;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** The rules of access over one question, each a check that refuses. */
record AccessRules(Access.Question question, Access.Standing standing, Access.Policy policy, long now) {
  private static final List<String> EVERYWHERE = List.of(Access.ANY);
  private static final Map<String, Duration> LONGEST_DEPUTYSHIP =
      Map.of("mandate", Access.LONGEST_MANDATE, "guardian", Access.LONGEST_GUARDIANSHIP);
  private static final Set<Sensitivity> GRANTED =
      Set.of(Sensitivity.SENSITIVITY_NORMAL, Sensitivity.SENSITIVITY_RESTRICTED);
  private static final Set<Right> GIVEN = Set.of(Right.RIGHT_INDEX, Right.RIGHT_READ, Right.RIGHT_WRITE);
  private static final Set<Right> IN_EMERGENCY = Set.of(Right.RIGHT_INDEX, Right.RIGHT_READ);

  /** What a patient may do, and the power that a deputy needs for it. */
  private static final Map<Right, Power> OWN =
      Map.of(
          Right.RIGHT_INDEX, Power.POWER_READ,
          Right.RIGHT_READ, Power.POWER_READ,
          Right.RIGHT_LOG, Power.POWER_LOG,
          Right.RIGHT_ADD, Power.POWER_ADD);

  /** A deposit gives nothing out, and a visit that was begun is finished. */
  private static final Set<Right> BUDGETED = Set.of(Right.RIGHT_INDEX, Right.RIGHT_READ);

  /** What is allowed by it; refuses with why not. `access` is null where nothing was shown. */
  Decision.Allowed allow(Access access) {
    if (access instanceof Access.Consent consent) {
      return byConsent(consent);
    } else if (access instanceof Access.Own own) {
      return byOwnRight(own);
    } else if (access instanceof Access.Emergency emergency) {
      return byEmergency(emergency);
    }
    throw new Refusal("GRANT_MISSING", "no grant, no record"); // access.1
  }

  private Decision.Allowed byConsent(Access.Consent consent) {
    Access.Grant grant = consent.grant();
    boolean ours = grant.patientId().equals(question.patientId());
    require(ours, "GRANT_INVALID", "the grant is about another patient"); // grant.1
    requireSigner(consent);
    requireStanding(grant);
    requireGrantee(consent);
    requireScope(grant);
    if (question.right() != null && BUDGETED.contains(question.right())) {
      requireBudget("accesses");
    }
    return new Decision.Allowed(
        "consent", grant.hospitals(), grant.departmentClasses(), grant.highestSensitivity(), standing.hidden());
  }

  private Decision.Allowed byOwnRight(Access.Own own) {
    Access.Asker asker = question.asker();
    boolean patient = asker.role() == Role.ROLE_PATIENT;
    require(patient, "NOT_OWN_RECORD", "only a patient has records of its own"); // own.1
    boolean owns = question.right() != null && OWN.containsKey(question.right());
    // own.2
    require(owns, "NOT_OWN_RECORD", "a patient finds, reads, sees who did and adds; it deposits no encounter");
    Access.Deputyship deputyship = own.deputyship();
    if (deputyship == null) {
      boolean self = asker.identity().equals(question.patientId());
      require(self, "NOT_OWN_RECORD", "these are another patient's records"); // own.3
      return new Decision.Allowed("own", EVERYWHERE, EVERYWHERE, Sensitivity.SENSITIVITY_SECRET, List.of());
    }
    requireDeputy(deputyship, asker.identity(), OWN.get(question.right()));
    // Whoever may hide a record may see it; another deputy is restricted as a doctor is.
    boolean sees = deputyship.powers().contains(Power.POWER_RESTRICT);
    return new Decision.Allowed(
        "deputy",
        EVERYWHERE,
        EVERYWHERE,
        Sensitivity.SENSITIVITY_RESTRICTED,
        sees ? List.of() : standing.hidden());
  }

  private Decision.Allowed byEmergency(Access.Emergency emergency) {
    Access.EmergencyPolicy letIn = policy.emergency();
    require(letIn != null, "EMERGENCY_REFUSED", "no emergency is let in here"); // bg.1
    Access.Asker asker = question.asker();
    boolean own = asker.role() == Role.ROLE_DOCTOR && emergency.doctorId().equals(asker.identity());
    require(own, "EMERGENCY_INVALID", "the emergency is another doctor's"); // bg.2
    boolean about = emergency.patientId().equals(question.patientId());
    require(about, "EMERGENCY_INVALID", "the emergency is about another patient"); // bg.3
    boolean here =
        question.hospitalId() == null || Access.covers(List.of(emergency.hospital()), question.hospitalId());
    require(here, "EMERGENCY_INVALID", "the emergency is for another hospital"); // bg.4
    boolean lives = emergency.validity().isLife(Access.LONGEST_EMERGENCY);
    require(lives, "EMERGENCY_INVALID", "an emergency lives at most an hour"); // bg.5
    // bg.6
    require(holds(emergency.validity()), "EMERGENCY_EXPIRED", "the emergency is not yet, or no longer, valid");
    boolean reads = question.right() != null && IN_EMERGENCY.contains(question.right());
    require(reads, "EMERGENCY_REFUSED", "in an emergency records are found and read, nothing else"); // bg.7
    requireLetIn(emergency, letIn);
    requireBudget("emergencies");
    List<Access.Hidden> hidden = standing.emergencyOverrides() ? List.of() : standing.hidden();
    List<String> hospitals = List.of(emergency.hospital());
    return new Decision.Allowed("emergency", hospitals, EVERYWHERE, Sensitivity.SENSITIVITY_RESTRICTED, hidden);
  }

  private void requireLetIn(Access.Emergency emergency, Access.EmergencyPolicy letIn) {
    Access.Duty duty = emergency.duty();
    requireDuty(duty, duty.hospitalId()); // bg.8
    boolean placed =
        letIn.dutyClasses().contains(Access.ANY)
            || !Collections.disjoint(letIn.dutyClasses(), duty.departmentClasses());
    // bg.9
    require(placed, "EMERGENCY_REFUSED", "the doctor is not on duty where emergencies are let in from");
    boolean reasoned = letIn.reasons().contains(emergency.reasonCode());
    require(reasoned, "EMERGENCY_REFUSED", "this is no reason that is let in here"); // bg.10
    boolean seconded =
        emergency.secondDoctorId() != null && !emergency.secondDoctorId().equals(emergency.doctorId());
    boolean enough = seconded || !letIn.secondClinician();
    require(enough, "EMERGENCY_REFUSED", "an emergency takes a second clinician here"); // bg.11
  }

  private void requireSigner(Access.Consent consent) {
    Access.Grant grant = consent.grant();
    Access.Deputyship deputyship = consent.deputyship();
    if (grant.signerId().equals(grant.patientId())) {
      boolean alone = deputyship == null;
      // grant.2
      require(alone, "DEPUTY_INVALID", "the patient itself signed the grant, and a deputyship is shown");
      return;
    }
    boolean shown = deputyship != null;
    // grant.2
    require(shown, "DEPUTY_INVALID", "another than the patient signed the grant, and no deputyship is shown");
    requireDeputy(deputyship, grant.signerId(), Power.POWER_GRANT);
  }

  private void requireDeputy(Access.Deputyship deputyship, String deputyId, Power power) {
    boolean ours = deputyship.patientId().equals(question.patientId()) && deputyship.deputyId().equals(deputyId);
    // deputy.1
    require(ours, "DEPUTY_INVALID", "the deputyship is of another patient, or for another deputy");
    boolean other = !deputyship.patientId().equals(deputyship.deputyId());
    require(other, "DEPUTY_INVALID", "nobody is its own deputy"); // deputy.2
    Duration longest = LONGEST_DEPUTYSHIP.getOrDefault(deputyship.kind(), Duration.ZERO);
    boolean lives = deputyship.validity().isLife(longest);
    // deputy.3
    require(lives, "DEPUTY_INVALID", "the deputyship begins after it ends, or is longer than its kind may be");
    boolean before = deputyship.statedAt() <= deputyship.validity().notBefore();
    require(before, "DEPUTY_INVALID", "a deputyship is signed before it begins, not after"); // deputy.3
    // deputy.4
    require(holds(deputyship.validity()), "DEPUTY_EXPIRED", "the deputyship is not yet, or no longer, valid");
    boolean stands = !standing.revoked().contains("deputyship");
    require(stands, "DEPUTY_REVOKED", "the deputyship was taken back"); // deputy.5
    boolean able = deputyship.powers().contains(power);
    require(able, "DEPUTY_POWERS", "the deputyship does not give this power"); // deputy.6
  }

  private void requireStanding(Access.Grant grant) {
    boolean lives = grant.validity().isLife(Access.LONGEST_GRANT);
    // grant.3
    require(lives, "GRANT_INVALID", "a grant begins before it ends, and ends after at most 366 days");
    // Dated ahead it would outlive "everything that I signed before".
    boolean before = grant.statedAt() <= grant.validity().notBefore();
    require(before, "GRANT_INVALID", "a grant is signed before it begins, not after"); // grant.3
    // grant.4
    require(holds(grant.validity()), "GRANT_EXPIRED", "the grant is not yet, or no longer, valid");
    require(!standing.revoked().contains("grant"), "GRANT_REVOKED", "the grant was taken back"); // grant.5
  }

  private void requireGrantee(Access.Consent consent) {
    Access.Asker asker = question.asker();
    require(asker.role() == Role.ROLE_DOCTOR, "GRANT_INVALID", "a grant is for doctors"); // grant.6
    Access.Grantee grantee = consent.grant().grantee();
    Access.Duty duty = consent.duty();
    if (grantee instanceof Access.ToDoctor doctor) {
      boolean named =
          doctor.doctorId().equals(asker.identity()) && doctor.authorityId().equals(asker.authorityId());
      // grant.7
      require(named, "GRANT_INVALID", "the grant is for another doctor, or one of another authority");
    } else if (grantee instanceof Access.ToDepartment department) {
      requireDuty(duty, department.hospitalId());
      boolean there = duty.departmentClasses().contains(department.departmentClass());
      // grant.8
      require(there, "DUTY_INVALID", "the duty is not in the department that the grant is for");
    } else if (grantee instanceof Access.ToHospital hospital) {
      requireDuty(duty, hospital.hospitalId());
    } else {
      throw new Refusal("GRANT_INVALID", "the grant is for nobody that is known here"); // grant.7
    }
    if (question.right() == Right.RIGHT_WRITE) {
      requireDuty(duty, question.hospitalId()); // grant.9
    }
  }

  private void requireScope(Access.Grant grant) {
    boolean open = GRANTED.contains(grant.highestSensitivity());
    require(open, "GRANT_INVALID", "no grant opens what is secret"); // grant.10
    Right right = question.right();
    boolean given = right == null || (GIVEN.contains(right) && grant.rights().contains(right));
    require(given, "GRANT_SCOPE", "the grant does not give this right"); // grant.11
    boolean here = question.hospitalId() == null || Access.covers(grant.hospitals(), question.hospitalId());
    require(here, "GRANT_SCOPE", "the grant is not for this hospital"); // grant.12
    boolean ofClass =
        question.departmentClass() == null
            || Access.covers(grant.departmentClasses(), question.departmentClass());
    require(ofClass, "GRANT_SCOPE", "the grant is not for this department class"); // grant.13
  }

  private void requireBudget(String name) {
    boolean left = !standing.exhausted().contains(name);
    require(left, "BUDGET_EXHAUSTED", "no more " + name + " are given in this time"); // access.2
  }

  /** Requires that who asks is on duty at this hospital now. `duty` is null where none is shown. */
  void requireDuty(Access.Duty duty, String hospitalId) {
    // duty.1
    require(duty != null, "DUTY_MISSING", "no duty is shown, and the grant, or a deposit, asks for one");
    require(duty.hospitalId().equals(hospitalId), "DUTY_INVALID", "the duty is at another hospital"); // duty.2
    boolean own = duty.doctorId().equals(question.asker().identity());
    require(own, "DUTY_INVALID", "the duty is another doctor's"); // duty.3
    boolean lives = duty.validity().isLife(Access.LONGEST_DUTY);
    require(lives, "DUTY_INVALID", "a duty lives at most 24 hours"); // duty.4
    require(holds(duty.validity()), "DUTY_EXPIRED", "the duty is not yet, or no longer, valid"); // duty.5
    require(!standing.revoked().contains("duty"), "DUTY_REVOKED", "the hospital took the duty back"); // duty.6
  }

  private boolean holds(Access.Validity validity) {
    return validity.holds(now, policy.skew());
  }
}
