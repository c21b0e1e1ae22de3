package protocol

import (
	"crypto"
	"crypto/ecdh"
	"encoding/json"
	"fmt"
	"testing"

	"medunion.example/clients/go/curve"
	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/internal/revoked"
	"medunion.example/clients/go/internal/vectors"
	"medunion.example/clients/go/keys"
)

// epochKeys is a decryption key as the vectors give it.
type epochKeys struct {
	MLKEMSeed hexBytes `json:"mlkem_seed"`
	P256      hexBytes `json:"p256_private_key"`
}

func (e epochKeys) open(t *testing.T) *keys.DecryptionKey {
	t.Helper()
	half := softwareKey(t, e.P256)
	return e.with(t, half, half.PublicKey())
}

// openIn gives the key with its P-256 half in a store.
func (e epochKeys) openIn(t *testing.T, store keys.Store) *keys.DecryptionKey {
	t.Helper()
	half, err := store.Import(fmt.Sprintf("kem-%x", e.open(t).KeyID), e.P256)
	if err != nil {
		t.Fatal(err)
	}
	return e.with(t, half, softwareKey(t, e.P256).PublicKey())
}

func (e epochKeys) with(t *testing.T, half keys.AgreementKey, public *ecdh.PublicKey) *keys.DecryptionKey {
	t.Helper()
	key, err := keys.NewDecryptionKey(e.MLKEMSeed, half, public)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

type statementJSON struct{ Statement, Signature hexBytes }

func (s statementJSON) signed() *pb.SignedStatement {
	return &pb.SignedStatement{Statement: s.Statement, Signature: s.Signature}
}

type listedJSON struct {
	Entries []hexBytes
	Sweeps  []struct {
		PatientDigest hexBytes `json:"patient_digest"`
		Before        uint64
	}
}

func (l listedJSON) set() revoked.Set {
	set := revoked.Set{}
	for _, entry := range l.Entries {
		set[string(entry)] = 0
	}
	for _, sweep := range l.Sweeps {
		set[string(sweep.PatientDigest)] = sweep.Before
	}
	return set
}

type member struct {
	epochKeys
	Identity      string
	SigningKey    hexBytes      `json:"signing_key"`
	EncryptionKey statementJSON `json:"encryption_key_statement"`
	Certificate   hexBytes
	Evidence      hexBytes
	Ticket        hexBytes
}

func (m member) signer(t *testing.T) crypto.Signer { return vectors.Signer(t, m.SigningKey) }

// world is the cast of the vectors.
type world struct {
	Now          Instant
	Head         statementJSON `json:"revocation_head"`
	Revoked      listedJSON
	Authority    struct{ CRL hexBytes }
	Cloud        member
	Parties      map[string]member
	Renewed      member
	TrustBundles []statementJSON `json:"trust_bundles"`

	verifier Verifier
	revoked  revoked.Set
	entropy  map[string]hexBytes
	messages map[string]messageVector
	refusals map[string][]refusalVector
	party    map[string]*Party
	tried    map[string]bool
	store    func(*testing.T) keys.Store
}

type sealVector struct {
	Name, Sender, Receiver string
	KeyID                  hexBytes `json:"key_id"`
	SessionID              hexBytes `json:"session_id"`
	SentAt                 Instant  `json:"sent_at"`
	Info                   hexBytes
}

func (s sealVector) context() sealContext {
	return sealContext{s.Name, s.Sender, s.Receiver, s.KeyID, s.SessionID, s.SentAt}
}

type messageVector struct {
	Name        string
	MessageType string `json:"message_type"`
	Message     hexBytes
	Seal        *sealVector
	Frame       *struct {
		Name           string
		Key, IV, Nonce hexBytes
		AssociatedData hexBytes `json:"associated_data"`
	}
	PayloadType string `json:"payload_type"`
	Plaintext   hexBytes
	Signed      *struct {
		Label        string
		Fields       []hexBytes
		Transcript   hexBytes
		VerifyingKey hexBytes `json:"verifying_key"`
		Signature    hexBytes
	}
}

type refusalVector struct {
	Name, Base, Expect, Wire string
	Now                      Instant
	Message                  hexBytes
	Set                      map[string]json.RawMessage
	FlipBit                  *int `json:"flip_bit"`
	Replayed                 bool
}

var messageFiles = []string{"registration", "consultation", "search", "record", "diagnosis", "calls"}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{messages: map[string]messageVector{}, refusals: map[string][]refusalVector{}, party: map[string]*Party{}, tried: map[string]bool{}}
	vectors.ReadWhole(t, "parties.json", w)
	vectors.ReadWhole(t, "entropy.json", &w.entropy)
	for _, file := range messageFiles {
		for _, vector := range vectors.Read[messageVector](t, file+".json") {
			w.messages[vector.Name] = vector
		}
	}
	for _, vector := range vectors.Read[refusalVector](t, "refusals.json") {
		w.refusals[vector.Base] = append(w.refusals[vector.Base], vector)
	}
	bundle, err := Pin(w.TrustBundles[0].signed())
	for _, next := range w.TrustBundles[1:] {
		if err == nil {
			bundle, err = bundle.Follow(next.signed())
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	w.revoked = w.Revoked.set()
	lists, err := ReadLists(bundle.Anchors, w.Head.signed(), [][]byte{w.Authority.CRL}, w.revoked)
	if err != nil {
		t.Fatal(err)
	}
	w.verifier = Verifier{Anchors: bundle.Anchors, Lists: lists, Freshness: DefaultFreshness}
	return w
}

// draws gives the fixed randomness of one step.
func (w *world) draws(name string) curve.Entropy {
	left := append([]byte(nil), w.entropy[name]...)
	return func(size int) []byte {
		if size > len(left) {
			panic(fmt.Sprintf("%s draws more than was recorded", name))
		}
		drawn := left[:size:size]
		left = left[size:]
		return drawn
	}
}

// keyOf gives the private key of a key id, whoever holds it.
func (w *world) keyOf(t *testing.T, keyID []byte) *keys.DecryptionKey {
	t.Helper()
	ring := keys.Keyring{w.Cloud.open(t), w.Renewed.open(t)}
	for _, party := range w.Parties {
		ring = append(ring, party.open(t))
	}
	key, err := ring.Find(keyID)
	if err != nil {
		t.Fatal(err)
	}
	return key
}
