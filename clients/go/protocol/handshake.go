package protocol

import (
	"bytes"
	"crypto"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/subtle"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"medunion.example/clients/go/curve"
	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/keys"
	"medunion.example/clients/go/refusal"
	"medunion.example/clients/go/rules"
	"medunion.example/clients/go/transcript"
)

// The handshake of Chen et al. 2020, eq. 11-22 (P1, D1) and eq. 33-44 (D3, H1), once for both kinds of session.
//
// The initiator, who knows the responder's statements, sends who it is, x(r R) with the responder's R_X1 and x(e B), sealed to
// the responder and signed for it. The responder answers with an r and an e of its own; each side has K1 and K2 of its own r, and
// of its S_X with what came, and Z of its e; from these both compute SEK. The reply proves the key by kc, and who sends it by its
// signature. What a session adds of its own begins with the state that the handshake leads to.

// opening is what the openings of all kinds have: P1, D3.
type opening interface {
	payload
	GetRegistrationPoint() []byte
	GetResponderSerial() []byte
	GetAgreementPoint() []byte
	GetEphemeralPoint() []byte
	GetContribution() []byte
	GetKeyStatement() *pb.SignedStatement
	GetEncryptionKeyStatement() *pb.SignedStatement
	GetSignature() []byte
}

// reply is what the replies of all kinds have: D1, H1.
type reply interface {
	payload
	GetRegistrationPoint() []byte
	GetAgreementPoint() []byte
	GetEphemeralPoint() []byte
	GetContribution() []byte
	GetKeyConfirmation() []byte
	GetKeyStatement() *pb.SignedStatement
	GetSignature() []byte
}

// kind is what a kind of session has of its own in the handshake: a row.
type kind struct {
	openingLabel, replyLabel string    // of the signatures, and in lower case of the seals
	initiators               []pb.Role // that may open such a session
	responder                pb.Role
	newOpening               func() opening
	newReply                 func() reply
	replyOf                  func(responder *Party) reply // a reply with the kind's own fields
	initiatorID              func(opening) string
	responderID              func(reply) string
	openingTranscript        func(message opening, issuer []byte, responderID string, keyID, sessionID []byte) []byte
	transcriptHash           func(openingPlaintext []byte, message reply, credential, sessionID []byte) []byte
	replyTranscript          func(message reply, issuer, transcriptHash []byte) []byte
	keyRoles                 string                                                // the initiator's letter and the responder's in the names of the keys
	requireOpening           func(message opening, initiator *VerifiedParty) error // the kind's own check
}

// Peer is somebody else, verified: CRED, EK_X, and of a doctor Cert_D.
type Peer struct {
	*VerifiedParty
	EncryptionKey *EncryptionKey
	Certificate   []byte
}

// requireStillGood makes CRED anew, of a doctor with Cert_D: on the lists of now, for the handshake may be long ago.
func (p *Peer) requireStillGood(verifier Verifier, now Instant) error {
	_, err := verifier.member(p.KeyStatement, p.Role, p.Certificate, now)
	return err
}

// Session is what either side holds once both can compute SEK.
type Session struct {
	Own  *Party
	Peer *Peer
	ID   []byte // 16 bytes

	transcriptHash     []byte // TH1 or TH2
	sending, receiving direction
	beganAt            Instant // T of the opening
}

// Forget wipes the session's keys, once it is over.
func (s Session) Forget() {
	s.sending.keys.wipe()
	s.receiving.keys.wipe()
}

// begin makes an opening (eq. 11-13, 33-35) of a message that has the kind's own fields: picks r and e, signs for this responder,
// seals to it. It draws 48 bytes for r, 48 for e, 16 for the session id, 32 for kappa.
func begin[S any](
	kind *kind, own *Party, peer *Peer, message opening, established func(Session) S, now Instant, entropy curve.Entropy,
) (*AwaitingReply[S], *pb.SealedOpening, error) {
	ownKey, err := own.ownKey()
	if err != nil {
		return nil, nil, err
	}
	point, shared, err := curve.Offer(entropy, peer.RegistrationPoint, peer.PublicPoint, "K1")
	if err != nil {
		return nil, nil, err
	}
	ephemeral, err := curve.NewEphemeral(entropy)
	if err != nil {
		return nil, nil, err
	}
	sessionID, keyID, contribution := entropy(16), peer.EncryptionKey.KeyID, entropy(32)
	fill(message, fields{
		"registration_point":       own.RegistrationPoint,
		"responder_serial":         peer.Serial,
		"agreement_point":          point,
		"ephemeral_point":          ephemeral.Point,
		"sent_at":                  now,
		"contribution":             contribution,
		"key_statement":            own.KeyStatement,
		"encryption_key_statement": own.EncryptionKey,
	})
	covered := kind.openingTranscript(message, own.Issuer, peer.Identity, keyID, sessionID)
	plaintext, err := signMessage(own.Signer, covered, message)
	if err != nil {
		return nil, nil, err
	}
	context := sealContext{strings.ToLower(kind.openingLabel), unnamed, peer.Identity, keyID, sessionID, now}
	sealed, err := sealOpening(message, plaintext, peer.EncryptionKey, context)
	if err != nil {
		return nil, nil, err
	}
	state := &AwaitingReply[S]{
		kind, own, peer, established, sessionID, shared, ephemeral, contribution, plaintext, now, ownKey,
	}
	return state, sealed, nil
}

// AwaitingReply is an initiator whose opening is sent. Of r there is K1 alone, with the U_X of whom was addressed; e lives here
// and nowhere else.
type AwaitingReply[S any] struct {
	kind         *kind
	own          *Party
	peer         *Peer
	established  func(Session) S
	sessionID    []byte
	shared       []byte // K1
	ephemeral    *curve.Ephemeral
	contribution []byte
	plaintext    []byte // of the opening, exactly
	sentAt       Instant
	key          *keys.DecryptionKey
}

// SessionID names the session, 16 bytes.
func (w *AwaitingReply[S]) SessionID() []byte { return w.sessionID }

// Receive takes the reply (eq. 20-22, 42-44). Refuses with SESSION_UNKNOWN, STALE, FUTURE_DATED by clear fields, with REJECTED for
// whatever was found after opening; then the true answer may still come.
func (w *AwaitingReply[S]) Receive(sealed *pb.SealedReply, verifier Verifier, now Instant) (next S, err error) {
	if err := requireReply(sealed, w.sessionID, verifier.Freshness, now); err != nil {
		return next, err
	}
	session, err := w.accept(sealed, verifier, now)
	if err != nil {
		return next, refusal.AfterOpening(err)
	}
	return w.established(session), nil
}

// requireReply decides what the clear fields of a reply decide, precisely: rules, session id, T.
func requireReply(sealed *pb.SealedReply, sessionID []byte, freshness Freshness, now Instant) error {
	if err := rules.Check(sealed); err != nil {
		return err
	}
	if !bytes.Equal(sealed.GetSessionId(), sessionID) {
		return refusal.New(refusal.SessionUnknown, "the answer belongs to another session")
	}
	return freshness.Require(sealed.GetSentAt(), now)
}

func (w *AwaitingReply[S]) accept(sealed *pb.SealedReply, verifier Verifier, now Instant) (session Session, err error) {
	message := w.kind.newReply()
	context := sealContext{
		strings.ToLower(w.kind.replyLabel), w.peer.Identity, w.own.Identity, w.key.KeyID, w.sessionID, sealed.GetSentAt(),
	}
	if _, err := openPayload(message, sealed.GetSealed(), w.key, context); err != nil {
		return session, err
	}
	responder, err := w.responder(message, verifier, now)
	if err != nil {
		return session, err
	}
	transcriptHash := w.kind.transcriptHash(w.plaintext, message, responder.Credential, w.sessionID)
	agreed, err := w.agree(message)
	defer agreed.wipe()
	if err != nil {
		return session, err
	}
	derived, err := deriveKeys(agreed, w.contribution, message.GetContribution(), transcriptHash, w.kind.keyRoles)
	if err != nil {
		return session, err
	}
	defer clear(derived.confirmation)
	if err := derived.requireConfirmation(message.GetKeyConfirmation()); err != nil {
		return session, err
	}
	covered := w.kind.replyTranscript(message, responder.Issuer, transcriptHash)
	if err := verifySignature(responder.VerifyingKey, message.GetSignature(), covered); err != nil {
		return session, err
	}
	return Session{
		Own:            w.own,
		Peer:           &Peer{responder, w.peer.EncryptionKey, w.peer.Certificate},
		ID:             w.sessionID,
		transcriptHash: transcriptHash,
		sending:        direction{w.sessionID, derived.forward, 0},
		receiving:      direction{w.sessionID, derived.backward, 0},
		beganAt:        w.sentAt,
	}, nil
}

// agree gives K1, K2 and Z (eq. 17, 22, 39, 44), K1 as a copy: a forged reply does not spoil the true one.
func (w *AwaitingReply[S]) agree(message reply) (agreed secrets, err error) {
	point := message.GetAgreementPoint()
	agreed.k1 = bytes.Clone(w.shared)
	if agreed.k2, err = w.own.RegistrationSecret.Agree(point, "K2", point); err != nil {
		return agreed, err
	}
	agreed.z, err = w.ephemeral.Shared(message.GetEphemeralPoint())
	return agreed, err
}

// responder requires the one who replies to be the one addressed, and makes its CRED.
func (w *AwaitingReply[S]) responder(message reply, verifier Verifier, now Instant) (*VerifiedParty, error) {
	if w.kind.responderID(message) != w.peer.Identity {
		return nil, refusal.New(refusal.IdentityMismatch, "somebody else answers than the one addressed")
	}
	certificate := certificateIn(message)
	if !bytes.Equal(certificate, w.peer.Certificate) {
		return nil, refusal.New(refusal.CertificateForeign, "Cert_D is not the one that was checked")
	}
	responder, err := verifier.member(message.GetKeyStatement(), w.kind.responder, certificate, now)
	if err != nil {
		return nil, err
	}
	if responder.Identity != w.peer.Identity || !bytes.Equal(responder.RegistrationPoint, message.GetRegistrationPoint()) {
		return nil, refusal.New(refusal.IdentityMismatch, "the key statement is not of the one who answers")
	}
	if !bytes.Equal(responder.Credential, w.peer.Credential) || !bytes.Equal(responder.RegistrationPoint, w.peer.RegistrationPoint) {
		return nil, refusal.New(refusal.IdentityMismatch, "the answer is of another credential than the one addressed")
	}
	return responder, nil
}

// Forget wipes K1, e and kappa, once the reply has held or is no longer awaited.
func (w *AwaitingReply[S]) Forget() {
	clear(w.shared)
	w.ephemeral.Forget()
	clear(w.contribution)
}

// receiveOpening takes an opening (eq. 14, 15). Refuses with STALE, FUTURE_DATED, UNSUPPORTED_VERSION, UNKNOWN_KEY_ID, FIELD_INVALID by
// clear fields, with REJECTED for whatever was found after opening.
func receiveOpening[S any](
	kind *kind, own *Party, sealed *pb.SealedOpening, verifier Verifier, replied func(Session) S, now Instant,
) (Pending[*ReceivedOpening[S]], error) {
	key, err := findKey(sealed, own.Keyring, verifier.Freshness, now)
	if err != nil {
		return Pending[*ReceivedOpening[S]]{}, err
	}
	received := &ReceivedOpening[S]{kind: kind, own: own, sessionID: sealed.GetSessionId(), replied: replied}
	if err := received.open(sealed, key, verifier, now); err != nil {
		return Pending[*ReceivedOpening[S]]{}, refusal.AfterOpening(err)
	}
	initiator := transcript.Text(received.peer.Identity)
	replayKey := transcript.Digest(transcript.T(kind.openingLabel, initiator, received.message.GetAgreementPoint()))
	return Pending[*ReceivedOpening[S]]{replayKey, verifier.Freshness.ReplayKeyUntil(now), received}, nil
}

// ReceivedOpening is a responder whom somebody addresses: the opening held. The initiator is present only once its first frame confirms the
// key.
type ReceivedOpening[S any] struct {
	kind      *kind
	own       *Party
	peer      *Peer
	replied   func(Session) S
	sessionID []byte
	message   opening
	plaintext []byte // its exact bytes
}

func (o *ReceivedOpening[S]) open(sealed *pb.SealedOpening, key *keys.DecryptionKey, verifier Verifier, now Instant) (err error) {
	o.message = o.kind.newOpening()
	context := sealContext{strings.ToLower(o.kind.openingLabel), unnamed, o.own.Identity, key.KeyID, o.sessionID, sealed.GetSentAt()}
	if o.plaintext, err = openPayload(o.message, sealed.GetSealed(), key, context); err != nil {
		return err
	}
	certificate := certificateIn(o.message)
	role, err := roleAmong(o.kind.initiators, o.kind.initiatorID(o.message))
	if err != nil {
		return err
	}
	initiator, err := verifier.member(o.message.GetKeyStatement(), role, certificate, now)
	if err != nil {
		return err
	}
	if o.kind.initiatorID(o.message) != initiator.Identity || !bytes.Equal(o.message.GetRegistrationPoint(), initiator.RegistrationPoint) {
		return refusal.New(refusal.IdentityMismatch, "the key statement is somebody else's")
	}
	if err := o.kind.requireOpening(o.message, initiator); err != nil {
		return err
	}
	encryptionKey, err := verifier.EncryptionKey(o.message.GetEncryptionKeyStatement(), initiator, now)
	if err != nil {
		return err
	}
	o.peer = &Peer{initiator, encryptionKey, certificate}
	covered := o.kind.openingTranscript(o.message, initiator.Issuer, o.own.Identity, key.KeyID, o.sessionID)
	if err := verifySignature(initiator.VerifyingKey, o.message.GetSignature(), covered); err != nil {
		return err
	}
	if !bytes.Equal(o.message.GetResponderSerial(), o.own.Serial) {
		return refusal.New(refusal.CredentialSuperseded, "the point is on the base of another credential than the one of now")
	}
	return nil
}

// Reply makes the reply (eq. 16-19): picks r and e, derives SEK, confirms it. It draws 48 bytes for r, 48 for e and 32 for kappa.
// Refuses with REJECTED where the initiator's points can't be agreed with.
func (o *ReceivedOpening[S]) Reply(now Instant, entropy curve.Entropy) (next S, sealed *pb.SealedReply, err error) {
	session, sealed, err := o.reply(now, entropy)
	if err != nil {
		return next, nil, err
	}
	return o.replied(session), sealed, nil
}

func (o *ReceivedOpening[S]) reply(now Instant, entropy curve.Entropy) (session Session, sealed *pb.SealedReply, err error) {
	message := o.kind.replyOf(o.own)
	agreed, err := o.agree(message, entropy)
	defer agreed.wipe()
	if err != nil {
		return session, nil, refusal.AfterOpening(err)
	}
	contribution := entropy(32)
	fill(message, fields{
		"registration_point": o.own.RegistrationPoint,
		"sent_at":            now,
		"contribution":       contribution,
		"key_statement":      o.own.KeyStatement,
	})
	transcriptHash := o.kind.transcriptHash(o.plaintext, message, o.own.Credential, o.sessionID)
	derived, err := deriveKeys(agreed, o.message.GetContribution(), contribution, transcriptHash, o.kind.keyRoles)
	if err != nil {
		return session, nil, err
	}
	fill(message, fields{"key_confirmation": derived.confirmation})
	plaintext, err := signMessage(o.own.Signer, o.kind.replyTranscript(message, o.own.Issuer, transcriptHash), message)
	if err != nil {
		return session, nil, err
	}
	context := sealContext{strings.ToLower(o.kind.replyLabel), o.own.Identity, o.peer.Identity, o.peer.EncryptionKey.KeyID, o.sessionID, now}
	sealed, err = sealReply(message, plaintext, o.peer.EncryptionKey, context)
	if err != nil {
		return session, nil, err
	}
	return Session{
		Own:            o.own,
		Peer:           o.peer,
		ID:             o.sessionID,
		transcriptHash: transcriptHash,
		receiving:      direction{o.sessionID, derived.forward, 0},
		sending:        direction{o.sessionID, derived.backward, 0},
		beganAt:        o.message.GetSentAt(),
	}, sealed, nil
}

// agree picks r and e for the initiator, puts their points into the reply, and gives K1, K2 and Z (eq. 16, 17, 38, 39).
func (o *ReceivedOpening[S]) agree(message reply, entropy curve.Entropy) (agreed secrets, err error) {
	point, k2, err := curve.Offer(entropy, o.peer.RegistrationPoint, o.peer.PublicPoint, "K2")
	if err != nil {
		return agreed, err
	}
	ephemeral, err := curve.NewEphemeral(entropy)
	if err != nil {
		return agreed, err
	}
	defer ephemeral.Forget()
	fill(message, fields{"agreement_point": point, "ephemeral_point": ephemeral.Point})
	received := o.message.GetAgreementPoint()
	agreed.k2 = k2
	if agreed.k1, err = o.own.RegistrationSecret.Agree(received, "K1", received); err != nil {
		return agreed, err
	}
	agreed.z, err = ephemeral.Shared(o.message.GetEphemeralPoint())
	return agreed, err
}

// certificateIn gives the Cert_D that a doctor's message carries; nothing of others.
func certificateIn(message proto.Message) []byte {
	if certified, isDoctors := message.(interface{ GetDoctorCertificate() []byte }); isDoctors {
		return certified.GetDoctorCertificate()
	}
	return nil
}

// fields are values of a message's fields by their names in protos/, where they are the same in several messages.
type fields map[protoreflect.Name]any

func fill(message proto.Message, values fields) {
	reflected := message.ProtoReflect()
	for name, value := range values {
		if statement, isStatement := value.(*pb.SignedStatement); isStatement {
			value = statement.ProtoReflect()
		}
		reflected.Set(reflected.Descriptor().Fields().ByName(name), protoreflect.ValueOf(value))
	}
}

// directionKeys is key (32 bytes) and iv (12 bytes) of one direction of a session.
type directionKeys struct{ key, iv []byte }

// sessionKeys is SEK_1 or SEK_2: initiator to responder, responder to initiator, and kc (32 bytes).
type sessionKeys struct {
	forward, backward directionKeys
	confirmation      []byte
}

// secrets is what both sides of a session have in common: K1, which needs the responder's S_X or the initiator's r, K2 the other
// way round, and Z of both e; 32 bytes each.
type secrets struct{ k1, k2, z []byte }

func (s secrets) wipe() {
	clear(s.k1)
	clear(s.k2)
	clear(s.z)
}

// deriveKeys derives a session's keys. PRK = HKDF-Extract-SHA256(salt = TH, ikm = F(K1) || F(K2) || F(Z) || F(kappa_1) ||
// F(kappa_2)); each key = HKDF-Expand(PRK, T("key", name, TH)). roles is the initiator's letter and the responder's: "PD", "DH".
func deriveKeys(agreed secrets, first, second, transcriptHash []byte, roles string) (sessionKeys, error) {
	var material []byte
	for _, part := range [][]byte{agreed.k1, agreed.k2, agreed.z, first, second} {
		material = append(material, transcript.Frame(part)...)
	}
	defer clear(material)
	extracted, err := hkdf.Extract(sha256.New, material, transcriptHash)
	if err != nil {
		return sessionKeys{}, err
	}
	defer clear(extracted)
	expand := func(name string, size int) []byte {
		key, expanding := hkdf.Expand(sha256.New, extracted, string(transcript.T("key", transcript.Text(name), transcriptHash)), size)
		if expanding != nil {
			err = expanding
		}
		return key
	}
	initiator, responder := roles[:1], roles[1:]
	forward, backward := initiator+">"+responder, responder+">"+initiator
	derived := sessionKeys{
		forward:      directionKeys{expand("k_"+forward, 32), expand("iv_"+forward, 12)},
		backward:     directionKeys{expand("k_"+backward, 32), expand("iv_"+backward, 12)},
		confirmation: expand("kc_"+responder, 32),
	}
	return derived, err
}

// wipe overwrites a direction's keys, once the session is over.
func (k directionKeys) wipe() {
	clear(k.key)
	clear(k.iv)
}

// requireConfirmation compares kc in constant time (eq. 22, 44).
func (k sessionKeys) requireConfirmation(received []byte) error {
	if subtle.ConstantTimeCompare(k.confirmation, received) != 1 {
		return refusal.New(refusal.KeyConfirmationFailed, "the peer does not hold the session key")
	}
	return nil
}

// Party is a registered party's own side: who it is and the keys that it acts with.
type Party struct {
	*VerifiedParty
	Signer             crypto.Signer            // PRK_X
	RegistrationSecret curve.RegistrationSecret // S_X
	Keyring            keys.Keyring
	EncryptionKey      *pb.SignedStatement // its newest EK_X
	Certificate        []byte              // a doctor's Cert_D, else nothing
}

// ownKey gives the decryption key that the party's newest EK_X names: a pending session holds its key, so that the answer opens even
// if the epoch ends meanwhile.
func (p *Party) ownKey() (*keys.DecryptionKey, error) {
	statement := &pb.EncryptionKeyStatement{}
	if err := Peek(statement, p.EncryptionKey); err != nil {
		return nil, err
	}
	return p.Keyring.Find(statement.GetKeyId())
}

// Pending is a state that a message leads to once its replay key is kept (B2): durable, and failing closed.
type Pending[S any] struct {
	// ReplayKey is to be inserted where it is absent, 32 bytes, and kept until KeepUntil.
	ReplayKey []byte
	KeepUntil Instant
	next      S
}

// Admit gives the state if the replay key was new. Refuses with REJECTED (MESSAGE_REPLAYED).
func (p Pending[S]) Admit(inserted bool) (S, error) {
	if !inserted {
		var none S
		return none, refusal.AfterOpening(refusal.New(refusal.MessageReplayed, "this message was taken before"))
	}
	return p.next, nil
}
