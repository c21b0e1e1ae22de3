package protocol

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"medunion.example/clients/go/access"
	"medunion.example/clients/go/curve"
	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/internal/revoked"
	"medunion.example/clients/go/internal/vectors"
	"medunion.example/clients/go/keys"
	"medunion.example/clients/go/refusal"
	"medunion.example/clients/go/transcript"
)

// wide is what the patient of the vectors consents to.
var wide = Terms{
	Hospitals:         []string{access.Any},
	DepartmentClasses: []string{access.Any},
	Rights:            []pb.Right{pb.Right_RIGHT_INDEX, pb.Right_RIGHT_READ, pb.Right_RIGHT_WRITE},
	Purpose:           "consultation",
	Life:              access.DoctorsLife,
}

// duty is what the doctor of the vectors shows of its hospital's roster.
func (w *world) duty(t *testing.T) *pb.ShownDuty {
	return &pb.ShownDuty{Duty: statementVector(t, "duty"), KeyStatement: statementVector(t, "ks of the hospital")}
}

func byMandate(t *testing.T) *pb.Deputyship {
	return &pb.Deputyship{
		By: &pb.Deputyship_Mandate{Mandate: statementVector(t, "mandate")}, KeyStatement: statementVector(t, "ks of the patient"),
	}
}

func byGuardianship(t *testing.T) *pb.Deputyship {
	return &pb.Deputyship{
		By: &pb.Deputyship_Guardianship{Guardianship: statementVector(t, "guardian")}, KeyStatement: statementVector(t, "ks of the hospital"),
	}
}

// shownByName gives each kind of access that the vectors have, by its name there.
func shownByName(t *testing.T, w *world) map[string]*pb.Access {
	t.Helper()
	consent := func(grant string, deputyship *pb.Deputyship, duty *pb.ShownDuty) *pb.Access {
		return &pb.Access{Ground: &pb.Access_Consent{Consent: &pb.Consent{
			Grant: statementVector(t, grant), KeyStatement: statementVector(t, "ks of the patient"), Deputyship: deputyship, Duty: duty,
		}}}
	}
	emergency := func(second *pb.SecondClinician) *pb.Access {
		return &pb.Access{Ground: &pb.Access_Emergency{Emergency: &pb.DeclaredEmergency{
			Emergency: statementVector(t, "bg"), Second: second, Duty: w.duty(t),
		}}}
	}
	doctor := w.Parties["doctor"]
	signature, err := keys.Sign(doctor.signer(t), transcript.T("bg-second", statementVector(t, "bg").GetStatement()))
	if err != nil {
		t.Fatal(err)
	}
	return map[string]*pb.Access{
		"a consent for a doctor":                       consent("grant", nil, nil),
		"a consent for a department, on duty":          consent("grant for a department", nil, w.duty(t)),
		"a guardian's consent for a hospital, on duty": consent("grant for a hospital, by a guardian", byGuardianship(t), w.duty(t)),
		"one's own":              ByOwnRight("P:wang").Access,
		"a deputy's":             {Ground: &pb.Access_Own{Own: &pb.OwnAccess{Deputyship: byMandate(t)}}},
		"an emergency":           emergency(nil),
		"an emergency, seconded": emergency(&pb.SecondClinician{Signature: signature, KeyStatement: statementVector(t, "ks of the doctor"), DoctorCertificate: doctor.Certificate}),
	}
}

func TestDigestsOfAccess(t *testing.T) {
	digests := map[string]hexBytes{}
	for _, vector := range vectors.Read[struct {
		Name  string
		Value hexBytes
	}](t, "derived.json") {
		if strings.HasPrefix(vector.Name, "H(access): ") || strings.HasPrefix(vector.Name, "Hs(access): ") {
			digests[vector.Name] = vector.Value
		}
	}
	shown := shownByName(t, newWorld(t))
	for name, each := range shown {
		equal(t, "H(access): "+name, Shown{Access: each}.digest(), digests["H(access): "+name])
		equal(t, "Hs(access): "+name, Shown{Access: each}.signedDigest(), digests["Hs(access): "+name])
	}
	if len(digests) != 2*len(shown) {
		t.Errorf("%d digests of %d", len(digests), len(shown))
	}
	if none := (Shown{PatientID: "P:wang"}); none.digest() != nil || none.signedDigest() != nil || none.grantDigest() != nil {
		t.Error("nothing has a digest")
	}
}

func TestEntriesOfTheRevocationList(t *testing.T) {
	const before = 1_000
	id := make([]byte, 16)
	set := revoked.Of(statementEntry("grant", "P:wang", id), statementEntry("duty", "H:alpha", id)).With(sweepEntry("P:wang"), before)
	lists := Lists{listed: set}
	by := func(kind string, statedAt Instant) *access.Deputyship {
		return &access.Deputyship{Kind: kind, StatedBy: "H:alpha", PatientID: "P:wang", StatedAt: statedAt}
	}
	is := func(isRevoked bool, err error) bool { return isRevoked && err == nil }
	isNot := func(isRevoked bool, err error) bool { return !isRevoked && err == nil }
	swept := func(patientID string) Instant {
		moment, err := lists.sweptBefore(patientID)
		if err != nil {
			t.Error(err)
		}
		return moment
	}
	for name, found := range map[string]bool{
		"the grant":                    is(lists.isRevoked("grant", "P:wang", id)),
		"the duty":                     is(lists.isRevoked("duty", "H:alpha", id)),
		"a grant of before":            is(lists.HasTakenBack(&access.Grant{PatientID: "P:wang", StatedAt: before - 1})),
		"a mandate of before":          is(lists.hasEnded(by(access.Mandate, before-1))),
		"the moment":                   swept("P:wang") == before,
		"no other kind":                isNot(lists.isRevoked("mandate", "P:wang", id)),
		"nobody else's":                isNot(lists.isRevoked("grant", "P:other", id)),
		"nothing else":                 isNot(lists.isRevoked("grant", "P:wang", make([]byte, 15))),
		"a grant of the time":          isNot(lists.HasTakenBack(&access.Grant{PatientID: "P:wang", StatedAt: before})),
		"a mandate of the time":        isNot(lists.hasEnded(by(access.Mandate, before))),
		"what a hospital's desk signs": isNot(lists.hasEnded(by(access.Guardianship, before-1))),
		"no other patient's":           swept("P:other") == 0,
	} {
		if !found {
			t.Errorf("the list is wrong on %s", name)
		}
	}
}

func TestNothingAtHandIsNo(t *testing.T) {
	grant := &access.Grant{PatientID: "P:wang", ID: make([]byte, 16)}
	if _, err := (Lists{}).HasTakenBack(grant); !refusal.Is(err, refusal.RevocationShardMissing) {
		t.Errorf("a grant: %v", err)
	}
	if err := (Lists{listed: Shards{}}).requireSerialGood(make([]byte, 16)); !refusal.Is(err, refusal.RevocationShardMissing) {
		t.Errorf("a serial: %v", err)
	}
	if err := (Lists{}).requireKeyGood(make([]byte, 16)); !refusal.Is(err, refusal.RevocationShardMissing) {
		t.Errorf("a key: %v", err)
	}
}

func statementEntry(kind, ownerID string, id []byte) []byte {
	return transcript.Digest(transcript.T("revoked", []byte(kind), []byte(ownerID), id))
}

func sweepEntry(patientID string) []byte {
	return transcript.Digest(transcript.T("sweep", []byte(patientID)))
}

// checkGrants makes what the patient of the vectors signs beside the visit's grant: for a department, as a guardian, and a mandate.
func checkGrants(t *testing.T, w *world) {
	t.Helper()
	patient, hospital := w.party["patient"], w.Parties["hospital"].Identity
	department, err := MakeGrant(patient, access.ToDepartment{HospitalID: hospital, DepartmentClass: class}, wide, nil, w.Now, w.draws("grant-department"))
	if err != nil {
		t.Fatal(err)
	}
	asGuardian, err := MakeGrant(patient, access.ToHospital{HospitalID: hospital}, wide, byGuardianship(t), w.Now, w.draws("grant-hospital"))
	if err != nil {
		t.Fatal(err)
	}
	powers := []pb.Power{pb.Power_POWER_GRANT, pb.Power_POWER_REVOKE, pb.Power_POWER_READ}
	mandate, err := MakeMandate(patient, "P:li", powers, 24*time.Hour, w.Now, w.draws("mandate"))
	if err != nil {
		t.Fatal(err)
	}
	for name, signed := range map[string]*pb.SignedStatement{
		"grant for a department": department, "grant for a hospital, by a guardian": asGuardian, "mandate": mandate,
	} {
		equal(t, name, signed.GetStatement(), statementVector(t, name).GetStatement())
		equal(t, name+" signed", signed.GetSignature(), statementVector(t, name).GetSignature())
	}
}

// TestConsentIsVerifiedAndDecided has the doctor of the vectors decide on each consent of theirs.
func TestConsentIsVerifiedAndDecided(t *testing.T) {
	w := newWorld(t)
	doctor := asker(t, w)
	for name, patientID := range map[string]string{
		"a consent for a doctor": "P:wang", "a consent for a department, on duty": "P:wang", "a guardian's consent for a hospital, on duty": "P:child",
	} {
		shown := Shown{patientID, shownByName(t, w)[name]}
		question := access.Question{Asker: askerOf(doctor), Right: pb.Right_RIGHT_READ, PatientID: patientID}
		consent, err := shown.decide(doctor, question, w.verifier, w.Now)
		if err != nil || consent.Grant.PatientID != patientID || (consent.Deputyship != nil) != (patientID == "P:child") {
			t.Errorf("%s: %v, %v", name, consent, err)
		}
		for kind, revokedKind := range map[refusal.Reason]string{
			refusal.GrantRevoked: "grant", refusal.DeputyRevoked: "guardian", refusal.DutyRevoked: "duty",
		} {
			verifier, expected := w.verifier, kind
			if revokedKind == "guardian" && consent.Deputyship == nil || revokedKind == "duty" && consent.Duty == nil {
				expected = ""
			}
			verifier.Lists.listed = takenBack(w, consent, revokedKind)
			if _, err := shown.decide(doctor, question, verifier, w.Now); refusal.Outer(err) != expected {
				t.Errorf("%s, its %s revoked: %v, not %s", name, revokedKind, err, expected)
			}
		}
	}
	verifier := w.verifier
	verifier.Lists.listed = w.revoked.With(sweepEntry("P:wang"), w.Now+1)
	shown := Shown{"P:wang", shownByName(t, w)["a consent for a doctor"]}
	question := access.Question{Asker: askerOf(doctor), Right: access.NoRight, PatientID: "P:wang"}
	if _, err := shown.decide(doctor, question, verifier, w.Now); !refusal.Is(err, refusal.GrantRevoked) {
		t.Errorf("after everything was taken back: %v", err)
	}
}

func takenBack(w *world, consent access.Consent, kind string) revoked.Set {
	owner, id := consent.Grant.PatientID, consent.Grant.ID
	switch {
	case kind == "guardian" && consent.Deputyship != nil:
		owner, id = consent.Deputyship.StatedBy, consent.Deputyship.ID
	case kind == "duty" && consent.Duty != nil:
		owner, id = consent.Duty.HospitalID, consent.Duty.ID
	}
	return w.revoked.With(statementEntry(kind, owner, id), 0)
}

// asker gives the doctor of the vectors as others verify it.
func asker(t *testing.T, w *world) *VerifiedParty {
	t.Helper()
	doctor, err := w.verifier.Doctor(statementVector(t, "ks of the doctor"), w.Parties["doctor"].Certificate, w.Now)
	if err != nil {
		t.Fatal(err)
	}
	if doctor.AuthorityID != "M:chamber" || w.verifier.Anchors.AuthorityOf(w.Parties["doctor"].Certificate) != "M:chamber" {
		t.Fatalf("the authority is %q", doctor.AuthorityID)
	}
	return doctor
}

// TestRefusalsOfWhatIsShown decides, as the cloud does, on what every bent D2 shows.
func TestRefusalsOfWhatIsShown(t *testing.T) {
	w, tried := newWorld(t), 0
	doctor, vector := asker(t, w), w.messages["D2"]
	for _, bent := range w.refusals["D2"] {
		about, _, _ := strings.Cut(bent.Expect, "_")
		if about != "GRANT" && about != "DUTY" {
			continue
		}
		tried++
		message, d2 := bend(t, vector, bent), &pb.SearchQuery{}
		if _, err := openPayload(d2, sealedIn(message), w.keyOf(t, vector.Seal.KeyID), vector.Seal.context()); err != nil {
			t.Errorf("%s: %v", bent.Name, err)
			continue
		}
		question := access.Question{Asker: askerOf(doctor), Right: d2.GetRight(), PatientID: d2.GetPatientId()}
		if _, err := (Shown{d2.GetPatientId(), d2.GetAccess()}).decide(doctor, question, w.verifier, w.Now); string(refusal.Outer(err)) != bent.Expect {
			t.Errorf("%s: %v, not %s", bent.Name, err, bent.Expect)
		}
	}
	if tried == 0 {
		t.Error("nothing was tried")
	}
}

func TestDeputyshipIsVerified(t *testing.T) {
	w := newWorld(t)
	mandate, guardianship := byMandate(t), byGuardianship(t)
	forged, crossed := proto.CloneOf(mandate), proto.CloneOf(guardianship)
	forged.GetMandate().Signature[0] ^= 1
	crossed.KeyStatement = statementVector(t, "ks of the patient")
	for name, tried := range map[string]struct {
		shown  *pb.Deputyship
		deputy string
		reason refusal.Reason
	}{
		"a mandate":                        {mandate, "P:li", ""},
		"a guardianship":                   {guardianship, "P:wang", ""},
		"a forged mandate":                 {forged, "", refusal.DeputyInvalid},
		"a guardianship beside a KS_P":     {crossed, "", refusal.CredentialInvalid},
		"neither, which nobody has signed": {&pb.Deputyship{KeyStatement: mandate.GetKeyStatement()}, "", refusal.DeputyInvalid},
	} {
		says, err := w.verifier.openDeputyship(tried.shown, w.Now)
		if refusal.Outer(err) != tried.reason || err == nil && says.DeputyID != tried.deputy {
			t.Errorf("%s: %v, %v", name, says, err)
		}
	}
	if says, err := PeekDeputyship(mandate); err != nil || says.PatientID != "P:wang" || says.Kind != access.Mandate {
		t.Errorf("%v, %v", says, err)
	}
	if _, err := PeekDeputyship(&pb.Deputyship{}); !refusal.Is(err, refusal.DeputyInvalid) {
		t.Errorf("neither: %v", err)
	}
	shown := &pb.Consent{Grant: statementVector(t, "grant"), KeyStatement: mandate.GetKeyStatement(), Deputyship: &pb.Deputyship{}}
	patient, err := w.verifier.Party(shown.GetKeyStatement(), pb.Role_ROLE_PATIENT, w.Now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := openGrant(shown, patient); !refusal.Is(err, refusal.DeputyInvalid) {
		t.Errorf("a grant by neither: %v", err)
	}
}

// checkDuties checks what a room's relay says of its doctor's duty, and asks a hospital for one.
func checkDuties(t *testing.T, w *world, doctor *Peer) {
	t.Helper()
	hospital, other := w.Parties["hospital"].Identity, w.party["patient"].VerifiedParty
	duty, err := CheckDuty(w.duty(t), doctor.VerifiedParty, hospital, w.verifier, w.Now)
	if err != nil || duty.HospitalID != hospital || len(duty.DepartmentClasses) != 1 || duty.DepartmentClasses[0] != class {
		t.Errorf("the duty: %v, %v", duty, err)
	}
	fallen := w.verifier
	fallen.Lists.listed = takenBack(w, access.Consent{Duty: duty}, "duty")
	forged, unsigned := w.duty(t), w.duty(t)
	forged.Duty.Signature[0] ^= 1
	unsigned.KeyStatement = nil
	for name, tried := range map[string]struct {
		shown      *pb.ShownDuty
		doctor     *VerifiedParty
		hospitalID string
		verifier   Verifier
		now        Instant
		reason     refusal.Reason
	}{
		"that is over":         {w.duty(t), doctor.VerifiedParty, hospital, w.verifier, duty.Validity.NotAfter, refusal.RevocationListStale},
		"taken back":           {w.duty(t), doctor.VerifiedParty, hospital, fallen, w.Now, refusal.DutyRevoked},
		"at another hospital":  {w.duty(t), doctor.VerifiedParty, "H:other", w.verifier, w.Now, refusal.DutyInvalid},
		"for somebody's key":   {w.duty(t), other, hospital, w.verifier, w.Now, refusal.DutyInvalid},
		"forged":               {forged, doctor.VerifiedParty, hospital, w.verifier, w.Now, refusal.DutyInvalid},
		"without KS_HPC":       {unsigned, doctor.VerifiedParty, hospital, w.verifier, w.Now, refusal.MissingField},
		"none":                 {nil, doctor.VerifiedParty, hospital, w.verifier, w.Now, refusal.MissingField},
		"of a patient's KS":    {&pb.ShownDuty{Duty: w.duty(t).Duty, KeyStatement: other.KeyStatement}, doctor.VerifiedParty, hospital, w.verifier, w.Now, refusal.CredentialInvalid},
		"of the doctor's word": {&pb.ShownDuty{Duty: statementVector(t, "grant"), KeyStatement: w.duty(t).KeyStatement}, doctor.VerifiedParty, hospital, w.verifier, w.Now, refusal.DutyInvalid},
	} {
		if _, err := CheckDuty(tried.shown, tried.doctor, tried.hospitalID, tried.verifier, tried.now); refusal.Outer(err) != tried.reason {
			t.Errorf("a duty %s: %v, not %s", name, err, tried.reason)
		}
	}
	request, err := AskForDuty(w.party["doctor"], hospital, w.Now, w.draws("duty-ask"))
	if err != nil {
		t.Fatal(err)
	}
	made(t, w, "duty-ask", request)
}

// requireNamed requires the list in the cloud's answer to name what was taken back.
func requireNamed(t *testing.T, w *world, awaiting *AwaitingRevoked, taken Revocation) {
	t.Helper()
	answer := func(set revoked.Set, entries ...[]byte) *pb.RevokeResponse {
		head := proto.CloneOf(w.verifier.Lists.head)
		head.Root = set.Root()
		signed, err := SignStatement("rl", head, prkC(t, w))
		if err != nil {
			t.Fatal(err)
		}
		prefixes := map[uint32]bool{}
		for _, entry := range entries {
			prefixes[PrefixOf(entry)] = true
		}
		return &pb.RevokeResponse{Revocations: set.Excerpt(signed, slices.Collect(maps.Keys(prefixes))...)}
	}
	named, entries := w.revoked, [][]byte(nil)
	for _, one := range taken.Statements {
		id, err := statementID(one)
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, statementEntry("grant", taken.OwnerID, id))
		named = named.With(entries[len(entries)-1], 0)
	}
	if taken.Before != 0 {
		entries = append(entries, sweepEntry(taken.OwnerID))
		named = named.With(entries[len(entries)-1], taken.Before)
	}
	forged, bent := answer(named, entries...), answer(named, entries...)
	forged.Revocations.Head.Signature[0] ^= 1
	bent.Revocations.Shards[0].Path[3][0] ^= 1
	for name, tried := range map[string]struct {
		answer *pb.RevokeResponse
		reason refusal.Reason
	}{
		"that names it":                 {answer(named, entries...), ""},
		"without it":                    {answer(w.revoked, entries...), refusal.AnswerMismatch},
		"that does not show it":         {answer(named), refusal.AnswerMismatch},
		"forged":                        {forged, refusal.SignatureInvalid},
		"with a shard that is not it's": {bent, refusal.RevocationShardInvalid},
	} {
		if err := awaiting.Receive(tried.answer, w.verifier.Anchors); refusal.Outer(err) != tried.reason {
			t.Errorf("a list %s: %v, not %s", name, err, tried.reason)
		}
	}
	if taken.Before != 0 {
		earlier := answer(named.With(sweepEntry(taken.OwnerID), taken.Before-1), entries...)
		if err := awaiting.Receive(earlier, w.verifier.Anchors); !refusal.Is(err, refusal.AnswerMismatch) {
			t.Errorf("an earlier sweep: %v", err)
		}
	}
}

func TestRevocationByADeputyIsSignedWithIt(t *testing.T) {
	rev := &pb.Revocation{OwnerId: proto.String("P:child"), KeyStatement: statementVector(t, "ks of the patient"), Before: proto.Uint64(7)}
	alone := revocationTranscript(rev, "C:union")
	rev.Deputyship = byGuardianship(t)
	guardian := statementVector(t, "guardian")
	covered := transcript.T("rev", []byte("P:child"), transcript.List(), transcript.U64(7),
		transcript.Digest(transcript.T("signed", []byte("guardian"), guardian.GetStatement(), guardian.GetSignature())),
		rev.GetKeyStatement().GetStatement(), nil, transcript.U64(0), []byte("C:union"))
	equal(t, "rev by a guardian", revocationTranscript(rev, "C:union"), covered)
	if string(alone) == string(covered) {
		t.Error("the deputyship is not covered")
	}
}

func TestStatementsLiveAsLongAsTheyMay(t *testing.T) {
	const now = Instant(1_800_000_000_000)
	party := &Party{VerifiedParty: &VerifiedParty{Identity: "P:wang", Serial: make([]byte, 16)}, Signer: newKey(t)}
	grantee := access.ToHospital{HospitalID: "H:alpha"}
	for life, reason := range map[time.Duration]refusal.Reason{
		-time.Hour: refusal.GrantInvalid, 0: refusal.GrantInvalid, access.LongestGrant: "", access.LongestGrant + time.Millisecond: refusal.GrantInvalid,
	} {
		terms := wide
		terms.Life = life
		if _, err := MakeGrant(party, grantee, terms, nil, now, curve.SystemEntropy); refusal.Outer(err) != reason {
			t.Errorf("a grant of %s: %v, not %s", life, err, reason)
		}
	}
	for life, reason := range map[time.Duration]refusal.Reason{
		0: refusal.DeputyInvalid, access.LongestMandate: "", access.LongestMandate + time.Millisecond: refusal.DeputyInvalid,
	} {
		if _, err := MakeMandate(party, "P:li", nil, life, now, curve.SystemEntropy); refusal.Outer(err) != reason {
			t.Errorf("a mandate of %s: %v, not %s", life, err, reason)
		}
	}
	terms := Terms{Life: time.Hour}
	signed, err := MakeGrant(party, grantee, terms, nil, now, curve.SystemEntropy)
	if err != nil {
		t.Fatal(err)
	}
	says, err := PeekGrant(signed)
	if err != nil || len(says.Hospitals)+len(says.DepartmentClasses)+len(says.Rights) > 0 || says.HighestSensitivity != pb.Sensitivity_SENSITIVITY_NORMAL {
		t.Errorf("terms that say nothing give %v: %v", says, err)
	}
}

// visiting is a patient of the vectors to whom the doctor has proved itself, and the doctor who waits for P2.
func visiting(t *testing.T, w *world) (*Established, *AwaitingBiosignal) {
	t.Helper()
	patient, doctor := w.party["patient"], w.party["doctor"]
	key, err := w.verifier.EncryptionKey(doctor.EncryptionKey, doctor.VerifiedParty, w.Now)
	if err != nil {
		t.Fatal(err)
	}
	awaiting, opening, err := BeginConsultation(patient, &Peer{doctor.VerifiedParty, key, doctor.Certificate}, w.Parties["patient"].Evidence, w.Now, curve.SystemEntropy)
	if err != nil {
		t.Fatal(err)
	}
	pending, err := ReceiveOpening(doctor, opening, w.verifier, w.Now)
	if err != nil {
		t.Fatal(err)
	}
	received, err := pending.Admit(true)
	if err != nil {
		t.Fatal(err)
	}
	waiting, reply, err := received.Reply(w.Now, curve.SystemEntropy)
	if err != nil {
		t.Fatal(err)
	}
	established, err := awaiting.Receive(reply, w.verifier, w.Now)
	if err != nil {
		t.Fatal(err)
	}
	return established, waiting
}

// checkVisits has the patient of the vectors come for itself and as a guardian, and show what is not its to show.
func checkVisits(t *testing.T, w *world) {
	t.Helper()
	patient := w.party["patient"]
	grantee := access.ToHospital{HospitalID: w.Parties["hospital"].Identity}
	granted := func(deputyship *pb.Deputyship) *pb.Consent {
		grant, err := MakeGrant(patient, grantee, wide, deputyship, w.Now, curve.SystemEntropy)
		if err != nil {
			t.Fatal(err)
		}
		return &pb.Consent{Grant: grant, KeyStatement: patient.KeyStatement, Deputyship: deputyship}
	}
	own, asGuardian := granted(nil), granted(byGuardianship(t))
	others, forged, asDeputy := proto.CloneOf(own), proto.CloneOf(own), proto.CloneOf(asGuardian)
	others.KeyStatement = statementVector(t, "ks of the doctor")
	forged.Grant.Signature[0] ^= 1
	asDeputy.Deputyship = byMandate(t)
	for name, tried := range map[string]struct {
		patientID string
		consent   *pb.Consent
		duty      *pb.ShownDuty
		reason    refusal.Reason
	}{
		"for itself":                        {"P:wang", own, w.duty(t), ""},
		"without a consent":                 {"P:wang", nil, w.duty(t), ""},
		"as a guardian":                     {"P:child", asGuardian, w.duty(t), ""},
		"as a guardian, in its own name":    {"P:wang", asGuardian, w.duty(t), refusal.GrantInvalid},
		"as another's guardian":             {"P:other", asGuardian, w.duty(t), refusal.GrantInvalid},
		"for another, without a deputyship": {"P:other", own, w.duty(t), refusal.IdentityMismatch},
		"for another, without a consent":    {"P:other", nil, w.duty(t), refusal.IdentityMismatch},
		"by another deputyship":             {"P:child", asDeputy, w.duty(t), refusal.GrantInvalid},
		"with another's consent":            {"P:wang", others, w.duty(t), refusal.IdentityMismatch},
		"with a forged consent":             {"P:wang", forged, w.duty(t), refusal.GrantInvalid},
		"to a doctor who is not on duty":    {"P:wang", own, nil, refusal.DutyMissing},
	} {
		established, waiting := visiting(t, w)
		_, frames, err := established.Deliver(biosignal, ByConsent(tried.patientID, tried.consent, nil), w.Now)
		if err != nil {
			t.Fatal(err)
		}
		var present *InConsultation
		for frame, made := range frames {
			if made != nil {
				t.Fatal(made)
			}
			var next *AwaitingBiosignal
			if next, present, err = waiting.Receive(frame, tried.duty, w.verifier, w.Now); next != nil {
				waiting = next
			}
		}
		if refusal.Precise(err) != tried.reason || tried.reason != "" && refusal.Outer(err) != refusal.Rejected {
			t.Errorf("who comes %s: %v, not %s", name, err, tried.reason)
		}
		if err == nil && (present.Shown.PatientID != tried.patientID || (present.Grant == nil) != (tried.consent == nil)) {
			t.Errorf("who comes %s comes for %s", name, present.Shown.PatientID)
		}
	}
}

// checkDutyOfNow has a deposit that was refused for its duty show the one of now: another c_P, and all else the same.
func checkDutyOfNow(t *testing.T, prepared *Deposit) {
	t.Helper()
	shown := prepared.Message.GetAccess()
	before, other := prepared.Intent().commitment(), proto.CloneOf(shown.GetConsent().GetDuty())
	other.Duty.Statement = append(other.Duty.Statement, 0)
	prepared.Show(other)
	if bytes.Equal(prepared.Intent().commitment(), before) || !proto.Equal(prepared.Message.GetAccess().GetConsent().GetDuty(), other) {
		t.Error("another duty is shown as the one before")
	}
	prepared.Show(shown.GetConsent().GetDuty())
	equal(t, "c_P of the same duty", prepared.Intent().commitment(), before)
}
