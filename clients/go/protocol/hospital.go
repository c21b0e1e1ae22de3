package protocol

import (
	"bytes"

	"google.golang.org/protobuf/proto"

	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/group"
	"medunion.example/clients/go/keys"
	"medunion.example/clients/go/refusal"
	"medunion.example/clients/go/rules"
	"medunion.example/clients/go/transcript"
)

// AddressedHospital is the hospital that a doctor addresses, verified.
type AddressedHospital struct {
	*VerifiedParty
	EncryptionKey *EncryptionKey
}

// AddressHospital verifies what a hospital says of itself. Refuses with IDENTITY_MISMATCH where it is another one, and as Verifier.Party.
func AddressHospital(hospitalID string, answer *pb.GetHospitalResponse, verifier Verifier, now Instant) (*AddressedHospital, error) {
	if err := rules.Check(answer); err != nil {
		return nil, err
	}
	return verifier.hospital(hospitalID, answer.GetKeyStatement(), answer.GetEncryptionKeyStatement(), now)
}

func (v Verifier) hospital(hospitalID string, keyStatement, encryptionKey *pb.SignedStatement, now Instant) (*AddressedHospital, error) {
	party, err := v.Party(keyStatement, pb.Role_ROLE_HOSPITAL, now)
	if err != nil {
		return nil, err
	}
	if party.Identity != hospitalID {
		return nil, refusal.New(refusal.IdentityMismatch, "another hospital than the one named")
	}
	key, err := v.EncryptionKey(encryptionKey, party, now)
	return &AddressedHospital{party, key}, err
}

// Intent is what a session with a hospital is for: c_P commits to it. Keep it to repeat a deposit.
type Intent struct {
	PatientID           string
	Scope               *pb.Scope
	Grant               *pb.SignedStatement
	PatientKeyStatement *pb.SignedStatement
	Blind               []byte // rho, 32 random bytes
}

// commitment gives c_P = H(T("cp", ID_P, H(grant or emergency), H(scope), rho)) (X5).
func (i Intent) commitment() []byte {
	return transcript.Digest(transcript.T("cp", transcript.Text(i.PatientID), grantDigest(i.Grant), scopeDigest(i.Scope), i.Blind))
}

func scopeDigest(scope *pb.Scope) []byte {
	purposes := map[pb.Purpose]string{pb.Purpose_PURPOSE_READ: "read", pb.Purpose_PURPOSE_STORE: "store"}
	return transcript.Digest(transcript.T("scope", transcript.Text(purposes[scope.GetPurpose()]),
		transcript.Text(scope.GetDepartmentClass()), transcript.List(scope.GetHandles()...)))
}

// BeginSession makes D3: picks r7, R_D3 = r7 B (eq. 33), commits to the patient, signs for this hospital (eq. 35), seals (eq. 34). It
// draws 64 bytes for r7, 16 for the session id, 32 for kappa_D.
func BeginSession(doctor *Party, hospital *AddressedHospital, intent Intent, now Instant, entropy group.Entropy) (*AwaitingHospital, *pb.SealedOpening, error) {
	ownKey, err := doctor.ownKey()
	if err != nil {
		return nil, nil, err
	}
	scalar, err := group.NewScalar(entropy(64))
	if err != nil {
		return nil, nil, err
	}
	sessionID, keyID := entropy(16), hospital.EncryptionKey.KeyID
	d3 := &pb.RecordOpening{
		DoctorCertificate:      doctor.Certificate,
		SentAt:                 proto.Uint64(now),
		DoctorId:               proto.String(doctor.Identity),
		EphemeralPoint:         scalar.TimesBase(),
		RegistrationPoint:      doctor.RegistrationPoint,
		PatientCommitment:      intent.commitment(),
		Contribution:           entropy(32),
		KeyStatement:           doctor.KeyStatement,
		EncryptionKeyStatement: doctor.EncryptionKey,
	}
	if d3.Signature, err = keys.Sign(doctor.Signer, sessionTranscript(d3, doctor.Issuer, hospital.Identity, keyID, sessionID)); err != nil {
		return nil, nil, err
	}
	context := sealContext{"d3", unnamed, hospital.Identity, keyID, sessionID, now}
	opening, plaintext, err := sealOpening(d3, hospital.EncryptionKey, context)
	if err != nil {
		return nil, nil, err
	}
	return &AwaitingHospital{doctor, hospital, intent, sessionID, scalar, d3.GetContribution(), plaintext, ownKey}, opening, nil
}

// AwaitingHospital is a doctor whose D3 is sent. r7 lives here and nowhere else.
type AwaitingHospital struct {
	doctor       *Party
	hospital     *AddressedHospital
	intent       Intent
	sessionID    []byte
	scalar       *group.Scalar
	contribution []byte
	plaintext    []byte // of d3, exactly
	key          *keys.DecryptionKey
}

// Receive takes H1 (eq. 42-44). Refuses with SESSION_UNKNOWN, STALE, FUTURE_DATED by clear fields, with REJECTED for whatever was found
// after opening.
func (w *AwaitingHospital) Receive(reply *pb.SealedReply, verifier Verifier, now Instant) (*HospitalSession, error) {
	if err := rules.Check(reply); err != nil {
		return nil, err
	}
	if !bytes.Equal(reply.GetSessionId(), w.sessionID) {
		return nil, refusal.New(refusal.SessionUnknown, "the answer belongs to another session")
	}
	if err := verifier.Freshness.Require(reply.GetSentAt(), now); err != nil {
		return nil, err
	}
	session, err := w.accept(reply, verifier, now)
	return session, refusal.AfterOpening(err)
}

func (w *AwaitingHospital) accept(reply *pb.SealedReply, verifier Verifier, now Instant) (*HospitalSession, error) {
	h1 := &pb.RecordReply{}
	context := sealContext{"h1", w.hospital.Identity, w.doctor.Identity, w.key.KeyID, w.sessionID, reply.GetSentAt()}
	if _, err := openPayload(h1, reply.GetSealed(), w.key, context); err != nil {
		return nil, err
	}
	if h1.GetHospitalId() != w.hospital.Identity {
		return nil, refusal.New(refusal.IdentityMismatch, "another hospital answers than the one addressed")
	}
	hospital, err := verifier.Party(h1.GetKeyStatement(), pb.Role_ROLE_HOSPITAL, now)
	if err != nil {
		return nil, err
	}
	if hospital.Identity != w.hospital.Identity || !bytes.Equal(hospital.RegistrationPoint, h1.GetRegistrationPoint()) {
		return nil, refusal.New(refusal.IdentityMismatch, "the key statement is not of the hospital that answers")
	}
	transcriptHash := sessionHash(w.plaintext, h1, hospital.Credential, w.sessionID)
	k, z, err := agree(w.doctor.RegistrationSecret, h1.GetEphemeralPoint(), w.scalar, hospital)
	if err != nil {
		return nil, err
	}
	derived, err := deriveKeys(k, z, w.contribution, h1.GetContribution(), transcriptHash, "DH")
	if err != nil {
		return nil, err
	}
	if err := derived.requireConfirmation(h1.GetKeyConfirmation()); err != nil {
		return nil, err
	}
	if err := verifySignature(hospital.VerifyingKey, h1.GetSignature(), hospitalTranscript(h1, hospital.Issuer, transcriptHash)); err != nil {
		return nil, err
	}
	return &HospitalSession{w.doctor, hospital, w.intent, w.sessionID, transcriptHash, derived}, nil
}

// Forget wipes r7 and kappa_D, once H1 has held or is no longer awaited.
func (w *AwaitingHospital) Forget() {
	w.scalar.Wipe()
	clear(w.contribution)
}

// sessionTranscript is what Sig_D3 covers: eq. 35 with c_P for ID_P, and the hospital (C3).
func sessionTranscript(d3 *pb.RecordOpening, issuer []byte, hospitalID string, keyID, sessionID []byte) []byte {
	return transcript.T("D3",
		issuer,
		transcript.U64(d3.GetSentAt()),
		d3.GetPatientCommitment(),
		d3.GetEphemeralPoint(),
		d3.GetRegistrationPoint(),
		transcript.Text(hospitalID),
		keyID,
		sessionID,
		transcript.Digest(d3.GetContribution()),
		transcript.Digest(d3.GetDoctorCertificate()))
}

// sessionHash gives TH2 = H(T("th2", H(d3 plaintext), ID_HPC, M_HPC, R_HPC1, R_HPC2, T_HPC1, session id)).
func sessionHash(openingPlaintext []byte, h1 *pb.RecordReply, credential, sessionID []byte) []byte {
	return transcript.Digest(transcript.T("th2",
		transcript.Digest(openingPlaintext),
		transcript.Text(h1.GetHospitalId()),
		credential,
		h1.GetRegistrationPoint(),
		h1.GetEphemeralPoint(),
		transcript.U64(h1.GetSentAt()),
		sessionID))
}

// hospitalTranscript is what Sig_HPC1 covers: eq. 41, and the session (C4).
func hospitalTranscript(h1 *pb.RecordReply, issuer, transcriptHash []byte) []byte {
	return transcript.T("H1",
		issuer,
		transcript.U64(h1.GetSentAt()),
		transcript.Text(h1.GetHospitalId()),
		h1.GetKeyConfirmation(),
		transcriptHash)
}
