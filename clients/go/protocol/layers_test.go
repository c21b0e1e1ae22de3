package protocol

import (
	"bytes"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/x509"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"medunion.example/clients/go/curve"
	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/internal/vectors"
	"medunion.example/clients/go/keys"
	"medunion.example/clients/go/refusal"
	"medunion.example/clients/go/rules"
	"medunion.example/clients/go/transcript"
)

type hexBytes = vectors.Bytes

func raw(fields []hexBytes) [][]byte {
	plain := make([][]byte, len(fields))
	for i, field := range fields {
		plain[i] = field
	}
	return plain
}

func newMessage(t *testing.T, name string) proto.Message {
	t.Helper()
	kind, err := protoregistry.GlobalTypes.FindMessageByName(protoreflect.FullName(name))
	if err != nil {
		t.Fatal(err)
	}
	return kind.New().Interface()
}

func equal(t *testing.T, what string, got, expected []byte) {
	t.Helper()
	if !bytes.Equal(got, expected) {
		t.Errorf("%s: %x, not %x", what, got, expected)
	}
}

func TestIssuing(t *testing.T) {
	type issued struct {
		Name, Expect       string
		IssuerPublicKey    hexBytes `json:"issuer_public_key"`
		Credential         hexBytes
		Transcript         hexBytes
		RegistrationPoint  hexBytes `json:"registration_point"`
		RegistrationSecret hexBytes `json:"registration_secret"`
		PublicPoint        hexBytes `json:"public_point"`
		Identity           string
		Serial             hexBytes
		SharedKey          hexBytes `json:"shared_key"`
	}
	for _, vector := range vectors.Read[issued](t, "issuing.json") {
		covered := credentialTranscript(vector.IssuerPublicKey, vector.Credential)
		public, err := curve.PublicPoint(vector.RegistrationPoint, vector.IssuerPublicKey, covered)
		if vector.RegistrationSecret != nil && err == nil {
			public, err = checkIssued(vector.IssuerPublicKey, vector.Credential, vector.RegistrationPoint, vector.RegistrationSecret)
		}
		if !vectors.Expected(err, vector.Expect) {
			t.Errorf("%s: %v, not %s", vector.Name, err, vector.Expect)
		}
		if err != nil {
			continue
		}
		equal(t, vector.Name+" T", covered, vector.Transcript)
		equal(t, vector.Name+" U_X", curve.X(public), vector.PublicPoint[1:])
		secret := curve.RegistrationSecret{Key: softwareKey(t, vector.RegistrationSecret)}
		shared, err := secret.SharedKey(vector.Identity, vector.Serial)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, vector.Name+" K_X", shared, vector.SharedKey)
	}
}

func softwareKey(t *testing.T, scalar []byte) curve.SoftwareKey {
	t.Helper()
	key, err := ecdh.P256().NewPrivateKey(scalar)
	if err != nil {
		t.Fatal(err)
	}
	return curve.SoftwareKey{PrivateKey: key}
}

func TestSchedule(t *testing.T) {
	type scheduled struct {
		Name, Roles    string
		K1, K2, Z      hexBytes
		Contributions  []hexBytes
		TranscriptHash struct {
			Label  string
			Fields []hexBytes
			Value  hexBytes
		} `json:"transcript_hash"`
		Keys map[string]hexBytes
	}
	for _, vector := range vectors.Read[scheduled](t, "schedule.json") {
		th := transcript.Digest(transcript.T(vector.TranscriptHash.Label, raw(vector.TranscriptHash.Fields)...))
		equal(t, vector.Name+" TH", th, vector.TranscriptHash.Value)
		agreed := secrets{vector.K1, vector.K2, vector.Z}
		derived, err := deriveKeys(agreed, vector.Contributions[0], vector.Contributions[1], th, vector.Roles)
		if err != nil {
			t.Fatal(err)
		}
		opener, answerer := vector.Roles[:1], vector.Roles[1:]
		equal(t, "k forward", derived.forward.key, vector.Keys["k_"+opener+">"+answerer])
		equal(t, "iv forward", derived.forward.iv, vector.Keys["iv_"+opener+">"+answerer])
		equal(t, "k backward", derived.backward.key, vector.Keys["k_"+answerer+">"+opener])
		equal(t, "iv backward", derived.backward.iv, vector.Keys["iv_"+answerer+">"+opener])
		equal(t, "kc", derived.confirmation, vector.Keys["kc_"+answerer])
	}
}

func TestHPKE(t *testing.T) {
	type seal struct {
		epochKeys
		Name, Expect            string
		EncryptionKey           hexBytes `json:"encryption_key"`
		KeyID                   hexBytes `json:"key_id"`
		Info, Plaintext, Sealed hexBytes
	}
	for _, vector := range vectors.Read[seal](t, "hpke.json") {
		key := vector.open(t)
		equal(t, "PUK_kem", key.EncryptionKey, vector.EncryptionKey)
		equal(t, "key id", key.KeyID, vector.KeyID)
		plaintext, err := key.Open(vector.Sealed, vector.Info)
		if !vectors.Expected(err, vector.Expect) {
			t.Errorf("%s: %v, not %s", vector.Name, err, vector.Expect)
		}
		equal(t, vector.Name+" plaintext", plaintext, vector.Plaintext)
		sealed, err := keys.Seal(key.EncryptionKey, vector.Plaintext, vector.Info)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := key.Open(sealed, vector.Info); err != nil || !bytes.Equal(again, vector.Plaintext) {
			t.Errorf("a seal of our own: %x, %v", again, err)
		}
	}
}

func TestDerived(t *testing.T) {
	type derived struct {
		Name, Kind, Label      string
		Fields                 []hexBytes
		Transcript, Value, Key hexBytes
		FuzzyKey               hexBytes `json:"fuzzy_key"`
		DeviceSecret           hexBytes `json:"device_secret"`
	}
	tried := map[string]int{}
	for _, vector := range vectors.Read[derived](t, "derived.json") {
		made := transcript.T(vector.Label, raw(vector.Fields)...)
		equal(t, vector.Name+" T", made, vector.Transcript)
		tried[vector.Kind]++
		switch vector.Kind {
		case "sha256":
			equal(t, vector.Name, transcript.Digest(made), vector.Value)
		case "hmac-sha256":
			equal(t, vector.Name, tag(vector.Key, made), vector.Value)
		case "hkdf-sha256":
			secret := append(bytes.Clone(vector.FuzzyKey), vector.DeviceSecret...)
			value, err := hkdf.Key(sha256.New, secret, nil, string(made), len(vector.Value))
			if err != nil {
				t.Fatal(err)
			}
			equal(t, vector.Name, value, vector.Value)
		default:
			t.Errorf("%s: a kind %q", vector.Name, vector.Kind)
		}
		if vector.Label == "room-close" {
			fields := vector.Fields
			equal(t, vector.Name, closeTranscript(string(fields[0]), string(fields[1]), fields[2]), vector.Transcript)
		}
		if vector.Name == "biometric password" {
			equal(t, "B_P", BiometricPassword(vector.FuzzyKey, vector.DeviceSecret, "vectors", 1), vector.Value)
		}
	}
	if tried["sha256"] == 0 || tried["hmac-sha256"] == 0 || tried["hkdf-sha256"] == 0 {
		t.Errorf("tried %v", tried)
	}
}

func TestStatements(t *testing.T) {
	type statement struct {
		Name, Label  string
		MessageType  string `json:"message_type"`
		Statement    hexBytes
		Transcript   hexBytes
		VerifyingKey hexBytes `json:"verifying_key"`
		Signature    hexBytes
		Digest       hexBytes
	}
	for _, vector := range vectors.Read[statement](t, "statements.json") {
		signed := &pb.SignedStatement{Statement: vector.Statement, Signature: vector.Signature}
		message := newMessage(t, vector.MessageType)
		if err := OpenStatement(vector.Label, message, signed, []byte(vector.VerifyingKey)); err != nil {
			t.Errorf("%s: %v", vector.Name, err)
		}
		again, err := rules.Marshal(message)
		if err != nil {
			t.Errorf("%s: %v", vector.Name, err)
		}
		equal(t, vector.Name, again, vector.Statement)
		equal(t, vector.Name+" H", transcript.StatementDigest(vector.Label, vector.Statement), vector.Digest)
		signed.Signature[0] ^= 1
		if err := OpenStatement(vector.Label, newMessage(t, vector.MessageType), signed, []byte(vector.VerifyingKey)); !refusal.Is(err, refusal.SignatureInvalid) {
			t.Errorf("%s with a flipped bit: %v", vector.Name, err)
		}
	}
}

func TestBundles(t *testing.T) {
	type bundle struct {
		Name, Expect         string
		Follows              int
		Statement, Signature hexBytes
		Digest               hexBytes
	}
	var chain []*TrustedBundle
	refused := 0
	for _, vector := range vectors.Read[bundle](t, "bundles.json") {
		signed := &pb.SignedStatement{Statement: vector.Statement, Signature: vector.Signature}
		taken, err := Pin(signed)
		if vector.Follows > 0 {
			taken, err = chain[vector.Follows-1].Follow(signed)
		}
		if vector.Expect != "success" {
			refused++
			if string(refusal.Outer(err)) != vector.Expect {
				t.Errorf("%s: %v, not %s", vector.Name, err, vector.Expect)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%s: %v", vector.Name, err)
		}
		if vector.Digest != nil {
			equal(t, vector.Name, taken.Digest(), vector.Digest)
		}
		chain = append(chain, taken)
	}
	if len(chain) == 0 || refused == 0 {
		t.Errorf("%d followed, %d refused", len(chain), refused)
	}
}

func TestPadding(t *testing.T) {
	for _, vector := range vectors.Read[struct{ Size, Padded uint64 }](t, "padding.json") {
		if got := padded(vector.Size); got != vector.Padded {
			t.Errorf("padded(%d) is %d, not %d", vector.Size, got, vector.Padded)
		}
	}
}

func TestForms(t *testing.T) {
	type form struct {
		Name, Expect string
		MessageType  string `json:"message_type"`
		Message      hexBytes
	}
	refused := 0
	for _, vector := range vectors.Read[form](t, "forms.json") {
		err := rules.Parse(vector.Message, newMessage(t, vector.MessageType))
		if vector.Expect == "success" && err != nil || vector.Expect != "success" && string(refusal.Outer(err)) != vector.Expect {
			t.Errorf("%q: %v, not %s", vector.Name, err, vector.Expect)
		}
		if err != nil {
			refused++
		}
	}
	if refused == 0 {
		t.Error("nothing was refused")
	}
}

func TestCertificates(t *testing.T) {
	type check struct {
		Name, Expect string
		Now          Instant
		Authority    hexBytes `json:"authority_certificate"`
		Scope        []string `json:"doctor_ids"`
		Certificate  hexBytes
		DoctorID     string   `json:"doctor_id"`
		VerifyingKey hexBytes `json:"verifying_key"`
		CRLs         []hexBytes
		Pins         []struct {
			CertificateDigest hexBytes `json:"certificate_digest"`
			Number, Digest    hexBytes
		}
	}
	for _, vector := range vectors.Read[check](t, "certificates.json") {
		lists := Lists{head: &pb.RevocationHead{}}
		for _, pin := range vector.Pins {
			lists.head.Crls = append(lists.head.Crls, &pb.CrlPin{
				CertificateDigest: pin.CertificateDigest, Number: pin.Number, Digest: pin.Digest,
			})
		}
		for _, der := range vector.CRLs {
			crl, err := x509.ParseRevocationList(der)
			if err != nil {
				t.Fatalf("%s: %v", vector.Name, err)
			}
			lists.crls = append(lists.crls, crl)
		}
		certificate, err := x509.ParseCertificate(vector.Authority)
		if err != nil {
			t.Fatal(err)
		}
		anchors := &Anchors{authorities: []authority{{"M:board", certificate, vector.Scope}}}
		_, err = verifyCertificate(vector.Certificate, anchors, lists, vector.DoctorID, vector.VerifyingKey, vector.Now)
		if vector.Expect == "success" && err != nil || vector.Expect != "success" && string(refusal.Outer(err)) != vector.Expect {
			t.Errorf("%s: %v, not %s", vector.Name, err, vector.Expect)
		}
	}
}

func TestShards(t *testing.T) {
	type check struct {
		listedJSON
		Name, Kind, Expect string
		Root               hexBytes
		Prefix             uint32
		Path               []hexBytes
	}
	for _, vector := range vectors.Read[check](t, "revocations.json") {
		if vector.Kind != "shard" { // a hospital follows changes
			continue
		}
		shard := &pb.RevocationShard{Prefix: &vector.Prefix}
		for _, entry := range vector.Entries {
			shard.Entries = append(shard.Entries, entry)
		}
		for _, sweep := range vector.Sweeps {
			shard.Sweeps = append(shard.Sweeps, &pb.Sweep{PatientDigest: sweep.PatientDigest, Before: &sweep.Before})
		}
		for _, beside := range vector.Path {
			shard.Path = append(shard.Path, beside)
		}
		if said := outcomeOf(requireProven(shard, vector.Root)); said != vector.Expect {
			t.Errorf("%s: %s, not %s", vector.Name, said, vector.Expect)
		}
	}
}

func outcomeOf(err error) string {
	if err == nil {
		return "success"
	}
	return string(refusal.Precise(err))
}
