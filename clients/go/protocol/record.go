package protocol

import (
	"bytes"
	"io"
	"iter"

	"google.golang.org/protobuf/proto"

	"medunion.example/clients/go/curve"
	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/refusal"
	"medunion.example/clients/go/rules"
	"medunion.example/clients/go/transcript"
)

// recordKind is the handshake of a doctor, or of a patient, with a hospital: D3 and H1 (eq. 33-44), which give SEK_2.
var recordKind = &kind{
	openingLabel:      "D3",
	replyLabel:        "H1",
	initiators:        []pb.Role{pb.Role_ROLE_DOCTOR, pb.Role_ROLE_PATIENT},
	responder:         pb.Role_ROLE_HOSPITAL,
	newOpening:        func() opening { return &pb.RecordOpening{} },
	newReply:          func() reply { return &pb.RecordReply{} },
	initiatorID:       func(message opening) string { return message.(*pb.RecordOpening).GetAskerId() },
	responderID:       func(message reply) string { return message.(*pb.RecordReply).GetHospitalId() },
	openingTranscript: recordOpeningTranscript,
	transcriptHash:    recordHash,
	replyTranscript:   recordReplyTranscript,
	keyRoles:          "DH",
	requireOpening:    func(opening, *VerifiedParty) error { return nil },
	replyOf:           func(hospital *Party) reply { return &pb.RecordReply{HospitalId: proto.String(hospital.Identity)} },
}

// AddressHospital verifies what a hospital says of itself. Refuses with IDENTITY_MISMATCH where it is another one, and as Verifier.Party.
func AddressHospital(hospitalID string, answer *pb.GetHospitalResponse, verifier Verifier, now Instant) (*Peer, error) {
	if err := rules.Check(answer); err != nil {
		return nil, err
	}
	return verifier.hospital(hospitalID, answer.GetKeyStatement(), answer.GetEncryptionKeyStatement(), now)
}

func (v Verifier) hospital(hospitalID string, keyStatement, encryptionKey *pb.SignedStatement, now Instant) (*Peer, error) {
	party, err := v.Party(keyStatement, pb.Role_ROLE_HOSPITAL, now)
	if err != nil {
		return nil, err
	}
	if party.Identity != hospitalID {
		return nil, refusal.New(refusal.IdentityMismatch, "another hospital than the one named")
	}
	key, err := v.EncryptionKey(encryptionKey, party, now)
	return &Peer{VerifiedParty: party, EncryptionKey: key}, err
}

// Intent is what a session with a hospital is for: c_P commits to it. Keep it to repeat a deposit.
type Intent struct {
	Shown Shown
	Scope *pb.Scope
	Blind []byte // rho, 32 random bytes
	// KnownSize is that of the head of the log that is remembered, where the log is asked for; c_P does not commit to it.
	KnownSize uint64
	// Before is the leaf before which a further page of the log is; nil for the newest.
	Before *uint64
}

// commitment gives c_P = H(T("cp", ID_P, H(access), H(scope), rho)) (X5).
func (i Intent) commitment() []byte {
	return transcript.Digest(transcript.T("cp", transcript.Text(i.Shown.PatientID), i.Shown.digest(), scopeDigest(i.Scope), i.Blind))
}

func scopeDigest(scope *pb.Scope) []byte {
	purposes := map[pb.Purpose]string{pb.Purpose_PURPOSE_READ: "read", pb.Purpose_PURPOSE_STORE: "store", pb.Purpose_PURPOSE_LOG: "log", pb.Purpose_PURPOSE_ADD: "add"}
	return transcript.Digest(transcript.T("scope", transcript.Text(purposes[scope.GetPurpose()]),
		transcript.Text(scope.GetDepartmentClass()), transcript.List(scope.GetHandles()...)))
}

// BeginRecordSession makes D3 of a doctor, or of a patient: commits to the intent, for this hospital.
func BeginRecordSession(asker *Party, hospital *Peer, intent Intent, now Instant, entropy curve.Entropy) (*AwaitingReply[*RecordEstablished], *pb.SealedOpening, error) {
	d3 := &pb.RecordOpening{
		AskerId:           proto.String(asker.Identity),
		DoctorCertificate: asker.Certificate,
		PatientCommitment: intent.commitment(),
	}
	established := func(session Session) *RecordEstablished { return &RecordEstablished{session, intent} }
	return begin(recordKind, asker, hospital, d3, established, now, entropy)
}

// RecordEstablished is who asks, to whom the hospital has proved itself and the key. One D4 or STO a session.
type RecordEstablished struct {
	Session
	intent Intent
}

// Query makes D4 (eq. 45): opens c_P and shows why it may. Of what comes in answer, most bytes are taken.
func (e *RecordEstablished) Query(most uint64, now Instant) (*AwaitingRecord, *pb.SessionFrame, error) {
	return e.query(newRecordContent(most, e.requireAsked), nil, now)
}

// GoOn makes D4 of a record whose session broke: the hospital sends what follows, and signs the whole. What came is taken up once.
func (e *RecordEstablished) GoOn(broken *BrokenRecord, now Instant) (*AwaitingRecord, *pb.SessionFrame, error) {
	resumption := &pb.Resumption{ManifestDigest: broken.content.named, Offset: proto.Uint64(broken.Offset())}
	return e.query(broken.content, resumption, now)
}

func (e *RecordEstablished) query(content recordContent, resumption *pb.Resumption, now Instant) (*AwaitingRecord, *pb.SessionFrame, error) {
	d4 := &pb.RecordQuery{
		PatientId:               proto.String(e.intent.Shown.PatientID),
		AskerId:                 proto.String(e.Own.Identity),
		SentAt:                  proto.Uint64(now),
		DoctorCertificateDigest: certificateDigest(e.Own.Certificate),
		Blind:                   e.intent.Blind,
		Scope:                   e.intent.Scope,
		Access:                  e.intent.Shown.Access,
		KnownSize:               knownSize(e.intent.KnownSize),
		Before:                  e.intent.Before,
		Resumption:              resumption,
	}
	encoded, err := rules.Marshal(d4)
	if err != nil {
		return nil, nil, err
	}
	frame, err := e.sending.sealMessage("d4", encoded, now)
	return &AwaitingRecord{*e, content}, frame, err
}

// AwaitingRecord is who asks, whose D4 is sent; M_EMR comes in.
type AwaitingRecord struct {
	RecordEstablished
	content recordContent
}

// Resumable says behind how many bytes of M_EMR another session may go on, should this one break; 0 for none.
func (w *AwaitingRecord) Resumable() uint64 { return w.content.resumable() }

// Broken gives what another session goes on behind, now that this one broke. kept holds what Receive gave, in all sessions until now, and
// is read up to Resumable. Refuses as what is read.
func (w *AwaitingRecord) Broken(kept io.Reader) (*BrokenRecord, error) {
	content := newRecordContent(w.content.most, w.content.isAsked)
	err := content.replay(kept, w.Resumable())
	return &BrokenRecord{content}, err
}

// BrokenRecord is what came of a record before its session broke, up to a multiple of 512 KiB. Nothing of it is proved.
type BrokenRecord struct{ content recordContent }

// Offset says how many bytes of M_EMR came.
func (b *BrokenRecord) Offset() uint64 { return b.content.taken }

// Size says how many bytes M_EMR has, by its manifest.
func (b *BrokenRecord) Size() uint64 { return b.content.size }

// Receive takes one frame of H2 (eq. 48); T is checked on the first. It gives a slice of M_EMR, which is not proved yet: spool it and
// show nothing (C8); or, of the last frame, the end that signs the whole. Refuses with what the hospital says is wrong, with RECORD_TOO_LARGE
// more than is taken here, with REJECTED a false frame; then this state stays good.
func (w *AwaitingRecord) Receive(frame *pb.SessionFrame, verifier Verifier, now Instant) (slice []byte, end *pb.RecordEnd, err error) {
	if err := rules.Check(frame); err != nil {
		return nil, nil, err
	}
	if frame.GetSequence() == 0 {
		if err := verifier.Freshness.Require(frame.GetSentAt(), now); err != nil {
			return nil, nil, err
		}
	}
	receiving, plaintext, err := w.receiving.open("h2", frame)
	if err != nil {
		return nil, nil, refusal.AfterOpening(err)
	}
	if !frame.GetLast() {
		content, err := w.content.add(plaintext)
		if refusal.Is(err, refusal.RecordTooLarge) {
			return nil, nil, err // this side's own bound
		}
		if err != nil {
			return nil, nil, refusal.AfterOpening(err)
		}
		w.receiving = receiving
		return content, nil, nil
	}
	h2 := &pb.RecordEnd{}
	if err := w.complete(plaintext, frame, h2, verifier, now); err != nil {
		return nil, nil, refusal.AfterOpening(err)
	}
	if err := ofSession(h2.GetOutcome()).toldBy("the hospital"); err != nil {
		return nil, nil, err
	}
	w.receiving = receiving
	return nil, h2, nil
}

func (w *AwaitingRecord) complete(plaintext []byte, frame *pb.SessionFrame, h2 *pb.RecordEnd, verifier Verifier, now Instant) error {
	if err := parseLast(plaintext, frame, h2); err != nil {
		return err
	}
	if h2.GetOutcome() != pb.SessionOutcome_SESSION_OUTCOME_SERVED {
		return nil
	}
	if h2.Signature == nil || h2.Version == nil {
		return refusal.New(refusal.MissingField, "a served record is signed")
	}
	if err := w.Peer.requireStillGood(verifier, now); err != nil {
		return err
	}
	if err := w.content.end(); err != nil {
		return err
	}
	signed := transcript.T("H2",
		w.transcriptHash,
		w.intent.commitment(),
		w.RecordDigest(),
		w.intent.Shown.digest(),
		transcript.U64(h2.GetVersion()),
		transcript.U64(h2.GetSentAt()))
	return verifySignature(w.Peer.VerifyingKey, h2.GetSignature(), signed)
}

// RecordDigest gives H(M_EMR), 32 bytes, once the last frame has held.
func (w *AwaitingRecord) RecordDigest() []byte { return w.content.digest.Sum(nil) }

// Manifest says what the record holds, once the last frame has held.
func (w *AwaitingRecord) Manifest() *pb.RecordManifest { return w.content.manifest }

// requireAsked refuses a manifest of another patient or hospital (IDENTITY_MISMATCH), or with a record or a log that was not asked for
// (ANSWER_MISMATCH).
func (e *RecordEstablished) requireAsked(manifest *pb.RecordManifest) error {
	if manifest.GetPatientId() != e.intent.Shown.PatientID || manifest.GetHospitalId() != e.Peer.Identity {
		return refusal.New(refusal.IdentityMismatch, "the record names another patient or hospital")
	}
	if (len(manifest.GetAccesses()) > 0 || manifest.LogHead != nil || manifest.Next != nil) && e.intent.Scope.GetPurpose() != pb.Purpose_PURPOSE_LOG {
		return refusal.New(refusal.AnswerMismatch, "the hospital sent a log that was not asked for")
	}
	for _, entry := range manifest.GetRecords() {
		if !contains(e.intent.Scope.GetHandles(), entry.GetHandle()) {
			return refusal.New(refusal.AnswerMismatch, "the hospital sent a record that was not asked for")
		}
	}
	return nil
}

// Deposit is an encounter to keep at the hospital where the doctor is on duty. The same one may be sent again in a new session, and gets
// the same receipt.
type Deposit struct {
	Message              *pb.Deposit
	Biosignal, Diagnosis []byte
}

// Intent gives what the deposit's session is for.
func (d *Deposit) Intent() Intent {
	shown := Shown{d.Message.GetPatientId(), d.Message.GetAccess()}
	return Intent{Shown: shown, Scope: d.Message.GetScope(), Blind: d.Message.GetBlind()}
}

// PrepareDeposit puts STO together: what the patient and the doctor signed in the consultation, and the doctor's duty at the hospital. blind is
// rho, 32 random bytes. Refuses with GRANT_MISSING.
func (w *AwaitingReceipt) PrepareDeposit(departmentClass string, duty *pb.ShownDuty, blind []byte, now Instant) (*Deposit, error) {
	held, d5 := w.consultation, w.Diagnosis
	if held.Shown.Consent() == nil {
		return nil, refusal.New(refusal.GrantMissing, "the patient gave no consent to keep this encounter")
	}
	message := &pb.Deposit{
		PatientId:          proto.String(held.Shown.PatientID),
		DoctorId:           proto.String(held.Own.Identity),
		SentAt:             proto.Uint64(now),
		Blind:              blind,
		Scope:              &pb.Scope{Purpose: pb.Purpose_PURPOSE_STORE.Enum(), DepartmentClass: proto.String(departmentClass)},
		Access:             ByConsent(held.Shown.PatientID, held.Shown.Consent(), duty).Access,
		ConsultationDigest: held.transcriptHash,
		BiosignalSizeBytes: proto.Uint64(uint64(len(held.Biosignal))),
		BiosignalDigest:    held.delivery.GetBiosignalDigest(),
		BiosignalSentAt:    held.delivery.SentAt,
		BiosignalSignature: held.delivery.GetSignature(),
		DiagnosisSizeBytes: proto.Uint64(uint64(len(d5.GetDiagnosis()))),
		DiagnosisDigest:    transcript.Digest(d5.GetDiagnosis()),
		BasedOn:            d5.GetBasedOn(),
		DiagnosisSentAt:    d5.SentAt,
		DiagnosisSignature: d5.GetSignature(),
		Amends:             d5.GetAmends(),
	}
	return &Deposit{message, held.Biosignal, d5.GetDiagnosis()}, nil
}

// Show shows the duty of now in place of one that is over: another deposit, for the one before was refused.
func (d *Deposit) Show(duty *pb.ShownDuty) {
	d.Message.Access = ByConsent(d.Message.GetPatientId(), d.Message.GetAccess().GetConsent(), duty).Access
}

// Deposit makes STO: M_SD and M_DINF in slices, then the deposit. The frames are to be sent once.
func (e *RecordEstablished) Deposit(deposit *Deposit) (*AwaitingDepositReceipt, iter.Seq2[*pb.SessionFrame, error], error) {
	encoded, err := rules.Marshal(deposit.Message)
	if err != nil {
		return nil, nil, err
	}
	content := append(bytes.Clone(deposit.Biosignal), deposit.Diagnosis...)
	state := &AwaitingDepositReceipt{e.Session, transcript.Digest(encoded)}
	return state, e.sending.sealLong("sto", content, encoded, deposit.Message.GetSentAt()), nil
}

// AwaitingDepositReceipt is a doctor whose STO is sent.
type AwaitingDepositReceipt struct {
	Session
	depositDigest []byte
}

// Receive takes STOACK: the receipt, verified. Its T may be old: that of a deposit that was made before is as old as that deposit.
// Refuses as AwaitingRecord.Receive.
func (w *AwaitingDepositReceipt) Receive(frame *pb.SessionFrame) (*pb.DepositReceipt, error) {
	end := &pb.DepositEnd{}
	if _, err := w.receiving.openMessage("stoack", frame, end); err != nil {
		return nil, refusal.AfterOpening(err)
	}
	if err := ofSession(end.GetOutcome()).toldBy("the hospital"); err != nil {
		return nil, err
	}
	receipt, err := w.verify(end)
	return receipt, refusal.AfterOpening(err)
}

func (w *AwaitingDepositReceipt) verify(end *pb.DepositEnd) (*pb.DepositReceipt, error) {
	if end.GetReceipt() == nil {
		return nil, refusal.New(refusal.MissingField, "a served deposit has a receipt")
	}
	receipt := &pb.DepositReceipt{}
	if err := OpenStatement("stoack", receipt, end.GetReceipt(), w.Peer.VerifyingKey); err != nil {
		return nil, err
	}
	if !bytes.Equal(receipt.GetDepositDigest(), w.depositDigest) {
		return nil, refusal.New(refusal.AnswerMismatch, "the receipt is for another deposit")
	}
	return receipt, nil
}

// recordOpeningTranscript is what Sig_D3 covers: eq. 35 with c_P for ID_P, and the hospital (C3).
func recordOpeningTranscript(message opening, issuer []byte, hospitalID string, keyID, sessionID []byte) []byte {
	d3 := message.(*pb.RecordOpening)
	return transcript.T("D3",
		issuer,
		transcript.U64(d3.GetSentAt()),
		d3.GetPatientCommitment(),
		d3.GetAgreementPoint(),
		d3.GetEphemeralPoint(),
		d3.GetRegistrationPoint(),
		transcript.Text(hospitalID),
		d3.GetResponderSerial(),
		keyID,
		sessionID,
		transcript.Digest(d3.GetContribution()),
		certificateDigest(d3.GetDoctorCertificate()))
}

// recordHash gives TH2 = H(T("th2", H(d3 plaintext), ID_HPC, M_HPC, R_HPC1, R_HPC2, E_HPC, T_HPC1, session id)).
func recordHash(openingPlaintext []byte, message reply, credential, sessionID []byte) []byte {
	h1 := message.(*pb.RecordReply)
	return transcript.Digest(transcript.T("th2",
		transcript.Digest(openingPlaintext),
		transcript.Text(h1.GetHospitalId()),
		credential,
		h1.GetRegistrationPoint(),
		h1.GetAgreementPoint(),
		h1.GetEphemeralPoint(),
		transcript.U64(h1.GetSentAt()),
		sessionID))
}

// recordReplyTranscript is what Sig_HPC1 covers: eq. 41, and the session (C4).
func recordReplyTranscript(message reply, issuer, transcriptHash []byte) []byte {
	h1 := message.(*pb.RecordReply)
	return transcript.T("H1",
		issuer,
		transcript.U64(h1.GetSentAt()),
		h1.GetEphemeralPoint(),
		transcript.Text(h1.GetHospitalId()),
		h1.GetKeyConfirmation(),
		transcriptHash)
}
