package protocol

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/subtle"

	"google.golang.org/protobuf/proto"

	"medunion.example/clients/go/curve"
	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/keys"
	"medunion.example/clients/go/refusal"
	"medunion.example/clients/go/rules"
	"medunion.example/clients/go/transcript"
)

// Applicant is who asks to be registered (eq. 2-10).
type Applicant struct {
	Role          pb.Role
	Identity      string
	Evidence      []byte // B_P or Cert_D
	Ticket        []byte // 16 bytes; nothing of a doctor, whose ticket is Cert_D
	Signer        crypto.Signer
	DecryptionKey *keys.DecryptionKey
	EncryptionKey *pb.SignedStatement
}

// Apply makes reg1, signed over T("reg1", ...): proof of possession.
func (a Applicant) Apply(challenge []byte, cloud *EncryptionKey, now Instant) (*AwaitingCredential, *pb.SealedOpening, error) {
	verifyingKey, err := keys.VerifyingKey(a.Signer)
	if err != nil {
		return nil, nil, err
	}
	request := &pb.RegistrationRequest{
		Role:                   a.Role.Enum(),
		Identity:               proto.String(a.Identity),
		Evidence:               a.Evidence,
		VerifyingKey:           verifyingKey,
		EncryptionKeyStatement: a.EncryptionKey,
		Ticket:                 a.Ticket,
		Challenge:              challenge,
		SentAt:                 proto.Uint64(now),
	}
	plaintext, err := signMessage(a.Signer, requestTranscript(request, cloud.Owner), request)
	if err != nil {
		return nil, nil, err
	}
	context := sealContext{"reg1", unnamed, cloud.Owner, cloud.KeyID, challenge, now}
	opening, err := sealOpening(request, plaintext, cloud, context)
	if err != nil {
		return nil, nil, err
	}
	return &AwaitingCredential{a, challenge, request, transcript.Digest(plaintext)}, opening, nil
}

// AwaitingCredential is an applicant whose reg1 is sent.
type AwaitingCredential struct {
	applicant     Applicant
	challenge     []byte
	request       *pb.RegistrationRequest
	requestDigest []byte // H(reg1 plaintext)
}

// Keep gives what a crash must not lose of a registration that is under way: the same reg1 again gets the same answer for 10 minutes.
// The evidence is left out, for a patient's is never written down; the opening is not sealed any further here.
func (w *AwaitingCredential) Keep() ([]byte, error) {
	request := proto.CloneOf(w.request)
	request.Evidence = nil
	encoded, err := proto.Marshal(request)
	return append(bytes.Clone(w.requestDigest), encoded...), err
}

// Resume gives the state that Keep wrote. Refuses with IDENTITY_MISMATCH what was kept of another applicant.
func (a Applicant) Resume(kept []byte) (*AwaitingCredential, error) {
	request := &pb.RegistrationRequest{}
	if len(kept) < sha256.Size || proto.Unmarshal(kept[sha256.Size:], request) != nil {
		return nil, refusal.New(refusal.MalformedMessage, "what was kept of a registration is none")
	}
	verifyingKey, err := keys.VerifyingKey(a.Signer)
	if err != nil {
		return nil, err
	}
	if request.GetRole() != a.Role || request.GetIdentity() != a.Identity || !bytes.Equal(request.GetVerifyingKey(), verifyingKey) {
		return nil, refusal.New(refusal.IdentityMismatch, "the registration that is under way is another's")
	}
	request.Evidence = a.Evidence
	return &AwaitingCredential{a, request.GetChallenge(), request, kept[:sha256.Size]}, nil
}

// SentAt gives T of reg1.
func (w *AwaitingCredential) SentAt() Instant { return w.request.GetSentAt() }

// Registered is an applicant whose reg2 held. Import Secret, which is S_X, and wipe it.
type Registered struct {
	Party  *VerifiedParty
	Secret []byte
}

// Receive takes reg2: its signature, that M_X holds the applicant's own data, and eq. 4/7/10. Refuses with SESSION_UNKNOWN, and
// REJECTED for whatever was found after opening.
func (w *AwaitingCredential) Receive(reply *pb.SealedReply, anchors *Anchors, crls [][]byte, freshness Freshness, now Instant) (*Registered, error) {
	if err := rules.Check(reply); err != nil {
		return nil, err
	}
	if !bytes.Equal(reply.GetSessionId(), w.challenge) {
		return nil, refusal.New(refusal.SessionUnknown, "the answer belongs to another registration")
	}
	registered, err := w.accept(reply, anchors, crls, freshness, now)
	return registered, refusal.AfterOpening(err)
}

func (w *AwaitingCredential) accept(reply *pb.SealedReply, anchors *Anchors, crls [][]byte, freshness Freshness, now Instant) (*Registered, error) {
	key, answer := w.applicant.DecryptionKey, &pb.RegistrationAnswer{}
	context := sealContext{"reg2", anchors.CloudID, w.applicant.Identity, key.KeyID, w.challenge, reply.GetSentAt()}
	if _, err := openPayload(answer, reply.GetSealed(), key, context); err != nil {
		return nil, err
	}
	if err := freshness.RequireNotFuture(answer.GetSentAt(), now); err != nil {
		return nil, err
	}
	credential := &pb.Credential{}
	if err := rules.Parse(answer.GetCredential(), credential); err != nil {
		return nil, err
	}
	if err := w.requireOwnData(credential); err != nil {
		return nil, err
	}
	issuer, err := anchors.issuerAt(credential.GetNotBefore())
	if err != nil {
		return nil, err
	}
	publicPoint, err := checkIssued(issuer, answer.GetCredential(), answer.GetRegistrationPoint(), answer.GetRegistrationSecret())
	if err != nil {
		return nil, err
	}
	cloudKey, err := anchors.cloudKeyAt(answer.GetSentAt())
	if err != nil {
		return nil, err
	}
	signed := transcript.T("reg2", w.requestDigest, answer.GetCredential(), answer.GetRegistrationPoint(), curve.X(publicPoint),
		transcript.U64(answer.GetSentAt()))
	if err := verifySignature(cloudKey, answer.GetSignature(), signed); err != nil {
		return nil, err
	}
	lists, _, err := ReadExcerpt(anchors, answer.GetRevocations(), crls)
	if err != nil {
		return nil, err
	}
	party, err := Verifier{Anchors: anchors, Lists: lists, Freshness: freshness}.Party(answer.GetKeyStatement(), w.applicant.Role, now)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(party.Credential, answer.GetCredential()) || !bytes.Equal(party.RegistrationPoint, answer.GetRegistrationPoint()) {
		return nil, refusal.New(refusal.IdentityMismatch, "the key statement is of another credential")
	}
	return &Registered{party, answer.GetRegistrationSecret()}, nil
}

func (w *AwaitingCredential) requireOwnData(credential *pb.Credential) error {
	request := w.request
	if credential.GetRole() != request.GetRole() || credential.GetIdentity() != request.GetIdentity() ||
		!bytes.Equal(credential.GetAttribute(), AttributeOf(request.GetRole(), request.GetEvidence())) ||
		!bytes.Equal(credential.GetVerifyingKeyDigest(), transcript.Digest(request.GetVerifyingKey())) {
		return refusal.New(refusal.CredentialInvalid, "the credential does not hold what was asked for")
	}
	return nil
}

// checkIssued checks eq. 4, 7, 10: (R_X1, S_X) is the ECDSA signature by s over the credential. It is where S_X R has the x of
// U_X, R being a point over R_X1; so it is computed, in constant time, for S_X is a secret. It gives U_X.
func checkIssued(issuer, credential, registrationPoint, secret []byte) (*ecdh.PublicKey, error) {
	publicPoint, err := curve.PublicPoint(registrationPoint, issuer, credentialTranscript(issuer, credential))
	if err != nil {
		return nil, refusal.Because(err, refusal.CredentialInvalid, "R_X1 does not belong to this credential")
	}
	base, err := curve.PointOver(registrationPoint)
	if err != nil {
		return nil, err
	}
	key, err := ecdh.P256().NewPrivateKey(secret)
	if err != nil {
		return nil, refusal.New(refusal.CredentialInvalid, "S_X is not between 1 and n - 1")
	}
	product, err := key.ECDH(base)
	if err != nil || subtle.ConstantTimeCompare(product, curve.X(publicPoint)) != 1 {
		return nil, refusal.New(refusal.CredentialInvalid, "(R_X1, S_X) does not satisfy eq. 4, 7, 10")
	}
	return publicPoint, nil
}

// AttributeOf gives a credential's attribute, 32 bytes: H(T("bp", B_P)) of a patient, H(Cert_D) of a doctor.
func AttributeOf(role pb.Role, evidence []byte) []byte {
	if role == pb.Role_ROLE_PATIENT {
		return transcript.Digest(transcript.T("bp", evidence))
	}
	return transcript.Digest(evidence)
}

func requestTranscript(request *pb.RegistrationRequest, cloudID string) []byte {
	return transcript.T("reg1",
		transcript.Text(roleNames[request.GetRole()]),
		transcript.Text(request.GetIdentity()),
		request.GetEvidence(),
		request.GetVerifyingKey(),
		request.GetEncryptionKeyStatement().GetStatement(),
		request.GetTicket(),
		request.GetChallenge(),
		transcript.U64(request.GetSentAt()),
		transcript.Text(cloudID))
}

// BiometricPassword gives B_P, 32 bytes: HKDF(fuzzy key || device secret, info = T("bp-derive", realm, enrolment counter)). Both
// secrets have 32 bytes. It authenticates nobody by itself (docs/adr/0005-biometric.md).
func BiometricPassword(fuzzyKey, deviceSecret []byte, realm string, enrolment uint64) []byte {
	secret := append(bytes.Clone(fuzzyKey), deviceSecret...)
	defer clear(secret)
	info := transcript.T("bp-derive", transcript.Text(realm), transcript.U64(enrolment))
	password, err := hkdf.Key(sha256.New, secret, nil, string(info), 32)
	if err != nil {
		panic(err) // 32 bytes are never too long for HKDF-SHA256
	}
	return password
}
