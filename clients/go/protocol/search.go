package protocol

import (
	"crypto/hmac"
	"crypto/sha256"

	"google.golang.org/protobuf/proto"

	"medunion.example/clients/go/curve"
	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/keys"
	"medunion.example/clients/go/refusal"
	"medunion.example/clients/go/transcript"
)

// Question is what somebody wants to know: a page of a patient's records of one department class, or of access.Any; or, where it is for the
// log, a page of who asked for them, of access.Any.
type Question struct {
	DepartmentClass string
	Page            uint32
	Log             bool
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
		Page:                   proto.Uint32(question.Page),
		Nonce:                  entropy(16),
		KeyStatement:           asker.KeyStatement,
		EncryptionKeyStatement: asker.EncryptionKey,
		Access:                 shown.Access,
		Right:                  question.right(),
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

// RecordLocation is where a record is: an index row whose hospital's statements held.
type RecordLocation struct {
	Hospital     *Peer
	Address      string
	DepartmentID string
	Handle       []byte
}

// Answer is what the cloud answered. No record yet is no error: there are no locations. Accesses are the newest first.
type Answer struct {
	Locations []RecordLocation
	Accesses  []*pb.AccessEntry
	Pages     uint32
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
	if c.GetPage() != w.query.GetPage() {
		return nil, refusal.New(refusal.AnswerMismatch, "the answer is of another page")
	}
	isLog := w.query.GetRight() == pb.Right_RIGHT_LOG
	if isLog && len(c.GetRows()) > 0 || !isLog && len(c.GetAccesses()) > 0 {
		return nil, refusal.New(refusal.AnswerMismatch, "the answer is to another question")
	}
	answer := &Answer{Accesses: c.GetAccesses(), Pages: c.GetPages(), Signed: c}
	for _, row := range c.GetRows() {
		hospital, err := verifier.hospital(row.GetHospitalId(), row.GetKeyStatement(), row.GetEncryptionKeyStatement(), now)
		if err != nil {
			return nil, err
		}
		answer.Locations = append(answer.Locations, RecordLocation{hospital, row.GetAddress(), row.GetDepartmentId(), row.GetHandle()})
	}
	return answer, nil
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
		transcript.U64(uint64(d2.GetPage())),
		d2.GetNonce(),
		transcript.Text(cloudID),
		transcript.Text(map[pb.Right]string{pb.Right_RIGHT_INDEX: "index", pb.Right_RIGHT_LOG: "log"}[d2.GetRight()]))
}

// answerTranscript is what Sig_C covers: eq. 30, bound to the question (C2).
func answerTranscript(c *pb.SearchAnswer, d2 *pb.SearchQuery, asker *VerifiedParty) []byte {
	var hospitals, rows [][]byte
	for _, row := range c.GetRows() {
		hospitals = append(hospitals, transcript.Text(row.GetHospitalId()))
		rows = append(rows, transcript.T("row",
			transcript.Text(row.GetHospitalId()),
			transcript.Text(row.GetDepartmentId()),
			transcript.Text(row.GetAddress()),
			row.GetKeyStatement().GetStatement(),
			row.GetEncryptionKeyStatement().GetStatement(),
			row.GetHandle()))
	}
	return transcript.T("C",
		transcript.Text(ofSearch(c.GetOutcome()).name),
		transcript.Text(d2.GetDepartmentClass()),
		c.GetProof(),
		asker.RegistrationPoint,
		asker.Serial,
		transcript.List(hospitals...),
		transcript.U64(c.GetSentAt()),
		transcript.Text(d2.GetAskerId()),
		transcript.Digest(d2.GetSignature()),
		transcript.Digest(transcript.List(rows...)),
		transcript.U64(uint64(c.GetPage())),
		transcript.U64(uint64(c.GetPages())),
		accessesDigest(c.GetAccesses()))
}

// accessesDigest gives H(accesses).
func accessesDigest(accesses []*pb.AccessEntry) []byte {
	kinds := map[pb.AccessKind]string{
		pb.AccessKind_ACCESS_KIND_SEARCH: "SEARCH", pb.AccessKind_ACCESS_KIND_READ: "READ",
		pb.AccessKind_ACCESS_KIND_STORE: "STORE", pb.AccessKind_ACCESS_KIND_LOG: "LOG",
		pb.AccessKind_ACCESS_KIND_ADD: "ADD",
	}
	grounds := map[pb.AccessGround]string{
		pb.AccessGround_ACCESS_GROUND_CONSENT: "consent", pb.AccessGround_ACCESS_GROUND_OWN: "own",
		pb.AccessGround_ACCESS_GROUND_EMERGENCY: "emergency", pb.AccessGround_ACCESS_GROUND_NONE: "none",
	}
	var rows [][]byte
	for _, entry := range accesses {
		rows = append(rows, transcript.T("row",
			transcript.U64(entry.GetNumber()),
			transcript.U64(entry.GetAt()),
			transcript.Text(entry.GetAskerId()),
			transcript.Text(kinds[entry.GetKind()]),
			transcript.Text(entry.GetDepartmentClass()),
			transcript.Text(grounds[entry.GetGround()]),
			entry.GetAuthorization(),
			transcript.Text(entry.GetReason()),
			entry.GetGrantDigest()))
	}
	return transcript.Digest(transcript.List(rows...))
}
