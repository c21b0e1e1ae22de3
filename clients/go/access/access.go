package access

import (
	"slices"
	"time"

	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/refusal"
)

// Allowed may be done, as far as this goes. What lies beyond is not on file for who asks: other hospitals, other classes, records of a
// higher sensitivity, hidden ones.
type Allowed struct {
	Ground                       string // "consent", "own", "deputy" or "emergency"
	Hospitals, DepartmentClasses []string
	HighestSensitivity           pb.Sensitivity
	Hidden                       []Hidden
}

// Classes gives the classes that the question and the access both cover. Refuses with GRANT_SCOPE none.
func (a *Allowed) Classes(asked string, published []string) (covered []string, err error) {
	wanted := []string{asked}
	if asked == Any {
		wanted = slices.Sorted(slices.Values(published))
	}
	for _, class := range wanted {
		if Covers(a.DepartmentClasses, class) {
			covered = append(covered, class)
		}
	}
	if len(covered) == 0 {
		return nil, refusal.New(refusal.GrantScope, "the grant is not for this department class")
	}
	return covered, nil
}

// Shows says whether a record is on file for who asks.
func (a *Allowed) Shows(hospitalID, departmentClass, handle string, sensitivity pb.Sensitivity) bool {
	return Covers(a.Hospitals, hospitalID) && Covers(a.DepartmentClasses, departmentClass) &&
		pb.Sensitivity_SENSITIVITY_UNSPECIFIED < sensitivity && sensitivity <= a.HighestSensitivity &&
		!slices.ContainsFunc(a.Hidden, func(one Hidden) bool { return one.hides(hospitalID, departmentClass, handle) })
}

// Covers says whether a list of an access covers a value; asking for Any needs Any.
func Covers(allowed []string, value string) bool {
	return slices.Contains(allowed, Any) || slices.Contains(allowed, value)
}

// Decide says what is allowed by what is shown, nil where nothing is. Refuses with GRANT_MISSING, GRANT_INVALID, GRANT_EXPIRED,
// GRANT_REVOKED, GRANT_SCOPE, DEPUTY_INVALID, DEPUTY_EXPIRED, DEPUTY_REVOKED, DEPUTY_POWERS, NOT_OWN_RECORD, EMERGENCY_INVALID,
// EMERGENCY_EXPIRED, EMERGENCY_REFUSED, BUDGET_EXHAUSTED, and as RequireDuty.
func Decide(shown Access, question Question, standing Standing, policy Policy, now Instant) (*Allowed, error) {
	rule := rule{question, standing, policy, now}
	switch shown := shown.(type) {
	case Consent:
		return rule.byConsent(shown)
	case OwnAccess:
		return rule.byOwnRight(shown)
	case Emergency:
		return rule.byEmergency(shown)
	default:
		return nil, refusal.New(refusal.GrantMissing, "no grant, no record")
	}
}

var (
	granted     = []pb.Sensitivity{pb.Sensitivity_SENSITIVITY_NORMAL, pb.Sensitivity_SENSITIVITY_RESTRICTED}
	given       = []pb.Right{pb.Right_RIGHT_INDEX, pb.Right_RIGHT_READ, pb.Right_RIGHT_WRITE}
	inEmergency = []pb.Right{pb.Right_RIGHT_INDEX, pb.Right_RIGHT_READ}
	// A deposit gives nothing out, and a visit that was begun is finished.
	budgeted = []pb.Right{pb.Right_RIGHT_INDEX, pb.Right_RIGHT_READ}
	// What a patient may do, and the power that a deputy needs for it.
	own = map[pb.Right]pb.Power{
		pb.Right_RIGHT_INDEX: pb.Power_POWER_READ, pb.Right_RIGHT_READ: pb.Power_POWER_READ,
		pb.Right_RIGHT_LOG: pb.Power_POWER_LOG, pb.Right_RIGHT_ADD: pb.Power_POWER_ADD,
	}

	longestDeputyship = map[string]time.Duration{Mandate: LongestMandate, Guardianship: LongestGuardianship} // of no other kind
)

// rule is the rules over one question, each a check that refuses.
type rule struct {
	question Question
	standing Standing
	policy   Policy
	now      Instant
}

func (r rule) byConsent(consent Consent) (*Allowed, error) {
	grant := consent.Grant
	if grant.PatientID != r.question.PatientID {
		return nil, refusal.New(refusal.GrantInvalid, "the grant is about another patient")
	}
	if err := r.requireSigner(consent); err != nil {
		return nil, err
	}
	if err := r.requireStanding(grant); err != nil {
		return nil, err
	}
	if err := r.requireGrantee(consent); err != nil {
		return nil, err
	}
	if err := r.requireScope(grant); err != nil {
		return nil, err
	}
	if slices.Contains(budgeted, r.question.Right) {
		if err := r.requireBudget("accesses"); err != nil {
			return nil, err
		}
	}
	return &Allowed{"consent", grant.Hospitals, grant.DepartmentClasses, grant.HighestSensitivity, r.standing.Hidden}, nil
}

func (r rule) byOwnRight(access OwnAccess) (*Allowed, error) {
	question, deputyship := r.question, access.Deputyship
	if question.Asker.Role != pb.Role_ROLE_PATIENT {
		return nil, refusal.New(refusal.NotOwnRecord, "only a patient has records of its own")
	}
	power, isOwn := own[question.Right]
	if !isOwn {
		return nil, refusal.New(refusal.NotOwnRecord, "a patient finds, reads, sees who did and adds; it deposits no encounter")
	}
	if deputyship == nil {
		if question.Asker.Identity != question.PatientID {
			return nil, refusal.New(refusal.NotOwnRecord, "these are another patient's records")
		}
		return &Allowed{"own", []string{Any}, []string{Any}, pb.Sensitivity_SENSITIVITY_SECRET, nil}, nil
	}
	if err := r.requireDeputy(*deputyship, question.Asker.Identity, power); err != nil {
		return nil, err
	}
	hidden := r.standing.Hidden
	// Whoever may hide a record may see it; another deputy is restricted as a doctor is.
	if slices.Contains(deputyship.Powers, pb.Power_POWER_RESTRICT) {
		hidden = nil
	}
	return &Allowed{"deputy", []string{Any}, []string{Any}, pb.Sensitivity_SENSITIVITY_RESTRICTED, hidden}, nil
}

func (r rule) byEmergency(emergency Emergency) (*Allowed, error) {
	asker, question, policy := r.question.Asker, r.question, r.policy.Emergency
	if policy == nil {
		return nil, refusal.New(refusal.EmergencyRefused, "no emergency is let in here")
	}
	if asker.Role != pb.Role_ROLE_DOCTOR || emergency.DoctorID != asker.Identity {
		return nil, refusal.New(refusal.EmergencyInvalid, "the emergency is another doctor's")
	}
	if emergency.PatientID != question.PatientID {
		return nil, refusal.New(refusal.EmergencyInvalid, "the emergency is about another patient")
	}
	if question.HospitalID != "" && emergency.Hospital != Any && emergency.Hospital != question.HospitalID {
		return nil, refusal.New(refusal.EmergencyInvalid, "the emergency is for another hospital")
	}
	if !emergency.Validity.IsLife(LongestEmergency) {
		return nil, refusal.New(refusal.EmergencyInvalid, "an emergency lives at most an hour")
	}
	if !r.holds(emergency.Validity) {
		return nil, refusal.New(refusal.EmergencyExpired, "the emergency is not yet, or no longer, valid")
	}
	if !slices.Contains(inEmergency, question.Right) {
		return nil, refusal.New(refusal.EmergencyRefused, "in an emergency records are found and read, nothing else")
	}
	if err := r.requireLetIn(emergency, *policy); err != nil {
		return nil, err
	}
	if err := r.requireBudget("emergencies"); err != nil {
		return nil, err
	}
	hidden := r.standing.Hidden
	if r.standing.EmergencyOverrides {
		hidden = nil
	}
	return &Allowed{"emergency", []string{emergency.Hospital}, []string{Any}, pb.Sensitivity_SENSITIVITY_RESTRICTED, hidden}, nil
}

func (r rule) requireLetIn(emergency Emergency, policy EmergencyPolicy) error {
	if emergency.Duty == nil {
		return r.requireDuty(nil, "")
	}
	if err := r.requireDuty(emergency.Duty, emergency.Duty.HospitalID); err != nil {
		return err
	}
	isIn := func(class string) bool { return slices.Contains(emergency.Duty.DepartmentClasses, class) }
	if !slices.Contains(policy.DutyClasses, Any) && !slices.ContainsFunc(policy.DutyClasses, isIn) {
		return refusal.New(refusal.EmergencyRefused, "the doctor is not on duty where emergencies are let in from")
	}
	if !slices.Contains(policy.Reasons, emergency.ReasonCode) {
		return refusal.New(refusal.EmergencyRefused, "this is no reason that is let in here")
	}
	if policy.SecondClinician && (emergency.SecondDoctorID == "" || emergency.SecondDoctorID == emergency.DoctorID) {
		return refusal.New(refusal.EmergencyRefused, "an emergency takes a second clinician here")
	}
	return nil
}

func (r rule) requireStanding(grant Grant) error {
	if !grant.Validity.IsLife(LongestGrant) {
		return refusal.New(refusal.GrantInvalid, "a grant begins before it ends, and ends after at most 366 days")
	}
	// Dated ahead it would outlive "everything that I signed before".
	if grant.StatedAt > grant.Validity.NotBefore {
		return refusal.New(refusal.GrantInvalid, "a grant is signed before it begins, not after")
	}
	if !r.holds(grant.Validity) {
		return refusal.New(refusal.GrantExpired, "the grant is not yet, or no longer, valid")
	}
	if slices.Contains(r.standing.Revoked, "grant") {
		return refusal.New(refusal.GrantRevoked, "the grant was taken back")
	}
	return nil
}

func (r rule) requireScope(grant Grant) error {
	question := r.question
	if !slices.Contains(granted, grant.HighestSensitivity) {
		return refusal.New(refusal.GrantInvalid, "no grant opens what is secret")
	}
	if question.Right != NoRight && !(slices.Contains(given, question.Right) && grant.Gives(question.Right)) {
		return refusal.New(refusal.GrantScope, "the grant does not give this right")
	}
	if question.HospitalID != "" && !Covers(grant.Hospitals, question.HospitalID) {
		return refusal.New(refusal.GrantScope, "the grant is not for this hospital")
	}
	if question.DepartmentClass != "" && !Covers(grant.DepartmentClasses, question.DepartmentClass) {
		return refusal.New(refusal.GrantScope, "the grant is not for this department class")
	}
	return nil
}

func (r rule) requireBudget(name string) error {
	if slices.Contains(r.standing.Exhausted, name) {
		return refusal.New(refusal.BudgetExhausted, "no more %s are given in this time", name)
	}
	return nil
}

func (r rule) requireSigner(consent Consent) error {
	grant, deputyship := consent.Grant, consent.Deputyship
	if grant.SignerID == grant.PatientID {
		if deputyship != nil {
			return refusal.New(refusal.DeputyInvalid, "the patient itself signed the grant, and a deputyship is shown")
		}
		return nil
	}
	if deputyship == nil {
		return refusal.New(refusal.DeputyInvalid, "another than the patient signed the grant, and no deputyship is shown")
	}
	return r.requireDeputy(*deputyship, grant.SignerID, pb.Power_POWER_GRANT)
}

func (r rule) requireDeputy(deputyship Deputyship, deputyID string, power pb.Power) error {
	if deputyship.PatientID != r.question.PatientID || deputyship.DeputyID != deputyID {
		return refusal.New(refusal.DeputyInvalid, "the deputyship is of another patient, or for another deputy")
	}
	if deputyship.PatientID == deputyship.DeputyID {
		return refusal.New(refusal.DeputyInvalid, "nobody is its own deputy")
	}
	if longest := longestDeputyship[deputyship.Kind]; !deputyship.Validity.IsLife(longest) {
		return refusal.New(refusal.DeputyInvalid, "a %s lives at most %d days", deputyship.Kind, longest/day)
	}
	// Dated ahead it would outlive "everything that I signed before".
	if deputyship.StatedAt > deputyship.Validity.NotBefore {
		return refusal.New(refusal.DeputyInvalid, "a deputyship is signed before it begins, not after")
	}
	if !r.holds(deputyship.Validity) {
		return refusal.New(refusal.DeputyExpired, "the deputyship is not yet, or no longer, valid")
	}
	if slices.Contains(r.standing.Revoked, "deputyship") {
		return refusal.New(refusal.DeputyRevoked, "the deputyship was taken back")
	}
	if !slices.Contains(deputyship.Powers, power) {
		return refusal.New(refusal.DeputyPowers, "the deputyship does not give this power")
	}
	return nil
}

func (r rule) requireGrantee(consent Consent) error {
	asker, duty := r.question.Asker, consent.Duty
	if asker.Role != pb.Role_ROLE_DOCTOR {
		return refusal.New(refusal.GrantInvalid, "a grant is for doctors")
	}
	switch grantee := consent.Grant.Grantee.(type) {
	case ToDoctor:
		if asker.AuthorityID == "" || grantee != (ToDoctor{asker.Identity, asker.AuthorityID}) {
			return refusal.New(refusal.GrantInvalid, "the grant is for another doctor, or one of another authority")
		}
	case ToDepartment:
		if err := r.requireDuty(duty, grantee.HospitalID); err != nil {
			return err
		}
		if !slices.Contains(duty.DepartmentClasses, grantee.DepartmentClass) {
			return refusal.New(refusal.DutyInvalid, "the duty is not in the department that the grant is for")
		}
	case ToHospital:
		if err := r.requireDuty(duty, grantee.HospitalID); err != nil {
			return err
		}
	default:
		return refusal.New(refusal.GrantInvalid, "the grant is for nobody that is known here")
	}
	if r.question.Right == pb.Right_RIGHT_WRITE {
		return r.requireDuty(duty, r.question.HospitalID)
	}
	return nil
}

func (r rule) requireDuty(duty *Duty, hospitalID string) error {
	return RequireDuty(duty, hospitalID, r.question.Asker.Identity, r.standing, r.policy, r.now)
}

func (r rule) holds(validity Validity) bool { return validity.Holds(r.now, r.policy.Skew) }

// RequireDuty requires that this doctor is on duty at this hospital now. Refuses with DUTY_MISSING, DUTY_INVALID, DUTY_EXPIRED,
// DUTY_REVOKED.
func RequireDuty(duty *Duty, hospitalID, doctorID string, standing Standing, policy Policy, now Instant) error {
	if duty == nil {
		return refusal.New(refusal.DutyMissing, "no duty is shown, and the grant, or a deposit, asks for one")
	}
	if duty.HospitalID != hospitalID {
		return refusal.New(refusal.DutyInvalid, "the duty is at another hospital")
	}
	if duty.DoctorID != doctorID {
		return refusal.New(refusal.DutyInvalid, "the duty is another doctor's")
	}
	if !duty.Validity.IsLife(LongestDuty) {
		return refusal.New(refusal.DutyInvalid, "a duty lives at most 24 hours")
	}
	if !duty.Validity.Holds(now, policy.Skew) {
		return refusal.New(refusal.DutyExpired, "the duty is not yet, or no longer, valid")
	}
	if slices.Contains(standing.Revoked, "duty") {
		return refusal.New(refusal.DutyRevoked, "the hospital took the duty back")
	}
	return nil
}
