// Package access decides why somebody may do something with a patient's records: one decision, at the public cloud and at every
// hospital, and here before a consent is taken for one.
//
// Decide is pure: facts in, what is allowed or a refusal out. Whoever calls it has verified the signatures behind the facts, and
// calls it before it searches. What no rule allows is refused. tests/decisions holds its known answers, for every language.
package access

import (
	"slices"
	"time"

	pb "medunion.example/clients/go/federationv1"
)

// Any is every hospital, every department class, every record.
const Any = "*"

// How long statements live: a grant by default, by who it is for, and all of them at most.
const (
	day                 = 24 * time.Hour
	DoctorsLife         = day
	DepartmentsLife     = 30 * day
	HospitalsLife       = 90 * day
	LongestGrant        = 366 * day
	LongestMandate      = 1827 * day
	LongestGuardianship = 18 * 366 * day
	LongestDuty         = day
	LongestEmergency    = time.Hour
)

// Kinds of deputyships, by their labels.
const (
	Mandate      = "mandate"
	Guardianship = "guardian"
)

// Instant is milliseconds since the Unix epoch.
type Instant = uint64

// Validity is from when to when something holds, its end not included.
type Validity struct{ NotBefore, NotAfter Instant }

// Holds says whether it is valid now; what began by a clock that is ahead within skew has begun.
func (v Validity) Holds(now Instant, skew time.Duration) bool {
	return v.NotBefore <= now+uint64(skew.Milliseconds()) && now < v.NotAfter
}

// IsLife says whether it begins before it ends, and is no longer than that.
func (v Validity) IsLife(longest time.Duration) bool {
	return v.NotBefore < v.NotAfter && v.NotAfter-v.NotBefore <= uint64(longest.Milliseconds())
}

// Grantee is who a grant is for: ToDoctor, ToDepartment or ToHospital; nil is nobody that is known here.
type Grantee interface{ isGrantee() }

// ToDoctor is a doctor, under whichever certificate of that authority.
type ToDoctor struct{ DoctorID, AuthorityID string }

// ToDepartment is those on duty in departments of a class at a hospital.
type ToDepartment struct{ HospitalID, DepartmentClass string }

// ToHospital is those on duty at a hospital.
type ToHospital struct{ HospitalID string }

func (ToDoctor) isGrantee()     {}
func (ToDepartment) isGrantee() {}
func (ToHospital) isGrantee()   {}

// Grant is what a grant says.
type Grant struct {
	ID                           []byte
	PatientID, SignerID          string
	Grantee                      Grantee
	Hospitals, DepartmentClasses []string
	HighestSensitivity           pb.Sensitivity
	Rights                       []pb.Right
	StatedAt                     Instant
	Validity                     Validity
}

// Gives says whether the grant gives a right; no grant gives none.
func (g *Grant) Gives(right pb.Right) bool { return g != nil && slices.Contains(g.Rights, right) }

// Deputyship is what a mandate or a guardianship says.
type Deputyship struct {
	Kind                string // Mandate or Guardianship
	ID                  []byte
	StatedBy            string // who signed it
	PatientID, DeputyID string
	Powers              []pb.Power
	StatedAt            Instant
	Validity            Validity
}

// Duty is what a duty says.
type Duty struct {
	ID                   []byte
	HospitalID, DoctorID string
	DepartmentClasses    []string
	Validity             Validity
}

// Access is why: Consent, OwnAccess or Emergency; nil where nothing was shown.
type Access interface{ isAccess() }

// Consent is by a grant, of the patient or of a deputy; for those on duty, or to deposit, with a duty.
type Consent struct {
	Grant      Grant
	Deputyship *Deputyship
	Duty       *Duty
}

// OwnAccess is the patient itself, or a deputy.
type OwnAccess struct{ Deputyship *Deputyship }

// Emergency is what a declared emergency says, and the duty of the doctor.
type Emergency struct {
	ID                  []byte
	PatientID, DoctorID string
	Hospital            string // or Any
	ReasonCode          string
	SecondDoctorID      string // one whose signature held; empty where there is none
	Validity            Validity
	Duty                *Duty
}

func (Consent) isAccess()   {}
func (OwnAccess) isAccess() {}
func (Emergency) isAccess() {}

// Asker is who asks, proved.
type Asker struct {
	Role        pb.Role
	Identity    string
	AuthorityID string // of a doctor's certificate; a patient has none
}

// NoRight asks for no right yet: whether the access stands at all.
const NoRight pb.Right = -1

// Question is what somebody wants to do with whose records. An empty hospital or class is not of this decision.
type Question struct {
	Asker           Asker
	Right           pb.Right
	PatientID       string
	HospitalID      string
	DepartmentClass string
}

// Hidden is what a patient hides: at a hospital, of a class, one record. Any, and what is empty, is every one; the handle is
// lower-case hexadecimal.
type Hidden struct{ Hospital, DepartmentClass, Handle string }

func (h Hidden) hides(hospitalID, departmentClass, handle string) bool {
	return isAmong(h.Hospital, hospitalID) && isAmong(h.DepartmentClass, departmentClass) && isAmong(h.Handle, handle)
}

func isAmong(hidden, value string) bool { return hidden == Any || hidden == "" || hidden == value }

// Standing is what became of what is shown, and of who asks, as far as it is known here.
type Standing struct {
	Revoked            []string // of "grant", "deputyship", "duty"
	Hidden             []Hidden
	EmergencyOverrides bool
	Exhausted          []string // of "accesses", "emergencies": the budgets that are used up
}

// EmergencyPolicy says when an emergency is let in: for which reasons, of doctors on duty in which classes (Any: in any, or
// none), by how many. None means no.
type EmergencyPolicy struct {
	Reasons, DutyClasses []string
	SecondClinician      bool
}

// Policy is what this receiver allows: how far clocks may differ, and emergencies, if at all.
type Policy struct {
	Skew      time.Duration
	Emergency *EmergencyPolicy
}
