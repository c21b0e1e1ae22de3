package protocol

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"

	"google.golang.org/protobuf/proto"

	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/group"
	"medunion.example/clients/go/keys"
	"medunion.example/clients/go/refusal"
	"medunion.example/clients/go/rules"
	"medunion.example/clients/go/transcript"
)

// ReceiveOpening takes P1 (eq. 14, 15). Refuses with STALE, FUTURE_DATED, UNSUPPORTED_VERSION, UNKNOWN_KEY_ID, FIELD_INVALID by clear
// fields, with REJECTED for whatever was found after opening.
func ReceiveOpening(doctor *Party, opening *pb.SealedOpening, verifier Verifier, now Instant) (Pending[*Asked], error) {
	key, err := findKey(opening, doctor.Keyring, verifier.Freshness, now)
	if err != nil {
		return Pending[*Asked]{}, err
	}
	asked, err := acceptOpening(doctor, opening, key, verifier, now)
	if err != nil {
		return Pending[*Asked]{}, refusal.AfterOpening(err)
	}
	replayKey := transcript.Digest(transcript.T("P1", transcript.Text(asked.p1.GetPatientId()), asked.p1.GetEphemeralPoint()))
	return Pending[*Asked]{replayKey, verifier.Freshness.ReplayKeyUntil(now), asked}, nil
}

func acceptOpening(doctor *Party, opening *pb.SealedOpening, key *keys.DecryptionKey, verifier Verifier, now Instant) (*Asked, error) {
	p1 := &pb.ConsultationOpening{}
	context := sealContext{"p1", unnamed, doctor.Identity, key.KeyID, opening.GetSessionId(), opening.GetSentAt()}
	plaintext, err := openPayload(p1, opening.GetSealed(), key, context)
	if err != nil {
		return nil, err
	}
	patient, err := verifier.Party(p1.GetKeyStatement(), pb.Role_ROLE_PATIENT, now)
	if err != nil {
		return nil, err
	}
	if p1.GetPatientId() != patient.Identity || !bytes.Equal(p1.GetRegistrationPoint(), patient.RegistrationPoint) {
		return nil, refusal.New(refusal.IdentityMismatch, "the key statement is another patient's")
	}
	if subtle.ConstantTimeCompare(AttributeOf(pb.Role_ROLE_PATIENT, p1.GetBiometricPassword()), patient.Attribute) != 1 {
		return nil, refusal.New(refusal.CredentialInvalid, "the biometric password is not the one registered")
	}
	encryptionKey, err := verifier.EncryptionKey(p1.GetEncryptionKeyStatement(), patient, now)
	if err != nil {
		return nil, err
	}
	signed := openingTranscript(p1, patient.Issuer, doctor.Identity, key.KeyID, opening.GetSessionId())
	if err := verifySignature(patient.VerifyingKey, p1.GetSignature(), signed); err != nil {
		return nil, err
	}
	return &Asked{doctor, patient, encryptionKey, opening.GetSessionId(), p1, plaintext}, nil
}

// Asked is a doctor whom a patient asks: P1 held. The patient is present only once P2 confirms the key.
type Asked struct {
	doctor     *Party
	patient    *VerifiedParty
	patientKey *EncryptionKey
	sessionID  []byte
	p1         *pb.ConsultationOpening
	plaintext  []byte
}

// Reply makes D1: picks r6, R_D2 = r6 B (eq. 16), derives SEK_1 (eq. 17), confirms it (eq. 18, 19). It draws 64 bytes for r6 and 32 for
// kappa_D. Refuses with REJECTED where the patient's point can't be agreed with.
func (a *Asked) Reply(now Instant, entropy group.Entropy) (*AwaitingBiosignal, *pb.SealedReply, error) {
	scalar, err := group.NewScalar(entropy(64))
	if err != nil {
		return nil, nil, err
	}
	defer scalar.Wipe()
	d1 := &pb.ConsultationReply{
		DoctorId:          proto.String(a.doctor.Identity),
		DoctorCertificate: a.doctor.Certificate,
		KeyStatement:      a.doctor.KeyStatement,
		RegistrationPoint: a.doctor.RegistrationPoint,
		EphemeralPoint:    scalar.TimesBase(),
		Contribution:      entropy(32),
		SentAt:            proto.Uint64(now),
	}
	transcriptHash := consultationHash(a.plaintext, d1, a.doctor.Credential, a.sessionID)
	k, z, err := agree(a.doctor.RegistrationSecret, a.p1.GetEphemeralPoint(), scalar, a.patient)
	if err != nil {
		return nil, nil, refusal.AfterOpening(err)
	}
	derived, err := deriveKeys(k, z, a.p1.GetContribution(), d1.GetContribution(), transcriptHash, "PD")
	if err != nil {
		return nil, nil, err
	}
	d1.KeyConfirmation = derived.confirmation
	if d1.Signature, err = keys.Sign(a.doctor.Signer, replyTranscript(d1, a.doctor.Issuer, transcriptHash)); err != nil {
		return nil, nil, err
	}
	context := sealContext{"d1", a.doctor.Identity, a.patient.Identity, a.patientKey.KeyID, a.sessionID, now}
	reply, err := sealReply(d1, a.patientKey, context)
	if err != nil {
		return nil, nil, err
	}
	return &AwaitingBiosignal{
		asked:          a,
		transcriptHash: transcriptHash,
		receiving:      direction{a.sessionID, derived.forward, 0},
		sending:        direction{a.sessionID, derived.backward, 0},
	}, reply, nil
}

// AwaitingBiosignal is a doctor whose D1 is sent; slices of M_SD come in.
type AwaitingBiosignal struct {
	asked              *Asked
	transcriptHash     []byte
	receiving, sending direction
	pieces             [][]byte
	size               int     // of the slices, padding and all
	heardAt            Instant // when the first frame came; 0 before
}

// Receive takes one frame of P2 (eq. 24); the first that opens confirms the key: only now is the patient present (B2). One of the two
// states is given: the next one while slices come, or InConsultation after the last frame. Refuses with STALE, FUTURE_DATED by the clear
// T, with REJECTED for everything else; then this state stays good.
func (w AwaitingBiosignal) Receive(frame *pb.SessionFrame, verifier Verifier, now Instant) (*AwaitingBiosignal, *InConsultation, error) {
	if err := rules.Check(frame); err != nil {
		return nil, nil, err
	}
	if w.heardAt == 0 {
		w.heardAt = now
	}
	if err := verifier.Freshness.RequireSince(frame.GetSentAt(), w.heardAt, now); err != nil {
		return nil, nil, err
	}
	receiving, plaintext, err := w.receiving.open("p2", frame)
	if err != nil {
		return nil, nil, refusal.AfterOpening(err)
	}
	w.receiving = receiving
	if !frame.GetLast() {
		err := w.add(plaintext)
		return &w, nil, refusal.AfterOpening(err)
	}
	present, err := w.complete(plaintext, frame, verifier, now)
	return nil, present, refusal.AfterOpening(err)
}

func (w *AwaitingBiosignal) add(piece []byte) error {
	if len(w.pieces) >= mostSlices || uint64(w.size+len(piece)) > padded(MostBiosignal) {
		return refusal.New(refusal.LimitReached, "a biosignal may have %d bytes in %d slices", MostBiosignal, mostSlices)
	}
	w.pieces = append(w.pieces[:len(w.pieces):len(w.pieces)], piece)
	w.size += len(piece)
	return nil
}

func (w *AwaitingBiosignal) complete(plaintext []byte, frame *pb.SessionFrame, verifier Verifier, now Instant) (*InConsultation, error) {
	p2, patient := &pb.BiosignalDelivery{}, w.asked.patient
	if err := parseLast(plaintext, frame, p2); err != nil {
		return nil, err
	}
	if _, err := verifier.Party(patient.KeyStatement, pb.Role_ROLE_PATIENT, now); err != nil { // on the lists of now: P1 may be long ago
		return nil, err
	}
	if p2.GetPatientId() != patient.Identity {
		return nil, refusal.New(refusal.IdentityMismatch, "P2 names another patient")
	}
	biosignal, err := unpadContent(bytes.Join(w.pieces, nil), p2.GetBiosignalSizeBytes())
	if err != nil {
		return nil, err
	}
	if digest := sha256.Sum256(biosignal); !bytes.Equal(p2.GetBiosignalDigest(), digest[:]) {
		return nil, refusal.New(refusal.RecordDigestMismatch, "the biosignal is not the one that was signed")
	}
	signed := biosignalTranscript(w.transcriptHash, w.asked.doctor.Identity, w.asked.doctor.Certificate, p2)
	if err := verifySignature(patient.VerifyingKey, p2.GetSignature(), signed); err != nil {
		return nil, err
	}
	present := &InConsultation{
		Patient:        patient,
		Biosignal:      biosignal,
		doctor:         w.asked.doctor,
		sessionID:      w.asked.sessionID,
		transcriptHash: w.transcriptHash,
		receiving:      w.receiving,
		sending:        w.sending,
		beganAt:        w.asked.p1.GetSentAt(),
		delivery:       p2,
	}
	if p2.GetGrant() != nil {
		if present.Grant, err = openGrant(p2.GetGrant(), patient, w.asked.doctor, verifier.Freshness, now); err != nil {
			return nil, err
		}
		present.SignedGrant = p2.GetGrant()
	}
	return present, nil
}

// InConsultation is a doctor whose patient is present: its biosignal and grant are here.
type InConsultation struct {
	Patient     *VerifiedParty
	Biosignal   []byte
	Grant       *pb.Grant // nil where the patient consents to nothing beyond this consultation
	SignedGrant *pb.SignedStatement

	doctor             *Party
	sessionID          []byte
	transcriptHash     []byte
	receiving, sending direction
	beganAt            Instant
	delivery           *pb.BiosignalDelivery
}

// SessionID names the session, 16 bytes.
func (c *InConsultation) SessionID() []byte { return c.sessionID }

// Forget wipes the session's keys, once the consultation is over.
func (c *InConsultation) Forget() {
	sessionKeys{forward: c.receiving.keys, backward: c.sending.keys}.wipe()
}

// Diagnose makes D5 (eq. 49), signed over the biosignal's and the records' signatures that it rests on. A consultation has one: a second
// would use its nonce again. Refuses with SESSION_EXPIRED after 12 hours.
func (c *InConsultation) Diagnose(diagnosis []byte, recordSignatures [][]byte, now Instant) (*AwaitingReceipt, *pb.SessionFrame, error) {
	if now >= c.beganAt+milliseconds(ConsultationLife) {
		return nil, nil, refusal.New(refusal.SessionExpired, "the consultation's life is over")
	}
	d5 := &pb.DiagnosisDelivery{Diagnosis: diagnosis, DoctorCertificate: c.doctor.Certificate, SentAt: proto.Uint64(now)}
	for _, signature := range recordSignatures {
		d5.BasedOn = append(d5.BasedOn, transcript.Digest(signature))
	}
	var err error
	if d5.Signature, err = keys.Sign(c.doctor.Signer, diagnosisTranscript(c.transcriptHash, c.delivery.GetSignature(), d5)); err != nil {
		return nil, nil, err
	}
	encoded, err := rules.Marshal(d5)
	if err != nil {
		return nil, nil, err
	}
	frame, err := c.sending.sealMessage("d5", encoded, now)
	return &AwaitingReceipt{c, d5}, frame, err
}

// AwaitingReceipt is a doctor whose D5 is sent; the patient may send a receipt.
type AwaitingReceipt struct {
	consultation *InConsultation
	// Diagnosis is d5.
	Diagnosis *pb.DiagnosisDelivery
}

// Receive takes P6. Refuses with REJECTED anything but the patient's own receipt for this diagnosis.
func (w *AwaitingReceipt) Receive(frame *pb.SessionFrame, verifier Verifier, now Instant) (*pb.DiagnosisReceipt, error) {
	receipt, err := w.accept(frame, verifier, now)
	return receipt, refusal.AfterOpening(err)
}

func (w *AwaitingReceipt) accept(frame *pb.SessionFrame, verifier Verifier, now Instant) (*pb.DiagnosisReceipt, error) {
	p6 := &pb.DiagnosisReceipt{}
	if _, err := w.consultation.receiving.openMessage("p6", frame, p6); err != nil {
		return nil, err
	}
	if err := verifier.Freshness.RequireNotFuture(p6.GetSentAt(), now); err != nil {
		return nil, err
	}
	if !bytes.Equal(p6.GetDiagnosisDigest(), transcript.Digest(w.Diagnosis.GetSignature())) {
		return nil, refusal.New(refusal.SignatureInvalid, "the receipt is for another diagnosis")
	}
	if err := verifySignature(w.consultation.Patient.VerifyingKey, p6.GetSignature(), receiptTranscript(p6)); err != nil {
		return nil, err
	}
	return p6, nil
}
