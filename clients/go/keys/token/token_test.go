//go:build cgo

package token

import (
	"bytes"
	"crypto"
	"testing"

	"github.com/miekg/pkcs11"

	"medunion.example/clients/go/curve"
	"medunion.example/clients/go/internal/contract"
	"medunion.example/clients/go/internal/softhsm"
	"medunion.example/clients/go/keys"
	"medunion.example/clients/go/refusal"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestToken(t *testing.T) {
	uri := softhsm.New(t)
	store, err := Open(uri, softhsm.PIN, true)
	must(t, err)
	contract.Try(t, store, func() keys.Store {
		again, err := Open(uri, softhsm.PIN, false)
		must(t, err)
		return again
	})
	if _, err := Open(uri, "another PIN of the token", false); !refusal.Is(err, refusal.PinIncorrect) {
		t.Errorf("another PIN: %v", err)
	}
	if _, err := Open(uri, softhsm.PIN, true); refusal.Outer(err) != refusal.KeyInvalid {
		t.Errorf("made over the keys that are there: %v", err)
	}
	if _, err := Open("pkcs11:token=nobody?module-path="+softhsm.Module(t), softhsm.PIN, false); !refusal.Is(err, refusal.TokenNotFound) {
		t.Errorf("another token: %v", err)
	}
}

func TestNoKeyCanBeReadOut(t *testing.T) {
	uri := softhsm.New(t)
	store, err := Open(uri, softhsm.PIN, true)
	must(t, err)
	defer store.Close()
	_, _, err = store.Generate("kem-read")
	must(t, err)
	_, err = store.Import("imported", bytes.Repeat([]byte{7}, 32))
	must(t, err)
	token := store.(*Token)
	for _, label := range []string{identityLabel, sealingLabel, "kem-read", "imported"} {
		handle, err := token.private(label)
		must(t, err)
		told, err := token.module.GetAttributeValue(token.session, handle, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_VALUE, nil)})
		if err == nil {
			t.Errorf("%s gave %d bytes", label, len(told[0].Value))
		}
	}
}

func TestLastTryOfThePINIsNotSpent(t *testing.T) {
	for flags, reason := range map[uint]refusal.Reason{
		pkcs11.CKF_USER_PIN_INITIALIZED | pkcs11.CKF_USER_PIN_COUNT_LOW: "",
		pkcs11.CKF_USER_PIN_FINAL_TRY:                                   refusal.PinFinalTry,
		pkcs11.CKF_USER_PIN_FINAL_TRY | pkcs11.CKF_USER_PIN_LOCKED:      refusal.PinLocked,
	} {
		if err := refuseRiskyLogin(pkcs11.TokenInfo{Label: "doctor", Flags: flags}); refusal.Outer(err) != reason {
			t.Errorf("flags %x: %v", flags, err)
		}
	}
	for code, reason := range map[uint]refusal.Reason{
		pkcs11.CKR_PIN_LOCKED: refusal.PinLocked, pkcs11.CKR_PIN_INCORRECT: refusal.PinIncorrect, pkcs11.CKR_DEVICE_ERROR: refusal.TokenUnavailable,
	} {
		if err := refusedLogin(pkcs11.Error(code)); refusal.Outer(err) != reason {
			t.Errorf("%v: %v", pkcs11.Error(code), err)
		}
	}
}

// TestPublicHalvesStandNowhere looks at the token as the next program finds it: only PRK_X has a public half there.
func TestPublicHalvesStandNowhere(t *testing.T) {
	uri := softhsm.New(t)
	store, err := Open(uri, softhsm.PIN, true)
	must(t, err)
	_, _, err = store.Generate("kem-made")
	must(t, err)
	_, err = store.Import("imported", bytes.Repeat([]byte{7}, 32))
	must(t, err)
	must(t, store.Close())
	reopened, err := Open(uri, softhsm.PIN, false)
	must(t, err)
	defer reopened.Close()
	for label, expected := range map[string]int{identityLabel: 1, sealingLabel: 0, "kem-made": 0, "imported": 0} {
		halves, err := reopened.(*Token).search(label, pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_PUBLIC_KEY))
		if err != nil || len(halves) != expected {
			t.Errorf("%s: %d public halves: %v", label, len(halves), err)
		}
	}
}

// TestKeysHaveOneUse asks the token itself: s of ECDSA never derives, and what derives never signs.
func TestKeysHaveOneUse(t *testing.T) {
	store, err := Open(softhsm.New(t), softhsm.PIN, true)
	must(t, err)
	defer store.Close()
	token := store.(*Token)
	identity, err := token.private(identityLabel)
	must(t, err)
	if x, err := (&agreementKey{token, identity}).ECDH(curve.HashToCurve(nil)); err == nil {
		t.Errorf("PRK_X derived %x", x)
	}
	sealing, err := token.private(sealingLabel)
	must(t, err)
	if signature, err := (&signer{token, sealing, token.signer.public}).Sign(nil, make([]byte, 32), crypto.SHA256); err == nil {
		t.Errorf("the sealing key signed %x", signature)
	}
	if _, err := token.signer.Sign(nil, make([]byte, 64), crypto.SHA512); err == nil {
		t.Error("another digest was signed")
	}
}

func TestFaultOfTheTokenIsNoFaultOfAPeer(t *testing.T) {
	store, err := Open(softhsm.New(t), softhsm.PIN, true)
	must(t, err)
	defer store.Close()
	half, public, err := store.Generate("kem-lost")
	must(t, err)
	key, err := keys.NewDecryptionKey(make([]byte, 64), half, public)
	must(t, err)
	sealed, err := keys.Seal(key.EncryptionKey, []byte("message"), nil)
	must(t, err)
	kept, err := store.Seal([]byte("kept"), nil)
	must(t, err)
	token := store.(*Token)
	must(t, token.module.CloseSession(token.session)) // as when the token is pulled out
	for name, use := range map[string]func() error{
		"a seal":        func() error { _, err := key.Open(sealed, nil); return err },
		"S_X":           func() error { _, err := (curve.RegistrationSecret{Key: half}).SharedKey("D:chen", nil); return err },
		"what was kept": func() error { _, err := store.Open(kept, nil); return err },
		"PRK_X":         func() error { _, err := keys.Sign(store.Signer(), nil); return err },
	} {
		if err := use(); !refusal.Is(err, refusal.TokenUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestURI(t *testing.T) {
	found, err := parse("pkcs11:token=dr%20chen;serial=12?module-path=/lib/p11.so")
	if err != nil || found.label != "dr chen" || found.serial != "12" || found.module != "/lib/p11.so" {
		t.Errorf("%+v: %v", found, err)
	}
	for _, text := range []string{
		"", "pkcs11:", "pkcs11:token=a", "pkcs11:?module-path=/a", "pkcs11:token=a?module-path=a.so", "pkcs11:slot-id=0?module-path=/a",
		"pkcs11:token=a?module-path=/a&pin-value=1234", "pkcs11:token=a;token=b?module-path=/a", "pkcs11:token=%zz?module-path=/a",
	} {
		if _, err := parse(text); !refusal.Is(err, refusal.TokenURIInvalid) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
