package protocol

import (
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"medunion.example/clients/go/curve"
	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/refusal"
	"medunion.example/clients/go/transcript"
)

func TestGrantLastsAYearAtMost(t *testing.T) {
	const now, year = Instant(1_800_000_000_000), 366 * 24 * 3_600_000
	key := newKey(t)
	patient := &VerifiedParty{Identity: "P:wang", Serial: make([]byte, 16), VerifyingKey: verifyingKey(t, key)}
	doctor := &VerifiedParty{Identity: doctorID}
	for name, tried := range map[string]struct {
		begins, ends Instant
		reason       refusal.Reason
	}{
		"a year":                   {now, now + year, ""},
		"a millisecond longer":     {now, now + year + 1, refusal.GrantInvalid},
		"no time":                  {now, now, refusal.GrantInvalid},
		"backwards":                {now + 1, now, refusal.GrantInvalid},
		"a year that began before": {now - year, now, refusal.GrantExpired},
		"from 1970 on":             {0, now + 1, refusal.GrantInvalid},
	} {
		signed, err := SignStatement("grant", &pb.Grant{
			GrantId: make([]byte, 16), PatientId: proto.String("P:wang"), PatientSerial: make([]byte, 16), DoctorId: proto.String(doctorID),
			DoctorCertificateDigest: transcript.Digest(nil), Hospitals: []string{Any}, DepartmentClasses: []string{Any},
			Rights: []pb.Right{pb.Right_RIGHT_READ}, Purpose: proto.String("consultation"),
			NotBefore: proto.Uint64(tried.begins), NotAfter: proto.Uint64(tried.ends),
		}, key)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := openGrant(signed, patient, &Party{VerifiedParty: doctor}, DefaultFreshness, now); refusal.Outer(err) != tried.reason {
			t.Errorf("%s: %v, not %s", name, err, tried.reason)
		}
	}
	for life, reason := range map[time.Duration]refusal.Reason{
		-time.Hour: refusal.GrantInvalid, 0: refusal.GrantInvalid, MostGrantLife: "", MostGrantLife + time.Millisecond: refusal.GrantInvalid,
	} {
		terms := DefaultTerms()
		terms.Life = life
		party := &Party{VerifiedParty: patient, Signer: key}
		if _, err := MakeGrant(party, &Peer{VerifiedParty: doctor}, terms, now, curve.SystemEntropy); refusal.Outer(err) != reason {
			t.Errorf("%s: %v, not %s", life, err, reason)
		}
	}
}
