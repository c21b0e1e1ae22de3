package protocol

import (
	"bytes"
	"crypto/ecdh"

	"medunion.example/clients/go/curve"
	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/keys"
	"medunion.example/clients/go/refusal"
	"medunion.example/clients/go/rules"
	"medunion.example/clients/go/transcript"
)

// VerifiedParty is somebody whose CRED held: what others may use of it.
type VerifiedParty struct {
	Role              pb.Role
	Identity          string
	Serial, Attribute []byte
	Credential        []byte          // M_X, its exact bytes
	RegistrationPoint []byte          // R_X1
	PublicPoint       *ecdh.PublicKey // U_X
	VerifyingKey      []byte          // PUK_X
	Issuer            []byte          // the PK that signed the credential
	KeyStatement      *pb.SignedStatement
	AuthorityID       string // of a doctor whose Cert_D held, else empty
}

// EncryptionKey is somebody's encryption key of the epoch, verified.
type EncryptionKey struct {
	Owner      string
	KeyID, Key []byte
	Statement  *pb.SignedStatement
}

// Verifier is a receiver's checks at one moment: CRED(X) and its company (docs/protocol.md, section 2).
type Verifier struct {
	Anchors   *Anchors
	Lists     Lists
	Freshness Freshness
	Grace     Grace
}

// Party makes CRED(X) for a key statement. Refuses with REVOCATION_LIST_STALE, SIGNATURE_INVALID, CREDENTIAL_INVALID,
// CREDENTIAL_EXPIRED, CREDENTIAL_REVOKED, ISSUER_UNKNOWN, ISSUER_REVOKED, INVALID_POINT, NEWER_THAN_LIST, and as rules.Parse.
func (v Verifier) Party(signed *pb.SignedStatement, role pb.Role, now Instant) (*VerifiedParty, error) {
	if err := v.Lists.requireCurrent(v.Freshness, v.Grace, now); err != nil {
		return nil, err // cred.1
	}
	statement, credential := &pb.KeyStatement{}, &pb.Credential{}
	if err := v.Anchors.open("ks", statement, signed); err != nil {
		return nil, err
	}
	if err := rules.Parse(statement.GetCredential(), credential); err != nil {
		return nil, err
	}
	if err := requireAgreement(statement, credential, role); err != nil {
		return nil, err
	}
	// stated_at too: else a PRK_C that waits for its stated time could speak already.
	for _, begin := range []Instant{statement.GetStatedAt(), statement.GetNotBefore(), credential.GetNotBefore()} {
		if err := v.requireValid(begin, min(statement.GetNotAfter(), credential.GetNotAfter()), now); err != nil {
			return nil, err
		}
	}
	if err := v.Lists.requireSerialGood(credential.GetSerial()); err != nil {
		return nil, err
	}
	issuer, err := v.Anchors.issuerAt(credential.GetNotBefore())
	if err != nil {
		return nil, err
	}
	issued := credentialTranscript(issuer, statement.GetCredential())
	public, err := curve.PublicPoint(statement.GetRegistrationPoint(), issuer, issued)
	if err != nil {
		return nil, err
	}
	if err := v.Lists.requireStood(statement.GetStatedAt(), v.Grace, now); err != nil {
		return nil, err // cred.14
	}
	return &VerifiedParty{
		Role:              role,
		Identity:          statement.GetIdentity(),
		Serial:            credential.GetSerial(),
		Attribute:         credential.GetAttribute(),
		Credential:        statement.GetCredential(),
		RegistrationPoint: statement.GetRegistrationPoint(),
		PublicPoint:       public,
		VerifyingKey:      statement.GetVerifyingKey(),
		Issuer:            issuer,
		KeyStatement:      signed,
	}, nil
}

// Doctor makes CRED(D), and requires Cert_D to be legal, this doctor's, and the one in the credential.
func (v Verifier) Doctor(signed *pb.SignedStatement, certificate []byte, now Instant) (*VerifiedParty, error) {
	party, err := v.Party(signed, pb.Role_ROLE_DOCTOR, now)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(party.Attribute, transcript.Digest(certificate)) {
		return nil, refusal.New(refusal.CredentialInvalid, "the credential was issued for another Cert_D")
	}
	authority, err := verifyCertificate(certificate, v.Anchors, v.Lists, party.Identity, party.VerifyingKey, now)
	party.AuthorityID = authority.id
	return party, err
}

// member makes CRED(X) of whatever role; of a doctor with Cert_D. Refuses with CERTIFICATE_FOREIGN a Cert_D of somebody who is no doctor.
func (v Verifier) member(signed *pb.SignedStatement, role pb.Role, certificate []byte, now Instant) (*VerifiedParty, error) {
	if role == pb.Role_ROLE_DOCTOR {
		return v.Doctor(signed, certificate, now)
	}
	if len(certificate) > 0 {
		return nil, refusal.New(refusal.CertificateForeign, "only a doctor has a Cert_D")
	}
	return v.Party(signed, role, now)
}

// EncryptionKey verifies EK_X by PUK_X.
func (v Verifier) EncryptionKey(signed *pb.SignedStatement, owner *VerifiedParty, now Instant) (*EncryptionKey, error) {
	return v.encryptionKey(signed, owner.Identity, owner.VerifyingKey, now)
}

// CloudEncryptionKey verifies EK_C by the PUK_C that it names.
func (v Verifier) CloudEncryptionKey(signed *pb.SignedStatement, now Instant) (*EncryptionKey, error) {
	statement := &pb.EncryptionKeyStatement{}
	if err := Peek(statement, signed); err != nil {
		return nil, err
	}
	key, err := v.Anchors.cloudKeyOf(statement, now+milliseconds(v.Freshness.Skew))
	if err != nil {
		return nil, err
	}
	return v.encryptionKey(signed, v.Anchors.CloudID, key, now)
}

func (v Verifier) encryptionKey(signed *pb.SignedStatement, owner string, key []byte, now Instant) (*EncryptionKey, error) {
	statement := &pb.EncryptionKeyStatement{}
	if err := OpenStatement("ek", statement, signed, key); err != nil {
		return nil, err
	}
	if !bytes.Equal(statement.GetVerifyingKeyDigest(), transcript.Digest(key)) {
		return nil, refusal.New(refusal.CredentialInvalid, "the encryption key names another verifying key")
	}
	if statement.GetKem() != keys.KEM || !bytes.Equal(statement.GetKeyId(), keys.KeyID(statement.GetEncryptionKey())) {
		return nil, refusal.New(refusal.CredentialInvalid, "the encryption key is not of its key id and KEM")
	}
	if _, err := keys.Seal(statement.GetEncryptionKey(), nil, nil); err != nil { // no ML-KEM key, or no P-256 key
		return nil, err
	}
	if statement.GetIdentity() != owner {
		return nil, refusal.New(refusal.IdentityMismatch, "the encryption key is somebody else's")
	}
	if err := v.requireValid(statement.GetNotBefore(), statement.GetNotAfter(), now); err != nil {
		return nil, err
	}
	if err := v.Lists.requireKeyGood(statement.GetKeyId()); err != nil {
		return nil, err
	}
	return &EncryptionKey{owner, statement.GetKeyId(), statement.GetEncryptionKey(), signed}, nil
}

// requireValid requires a validity; what was stated just now by a clock that is ahead within sigma is valid.
func (v Verifier) requireValid(notBefore, notAfter, now Instant) error {
	if !v.Freshness.Begun(notBefore, now) || now >= notAfter {
		return refusal.New(refusal.CredentialExpired, "outside its validity")
	}
	return nil
}

func requireAgreement(statement *pb.KeyStatement, credential *pb.Credential, role pb.Role) error {
	if statement.GetRole() != role || credential.GetRole() != role {
		return refusal.New(refusal.CredentialInvalid, "the credential is for another role")
	}
	if statement.GetIdentity() != credential.GetIdentity() {
		return refusal.New(refusal.CredentialInvalid, "the credential is another identity's")
	}
	if !bytes.Equal(credential.GetVerifyingKeyDigest(), transcript.Digest(statement.GetVerifyingKey())) {
		return refusal.New(refusal.CredentialInvalid, "the credential is for another key")
	}
	if !isOfRole(statement.GetIdentity(), role) {
		return refusal.New(refusal.CredentialInvalid, "the identity is not of this role")
	}
	return nil
}

// roleAmong gives which of these roles an identity is of. Refuses with CREDENTIAL_INVALID none of them.
func roleAmong(roles []pb.Role, identity string) (pb.Role, error) {
	for _, role := range roles {
		if isOfRole(identity, role) {
			return role, nil
		}
	}
	return pb.Role_ROLE_UNSPECIFIED, refusal.New(refusal.CredentialInvalid, "the identity is not of a role that may send this")
}

func isOfRole(identity string, role pb.Role) bool {
	kinds := map[pb.Role]pb.Kind{
		pb.Role_ROLE_PATIENT:  pb.Kind_KIND_PATIENT_ID,
		pb.Role_ROLE_DOCTOR:   pb.Kind_KIND_DOCTOR_ID,
		pb.Role_ROLE_HOSPITAL: pb.Kind_KIND_HOSPITAL_ID,
	}
	return rules.Matches(kinds[role], identity)
}

// credentialTranscript is what s signs: M_X under its PK.
func credentialTranscript(issuer, credential []byte) []byte {
	return transcript.T("cred", issuer, credential)
}
