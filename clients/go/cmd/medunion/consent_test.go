package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"medunion.example/clients/go/access"
	"medunion.example/clients/go/client"
	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/protocol"
	"medunion.example/clients/go/refusal"
)

// seen is a doctor on duty in these departments of H:alpha.
func seen(classes ...string) *client.RoomView {
	return &client.RoomView{
		Doctor: &protocol.Peer{VerifiedParty: &protocol.VerifiedParty{Identity: "D:chen", AuthorityID: "M:chamber"}},
		Duty:   &access.Duty{HospitalID: "H:alpha", DepartmentClasses: classes, Validity: access.Validity{NotAfter: 1_800_000_000_000}},
	}
}

func offered(t *testing.T, room *client.RoomView, words ...string) (*client.Offer, error) {
	t.Helper()
	given := newArguments("patient visit")
	asked := askedOf(given)
	if err := given.with(words).read(0, append(consentOptions, "directory", "pin-file")...); err != nil {
		t.Fatal(err)
	}
	return asked.offer(room)
}

func TestConsentIsTheNarrowestThatWasAskedFor(t *testing.T) {
	doctor := access.ToDoctor{DoctorID: "D:chen", AuthorityID: "M:chamber"}
	for words, expected := range map[string]struct {
		grantee                        access.Grantee
		rights, hospitals, departments string
		life                           time.Duration
	}{
		"":            {doctor, "WRITE", "H:alpha", "cardiology", access.DoctorsLife},
		"--read here": {doctor, "INDEX READ WRITE", "H:alpha", "*", access.DoctorsLife},
		"--read H:beta --read here --read H:beta":        {doctor, "INDEX READ WRITE", "H:alpha H:beta", "*", access.DoctorsLife},
		"--read everywhere --no-keep":                    {doctor, "INDEX READ", "*", "*", access.DoctorsLife},
		"--read H:beta --no-keep --department neurology": {doctor, "INDEX READ", "H:beta", "neurology", access.DoctorsLife},
		"--for department":                               {access.ToDepartment{HospitalID: "H:alpha", DepartmentClass: "cardiology"}, "WRITE", "H:alpha", "cardiology", access.DepartmentsLife},
		"--for department:neurology":                     {access.ToDepartment{HospitalID: "H:alpha", DepartmentClass: "neurology"}, "WRITE", "H:alpha", "cardiology", access.DepartmentsLife},
		"--for hospital":                                 {access.ToHospital{HospitalID: "H:alpha"}, "WRITE", "H:alpha", "cardiology", access.HospitalsLife},
		"--for hospital --hours 0.5":                     {access.ToHospital{HospitalID: "H:alpha"}, "WRITE", "H:alpha", "cardiology", 30 * time.Minute},
	} {
		offer, err := offered(t, seen("cardiology"), strings.Fields(words)...)
		if err != nil {
			t.Errorf("%q: %v", words, err)
			continue
		}
		var rights []string
		for _, right := range offer.Terms.Rights {
			rights = append(rights, strings.TrimPrefix(right.String(), "RIGHT_"))
		}
		terms := offer.Terms
		got := []string{strings.Join(rights, " "), strings.Join(terms.Hospitals, " "), strings.Join(terms.DepartmentClasses, " ")}
		if offer.Grantee != expected.grantee || !slices.Equal(got, []string{expected.rights, expected.hospitals, expected.departments}) ||
			terms.Life != expected.life || terms.HighestSensitivity != pb.Sensitivity_SENSITIVITY_NORMAL {
			t.Errorf("%q: %v for %s to %v", words, got, terms.Life, offer.Grantee)
		}
	}
	if offer, err := offered(t, seen("cardiology"), "--no-keep", "--restricted"); offer != nil || err != nil {
		t.Errorf("nothing: %v, %v", offer, err)
	}
	if offer, err := offered(t, seen(), "--restricted"); err != nil || offer.Terms.HighestSensitivity != pb.Sensitivity_SENSITIVITY_RESTRICTED ||
		!slices.Equal(offer.Terms.DepartmentClasses, []string{"*"}) {
		t.Errorf("restricted: %v, %v", offer, err)
	}
	for _, room := range []*client.RoomView{seen(), seen("cardiology", "neurology")} {
		if _, err := offered(t, room, "--for", "department"); !refusal.Is(err, refusal.DutyInvalid) {
			t.Errorf("a department of %v: %v", room.Duty.DepartmentClasses, err)
		}
	}
}

func TestConsentIsForDepartmentsThatThereAre(t *testing.T) {
	anchors := &protocol.Anchors{DepartmentClasses: []string{"cardiology"}}
	for _, tried := range []struct {
		asked  asked
		reason refusal.Reason
	}{
		{asked{}, ""},
		{asked{class: "cardiology", departments: []string{"cardiology"}}, ""},
		{asked{class: "neurology"}, refusal.FieldInvalid},
		{asked{departments: []string{"cardiology", "neurology"}}, refusal.FieldInvalid},
	} {
		if err := tried.asked.requirePublished(anchors); refusal.Outer(err) != tried.reason {
			t.Errorf("%v: %v", tried.asked, err)
		}
	}
}

func TestConsentIsSaidInWords(t *testing.T) {
	index, read, write := pb.Right_RIGHT_INDEX, pb.Right_RIGHT_READ, pb.Right_RIGHT_WRITE
	for _, tried := range []struct {
		grant access.Grant
		lines []string
	}{
		{
			access.Grant{
				Grantee: access.ToDoctor{DoctorID: "D:chen", AuthorityID: "M:chamber"}, Rights: []pb.Right{index, read, write},
				Hospitals: []string{"*"}, DepartmentClasses: []string{"*"}, HighestSensitivity: pb.Sensitivity_SENSITIVITY_RESTRICTED,
			},
			[]string{
				"For D:chen (certified by M:chamber), until ", "  - Keep the record of a visit at every hospital, in every department.",
				"  - Find and read your records at every hospital, of every department, restricted ones too.",
			},
		},
		{
			access.Grant{
				Grantee: access.ToDepartment{HospitalID: "H:alpha", DepartmentClass: "cardiology"}, Rights: []pb.Right{read},
				Hospitals: []string{"H:alpha", "H:beta", "H:gamma"}, DepartmentClasses: []string{"cardiology", "neurology"},
			},
			[]string{
				"For every doctor on duty in cardiology at H:alpha, until ",
				"  - Read your records at H:alpha, H:beta and H:gamma, of cardiology and neurology.",
			},
		},
		{
			access.Grant{Grantee: access.ToHospital{HospitalID: "H:alpha"}, Rights: []pb.Right{index}},
			[]string{"For every doctor on duty at H:alpha, until ", "  - See at which hospitals your records of no department are, and read none."},
		},
		{access.Grant{}, []string{"For nobody that is known here, until ", "  - Nothing."}},
	} {
		said := grantWords(&tried.grant, "your")
		if !strings.HasPrefix(said[0], tried.lines[0]) || !slices.Equal(said[1:], tried.lines[1:]) {
			t.Errorf("said is %q", said)
		}
	}
	if said := offerWords(nil, 0); len(said) != 1 || !strings.HasPrefix(said[0], "Nothing beyond this visit") {
		t.Errorf("said is %q", said)
	}
	if said := whoWords(seen()); said[0] != "You are about to visit D:chen" || said[1] != "  certified by M:chamber" ||
		!strings.HasPrefix(said[2], "  on duty at H:alpha in no department, until 2027-01-15 ") {
		t.Errorf("said is %q", said)
	}
}

func TestNothingIsSignedWithoutAYes(t *testing.T) {
	for answer, reason := range map[string]refusal.Reason{
		"y\n": "", " YES \n": "", "yes": "", "": refusal.Declined, "\n": refusal.Declined, "n\n": refusal.Declined, "yesterday\n": refusal.Declined,
		"\ny\n": refusal.Declined,
	} {
		if err := confirm(strings.NewReader(answer), "?"); refusal.Outer(err) != reason {
			t.Errorf("%q: %v", answer, err)
		}
	}
	file, err := os.Create(filepath.Join(t.TempDir(), "answers"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if isAnswered(file) {
		t.Error("a file answers")
	}
}
