package protocol

import (
	"bytes"
	"time"

	"google.golang.org/protobuf/proto"

	"medunion.example/clients/go/access"
	"medunion.example/clients/go/curve"
	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/refusal"
	"medunion.example/clients/go/transcript"
)

// Terms is what a patient allows. Empty lists allow nothing; access.Any allows every one. No default says more than "nothing".
type Terms struct {
	Hospitals, DepartmentClasses []string
	Rights                       []pb.Right
	HighestSensitivity           pb.Sensitivity // SENSITIVITY_NORMAL where it is left out
	Purpose                      string
	Life                         time.Duration
}

// MakeGrant signs a grant about the signer's own records, or by a deputyship about another's; nil without one. It draws 16 bytes for
// the grant's id. Refuses with GRANT_INVALID a life that no grant may have.
func MakeGrant(signer *Party, grantee access.Grantee, terms Terms, deputyship *pb.Deputyship, now Instant, entropy curve.Entropy) (*pb.SignedStatement, error) {
	validity, err := lifeOf(terms.Life, access.LongestGrant, refusal.GrantInvalid, now)
	if err != nil {
		return nil, err
	}
	grant := &pb.Grant{
		GrantId:            entropy(16),
		PatientId:          proto.String(signer.Identity),
		SignerId:           proto.String(signer.Identity),
		SignerSerial:       signer.Serial,
		Grantee:            writeGrantee(grantee),
		Hospitals:          terms.Hospitals,
		DepartmentClasses:  terms.DepartmentClasses,
		HighestSensitivity: max(terms.HighestSensitivity, pb.Sensitivity_SENSITIVITY_NORMAL).Enum(),
		Rights:             terms.Rights,
		Purpose:            proto.String(terms.Purpose),
		StatedAt:           proto.Uint64(now),
		NotBefore:          proto.Uint64(validity.NotBefore),
		NotAfter:           proto.Uint64(validity.NotAfter),
	}
	if deputyship != nil {
		says, err := PeekDeputyship(deputyship)
		if err != nil {
			return nil, err
		}
		grant.PatientId = proto.String(says.PatientID)
		grant.DeputyshipDigest = digestOf(deputyshipStatement(deputyship))
	}
	return SignStatement("grant", grant, signer.Signer)
}

// MakeMandate makes another patient one's deputy. It draws 16 bytes for the mandate's id. Refuses with DEPUTY_INVALID a life that no
// mandate may have.
func MakeMandate(patient *Party, deputyID string, powers []pb.Power, life time.Duration, now Instant, entropy curve.Entropy) (*pb.SignedStatement, error) {
	validity, err := lifeOf(life, access.LongestMandate, refusal.DeputyInvalid, now)
	if err != nil {
		return nil, err
	}
	return SignStatement("mandate", &pb.Mandate{
		MandateId:     entropy(16),
		PatientId:     proto.String(patient.Identity),
		PatientSerial: patient.Serial,
		DeputyId:      proto.String(deputyID),
		Powers:        powers,
		StatedAt:      proto.Uint64(now),
		NotBefore:     proto.Uint64(validity.NotBefore),
		NotAfter:      proto.Uint64(validity.NotAfter),
	}, patient.Signer)
}

func lifeOf(life, longest time.Duration, reason refusal.Reason, now Instant) (access.Validity, error) {
	validity := access.Validity{NotBefore: now, NotAfter: now + milliseconds(max(life, 0))}
	if !validity.IsLife(longest) {
		return validity, refusal.New(reason, "it begins before it ends, and ends after at most %d days", longest/(24*time.Hour))
	}
	return validity, nil
}

// openGrant gives what a grant says if this patient signed it, by the deputyship beside it if there is one. Refuses with GRANT_INVALID,
// DEPUTY_INVALID.
func openGrant(shown *pb.Consent, signer *VerifiedParty) (access.Grant, error) {
	grant := &pb.Grant{}
	if err := openStated("grant", grant, shown.GetGrant(), signer, refusal.GrantInvalid); err != nil {
		return access.Grant{}, err
	}
	if grant.GetSignerId() != signer.Identity || !bytes.Equal(grant.GetSignerSerial(), signer.Serial) {
		return access.Grant{}, refusal.New(refusal.GrantInvalid, "the grant is another patient's, or of an earlier registration")
	}
	var shownDigest []byte
	if shown.GetDeputyship() != nil {
		label, signed := deputyshipStatement(shown.GetDeputyship())
		if signed == nil {
			return access.Grant{}, noDeputyship()
		}
		shownDigest = digestOf(label, signed)
	}
	if !bytes.Equal(grant.GetDeputyshipDigest(), shownDigest) {
		return access.Grant{}, refusal.New(refusal.GrantInvalid, "the grant was signed by another deputyship than the one shown")
	}
	return readGrant(grant), nil
}

// openDeputyship gives what a mandate or guardianship says if this party signed it. Refuses with DEPUTY_INVALID.
func openDeputyship(shown *pb.Deputyship, signer *VerifiedParty) (*access.Deputyship, error) {
	label, signed := deputyshipStatement(shown)
	statement := newDeputyship(label)
	if err := openStated(label, statement, signed, signer, refusal.DeputyInvalid); err != nil {
		return nil, err
	}
	statedBy, serial := signerOf(statement)
	if statedBy != signer.Identity || !bytes.Equal(serial, signer.Serial) {
		return nil, refusal.New(refusal.DeputyInvalid, "the deputyship is somebody else's, or of an earlier registration")
	}
	return readDeputyship(label, statement), nil
}

// openDuty gives what a duty says if this hospital stated it, for the key of this doctor. Refuses with DUTY_INVALID.
func openDuty(shown *pb.ShownDuty, hospital, doctor *VerifiedParty) (*access.Duty, error) {
	duty := &pb.Duty{}
	if err := openStated("duty", duty, shown.GetDuty(), hospital, refusal.DutyInvalid); err != nil {
		return nil, err
	}
	if duty.GetHospitalId() != hospital.Identity || !bytes.Equal(duty.GetHospitalSerial(), hospital.Serial) {
		return nil, refusal.New(refusal.DutyInvalid, "the duty is another hospital's, or of an earlier registration")
	}
	if !bytes.Equal(duty.GetVerifyingKeyDigest(), transcript.Digest(doctor.VerifyingKey)) {
		return nil, refusal.New(refusal.DutyInvalid, "the duty is for another key than the doctor's")
	}
	return &access.Duty{
		ID:                duty.GetDutyId(),
		HospitalID:        duty.GetHospitalId(),
		DoctorID:          duty.GetDoctorId(),
		DepartmentClasses: duty.GetDepartmentClasses(),
		Validity:          validityOf(duty),
	}, nil
}

func openStated(label string, into proto.Message, signed *pb.SignedStatement, signer *VerifiedParty, reason refusal.Reason) error {
	if err := OpenStatement(label, into, signed, signer.VerifyingKey); err != nil {
		return refusal.Because(err, reason, "the %s does not bear its signer's signature", label)
	}
	return nil
}

// PeekGrant gives what a grant says, unverified: for who made or shows it. Refuses as rules.Parse.
func PeekGrant(signed *pb.SignedStatement) (*access.Grant, error) {
	grant := &pb.Grant{}
	if err := Peek(grant, signed); err != nil {
		return nil, err
	}
	says := readGrant(grant)
	return &says, nil
}

// PeekDeputyship gives what a mandate or guardianship says, unverified: for who shows it. Refuses with DEPUTY_INVALID where there is
// neither, and as rules.Parse.
func PeekDeputyship(shown *pb.Deputyship) (*access.Deputyship, error) {
	label, signed := deputyshipStatement(shown)
	if signed == nil {
		return nil, noDeputyship()
	}
	statement := newDeputyship(label)
	if err := Peek(statement, signed); err != nil {
		return nil, err
	}
	return readDeputyship(label, statement), nil
}

func noDeputyship() error {
	return refusal.New(refusal.DeputyInvalid, "a deputyship without mandate or guardianship")
}

// deputyshipStatement gives the label and the statement, nil where there is neither.
func deputyshipStatement(shown *pb.Deputyship) (string, *pb.SignedStatement) {
	if shown.GetGuardianship() != nil {
		return access.Guardianship, shown.GetGuardianship()
	}
	return access.Mandate, shown.GetMandate()
}

// deputyStatement is what mandates and guardianships have in common.
type deputyStatement interface {
	proto.Message
	dated
	GetPatientId() string
	GetDeputyId() string
	GetPowers() []pb.Power
	GetStatedAt() uint64
}

func newDeputyship(label string) deputyStatement {
	if label == access.Guardianship {
		return &pb.Guardianship{}
	}
	return &pb.Mandate{}
}

// signerOf gives who a mandate or guardianship says that it is signed by, and the serial of that credential.
func signerOf(statement deputyStatement) (string, []byte) {
	if guardianship, isGuardianship := statement.(*pb.Guardianship); isGuardianship {
		return guardianship.GetHospitalId(), guardianship.GetHospitalSerial()
	}
	return statement.GetPatientId(), statement.(*pb.Mandate).GetPatientSerial()
}

func readDeputyship(label string, statement deputyStatement) *access.Deputyship {
	statedBy, _ := signerOf(statement)
	says := &access.Deputyship{
		Kind:      label,
		StatedBy:  statedBy,
		PatientID: statement.GetPatientId(),
		DeputyID:  statement.GetDeputyId(),
		Powers:    statement.GetPowers(),
		StatedAt:  statement.GetStatedAt(),
		Validity:  validityOf(statement),
	}
	switch statement := statement.(type) {
	case *pb.Mandate:
		says.ID = statement.GetMandateId()
	case *pb.Guardianship:
		says.ID = statement.GetGuardianshipId()
	}
	return says
}

func readGrant(grant *pb.Grant) access.Grant {
	return access.Grant{
		ID:                 grant.GetGrantId(),
		PatientID:          grant.GetPatientId(),
		SignerID:           grant.GetSignerId(),
		Grantee:            readGrantee(grant.GetGrantee()),
		Hospitals:          grant.GetHospitals(),
		DepartmentClasses:  grant.GetDepartmentClasses(),
		HighestSensitivity: grant.GetHighestSensitivity(),
		Rights:             grant.GetRights(),
		StatedAt:           grant.GetStatedAt(),
		Validity:           validityOf(grant),
	}
}

func writeGrantee(grantee access.Grantee) *pb.Grantee {
	switch grantee := grantee.(type) {
	case access.ToDoctor:
		return &pb.Grantee{Who: &pb.Grantee_Doctor{Doctor: &pb.DoctorGrantee{
			DoctorId: proto.String(grantee.DoctorID), AuthorityId: proto.String(grantee.AuthorityID),
		}}}
	case access.ToDepartment:
		return &pb.Grantee{Who: &pb.Grantee_Department{Department: &pb.DepartmentGrantee{
			HospitalId: proto.String(grantee.HospitalID), DepartmentClass: proto.String(grantee.DepartmentClass),
		}}}
	case access.ToHospital:
		return &pb.Grantee{Who: &pb.Grantee_Hospital{Hospital: &pb.HospitalGrantee{HospitalId: proto.String(grantee.HospitalID)}}}
	default:
		return &pb.Grantee{}
	}
}

func readGrantee(grantee *pb.Grantee) access.Grantee {
	switch who := grantee.GetWho().(type) {
	case *pb.Grantee_Doctor:
		return access.ToDoctor{DoctorID: who.Doctor.GetDoctorId(), AuthorityID: who.Doctor.GetAuthorityId()}
	case *pb.Grantee_Department:
		return access.ToDepartment{HospitalID: who.Department.GetHospitalId(), DepartmentClass: who.Department.GetDepartmentClass()}
	case *pb.Grantee_Hospital:
		return access.ToHospital{HospitalID: who.Hospital.GetHospitalId()}
	default:
		return nil
	}
}

type dated interface {
	GetNotBefore() uint64
	GetNotAfter() uint64
}

func validityOf(statement dated) access.Validity {
	return access.Validity{NotBefore: statement.GetNotBefore(), NotAfter: statement.GetNotAfter()}
}
