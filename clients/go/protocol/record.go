package protocol

import (
	"bytes"
	"iter"

	"google.golang.org/protobuf/proto"

	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/refusal"
	"medunion.example/clients/go/rules"
	"medunion.example/clients/go/transcript"
)

// What a confirmed session's hospital may say is wrong.
var sessionRefusals = map[pb.SessionOutcome]refusal.Reason{
	pb.SessionOutcome_SESSION_OUTCOME_NO_RECORD:         refusal.NoSuchRecord,
	pb.SessionOutcome_SESSION_OUTCOME_GRANT_EXPIRED:     refusal.GrantExpired,
	pb.SessionOutcome_SESSION_OUTCOME_GRANT_REVOKED:     refusal.GrantRevoked,
	pb.SessionOutcome_SESSION_OUTCOME_GRANT_SCOPE:       refusal.GrantScope,
	pb.SessionOutcome_SESSION_OUTCOME_GRANT_MISSING:     refusal.GrantMissing,
	pb.SessionOutcome_SESSION_OUTCOME_EMERGENCY_REFUSED: refusal.EmergencyNotSupported,
}

// HospitalSession is a doctor to whom the hospital has proved itself and the key. One D4 or STO a session.
type HospitalSession struct {
	doctor         *Party
	hospital       *VerifiedParty
	intent         Intent
	sessionID      []byte
	transcriptHash []byte // TH2
	keys           sessionKeys
}

func (s *HospitalSession) sending() direction   { return direction{s.sessionID, s.keys.forward, 0} }
func (s *HospitalSession) receiving() direction { return direction{s.sessionID, s.keys.backward, 0} }

// Forget wipes the session's keys, once it is over.
func (s *HospitalSession) Forget() { s.keys.wipe() }

// Query makes D4 (eq. 45): opens c_P and shows the grant. Of what comes in answer, most bytes are taken.
func (s *HospitalSession) Query(most uint64, now Instant) (*AwaitingRecord, *pb.SessionFrame, error) {
	d4 := &pb.RecordQuery{
		PatientId:               proto.String(s.intent.PatientID),
		DoctorId:                proto.String(s.doctor.Identity),
		SentAt:                  proto.Uint64(now),
		DoctorCertificateDigest: transcript.Digest(s.doctor.Certificate),
		Blind:                   s.intent.Blind,
		Scope:                   s.intent.Scope,
		PatientKeyStatement:     s.intent.PatientKeyStatement,
	}
	state := &AwaitingRecord{session: s, receiving: s.receiving(), content: newRecordContent(most, s.requireAsked)}
	if s.intent.Grant != nil {
		grant := &pb.Grant{}
		if err := Peek(grant, s.intent.Grant); err != nil {
			return nil, nil, err
		}
		d4.Authorization, state.grantID = &pb.RecordQuery_Grant{Grant: s.intent.Grant}, grant.GetGrantId()
	}
	encoded, err := rules.Marshal(d4)
	if err != nil {
		return nil, nil, err
	}
	frame, err := s.sending().sealMessage("d4", encoded, now)
	return state, frame, err
}

// AwaitingRecord is a doctor whose D4 is sent; M_EMR comes in.
type AwaitingRecord struct {
	session   *HospitalSession
	receiving direction
	content   recordContent
	grantID   []byte
}

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
	if h2.GetOutcome() != pb.SessionOutcome_SESSION_OUTCOME_SERVED {
		return nil, nil, hospitalRefuses(h2.GetOutcome())
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
	if _, err := verifier.Party(w.session.hospital.KeyStatement, pb.Role_ROLE_HOSPITAL, now); err != nil { // on the lists of now
		return err
	}
	if err := w.content.end(); err != nil {
		return err
	}
	signed := transcript.T("H2",
		w.session.transcriptHash,
		w.session.intent.commitment(),
		w.RecordDigest(),
		w.grantID,
		transcript.U64(h2.GetVersion()),
		transcript.U64(h2.GetSentAt()))
	return verifySignature(w.session.hospital.VerifyingKey, h2.GetSignature(), signed)
}

// RecordDigest gives H(M_EMR), 32 bytes, once the last frame has held.
func (w *AwaitingRecord) RecordDigest() []byte { return w.content.digest.Sum(nil) }

// Manifest says what the record holds, once the last frame has held.
func (w *AwaitingRecord) Manifest() *pb.RecordManifest { return w.content.manifest }

// requireAsked refuses a manifest of another patient or hospital (IDENTITY_MISMATCH), or with a record that was not asked for
// (ANSWER_MISMATCH).
func (s *HospitalSession) requireAsked(manifest *pb.RecordManifest) error {
	if manifest.GetPatientId() != s.intent.PatientID || manifest.GetHospitalId() != s.hospital.Identity {
		return refusal.New(refusal.IdentityMismatch, "the record names another patient or hospital")
	}
	for _, entry := range manifest.GetRecords() {
		if !contains(s.intent.Scope.GetHandles(), entry.GetHandle()) {
			return refusal.New(refusal.AnswerMismatch, "the hospital sent a record that was not asked for")
		}
	}
	return nil
}

func hospitalRefuses(outcome pb.SessionOutcome) error {
	reason, known := sessionRefusals[outcome]
	if !known {
		reason = refusal.Unauthorized
	}
	return refusal.New(reason, "the hospital refuses: %s", outcome)
}

// Deposit is an encounter to keep at the doctor's own hospital. The same one may be sent again in a new session, and gets the same
// receipt.
type Deposit struct {
	Intent               Intent
	Message              *pb.Deposit
	Biosignal, Diagnosis []byte
}

// PrepareDeposit puts STO together: what the patient and the doctor signed in the consultation. blind is rho, 32 random bytes. Refuses
// with GRANT_MISSING.
func (w *AwaitingReceipt) PrepareDeposit(departmentClass string, blind []byte, now Instant) (*Deposit, error) {
	held, d5 := w.consultation, w.Diagnosis
	if held.SignedGrant == nil {
		return nil, refusal.New(refusal.GrantMissing, "the patient gave no consent to keep this encounter")
	}
	scope := &pb.Scope{Purpose: pb.Purpose_PURPOSE_STORE.Enum(), DepartmentClass: proto.String(departmentClass)}
	message := &pb.Deposit{
		PatientId:           proto.String(held.Patient.Identity),
		DoctorId:            proto.String(held.doctor.Identity),
		SentAt:              proto.Uint64(now),
		Blind:               blind,
		Scope:               scope,
		Grant:               held.SignedGrant,
		PatientKeyStatement: held.Patient.KeyStatement,
		ConsultationDigest:  held.transcriptHash,
		BiosignalSizeBytes:  proto.Uint64(uint64(len(held.Biosignal))),
		BiosignalDigest:     held.delivery.GetBiosignalDigest(),
		BiosignalSentAt:     held.delivery.SentAt,
		BiosignalSignature:  held.delivery.GetSignature(),
		DiagnosisSizeBytes:  proto.Uint64(uint64(len(d5.GetDiagnosis()))),
		DiagnosisDigest:     transcript.Digest(d5.GetDiagnosis()),
		BasedOn:             d5.GetBasedOn(),
		DiagnosisSentAt:     d5.SentAt,
		DiagnosisSignature:  d5.GetSignature(),
	}
	intent := Intent{held.Patient.Identity, scope, held.SignedGrant, held.Patient.KeyStatement, blind}
	return &Deposit{intent, message, held.Biosignal, d5.GetDiagnosis()}, nil
}

// Deposit makes STO: M_SD and M_DINF in slices, then the deposit. The frames are to be sent once.
func (s *HospitalSession) Deposit(deposit *Deposit) (*AwaitingDepositReceipt, iter.Seq2[*pb.SessionFrame, error], error) {
	encoded, err := rules.Marshal(deposit.Message)
	if err != nil {
		return nil, nil, err
	}
	content := append(bytes.Clone(deposit.Biosignal), deposit.Diagnosis...)
	state := &AwaitingDepositReceipt{s.hospital, s.receiving(), transcript.Digest(encoded)}
	return state, s.sending().sealLong("sto", content, encoded, deposit.Message.GetSentAt()), nil
}

// AwaitingDepositReceipt is a doctor whose STO is sent.
type AwaitingDepositReceipt struct {
	hospital      *VerifiedParty
	receiving     direction
	depositDigest []byte
}

// Receive takes STOACK: the receipt, verified. Its T may be old: that of a deposit that was made before is as old as that deposit.
// Refuses as AwaitingRecord.Receive.
func (w *AwaitingDepositReceipt) Receive(frame *pb.SessionFrame) (*pb.DepositReceipt, error) {
	end := &pb.DepositEnd{}
	if _, err := w.receiving.openMessage("stoack", frame, end); err != nil {
		return nil, refusal.AfterOpening(err)
	}
	if end.GetOutcome() != pb.SessionOutcome_SESSION_OUTCOME_SERVED {
		return nil, hospitalRefuses(end.GetOutcome())
	}
	receipt, err := w.verify(end)
	return receipt, refusal.AfterOpening(err)
}

func (w *AwaitingDepositReceipt) verify(end *pb.DepositEnd) (*pb.DepositReceipt, error) {
	if end.GetReceipt() == nil {
		return nil, refusal.New(refusal.MissingField, "a served deposit has a receipt")
	}
	receipt := &pb.DepositReceipt{}
	if err := OpenStatement("stoack", receipt, end.GetReceipt(), w.hospital.VerifyingKey); err != nil {
		return nil, err
	}
	if !bytes.Equal(receipt.GetDepositDigest(), w.depositDigest) {
		return nil, refusal.New(refusal.AnswerMismatch, "the receipt is for another deposit")
	}
	return receipt, nil
}
