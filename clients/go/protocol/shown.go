package protocol

import (
	"google.golang.org/protobuf/proto"

	"medunion.example/clients/go/access"
	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/transcript"
)

// Shown is what somebody shows for access to a patient's records: nobody's right yet.
type Shown struct {
	PatientID string
	Access    *pb.Access // nil where nothing is shown
}

// ByConsent shows a consent, or none, and that one is on duty, where there is a duty.
func ByConsent(patientID string, consent *pb.Consent, duty *pb.ShownDuty) Shown {
	if consent == nil {
		return Shown{PatientID: patientID}
	}
	if duty != nil {
		consent = proto.CloneOf(consent)
		consent.Duty = duty
	}
	return Shown{patientID, &pb.Access{Ground: &pb.Access_Consent{Consent: consent}}}
}

// ByOwnRight shows that these are one's own records.
func ByOwnRight(patientID string) Shown {
	return Shown{patientID, &pb.Access{Ground: &pb.Access_Own{Own: &pb.OwnAccess{}}}}
}

// Consent gives the consent that is shown, if it is one.
func (s Shown) Consent() *pb.Consent { return s.Access.GetConsent() }

// digest gives H(access), or nothing where nothing is shown: in c_P and Sig_HPC2.
func (s Shown) digest() []byte {
	if s.Access == nil {
		return nil
	}
	return transcript.Digest(transcript.T("access", shownStatements(s.Access, digestOf)...))
}

// signedDigest gives Hs(access), or nothing where nothing is shown: nothing that is decided by can be exchanged under Sig_D2.
func (s Shown) signedDigest() []byte {
	if s.Access == nil {
		return nil
	}
	fields := append(shownStatements(s.Access, signedDigest), shownBeside(s.Access)...)
	return transcript.Digest(transcript.T("access-signed", fields...))
}

// GrantDigest gives H(grant): by it a log names what was shown.
func GrantDigest(grant *pb.SignedStatement) []byte { return digestOf("grant", grant) }

// grantDigest gives H(grant), or nothing without one: in Sig_P2, when no duty is known yet.
func (s Shown) grantDigest() []byte { return GrantDigest(s.Consent().GetGrant()) }

// shownStatements gives the ground and the statements that are shown, each by this digest, or nothing where there is none.
func shownStatements(shown *pb.Access, digest func(string, *pb.SignedStatement) []byte) [][]byte {
	var ground string
	var statement []byte
	switch shown := shown.GetGround().(type) {
	case *pb.Access_Consent:
		ground, statement = "consent", digest("grant", shown.Consent.GetGrant())
	case *pb.Access_Own:
		ground = "own"
	case *pb.Access_Emergency:
		ground, statement = "emergency", digest("bg", shown.Emergency.GetEmergency())
	}
	return [][]byte{
		transcript.Text(ground),
		statement,
		digest(deputyshipStatement(deputyshipIn(shown))),
		digest("duty", dutyIn(shown).GetDuty()),
	}
}

// shownBeside gives Hs of the key statements beside the statements, and what the second clinician shows.
func shownBeside(shown *pb.Access) [][]byte {
	second := shown.GetEmergency().GetSecond()
	return [][]byte{
		signedDigest("ks", shown.GetConsent().GetKeyStatement()),
		signedDigest("ks", deputyshipIn(shown).GetKeyStatement()),
		signedDigest("ks", dutyIn(shown).GetKeyStatement()),
		second.GetSignature(),
		signedDigest("ks", second.GetKeyStatement()),
		certificateDigest(second.GetDoctorCertificate()),
	}
}

func deputyshipIn(shown *pb.Access) *pb.Deputyship {
	if consent := shown.GetConsent(); consent != nil {
		return consent.GetDeputyship()
	}
	return shown.GetOwn().GetDeputyship()
}

func dutyIn(shown *pb.Access) *pb.ShownDuty {
	if consent := shown.GetConsent(); consent != nil {
		return consent.GetDuty()
	}
	return shown.GetEmergency().GetDuty()
}

// decide verifies the consent that is shown, looks up what became of it, and decides; it gives what the consent says. Refuses as
// access.Decide with what is wrong with it, and as Verifier.Party with a false party behind it. Of other grounds it knows none: they are
// shown to clouds and hospitals.
func (s Shown) decide(asker *VerifiedParty, question access.Question, verifier Verifier, now Instant) (access.Consent, error) {
	if s.Consent() == nil {
		_, err := access.Decide(nil, question, access.Standing{}, verifier.policy(), now)
		return access.Consent{}, err
	}
	opened, err := verifier.openConsent(s.Consent(), asker, now)
	if err != nil {
		return opened, err
	}
	standing, err := verifier.Lists.standingOf(opened)
	if err == nil {
		_, err = access.Decide(opened, question, standing, verifier.policy(), now)
	}
	return opened, err
}

func (v Verifier) policy() access.Policy { return access.Policy{Skew: v.Freshness.Skew} }

// openConsent verifies a consent, and the deputyship and the duty in it. Refuses as openGrant, openDeputyship, openDuty and Verifier.Party.
func (v Verifier) openConsent(shown *pb.Consent, asker *VerifiedParty, now Instant) (opened access.Consent, err error) {
	signer, err := v.Party(shown.GetKeyStatement(), pb.Role_ROLE_PATIENT, now)
	if err != nil {
		return opened, err
	}
	if opened.Grant, err = openGrant(shown, signer); err != nil {
		return opened, err
	}
	if deputyship := shown.GetDeputyship(); deputyship != nil {
		if opened.Deputyship, err = v.openDeputyship(deputyship, now); err != nil {
			return opened, err
		}
	}
	if duty := shown.GetDuty(); duty != nil {
		opened.Duty, err = v.openDuty(duty, asker, now)
	}
	return opened, err
}

func (v Verifier) openDeputyship(shown *pb.Deputyship, now Instant) (*access.Deputyship, error) {
	role := pb.Role_ROLE_PATIENT
	if shown.GetGuardianship() != nil {
		role = pb.Role_ROLE_HOSPITAL
	}
	signer, err := v.Party(shown.GetKeyStatement(), role, now)
	if err != nil {
		return nil, err
	}
	return openDeputyship(shown, signer)
}

func (v Verifier) openDuty(shown *pb.ShownDuty, doctor *VerifiedParty, now Instant) (*access.Duty, error) {
	hospital, err := v.Party(shown.GetKeyStatement(), pb.Role_ROLE_HOSPITAL, now)
	if err != nil {
		return nil, err
	}
	return openDuty(shown, hospital, doctor)
}

// askerOf gives who asks, as the decision knows it.
func askerOf(party *VerifiedParty) access.Asker {
	return access.Asker{Role: party.Role, Identity: party.Identity, AuthorityID: party.AuthorityID}
}
