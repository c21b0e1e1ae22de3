package protocol

import (
	"crypto/hmac"
	"crypto/sha256"
	"strings"

	"google.golang.org/protobuf/proto"

	"medunion.example/clients/go/curve"
	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/keys"
	"medunion.example/clients/go/refusal"
	"medunion.example/clients/go/transcript"
)

// Question is what somebody wants to know: a page of a patient's records of one department class, or of access.Any; or, where it is for the
// log, a page of who asked for them, of access.Any, proved from the head of KnownSize on. After is the Next of the page before.
type Question struct {
	DepartmentClass string
	After           []byte
	Log             bool
	KnownSize       uint64
}

func (q Question) right() *pb.Right {
	if q.Log {
		return pb.Right_RIGHT_LOG.Enum()
	}
	return pb.Right_RIGHT_INDEX.Enum()
}

// Ask makes D2 (eq. 25, 26) of a doctor, or of a patient, by what is shown. It draws 16 bytes for the session id and 16 for the nonce.
func Ask(asker *Party, question Question, shown Shown, cloud *EncryptionKey, now Instant, entropy curve.Entropy) (*AwaitingAnswer, *pb.SealedOpening, error) {
	ownKey, err := asker.ownKey()
	if err != nil {
		return nil, nil, err
	}
	sessionID := entropy(16)
	d2 := &pb.SearchQuery{
		PatientId:              proto.String(shown.PatientID),
		SentAt:                 proto.Uint64(now),
		AskerId:                proto.String(asker.Identity),
		DoctorCertificate:      asker.Certificate,
		DepartmentClass:        proto.String(question.DepartmentClass),
		After:                  question.After,
		Nonce:                  entropy(16),
		KeyStatement:           asker.KeyStatement,
		EncryptionKeyStatement: asker.EncryptionKey,
		Access:                 shown.Access,
		Right:                  question.right(),
		KnownSize:              knownSize(question.KnownSize),
	}
	sharedKey, err := asker.RegistrationSecret.SharedKey(asker.Identity, asker.Serial)
	if err != nil {
		return nil, nil, err
	}
	d2.Proof = tag(sharedKey, queryProof(d2))
	encoded, err := signMessage(asker.Signer, queryTranscript(d2, asker.VerifiedParty, cloud.Owner), d2)
	if err != nil {
		return nil, nil, err
	}
	context := sealContext{"d2", unnamed, cloud.Owner, cloud.KeyID, sessionID, now}
	opening, err := sealOpening(d2, encoded, cloud, context)
	if err != nil {
		return nil, nil, err
	}
	return &AwaitingAnswer{asker, d2, sessionID, sharedKey, cloud.Owner, ownKey}, opening, nil
}

// AwaitingAnswer is who asks, whose D2 is sent.
type AwaitingAnswer struct {
	asker     *Party
	query     *pb.SearchQuery
	sessionID []byte
	sharedKey []byte // K_A
	cloudID   string
	key       *keys.DecryptionKey
}

// Forget wipes K_A, once C has held or is no longer awaited.
func (w *AwaitingAnswer) Forget() { clear(w.sharedKey) }

// RecordLocation is where a record is, at a hospital whose statements held.
type RecordLocation struct {
	Hospital     *Peer
	Address      string
	DepartmentID string
	Handle       []byte
}

// Answer is what the cloud answered. No record yet is no error: there are no locations. Accesses are the newest first, and proved by
// nothing yet but LogHead (RequireTold), of a cloud whose key is CloudKey. Next is what a question for the next page is to say, and empty
// where there is none.
type Answer struct {
	Locations []RecordLocation
	Accesses  []*pb.AccessEntry
	LogHead   *pb.ProvedHead
	CloudKey  []byte
	Next      []byte
	Signed    *pb.SearchAnswer
}

// Receive takes C (eq. 31, 32). Refuses with what the cloud says is wrong with what is shown; by clear fields; with REJECTED a false answer.
func (w *AwaitingAnswer) Receive(reply *pb.SealedReply, verifier Verifier, now Instant) (*Answer, error) {
	if err := requireReply(reply, w.sessionID, verifier.Freshness, now); err != nil {
		return nil, err
	}
	answer, err := w.accept(reply, verifier, now)
	if err != nil {
		return nil, refusal.AfterOpening(err)
	}
	if err := ofSearch(answer.Signed.GetOutcome()).toldBy("the public cloud"); err != nil {
		return nil, err
	}
	return answer, nil
}

func (w *AwaitingAnswer) accept(reply *pb.SealedReply, verifier Verifier, now Instant) (*Answer, error) {
	c := &pb.SearchAnswer{}
	context := sealContext{"c", w.cloudID, w.asker.Identity, w.key.KeyID, w.sessionID, reply.GetSentAt()}
	if _, err := openPayload(c, reply.GetSealed(), w.key, context); err != nil {
		return nil, err
	}
	if !hmac.Equal(tag(w.sharedKey, answerProof(c, w.query)), c.GetProof()) {
		return nil, refusal.New(refusal.ProofInvalid, "the answer is not from the cloud that shares K_A, or to another question")
	}
	cloudKey, err := verifier.Anchors.cloudKeyAt(c.GetSentAt())
	if err != nil {
		return nil, err
	}
	if err := verifySignature(cloudKey, c.GetSignature(), answerTranscript(c, w.query, w.asker.VerifiedParty)); err != nil {
		return nil, err
	}
	isLog := w.query.GetRight() == pb.Right_RIGHT_LOG
	if isLog && len(c.GetHospitals()) > 0 || !isLog && (len(c.GetAccesses()) > 0 || c.LogHead != nil) {
		return nil, refusal.New(refusal.AnswerMismatch, "the answer is to another question")
	}
	if err := requireNamedOnce(c.GetHospitals()); err != nil {
		return nil, err
	}
	answer := &Answer{Accesses: c.GetAccesses(), LogHead: c.GetLogHead(), CloudKey: cloudKey, Next: c.GetNext(), Signed: c}
	for _, found := range c.GetHospitals() {
		locations, err := locationsAt(found, verifier, now)
		if err != nil {
			return nil, err
		}
		answer.Locations = append(answer.Locations, locations...)
	}
	return answer, nil
}

// requireNamedOnce refuses an answer on which a hospital, a department of it or a record of that is there twice, or one without a record.
func requireNamedOnce(hospitals []*pb.IndexHospital) error {
	names := map[string]bool{}
	twice, isEmpty := false, false
	name := func(parts ...string) {
		key := strings.Join(parts, "\n")
		twice, names[key] = twice || names[key], true
	}
	for _, hospital := range hospitals {
		name(hospital.GetHospitalId())
		isEmpty = isEmpty || len(hospital.GetDepartments()) == 0
		for _, department := range hospital.GetDepartments() {
			name(department.GetDepartmentId())
			isEmpty = isEmpty || len(department.GetHandles()) == 0
			for _, handle := range department.GetHandles() {
				name(department.GetDepartmentId(), string(handle))
			}
		}
	}
	if twice || isEmpty {
		return refusal.New(refusal.FieldInvalid, "an answer names a hospital, a department or a record twice, or without a record")
	}
	return nil
}

func locationsAt(found *pb.IndexHospital, verifier Verifier, now Instant) (locations []RecordLocation, err error) {
	hospital, err := verifier.hospital(found.GetHospitalId(), found.GetKeyStatement(), found.GetEncryptionKeyStatement(), now)
	if err != nil {
		return nil, err
	}
	for _, department := range found.GetDepartments() {
		if !strings.HasPrefix(department.GetDepartmentId(), hospital.Identity+"/") {
			return nil, refusal.New(refusal.DepartmentForeign, "an answer names a department of another hospital")
		}
		for _, handle := range department.GetHandles() {
			locations = append(locations, RecordLocation{hospital, found.GetAddress(), department.GetDepartmentId(), handle})
		}
	}
	return locations, nil
}

func tag(key, message []byte) []byte {
	code := hmac.New(sha256.New, key)
	code.Write(message)
	return code.Sum(nil)
}

// queryProof is what HMAC(K_A, ..) covers in D2: only who asks and the cloud can make it (X7).
func queryProof(d2 *pb.SearchQuery) []byte {
	return transcript.T("D2-proof", transcript.U64(d2.GetSentAt()), transcript.Text(d2.GetPatientId()),
		transcript.Text(d2.GetDepartmentClass()), d2.GetNonce())
}

// answerProof is what HMAC(K_A, ..) covers in C (X8).
func answerProof(c *pb.SearchAnswer, d2 *pb.SearchQuery) []byte {
	return transcript.T("C-proof", transcript.U64(c.GetSentAt()), transcript.Digest(d2.GetSignature()))
}

// queryTranscript is what Sig_D2 covers: eq. 26, with the proof in S_D's slot.
func queryTranscript(d2 *pb.SearchQuery, asker *VerifiedParty, cloudID string) []byte {
	return transcript.T("D2",
		d2.GetProof(),
		asker.RegistrationPoint,
		asker.Serial,
		transcript.U64(d2.GetSentAt()),
		transcript.Text(d2.GetPatientId()),
		transcript.Text(d2.GetDepartmentClass()),
		transcript.Text(d2.GetAskerId()),
		certificateDigest(d2.GetDoctorCertificate()),
		Shown{Access: d2.GetAccess()}.signedDigest(),
		d2.GetAfter(),
		d2.GetNonce(),
		transcript.Text(cloudID),
		transcript.Text(map[pb.Right]string{pb.Right_RIGHT_INDEX: "index", pb.Right_RIGHT_LOG: "log"}[d2.GetRight()]),
		knownSizeOf(d2))
}

// answerTranscript is what Sig_C covers: eq. 30, bound to the question (C2).
func answerTranscript(c *pb.SearchAnswer, d2 *pb.SearchQuery, asker *VerifiedParty) []byte {
	var places [][]byte
	for _, hospital := range c.GetHospitals() {
		var departments [][]byte
		for _, department := range hospital.GetDepartments() {
			departments = append(departments, departmentDigest(department))
		}
		statements := transcript.T("row",
			hospital.GetKeyStatement().GetStatement(),
			hospital.GetEncryptionKeyStatement().GetStatement())
		places = append(places, placeDigest(hospital.GetHospitalId(), hospital.GetAddress(), transcript.Digest(statements), departments))
	}
	page := &pb.PlacesPage{
		DepartmentClass:   d2.DepartmentClass,
		Proof:             c.GetProof(),
		RegistrationPoint: asker.RegistrationPoint,
		Serial:            asker.Serial,
		AskerId:           d2.AskerId,
		QueryDigest:       transcript.Digest(d2.GetSignature()),
		SentAt:            c.SentAt,
		Next:              c.GetNext(),
	}
	outcome := ofSearch(c.GetOutcome()).name
	return pageTranscript(page, outcome, d2.GetPatientId(), places, accessesDigest(c.GetAccesses()), headDigest(c.GetLogHead()))
}

// pageTranscript is what Sig_C covers, of a page as it is kept and the digests of its places.
func pageTranscript(page *pb.PlacesPage, outcome, patientID string, places [][]byte, accesses, head []byte) []byte {
	return transcript.T("C",
		transcript.Text(outcome),
		transcript.Text(patientID),
		transcript.Text(page.GetDepartmentClass()),
		page.GetProof(),
		page.GetRegistrationPoint(),
		page.GetSerial(),
		transcript.List(places...),
		transcript.U64(page.GetSentAt()),
		transcript.Text(page.GetAskerId()),
		page.GetQueryDigest(),
		page.GetNext(),
		accesses,
		head)
}

// placeDigest gives H(place), of the digests of a hospital's statements and of its departments.
func placeDigest(hospitalID, address string, statements []byte, departments [][]byte) []byte {
	return transcript.Digest(transcript.T("row",
		transcript.Text(hospitalID),
		transcript.Text(address),
		statements,
		transcript.List(departments...)))
}

func departmentDigest(department *pb.IndexDepartment) []byte {
	return transcript.Digest(transcript.T("row",
		transcript.Text(department.GetDepartmentId()),
		transcript.List(department.GetHandles()...)))
}

// knownSize gives the field of D2 and D4: absent where no head is remembered.
func knownSize(size uint64) *uint64 {
	if size == 0 {
		return nil
	}
	return &size
}

// knownSizeOf gives the size of the head that is remembered, or nothing: the field of a transcript.
func knownSizeOf(d2 *pb.SearchQuery) []byte {
	if d2.KnownSize == nil {
		return nil
	}
	return transcript.U64(d2.GetKnownSize())
}

// headDigest gives H(head) of a log, or nothing.
func headDigest(head *pb.ProvedHead) []byte {
	if head == nil {
		return nil
	}
	var statements [][]byte
	for _, signed := range head.GetWitnessKeyStatements() {
		statements = append(statements, signed.GetStatement())
	}
	return transcript.Digest(transcript.T("row",
		head.GetNote(),
		transcript.List(head.GetConsistency()...),
		transcript.List(statements...)))
}

var accessKindNames = map[pb.AccessKind]string{
	pb.AccessKind_ACCESS_KIND_SEARCH: "SEARCH", pb.AccessKind_ACCESS_KIND_READ: "READ",
	pb.AccessKind_ACCESS_KIND_STORE: "STORE", pb.AccessKind_ACCESS_KIND_LOG: "LOG",
	pb.AccessKind_ACCESS_KIND_ADD: "ADD",
}

var accessGroundNames = map[pb.AccessGround]string{
	pb.AccessGround_ACCESS_GROUND_CONSENT: "consent", pb.AccessGround_ACCESS_GROUND_OWN: "own",
	pb.AccessGround_ACCESS_GROUND_EMERGENCY: "emergency", pb.AccessGround_ACCESS_GROUND_NONE: "none",
}

// accessesDigest gives H(accesses).
func accessesDigest(accesses []*pb.AccessEntry) []byte {
	var rows [][]byte
	for _, entry := range accesses {
		rows = append(rows, transcript.T("row",
			transcript.U64(entry.GetNumber()),
			transcript.U64(entry.GetAt()),
			transcript.Text(entry.GetAskerId()),
			transcript.Text(accessKindNames[entry.GetKind()]),
			transcript.Text(entry.GetDepartmentClass()),
			transcript.Text(accessGroundNames[entry.GetGround()]),
			entry.GetAuthorization(),
			transcript.Text(entry.GetReason()),
			entry.GetGrantDigest(),
			transcript.U64(entry.GetLeafIndex()),
			entry.GetBlind(),
			transcript.List(entry.GetInclusion()...)))
	}
	return transcript.Digest(transcript.List(rows...))
}
