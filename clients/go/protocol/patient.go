package protocol

import (
	"bytes"
	"crypto/subtle"
	"iter"

	"google.golang.org/protobuf/proto"

	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/group"
	"medunion.example/clients/go/keys"
	"medunion.example/clients/go/refusal"
	"medunion.example/clients/go/rules"
	"medunion.example/clients/go/transcript"
)

// AddressedDoctor is the doctor of the code that the patient scanned, verified.
type AddressedDoctor struct {
	*VerifiedParty
	Certificate   []byte
	EncryptionKey *EncryptionKey
}

// CheckRoom checks what the relay serves against the digest in the doctor's code, and CRED(D), Cert_D, EK_D (X13, B4). Refuses with
// IDENTITY_MISMATCH where the relay serves somebody else's statements, and as Verifier.Doctor.
func CheckRoom(room *pb.GetRoomResponse, code []byte, verifier Verifier, now Instant) (*AddressedDoctor, error) {
	if err := rules.Check(room); err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare(CodeDigest(room.GetKeyStatement(), room.GetDoctorCertificate()), code) != 1 {
		return nil, refusal.New(refusal.IdentityMismatch, "the relay serves another doctor than the code names")
	}
	party, err := verifier.Doctor(room.GetKeyStatement(), room.GetDoctorCertificate(), now)
	if err != nil {
		return nil, err
	}
	key, err := verifier.EncryptionKey(room.GetEncryptionKeyStatement(), party, now)
	if err != nil {
		return nil, err
	}
	return &AddressedDoctor{party, room.GetDoctorCertificate(), key}, nil
}

// BeginConsultation makes P1: picks r5, R_P2 = r5 B (eq. 11), signs it for this doctor (eq. 13) and seals it to it (eq. 12). password
// is B_P, 32 bytes. It draws 64 bytes for r5, 16 for the session id, 32 for kappa_P.
func BeginConsultation(patient *Party, doctor *AddressedDoctor, password []byte, now Instant, entropy group.Entropy) (*AwaitingReply, *pb.SealedOpening, error) {
	ownKey, err := patient.ownKey()
	if err != nil {
		return nil, nil, err
	}
	scalar, err := group.NewScalar(entropy(64))
	if err != nil {
		return nil, nil, err
	}
	sessionID, keyID := entropy(16), doctor.EncryptionKey.KeyID
	p1 := &pb.ConsultationOpening{
		PatientId:              proto.String(patient.Identity),
		BiometricPassword:      password,
		RegistrationPoint:      patient.RegistrationPoint,
		EphemeralPoint:         scalar.TimesBase(),
		SentAt:                 proto.Uint64(now),
		Contribution:           entropy(32),
		KeyStatement:           patient.KeyStatement,
		EncryptionKeyStatement: patient.EncryptionKey,
	}
	if p1.Signature, err = keys.Sign(patient.Signer, openingTranscript(p1, patient.Issuer, doctor.Identity, keyID, sessionID)); err != nil {
		return nil, nil, err
	}
	context := sealContext{"p1", unnamed, doctor.Identity, keyID, sessionID, now}
	opening, plaintext, err := sealOpening(p1, doctor.EncryptionKey, context)
	if err != nil {
		return nil, nil, err
	}
	return &AwaitingReply{patient, doctor, sessionID, scalar, p1.GetContribution(), plaintext, now, ownKey}, opening, nil
}

// AwaitingReply is a patient whose P1 is sent. r5 lives here and nowhere else.
type AwaitingReply struct {
	patient      *Party
	doctor       *AddressedDoctor
	sessionID    []byte
	scalar       *group.Scalar
	contribution []byte
	plaintext    []byte // of p1, exactly
	sentAt       Instant
	key          *keys.DecryptionKey
}

// SessionID names the session, 16 bytes.
func (w *AwaitingReply) SessionID() []byte { return w.sessionID }

// Receive takes D1 (eq. 20-22). Refuses with SESSION_UNKNOWN, STALE, FUTURE_DATED by clear fields, with REJECTED for whatever was found
// after opening; then the true answer may still come.
func (w *AwaitingReply) Receive(reply *pb.SealedReply, verifier Verifier, now Instant) (*Established, error) {
	if err := rules.Check(reply); err != nil {
		return nil, err
	}
	if !bytes.Equal(reply.GetSessionId(), w.sessionID) {
		return nil, refusal.New(refusal.SessionUnknown, "the answer belongs to another session")
	}
	if err := verifier.Freshness.Require(reply.GetSentAt(), now); err != nil {
		return nil, err
	}
	established, err := w.accept(reply, verifier, now)
	return established, refusal.AfterOpening(err)
}

func (w *AwaitingReply) accept(reply *pb.SealedReply, verifier Verifier, now Instant) (*Established, error) {
	d1 := &pb.ConsultationReply{}
	context := sealContext{"d1", w.doctor.Identity, w.patient.Identity, w.key.KeyID, w.sessionID, reply.GetSentAt()}
	if _, err := openPayload(d1, reply.GetSealed(), w.key, context); err != nil {
		return nil, err
	}
	if d1.GetDoctorId() != w.doctor.Identity {
		return nil, refusal.New(refusal.IdentityMismatch, "another doctor answers than the one addressed")
	}
	if !bytes.Equal(d1.GetDoctorCertificate(), w.doctor.Certificate) {
		return nil, refusal.New(refusal.CertificateForeign, "Cert_D is not the one that was checked")
	}
	doctor, err := verifier.Doctor(d1.GetKeyStatement(), d1.GetDoctorCertificate(), now)
	if err != nil {
		return nil, err
	}
	if doctor.Identity != w.doctor.Identity || !bytes.Equal(doctor.RegistrationPoint, d1.GetRegistrationPoint()) {
		return nil, refusal.New(refusal.IdentityMismatch, "the key statement is not of the doctor who answers")
	}
	transcriptHash := consultationHash(w.plaintext, d1, doctor.Credential, w.sessionID)
	k, z, err := agree(w.patient.RegistrationSecret, d1.GetEphemeralPoint(), w.scalar, doctor)
	if err != nil {
		return nil, err
	}
	derived, err := deriveKeys(k, z, w.contribution, d1.GetContribution(), transcriptHash, "PD")
	if err != nil {
		return nil, err
	}
	if err := derived.requireConfirmation(d1.GetKeyConfirmation()); err != nil {
		return nil, err
	}
	if err := verifySignature(doctor.VerifyingKey, d1.GetSignature(), replyTranscript(d1, doctor.Issuer, transcriptHash)); err != nil {
		return nil, err
	}
	return &Established{w.patient, w.doctor, w.sessionID, transcriptHash, derived, w.sentAt}, nil
}

// Forget wipes r5 and kappa_P, once D1 has held or is no longer awaited.
func (w *AwaitingReply) Forget() {
	w.scalar.Wipe()
	clear(w.contribution)
}

// Established is a patient to whom the doctor has proved itself and the key.
type Established struct {
	patient        *Party
	doctor         *AddressedDoctor
	sessionID      []byte
	transcriptHash []byte // TH1
	keys           sessionKeys
	beganAt        Instant
}

// Deliver makes P2 (eq. 23): M_SD in slices, then what signs it and the grant, which may be nil. The frames are to be sent once.
func (e *Established) Deliver(biosignal []byte, grant *pb.SignedStatement, now Instant) (*AwaitingDiagnosis, iter.Seq2[*pb.SessionFrame, error], error) {
	p2 := &pb.BiosignalDelivery{
		BiosignalSizeBytes: proto.Uint64(uint64(len(biosignal))),
		BiosignalDigest:    transcript.Digest(biosignal),
		PatientId:          proto.String(e.patient.Identity),
		SentAt:             proto.Uint64(now),
		Grant:              grant,
	}
	signed := biosignalTranscript(e.transcriptHash, e.doctor.Identity, e.doctor.Certificate, p2)
	var err error
	if p2.Signature, err = keys.Sign(e.patient.Signer, signed); err != nil {
		return nil, nil, err
	}
	encoded, err := rules.Marshal(p2)
	if err != nil {
		return nil, nil, err
	}
	state := &AwaitingDiagnosis{
		patient:            e.patient,
		doctor:             e.doctor,
		transcriptHash:     e.transcriptHash,
		sending:            direction{e.sessionID, e.keys.forward, framesOf(len(biosignal))},
		receiving:          direction{e.sessionID, e.keys.backward, 0},
		biosignalSignature: p2.GetSignature(),
		beganAt:            e.beganAt,
	}
	return state, direction{e.sessionID, e.keys.forward, 0}.sealLong("p2", biosignal, encoded, now), nil
}

// AwaitingDiagnosis is a patient whose P2 is sent.
type AwaitingDiagnosis struct {
	patient            *Party
	doctor             *AddressedDoctor
	transcriptHash     []byte
	sending, receiving direction
	biosignalSignature []byte // Sig_P2
	beganAt            Instant
}

// Receive takes D5 (eq. 50). Its T lies within the consultation's life; the sequence stops a replay (D2). Refuses with REJECTED.
func (w *AwaitingDiagnosis) Receive(frame *pb.SessionFrame, verifier Verifier, now Instant) (*Diagnosed, error) {
	diagnosed, err := w.accept(frame, verifier, now)
	return diagnosed, refusal.AfterOpening(err)
}

func (w *AwaitingDiagnosis) accept(frame *pb.SessionFrame, verifier Verifier, now Instant) (*Diagnosed, error) {
	d5 := &pb.DiagnosisDelivery{}
	if _, err := w.receiving.openMessage("d5", frame, d5); err != nil {
		return nil, err
	}
	if err := verifier.Freshness.RequireNotFuture(d5.GetSentAt(), now); err != nil {
		return nil, err
	}
	if d5.GetSentAt()+milliseconds(verifier.Freshness.Skew) < w.beganAt || d5.GetSentAt() >= w.beganAt+milliseconds(ConsultationLife) {
		return nil, refusal.New(refusal.SessionExpired, "the diagnosis was not made within the consultation's life")
	}
	if !bytes.Equal(d5.GetDoctorCertificate(), w.doctor.Certificate) {
		return nil, refusal.New(refusal.CertificateForeign, "Cert_D is not the one of the consultation")
	}
	doctor, err := verifier.Doctor(w.doctor.KeyStatement, d5.GetDoctorCertificate(), now)
	if err != nil {
		return nil, err
	}
	signed := diagnosisTranscript(w.transcriptHash, w.biosignalSignature, d5)
	if err := verifySignature(doctor.VerifyingKey, d5.GetSignature(), signed); err != nil {
		return nil, err
	}
	return &Diagnosed{w, d5}, nil
}

// Forget wipes the session's keys, once the receipt is sent or the diagnosis is no longer awaited.
func (w *AwaitingDiagnosis) Forget() {
	sessionKeys{forward: w.sending.keys, backward: w.receiving.keys}.wipe()
}

// Diagnosed is a patient whose signed diagnosis is here.
type Diagnosed struct {
	consultation *AwaitingDiagnosis
	// Delivery is d5: M_DINF, a FHIR R4 DiagnosticReport, and Sig_D5.
	Delivery *pb.DiagnosisDelivery
}

// Receipt makes P6. It is to be made once: a second one would use its nonce again.
func (d *Diagnosed) Receipt(now Instant) (*pb.SessionFrame, error) {
	p6 := &pb.DiagnosisReceipt{DiagnosisDigest: transcript.Digest(d.Delivery.GetSignature()), SentAt: proto.Uint64(now)}
	var err error
	if p6.Signature, err = keys.Sign(d.consultation.patient.Signer, receiptTranscript(p6)); err != nil {
		return nil, err
	}
	encoded, err := rules.Marshal(p6)
	if err != nil {
		return nil, err
	}
	return d.consultation.sending.sealMessage("p6", encoded, now)
}
