package protocol

import (
	"bytes"
	"crypto/subtle"
	"iter"

	"google.golang.org/protobuf/proto"

	"medunion.example/clients/go/curve"
	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/refusal"
	"medunion.example/clients/go/rules"
	"medunion.example/clients/go/transcript"
)

// CheckRoom checks what the relay serves against the digest in the doctor's code, and CRED(D), Cert_D, EK_D (X13, B4). Refuses with
// IDENTITY_MISMATCH where the relay serves somebody else's statements, and as Verifier.Doctor.
func CheckRoom(room *pb.GetRoomResponse, code []byte, verifier Verifier, now Instant) (*Peer, error) {
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
	return &Peer{party, key, room.GetDoctorCertificate()}, nil
}

// BeginConsultation makes P1 for the doctor of the code. password is B_P, 32 bytes.
func BeginConsultation(patient *Party, doctor *Peer, password []byte, now Instant, entropy curve.Entropy) (*AwaitingReply[*Established], *pb.SealedOpening, error) {
	p1 := &pb.ConsultationOpening{PatientId: proto.String(patient.Identity), BiometricPassword: password}
	return begin(consultationKind, patient, doctor, p1, func(session Session) *Established { return &Established{session} }, now, entropy)
}

// Established is a patient to whom the doctor has proved itself and the key.
type Established struct{ Session }

// Deliver makes P2 (eq. 23): M_SD in slices, then what signs it for this doctor, and the consent. What is shown is whose visit it is, and
// the consent, if there is one: signed by this patient, for itself or as a deputy. The frames are to be sent once.
func (e *Established) Deliver(biosignal []byte, shown Shown, now Instant) (*AwaitingDiagnosis, iter.Seq2[*pb.SessionFrame, error], error) {
	p2 := &pb.BiosignalDelivery{
		BiosignalSizeBytes: proto.Uint64(uint64(len(biosignal))),
		BiosignalDigest:    transcript.Digest(biosignal),
		PatientId:          proto.String(shown.PatientID),
		SentAt:             proto.Uint64(now),
		Consent:            shown.Consent(),
	}
	encoded, err := signMessage(e.Own.Signer, biosignalTranscript(e.transcriptHash, e.Peer.Identity, e.Peer.Certificate, p2), p2)
	if err != nil {
		return nil, nil, err
	}
	state := &AwaitingDiagnosis{e.Session, p2.GetSignature(), nil}
	state.sending.sequence = framesOf(len(biosignal))
	return state, e.sending.sealLong("p2", biosignal, encoded, now), nil
}

// AwaitingDiagnosis is a patient whose P2 is sent, and who takes the first diagnosis, or one that amends the newest.
type AwaitingDiagnosis struct {
	Session
	biosignalSignature []byte // Sig_P2
	newest             []byte // H(Sig_D5) of the diagnosis that came last; empty before the first
}

// Receive takes D5 (eq. 50), the first or one that amends the newest. Its T lies within the consultation's life; the sequence stops a replay (D2). Refuses with REJECTED.
func (w *AwaitingDiagnosis) Receive(frame *pb.SessionFrame, verifier Verifier, now Instant) (*Diagnosed, error) {
	diagnosed, err := w.accept(frame, verifier, now)
	return diagnosed, refusal.AfterOpening(err)
}

func (w *AwaitingDiagnosis) accept(frame *pb.SessionFrame, verifier Verifier, now Instant) (*Diagnosed, error) {
	d5 := &pb.DiagnosisDelivery{}
	receiving, err := w.receiving.openMessage("d5", frame, d5)
	if err != nil {
		return nil, err
	}
	if err := verifier.Freshness.RequireNotFuture(d5.GetSentAt(), now); err != nil {
		return nil, err
	}
	if d5.GetSentAt()+milliseconds(verifier.Freshness.Skew) < w.beganAt || d5.GetSentAt() >= w.beganAt+milliseconds(ConsultationLife) {
		return nil, refusal.New(refusal.SessionExpired, "the diagnosis was not made within the consultation's life")
	}
	if !bytes.Equal(d5.GetDoctorCertificate(), w.Peer.Certificate) {
		return nil, refusal.New(refusal.CertificateForeign, "Cert_D is not the one of the consultation")
	}
	if err := w.Peer.requireStillGood(verifier, now); err != nil {
		return nil, err
	}
	covered := diagnosisTranscript(w.transcriptHash, w.biosignalSignature, d5)
	if err := verifySignature(w.Peer.VerifyingKey, d5.GetSignature(), covered); err != nil {
		return nil, err
	}
	if w.receiving.sequence > MostAmendments {
		return nil, refusal.New(refusal.LimitReached, "a diagnosis is amended at most %d times", MostAmendments)
	}
	if !bytes.Equal(d5.GetAmends(), w.newest) {
		return nil, refusal.New(refusal.AmendmentMismatch, "the diagnosis does not amend the newest before it")
	}
	return &Diagnosed{w, receiving, d5}, nil
}

// Diagnosed is a patient whose signed diagnosis is here.
type Diagnosed struct {
	consultation *AwaitingDiagnosis
	receiving    direction
	// Delivery is d5: M_DINF, a FHIR R4 DiagnosticReport, and Sig_D5.
	Delivery *pb.DiagnosisDelivery
}

// Receipt makes P6, and the state that takes an amendment. It is to be made once: a second one would use its nonce again. P6 k answers D5 k
// under that number, so a receipt that never arrives leaves no gap.
func (d *Diagnosed) Receipt(now Instant) (*AwaitingDiagnosis, *pb.SessionFrame, error) {
	following := *d.consultation
	following.receiving, following.newest = d.receiving, transcript.Digest(d.Delivery.GetSignature())
	p6 := &pb.DiagnosisReceipt{DiagnosisDigest: following.newest, SentAt: proto.Uint64(now)}
	encoded, err := signMessage(following.Own.Signer, receiptTranscript(p6), p6)
	if err != nil {
		return nil, nil, err
	}
	frame, err := following.sending.sealMessage("p6", encoded, now)
	following.sending.sequence++
	return &following, frame, err
}
