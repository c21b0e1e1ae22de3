//go:build cgo

package token

import (
	"crypto/ecdh"
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
	_, err = store.GenerateX25519("kem-read")
	must(t, err)
	token := store.(*Token)
	for _, label := range []string{identityLabel, sealingLabel, "kem-read"} {
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

func TestFaultOfTheTokenIsNoFaultOfAPeer(t *testing.T) {
	store, err := Open(softhsm.New(t), softhsm.PIN, true)
	must(t, err)
	defer store.Close()
	half, err := store.GenerateX25519("kem-lost")
	must(t, err)
	lowOrder, err := ecdh.X25519().NewPublicKey(append([]byte{1}, make([]byte, 31)...))
	must(t, err)
	if _, err := half.ECDH(lowOrder); !refusal.Is(err, refusal.InvalidPoint) {
		t.Errorf("a point of low order: %v", err)
	}
	key, err := keys.NewDecryptionKey(make([]byte, 64), half)
	must(t, err)
	sealed, err := keys.Seal(key.EncryptionKey, []byte("message"), nil)
	must(t, err)
	kept, err := store.Seal([]byte("kept"), nil)
	must(t, err)
	token := store.(*Token)
	must(t, token.module.CloseSession(token.session)) // as when the token is pulled out
	for name, use := range map[string]func() error{
		"a seal":        func() error { _, err := key.Open(sealed, nil); return err },
		"S_X":           func() error { _, err := curve.RegistrationSecret{Key: half}.TimesU(group.BasePoint()); return err },
		"what was kept": func() error { _, err := store.Open(kept, nil); return err },
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
