package group_test

import (
	"bytes"
	"crypto/ecdh"
	"testing"

	"medunion.example/clients/go/group"
	"medunion.example/clients/go/internal/vectors"
	"medunion.example/clients/go/refusal"
)

type received struct {
	Name, Expect string
	Point        vectors.Bytes
}

func TestReceivedPoint(t *testing.T) {
	refused := 0
	for _, vector := range vectors.Read[received](t, "points.json") {
		reason := string(refusal.Outer(group.RequireReceived(vector.Point)))
		if reason == "" {
			reason = "success"
		} else {
			refused++
		}
		if reason != vector.Expect {
			t.Errorf("%s: %s, not %s", vector.Name, reason, vector.Expect)
		}
	}
	if refused == 0 {
		t.Error("no point was refused")
	}
}

type agreed struct {
	RegistrationSecret vectors.Bytes `json:"registration_secret"`
	TokenForm          vectors.Bytes `json:"token_form"`
	PublicPoint        vectors.Bytes `json:"public_point"`
	Point, U1, U2      vectors.Bytes
	Result             vectors.Bytes
}

func TestFullPoint(t *testing.T) {
	for _, vector := range vectors.Read[agreed](t, "full_point.json") {
		form, err := group.TokenForm(vector.RegistrationSecret)
		if err != nil || !bytes.Equal(form, vector.TokenForm) {
			t.Errorf("token form %x: %v", form, err)
		}
		recovered, err := group.FullPoint(vector.U1, vector.U2, vector.PublicPoint)
		if err != nil || !bytes.Equal(recovered, vector.Result) {
			t.Errorf("recovered %x: %v", recovered, err)
		}
		key, err := ecdh.X25519().NewPrivateKey(form)
		if err != nil {
			t.Fatal(err)
		}
		secret := group.RegistrationSecret{Key: key, PublicPoint: vector.PublicPoint}
		product, err := secret.Agree(vector.Point)
		if err != nil || !bytes.Equal(product, vector.Result) {
			t.Errorf("S_X R is %x: %v", product, err)
		}
	}
}

func TestAnswerOfAnotherKeyIsRefused(t *testing.T) {
	vector := vectors.Read[agreed](t, "full_point.json")[0]
	if _, err := group.FullPoint(vector.U1, vector.U1, vector.PublicPoint); refusal.Outer(err) != refusal.InvalidPoint {
		t.Errorf("got %v", err)
	}
}

func TestSecretOfAnotherCredentialFailsItsTest(t *testing.T) {
	vector := vectors.Read[agreed](t, "full_point.json")[0]
	other, err := ecdh.X25519().NewPrivateKey(bytes.Repeat([]byte{9}, 32))
	if err != nil {
		t.Fatal(err)
	}
	probe, err := group.NewScalar(group.SystemEntropy(64))
	if err != nil {
		t.Fatal(err)
	}
	if err := (group.RegistrationSecret{Key: other, PublicPoint: vector.PublicPoint}).RequireConsistent(probe); err == nil {
		t.Error("accepted")
	}
}
