package protocol

import (
	"google.golang.org/protobuf/proto"

	"medunion.example/clients/go/access"
	"medunion.example/clients/go/curve"
	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/keys"
	"medunion.example/clients/go/rules"
	"medunion.example/clients/go/transcript"
)

// AskForDuty makes a doctor's request to a hospital that it works for, signed over T("duty-ask", ID_D, ID_HPC, nonce, T). Nothing in it is
// secret. It draws 16 bytes for the nonce.
func AskForDuty(doctor *Party, hospitalID string, now Instant, entropy curve.Entropy) (*pb.GetDutyRequest, error) {
	request := &pb.GetDutyRequest{
		KeyStatement:      doctor.KeyStatement,
		DoctorCertificate: doctor.Certificate,
		Nonce:             entropy(16),
		SentAt:            proto.Uint64(now),
	}
	signed := transcript.T("duty-ask",
		transcript.Text(doctor.Identity),
		transcript.Text(hospitalID),
		request.GetNonce(),
		transcript.U64(now))
	var err error
	request.Signature, err = keys.Sign(doctor.Signer, signed)
	return request, err
}

// CheckDuty checks that a doctor is on duty at this hospital now, and gives where: of a room's doctor what the patient is shown, of one's own
// what one shows. Refuses with DUTY_INVALID, DUTY_EXPIRED, DUTY_REVOKED, as rules.Check, and as Verifier.Party.
func CheckDuty(shown *pb.ShownDuty, doctor *VerifiedParty, hospitalID string, verifier Verifier, now Instant) (*access.Duty, error) {
	if err := rules.Check(shown); err != nil {
		return nil, err
	}
	duty, err := verifier.openDuty(shown, doctor, now)
	if err != nil {
		return nil, err
	}
	standing := access.Standing{}
	isRevoked, err := verifier.Lists.isRevoked("duty", duty.HospitalID, duty.ID)
	if err != nil {
		return nil, err
	}
	if isRevoked {
		standing.Revoked = []string{"duty"}
	}
	return duty, access.RequireDuty(duty, hospitalID, doctor.Identity, standing, verifier.policy(), now)
}
