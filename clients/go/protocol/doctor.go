package protocol

import (
	"bytes"
	"crypto/sha256"

	"google.golang.org/protobuf/proto"

	"medunion.example/clients/go/access"
	"medunion.example/clients/go/curve"
	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/keys"
	"medunion.example/clients/go/refusal"
	"medunion.example/clients/go/rules"
	"medunion.example/clients/go/transcript"
)

// ReceiveOpening takes P1. The patient is present only once P2 confirms the key.
func ReceiveOpening(doctor *Party, sealed *pb.SealedOpening, verifier Verifier, now Instant) (Pending[*ReceivedOpening[*AwaitingBiosignal]], error) {
	replied := func(session Session) *AwaitingBiosignal { return &AwaitingBiosignal{Session: session} }
	return receiveOpening(consultationKind, doctor, sealed, verifier, replied, now)
}

// AwaitingBiosignal is a doctor whose D1 is sent; slices of M_SD come in.
type AwaitingBiosignal struct {
	Session
	pieces  [][]byte
	size    int     // of the slices, padding and all
	heardAt Instant // when the first frame came; 0 before
}

// Receive takes one frame of P2 (eq. 24); the first that opens confirms the key: only now is the patient present (B2). One of the two
// states is given: the next one while slices come, or InConsultation after the last frame, with which everything is decided anew. duty is the
// doctor's own; nil without one. Refuses with STALE, FUTURE_DATED by the clear T, with REJECTED for everything else; then this state
// stays good.
func (w AwaitingBiosignal) Receive(frame *pb.SessionFrame, duty *pb.ShownDuty, verifier Verifier, now Instant) (*AwaitingBiosignal, *InConsultation, error) {
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
	present, err := w.complete(plaintext, frame, duty, verifier, now)
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

func (w *AwaitingBiosignal) complete(plaintext []byte, frame *pb.SessionFrame, duty *pb.ShownDuty, verifier Verifier, now Instant) (*InConsultation, error) {
	p2, patient := &pb.BiosignalDelivery{}, w.Peer
	if err := parseLast(plaintext, frame, p2); err != nil {
		return nil, err
	}
	if err := patient.requireStillGood(verifier, now); err != nil {
		return nil, err
	}
	if p2.GetPatientId() != patient.Identity && p2.GetConsent().GetDeputyship() == nil {
		return nil, refusal.New(refusal.IdentityMismatch, "P2 names another patient, and no deputyship for it")
	}
	biosignal, err := unpadContent(bytes.Join(w.pieces, nil), p2.GetBiosignalSizeBytes())
	if err != nil {
		return nil, err
	}
	if digest := sha256.Sum256(biosignal); !bytes.Equal(p2.GetBiosignalDigest(), digest[:]) {
		return nil, refusal.New(refusal.RecordDigestMismatch, "the biosignal is not the one that was signed")
	}
	covered := biosignalTranscript(w.transcriptHash, w.Own.Identity, w.Own.Certificate, p2)
	if err := verifySignature(patient.VerifyingKey, p2.GetSignature(), covered); err != nil {
		return nil, err
	}
	present := &InConsultation{
		Session:   w.Session,
		Biosignal: biosignal,
		Shown:     ByConsent(p2.GetPatientId(), p2.GetConsent(), duty),
		delivery:  p2,
	}
	if p2.GetConsent() != nil {
		if present.Grant, err = w.requireConsent(present.Shown, verifier, now); err != nil {
			return nil, err
		}
	}
	return present, nil
}

// requireConsent requires that this patient signed the consent, and for this doctor: it is of use now. It gives what the grant says.
func (w *AwaitingBiosignal) requireConsent(shown Shown, verifier Verifier, now Instant) (*access.Grant, error) {
	if !proto.Equal(shown.Consent().GetKeyStatement(), w.Peer.KeyStatement) {
		return nil, refusal.New(refusal.IdentityMismatch, "the consent is of another patient than the one who came")
	}
	question := access.Question{Asker: askerOf(w.Own.VerifiedParty), Right: access.NoRight, PatientID: shown.PatientID}
	consent, err := shown.decide(w.Own.VerifiedParty, question, verifier, now)
	return &consent.Grant, err
}

// InConsultation is a doctor whose patient is present: its biosignal and consent are here. Whose visit it is stands in Shown: the patient's
// who came, or of one whom it stands for.
type InConsultation struct {
	Session
	Biosignal []byte
	Shown     Shown         // what the doctor may show elsewhere
	Grant     *access.Grant // nil where the patient consents to nothing beyond this consultation

	delivery *pb.BiosignalDelivery
}

// Places gives where the patient says that its records are, for where the public cloud does not answer; nothing of it is verified yet. Nil
// where it brought nothing.
func (c *InConsultation) Places() *pb.KeptPlaces { return c.delivery.GetPlaces() }

// Diagnose makes D5 (eq. 49), signed over the biosignal's and the records' signatures that it rests on. It is to be made once: a second one
// would use its nonce again, and a further one amends it. Refuses with SESSION_EXPIRED after 12 hours.
func (c *InConsultation) Diagnose(diagnosis []byte, recordSignatures [][]byte, now Instant) (*AwaitingReceipt, *pb.SessionFrame, error) {
	return c.deliver(diagnosis, recordSignatures, nil, now)
}

func (c *InConsultation) deliver(diagnosis []byte, recordSignatures [][]byte, amends []byte, now Instant) (*AwaitingReceipt, *pb.SessionFrame, error) {
	if now >= c.beganAt+milliseconds(ConsultationLife) {
		return nil, nil, refusal.New(refusal.SessionExpired, "the consultation's life is over")
	}
	d5 := &pb.DiagnosisDelivery{Diagnosis: diagnosis, DoctorCertificate: c.Own.Certificate, SentAt: proto.Uint64(now), Amends: amends}
	for _, signature := range recordSignatures {
		d5.BasedOn = append(d5.BasedOn, transcript.Digest(signature))
	}
	encoded, err := signMessage(c.Own.Signer, diagnosisTranscript(c.transcriptHash, c.delivery.GetSignature(), d5), d5)
	if err != nil {
		return nil, nil, err
	}
	frame, err := c.sending.sealMessage("d5", encoded, now)
	after := *c
	after.sending.sequence++
	return &AwaitingReceipt{&after, d5}, frame, err
}

// AwaitingReceipt is a doctor whose D5 is sent; the patient may send a receipt, and the doctor may amend it.
type AwaitingReceipt struct {
	consultation *InConsultation
	// Diagnosis is d5.
	Diagnosis *pb.DiagnosisDelivery
}

// Amend makes a further D5, which takes the place of this one and names it by H(Sig_D5). It is to be made once. This state still takes its own
// P6. Refuses with SESSION_EXPIRED after 12 hours, with LIMIT_REACHED after as many as there may be.
func (w *AwaitingReceipt) Amend(diagnosis []byte, recordSignatures [][]byte, now Instant) (*AwaitingReceipt, *pb.SessionFrame, error) {
	if w.consultation.sending.sequence > MostAmendments {
		return nil, nil, refusal.New(refusal.LimitReached, "a diagnosis is amended at most %d times", MostAmendments)
	}
	after := *w.consultation
	after.receiving.sequence++ // P6 of this D5 has the number before, whether it comes or not
	return after.deliver(diagnosis, recordSignatures, transcript.Digest(w.Diagnosis.GetSignature()), now)
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
	if err := verifySignature(w.consultation.Peer.VerifyingKey, p6.GetSignature(), receiptTranscript(p6)); err != nil {
		return nil, err
	}
	return p6, nil
}

// AskForRoom makes a doctor's request for a room of this hospital's relay, signed over T("room", ID_D, ID_HPC, EK_D, nonce, T). Nothing in
// it is secret. It draws 16 bytes for the nonce.
func AskForRoom(doctor *Party, hospitalID string, now Instant, entropy curve.Entropy) (*pb.OpenRoomRequest, error) {
	request := &pb.OpenRoomRequest{
		KeyStatement:           doctor.KeyStatement,
		DoctorCertificate:      doctor.Certificate,
		EncryptionKeyStatement: doctor.EncryptionKey,
		Nonce:                  entropy(16),
		SentAt:                 proto.Uint64(now),
	}
	signed := transcript.T("room",
		transcript.Text(doctor.Identity),
		transcript.Text(hospitalID),
		doctor.EncryptionKey.GetStatement(),
		request.GetNonce(),
		transcript.U64(now))
	var err error
	request.Signature, err = keys.Sign(doctor.Signer, signed)
	return request, err
}

// AskToClose makes a doctor's request to close a room of its own. No room has this number again, so it needs no time and no nonce.
func AskToClose(doctor *Party, hospitalID string, room []byte) (*pb.CloseRoomRequest, error) {
	signature, err := keys.Sign(doctor.Signer, closeTranscript(doctor.Identity, hospitalID, room))
	return &pb.CloseRoomRequest{RoomId: room, Signature: signature}, err
}

// closeTranscript is what closes a room: T("room-close", ID_D, ID_HPC, room).
func closeTranscript(doctorID, hospitalID string, room []byte) []byte {
	return transcript.T("room-close", transcript.Text(doctorID), transcript.Text(hospitalID), room)
}
