package protocol

import (
	"bytes"
	"time"

	"google.golang.org/protobuf/proto"

	"medunion.example/clients/go/curve"
	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/refusal"
	"medunion.example/clients/go/transcript"
)

// Any is every hospital, or every department class.
const Any = "*"

// MostGrantLife is how long a grant lasts at most.
const MostGrantLife = 366 * 24 * time.Hour

// Terms is what a patient allows a doctor. Empty lists allow nothing.
type Terms struct {
	Hospitals, DepartmentClasses []string
	Rights                       []pb.Right
	Purpose                      string
	Life                         time.Duration
}

// DefaultTerms is consent to look for, read and keep records, everywhere, for 24 hours.
func DefaultTerms() Terms {
	return Terms{
		Hospitals:         []string{Any},
		DepartmentClasses: []string{Any},
		Rights:            []pb.Right{pb.Right_RIGHT_INDEX, pb.Right_RIGHT_READ, pb.Right_RIGHT_WRITE},
		Purpose:           "consultation",
		Life:              24 * time.Hour,
	}
}

// MakeGrant signs a grant for one doctor (C1). It draws 16 bytes for the grant's id. Refuses with GRANT_INVALID terms of no life, or of
// more than 366 days.
func MakeGrant(patient *Party, doctor *Peer, terms Terms, now Instant, entropy curve.Entropy) (*pb.SignedStatement, error) {
	if err := requireGrantLife(now, now+milliseconds(terms.Life)); err != nil {
		return nil, err
	}
	return SignStatement("grant", &pb.Grant{
		GrantId:                 entropy(16),
		PatientId:               proto.String(patient.Identity),
		PatientSerial:           patient.Serial,
		DoctorId:                proto.String(doctor.Identity),
		DoctorCertificateDigest: transcript.Digest(doctor.Certificate),
		Hospitals:               terms.Hospitals,
		DepartmentClasses:       terms.DepartmentClasses,
		Rights:                  terms.Rights,
		Purpose:                 proto.String(terms.Purpose),
		NotBefore:               proto.Uint64(now),
		NotAfter:                proto.Uint64(now + milliseconds(terms.Life)),
	}, patient.Signer)
}

// openGrant gives the grant if its patient signed it for this doctor with this Cert_D, and now is its time (eq. 24). Refuses with
// GRANT_INVALID, GRANT_EXPIRED.
func openGrant(signed *pb.SignedStatement, patient *VerifiedParty, doctor *Party, freshness Freshness, now Instant) (*pb.Grant, error) {
	grant := &pb.Grant{}
	if err := OpenStatement("grant", grant, signed, patient.VerifyingKey); err != nil {
		return nil, refusal.Because(err, refusal.GrantInvalid, "the grant does not bear this patient's signature")
	}
	if grant.GetPatientId() != patient.Identity || !bytes.Equal(grant.GetPatientSerial(), patient.Serial) {
		return nil, refusal.New(refusal.GrantInvalid, "the grant is another patient's, or of an earlier registration")
	}
	if grant.GetDoctorId() != doctor.Identity || !bytes.Equal(grant.GetDoctorCertificateDigest(), transcript.Digest(doctor.Certificate)) {
		return nil, refusal.New(refusal.GrantInvalid, "the grant is for another doctor")
	}
	if err := requireGrantLife(grant.GetNotBefore(), grant.GetNotAfter()); err != nil {
		return nil, err
	}
	if !freshness.Begun(grant.GetNotBefore(), now) || now >= grant.GetNotAfter() {
		return nil, refusal.New(refusal.GrantExpired, "the grant is not yet, or no longer, valid")
	}
	return grant, nil
}

func requireGrantLife(notBefore, notAfter Instant) error {
	if notBefore >= notAfter || notAfter-notBefore > milliseconds(MostGrantLife) {
		return refusal.New(refusal.GrantInvalid, "the grant ends before it begins, or lasts longer than 366 days")
	}
	return nil
}
