package protocol

import (
	"bytes"
	"fmt"
	"iter"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"medunion.example/clients/go/access"
	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/keys"
	"medunion.example/clients/go/refusal"
)

// What the patient and the doctor of the vectors say beside the messages.
var (
	biosignal = bytes.Repeat([]byte("ecg "), 30)
	diagnosis = []byte(`{"resourceType": "DiagnosticReport"}`)
	amended   = []byte(`{"resourceType": "DiagnosticReport", "status": "amended"}`)
)

const (
	class      = "cardiology"
	mostRecord = 1 << 30
)

// TestRun takes the vectors through the real steps of a patient and a doctor, in order: what they receive is the recorded message, tried
// first in every form that must be refused; what they make has to be the recorded plaintext and signature.
func TestRun(t *testing.T) {
	run(t, func(t *testing.T) keys.Store {
		store, err := keys.CreateFile(t.TempDir()+"/keys", "a PIN")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { store.Close() })
		return store
	})
}

// run is the run of parties whose S_X and P-256 half of the epoch lie in stores of this kind.
func run(t *testing.T, store func(*testing.T) keys.Store) {
	t.Helper()
	w := newWorld(t)
	w.store = store
	w.party["patient"], w.party["doctor"] = register(t, w, "patient", pb.Role_ROLE_PATIENT), register(t, w, "doctor", pb.Role_ROLE_DOCTOR)
	checkRoomRequest(t, w)
	waiting, present := consult(t, w)
	location := search(t, w, w.party["doctor"], present.Shown, "")
	recordSignature := readRecord(t, w, w.party["doctor"], present.Shown, location, "")
	goOn(t, w, present.Shown, location)
	first, second := diagnose(t, w, waiting, present, recordSignature)
	checkCloseRequest(t, w)
	deposit(t, w, first, location.Hospital, "")
	deposit(t, w, second, location.Hospital, "-amended")
	readOwn(t, w)
	addDocument(t, w, location.Hospital)
	takeBack(t, w)
	checkRenewal(t, w)
	checkVisits(t, w)
	requireAllTried(t, w)
}

// receive tries every refusal of a message, then takes the message itself.
func receive[M proto.Message, S any](t *testing.T, w *world, name string, step func(message M, now Instant, admitted bool) (S, error)) S {
	t.Helper()
	vector, found := w.messages[name]
	if !found {
		t.Fatalf("there is no vector %s", name)
	}
	for _, bent := range w.refusals[name] {
		_, err := step(bend(t, vector, bent).(M), bent.Now, !bent.Replayed)
		if string(refusal.Precise(err)) != bent.Expect || string(refusal.Outer(err)) != bent.Wire {
			t.Errorf("%s: %v, not %s told as %s", bent.Name, err, bent.Expect, bent.Wire)
		}
		w.tried[bent.Name] = true
	}
	for bit := 0; bit < 8*len(vector.Message); bit += 1 + len(vector.Message)/12 {
		requireAltered(t, name, vector, bit, func(message proto.Message) error {
			_, err := step(message.(M), w.Now, true)
			return err
		})
	}
	message := newMessage(t, vector.MessageType).(M)
	if err := proto.Unmarshal(vector.Message, message); err != nil {
		t.Fatal(err)
	}
	next, err := step(message, w.Now, true)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	w.tried[name] = true
	return next
}

// requireDecidedAnew requires a session's last frame to be refused when its sender was revoked since the session began.
func requireDecidedAnew(t *testing.T, w *world, name string, sender *VerifiedParty, step func(*pb.SessionFrame, Verifier) error) {
	t.Helper()
	frame, verifier := &pb.SessionFrame{}, w.verifier
	if err := proto.Unmarshal(w.messages[name].Message, frame); err != nil {
		t.Fatal(err)
	}
	verifier.Lists.listed = w.revoked.With(SerialEntry(sender.Serial), 0)
	if err := step(frame, verifier); refusal.Precise(err) != refusal.CredentialRevoked || refusal.Outer(err) != refusal.Rejected {
		t.Errorf("%s of a sender who was revoked: %v", name, err)
	}
}

// requireAltered requires a message with a flipped bit to be refused, wherever the bit is, unless that spells the same message.
func requireAltered(t *testing.T, name string, vector messageVector, bit int, step func(proto.Message) error) {
	t.Helper()
	encoded, message, original := bytes.Clone(vector.Message), newMessage(t, vector.MessageType), newMessage(t, vector.MessageType)
	encoded[bit/8] ^= 1 << (bit % 8)
	if err := proto.Unmarshal(vector.Message, original); err != nil {
		t.Fatal(err)
	}
	if proto.Unmarshal(encoded, message) == nil && !proto.Equal(message, original) && step(message) == nil {
		t.Errorf("%s was taken with bit %d flipped", name, bit)
	}
}

// made requires a message of our own to be the recorded one in everything but HPKE's randomness.
func made(t *testing.T, w *world, name string, message proto.Message) {
	t.Helper()
	vector, found := w.messages[name]
	if !found {
		t.Fatalf("there is no vector %s", name)
	}
	w.tried[name] = true
	encoded, err := proto.MarshalOptions{Deterministic: true}.Marshal(message)
	if err != nil {
		t.Fatal(err)
	}
	if vector.Seal == nil {
		equal(t, name, encoded, vector.Message)
		return
	}
	recorded := newMessage(t, vector.MessageType)
	if err := proto.Unmarshal(vector.Message, recorded); err != nil {
		t.Fatal(err)
	}
	context := vector.Seal.context()
	plaintext, err := openPayload(newMessage(t, vector.PayloadType).(payload), sealedIn(message), w.keyOf(t, context.keyID), context)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	equal(t, name, plaintext, vector.Plaintext)
	if len(sealedIn(message)) != len(sealedIn(recorded)) {
		t.Errorf("%s: %d bytes sealed, not %d", name, len(sealedIn(message)), len(sealedIn(recorded)))
	}
	sealed := message.ProtoReflect().Descriptor().Fields().ByName("sealed")
	message.ProtoReflect().Set(sealed, recorded.ProtoReflect().Get(sealed))
	if !proto.Equal(message, recorded) {
		t.Errorf("%s: its clear fields are %v", name, message)
	}
}

func madeFrames(t *testing.T, w *world, name, suffix string, frames iter.Seq2[*pb.SessionFrame, error]) {
	t.Helper()
	number := 0
	for frame, err := range frames {
		if err != nil {
			t.Fatal(err)
		}
		made(t, w, fmt.Sprintf("%s-%d%s", name, number, suffix), frame)
		number++
	}
}

func register(t *testing.T, w *world, name string, role pb.Role) *Party {
	t.Helper()
	cast := w.Parties[name]
	cloud, err := w.verifier.CloudEncryptionKey(w.Cloud.EncryptionKey.signed(), w.Now)
	if err != nil {
		t.Fatal(err)
	}
	store := w.store(t)
	decryption := cast.openIn(t, store)
	applicant := Applicant{role, cast.Identity, cast.Evidence, nil, cast.signer(t), decryption, cast.EncryptionKey.signed()}
	if len(cast.Ticket) > 0 {
		applicant.Ticket = cast.Ticket
	}
	awaiting, opening, err := applicant.Apply(w.draws("reg1-"+name)(16), cloud, w.Now)
	if err != nil {
		t.Fatal(err)
	}
	made(t, w, "reg1-"+name, opening)
	kept, err := awaiting.Keep()
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(kept, cast.Evidence) {
		t.Error("the evidence was kept")
	}
	if awaiting, err = applicant.Resume(kept); err != nil { // as the next program does
		t.Fatal(err)
	}
	registered := receive(t, w, "reg2-"+name, func(reply *pb.SealedReply, now Instant, _ bool) (*Registered, error) {
		return awaiting.Receive(reply, w.verifier.Anchors, [][]byte{w.Authority.CRL}, w.verifier.Freshness, now)
	})
	party := registered.Party
	err = keys.ImportRegistrationSecret(store, registered.Secret, party.Serial, party.RegistrationPoint, party.PublicPoint)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(registered.Secret, make([]byte, 32)) {
		t.Error("S_X was not wiped")
	}
	secret, err := keys.RegistrationSecret(store, party.Serial, party.RegistrationPoint, party.PublicPoint)
	if err != nil {
		t.Fatal(err)
	}
	party.AuthorityID = w.verifier.Anchors.AuthorityOf(cast.Certificate)
	return &Party{party, cast.signer(t), secret, keys.Keyring{decryption}, cast.EncryptionKey.signed(), cast.Certificate}
}

func checkRoomRequest(t *testing.T, w *world) {
	t.Helper()
	request, err := AskForRoom(w.party["doctor"], w.Parties["hospital"].Identity, w.Now, w.draws("room"))
	if err != nil {
		t.Fatal(err)
	}
	made(t, w, "room", request)
}

func checkCloseRequest(t *testing.T, w *world) {
	t.Helper()
	vector, recorded := w.messages["room-close"], &pb.CloseRoomRequest{}
	if err := proto.Unmarshal(vector.Message, recorded); err != nil {
		t.Fatal(err)
	}
	request, err := AskToClose(w.party["doctor"], w.Parties["hospital"].Identity, recorded.GetRoomId())
	if err != nil {
		t.Fatal(err)
	}
	made(t, w, "room-close", request)
}

func consult(t *testing.T, w *world) (*AwaitingDiagnosis, *InConsultation) {
	t.Helper()
	doctor := w.party["doctor"]
	room := &pb.GetRoomResponse{
		KeyStatement:              doctor.KeyStatement,
		DoctorCertificate:         doctor.Certificate,
		EncryptionKeyStatement:    doctor.EncryptionKey,
		Revocations:               &pb.RevocationExcerpt{Head: w.Head.signed()},
		CertificateRevocationList: w.Authority.CRL,
		Duty:                      w.duty(t),
	}
	code := CodeDigest(doctor.KeyStatement, doctor.Certificate)
	if _, err := CheckRoom(room, make([]byte, 32), w.verifier, w.Now); !refusal.Is(err, refusal.IdentityMismatch) {
		t.Errorf("another doctor's room: %v", err)
	}
	addressed, err := CheckRoom(room, code, w.verifier, w.Now)
	if err != nil {
		t.Fatal(err)
	}
	checkDuties(t, w, addressed)
	checkGrants(t, w)
	password := []byte(w.Parties["patient"].Evidence)
	awaiting, opening, err := BeginConsultation(w.party["patient"], addressed, password, w.Now, w.draws("P1"))
	if err != nil {
		t.Fatal(err)
	}
	made(t, w, "P1", opening)
	received := receive(t, w, "P1", func(opening *pb.SealedOpening, now Instant, admitted bool) (*ReceivedOpening[*AwaitingBiosignal], error) {
		pending, err := ReceiveOpening(doctor, opening, w.verifier, now)
		if err != nil {
			return nil, err
		}
		return pending.Admit(admitted)
	})
	replying, reply, err := received.Reply(w.Now, w.draws("D1"))
	if err != nil {
		t.Fatal(err)
	}
	made(t, w, "D1", reply)
	established := receive(t, w, "D1", func(reply *pb.SealedReply, now Instant, _ bool) (*Established, error) {
		return awaiting.Receive(reply, w.verifier, now)
	})
	awaiting.Forget()
	grantee := access.ToDoctor{DoctorID: addressed.Identity, AuthorityID: addressed.AuthorityID}
	grant, err := MakeGrant(w.party["patient"], grantee, wide, nil, w.Now, w.draws("grant"))
	if err != nil {
		t.Fatal(err)
	}
	consent := &pb.Consent{Grant: grant, KeyStatement: w.party["patient"].KeyStatement}
	waiting, frames, err := established.Deliver(biosignal, ByConsent("P:wang", consent, nil), w.Now)
	if err != nil {
		t.Fatal(err)
	}
	madeFrames(t, w, "P2", "", frames)
	next := receive(t, w, "P2-0", func(frame *pb.SessionFrame, now Instant, _ bool) (*AwaitingBiosignal, error) {
		state, _, err := replying.Receive(frame, w.duty(t), w.verifier, now)
		return state, err
	})
	requireDecidedAnew(t, w, "P2-1", w.party["patient"].VerifiedParty, func(frame *pb.SessionFrame, verifier Verifier) error {
		_, _, err := next.Receive(frame, w.duty(t), verifier, w.Now)
		return err
	})
	present := receive(t, w, "P2-1", func(frame *pb.SessionFrame, now Instant, _ bool) (*InConsultation, error) {
		_, present, err := next.Receive(frame, w.duty(t), w.verifier, now)
		return present, err
	})
	equal(t, "M_SD", present.Biosignal, biosignal)
	if !present.Grant.Gives(pb.Right_RIGHT_WRITE) || present.Grant.Gives(pb.Right_RIGHT_LOG) || present.Shown.PatientID != "P:wang" {
		t.Errorf("the consent of %s gives %v", present.Shown.PatientID, present.Grant)
	}
	return waiting, present
}

// place is where an answer goes on: of the doctor's, and the patient asks from there.
var place = func() (place []byte) {
	for number := byte(100); number < 180; number++ {
		place = append(place, number)
	}
	return place
}()

// search is D2 and C of who asks, for a record.
func search(t *testing.T, w *world, asker *Party, shown Shown, suffix string) RecordLocation {
	t.Helper()
	after, next := []byte(nil), place
	if suffix == "-own" {
		after, next = place, nil
	}
	answer := ask(t, w, asker, shown, Question{DepartmentClass: class, After: after}, suffix)
	equal(t, "next", answer.Next, next)
	var departments []string
	for _, location := range answer.Locations {
		departments = append(departments, location.DepartmentID)
	}
	if named := "H:alpha/" + class; !slices.Equal(departments, []string{named, named, named + ".ward-2"}) {
		t.Fatalf("records of %v", departments)
	}
	return answer.Locations[0]
}

func ask(t *testing.T, w *world, asker *Party, shown Shown, question Question, suffix string) *Answer {
	t.Helper()
	cloud, err := w.verifier.CloudEncryptionKey(w.Cloud.EncryptionKey.signed(), w.Now)
	if err != nil {
		t.Fatal(err)
	}
	awaiting, opening, err := Ask(asker, question, shown, cloud, w.Now, w.draws("D2"+suffix))
	if err != nil {
		t.Fatal(err)
	}
	made(t, w, "D2"+suffix, opening)
	return receive(t, w, "C"+suffix, func(reply *pb.SealedReply, now Instant, _ bool) (*Answer, error) {
		return awaiting.Receive(reply, w.verifier, now)
	})
}

func establish(t *testing.T, w *world, asker *Party, hospital *Peer, intent Intent, suffix string) *RecordEstablished {
	t.Helper()
	awaiting, opening, err := BeginRecordSession(asker, hospital, intent, w.Now, w.draws("D3"+suffix))
	if err != nil {
		t.Fatal(err)
	}
	made(t, w, "D3"+suffix, opening)
	return receive(t, w, "H1"+suffix, func(reply *pb.SealedReply, now Instant, _ bool) (*RecordEstablished, error) {
		return awaiting.Receive(reply, w.verifier, now)
	})
}

// readRecord is D3, H1, D4, H2 of who asks, and gives Sig_HPC2.
func readRecord(t *testing.T, w *world, asker *Party, shown Shown, location RecordLocation, suffix string) []byte {
	t.Helper()
	scope := &pb.Scope{Purpose: pb.Purpose_PURPOSE_READ.Enum(), DepartmentClass: proto.String(class), Handles: [][]byte{location.Handle}}
	end, _ := receiveContent(t, w, asker, shown, location, scope, suffix)
	return end.GetSignature()
}

// receiveContent is D3, H1, D4, H2 of this scope.
func receiveContent(t *testing.T, w *world, asker *Party, shown Shown, location RecordLocation, scope *pb.Scope, suffix string) (*pb.RecordEnd, *pb.RecordManifest) {
	t.Helper()
	intent := Intent{Shown: shown, Scope: scope, Blind: w.draws("rho-read" + suffix)(32)}
	if scope.GetPurpose() == pb.Purpose_PURPOSE_LOG {
		intent.KnownSize, intent.Before = allLeaves, proto.Uint64(readLeaf+1)
	}
	session := establish(t, w, asker, location.Hospital, intent, "-read"+suffix)
	awaiting, frame, err := session.Query(mostRecord, w.Now)
	if err != nil {
		t.Fatal(err)
	}
	made(t, w, "D4"+suffix, frame)
	for _, name := range []string{"H2-0", "H2-1"} {
		receive(t, w, name+suffix, func(frame *pb.SessionFrame, now Instant, _ bool) ([]byte, error) {
			slice, _, err := awaiting.Receive(frame, w.verifier, now)
			return slice, err
		})
	}
	requireDecidedAnew(t, w, "H2-2"+suffix, location.Hospital.VerifiedParty, func(frame *pb.SessionFrame, verifier Verifier) error {
		_, _, err := awaiting.Receive(frame, verifier, w.Now)
		return err
	})
	end := receive(t, w, "H2-2"+suffix, func(frame *pb.SessionFrame, now Instant, _ bool) (*pb.RecordEnd, error) {
		_, end, err := awaiting.Receive(frame, w.verifier, now)
		return end, err
	})
	return end, awaiting.Manifest()
}

// knownLeaves is the size of the head of the cloud's log that the patient of the vectors remembers. It asks a hospital for a page that is
// not the first: below the head of allLeaves, before the leaf behind readLeaf.
const knownLeaves, allLeaves, readLeaf, refusedLeaf = 6, 13, 9, 4

// readOwn is a patient who finds and reads its own records, and then who did.
func readOwn(t *testing.T, w *world) {
	t.Helper()
	patient := w.party["patient"]
	shown := ByOwnRight(patient.Identity)
	location := search(t, w, patient, shown, "-own")
	readRecord(t, w, patient, shown, location, "-own")
	told := ask(t, w, patient, shown, Question{DepartmentClass: "*", Log: true, KnownSize: knownLeaves}, "-log")
	scope := &pb.Scope{Purpose: pb.Purpose_PURPOSE_LOG.Enum(), DepartmentClass: proto.String("*")}
	_, manifest := receiveContent(t, w, patient, shown, location, scope, "-log")
	if manifest.GetNext() != refusedLeaf {
		t.Errorf("older ones are before %v", manifest.Next)
	}
	for _, accesses := range [][]*pb.AccessEntry{told.Accesses, manifest.GetAccesses()} {
		if len(accesses) != 2 || accesses[0].GetReason() != "OK" || accesses[1].GetReason() != "GRANT_MISSING" {
			t.Errorf("the log has %v", accesses)
		}
	}
}

// addDocument is a patient who adds a note of its own.
func addDocument(t *testing.T, w *world, hospital *Peer) {
	t.Helper()
	patient := w.party["patient"]
	note := NewDocument{
		"Nasenbluten, März", "text/plain; charset=utf-8", []byte("Since Monday, each morning."), pb.Sensitivity_SENSITIVITY_RESTRICTED,
	}
	blind := w.draws("rho-add")(32)
	document, err := SignDocument(patient, note, ByOwnRight(patient.Identity), hospital.Identity, class, blind, w.Now)
	if err != nil {
		t.Fatal(err)
	}
	session := establish(t, w, patient, hospital, document.Intent(), "-add")
	stored, frames, err := session.Add(document)
	if err != nil {
		t.Fatal(err)
	}
	madeFrames(t, w, "OWN", "", frames)
	receive(t, w, "STOACK-own", func(frame *pb.SessionFrame, _ Instant, _ bool) (*pb.DepositReceipt, error) {
		return stored.Receive(frame)
	})
	note.Content = make([]byte, MostBiosignal+1)
	_, err = SignDocument(patient, note, ByOwnRight(patient.Identity), hospital.Identity, class, blind, w.Now)
	if !refusal.Is(err, refusal.LimitReached) {
		t.Errorf("a document that is too long: %v", err)
	}
}

// diagnose is D5 and P6, and the same of an amendment.
func diagnose(t *testing.T, w *world, waiting *AwaitingDiagnosis, present *InConsultation, recordSignature []byte) (first, second *AwaitingReceipt) {
	t.Helper()
	first, frame, err := present.Diagnose(diagnosis, [][]byte{recordSignature}, w.Now)
	if err != nil {
		t.Fatal(err)
	}
	waiting = exchange(t, w, waiting, first, frame, "")
	second, frame, err = first.Amend(amended, [][]byte{recordSignature}, w.Now)
	if err != nil {
		t.Fatal(err)
	}
	exchange(t, w, waiting, second, frame, "-amended")
	checkAmendmentsEnd(t, w, second)
	return first, second
}

func exchange(t *testing.T, w *world, waiting *AwaitingDiagnosis, awaiting *AwaitingReceipt, frame *pb.SessionFrame, suffix string) *AwaitingDiagnosis {
	t.Helper()
	made(t, w, "D5"+suffix, frame)
	diagnosed := receive(t, w, "D5"+suffix, func(frame *pb.SessionFrame, now Instant, _ bool) (*Diagnosed, error) {
		return waiting.Receive(frame, w.verifier, now)
	})
	following, receipt, err := diagnosed.Receipt(w.Now)
	if err != nil {
		t.Fatal(err)
	}
	made(t, w, "P6"+suffix, receipt)
	receive(t, w, "P6"+suffix, func(frame *pb.SessionFrame, now Instant, _ bool) (*pb.DiagnosisReceipt, error) {
		return awaiting.Receive(frame, w.verifier, now)
	})
	return following
}

func checkAmendmentsEnd(t *testing.T, w *world, awaiting *AwaitingReceipt) {
	t.Helper()
	for range MostAmendments - 1 {
		var err error
		if awaiting, _, err = awaiting.Amend(amended, nil, w.Now); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := awaiting.Amend(amended, nil, w.Now); !refusal.Is(err, refusal.LimitReached) {
		t.Errorf("one amendment too many: %v", err)
	}
}

func deposit(t *testing.T, w *world, awaiting *AwaitingReceipt, hospital *Peer, suffix string) {
	t.Helper()
	prepared, err := awaiting.PrepareDeposit(class, w.duty(t), w.draws("rho-store"+suffix)(32), w.Now)
	if err != nil {
		t.Fatal(err)
	}
	checkDutyOfNow(t, prepared)
	session := establish(t, w, w.party["doctor"], hospital, prepared.Intent(), "-store"+suffix)
	stored, frames, err := session.Deposit(prepared)
	if err != nil {
		t.Fatal(err)
	}
	madeFrames(t, w, "STO", suffix, frames)
	receive(t, w, "STOACK"+suffix, func(frame *pb.SessionFrame, _ Instant, _ bool) (*pb.DepositReceipt, error) {
		return stored.Receive(frame)
	})
}

// takeBack is a patient who takes back a grant, one of an earlier registration, and everything.
func takeBack(t *testing.T, w *world) {
	t.Helper()
	patient := w.party["patient"]
	cloud, err := w.verifier.CloudEncryptionKey(w.Cloud.EncryptionKey.signed(), w.Now)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"rev", "rev-older", "rev-all"} {
		recorded := &pb.Revocation{}
		if err := proto.Unmarshal(w.messages[name].Plaintext, recorded); err != nil {
			t.Fatal(err)
		}
		taken := Revocation{OwnerID: patient.Identity, Statements: recorded.GetStatements(), Before: recorded.GetBefore()}
		awaiting, opening, err := Revoke(patient, taken, cloud, w.Now, w.draws(name))
		if err != nil {
			t.Fatal(err)
		}
		made(t, w, name, opening)
		requireNamed(t, w, awaiting, taken)
	}
}

// Received by the cloud or a hospital, and not bent in a run.
var others = map[string]bool{
	"reg1-patient": true, "reg1-hospital-again": true, "D2": true, "D2-own": true, "D2-log": true, "D3-read": true, "D4": true, "D4-log": true, "STO-0": true, "STO-1": true, "STO-1-amended": true,
	"OWN-0": true, "OWN-1": true,
	"pub": true, "ekput": true, "tlsca": true, "tkt": true, "rev": true, "rev-all": true, "rev-duty": true, "room": true, "room-close": true,
	"duty-ask": true, "rst": true, "rstget": true,
}

// requireAllTried fails if a message or refusal of a patient or a doctor was left out.
func requireAllTried(t *testing.T, w *world) {
	t.Helper()
	refused := 0
	for base, bent := range w.refusals {
		for _, each := range bent {
			if !others[base] && !w.tried[each.Name] {
				t.Errorf("%s was not tried", each.Name)
			}
			if w.tried[each.Name] {
				refused++
			}
		}
	}
	hospitals := map[string]bool{"reg1-hospital": true, "reg2-hospital": true, "reg1-hospital-again": true, "reg2-hospital-again": true}
	calls := map[string]bool{"pub": true, "tlsca": true, "tkt": true, "rev-duty": true, "rst": true, "rst-ask": true, "rstget": true}
	for name := range w.messages {
		if !w.tried[name] && !hospitals[name] && !calls[name] {
			t.Errorf("%s was not tried", name)
		}
	}
	if refused == 0 {
		t.Error("nothing was refused")
	}
	t.Logf("%d messages, %d refusals", len(w.messages), refused)
}
