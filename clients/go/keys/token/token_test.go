//go:build cgo

package token

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/miekg/pkcs11"

	"medunion.example/clients/go/internal/contract"
	"medunion.example/clients/go/keys"
	"medunion.example/clients/go/refusal"
)

const pin = "a PIN of the token"

// softHSM makes a token of SoftHSM in a directory of the test's own, and gives its URI.
func softHSM(t *testing.T) string {
	t.Helper()
	path := modulePath(t)
	directory := t.TempDir()
	configuration := filepath.Join(directory, "softhsm2.conf")
	content := "directories.tokendir = " + directory + "\nobjectstore.backend = file\nlog.level = ERROR\n"
	if err := os.WriteFile(configuration, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SOFTHSM2_CONF", configuration)
	module := pkcs11.New(path)
	defer module.Destroy()
	must(t, module.Initialize())
	defer module.Finalize()
	slots, err := module.GetSlotList(false)
	must(t, err)
	must(t, module.InitToken(slots[0], "the officer's PIN", "doctor"))
	if slots, err = module.GetSlotList(true); err != nil {
		t.Fatal(err)
	}
	session, err := module.OpenSession(slots[0], pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
	must(t, err)
	must(t, module.Login(session, pkcs11.CKU_SO, "the officer's PIN"))
	must(t, module.InitPIN(session, pin))
	return "pkcs11:token=doctor?module-path=" + path
}

func modulePath(t *testing.T) string {
	t.Helper()
	for _, path := range []string{
		os.Getenv("SOFTHSM2_MODULE"), "/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
		"/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so", "/usr/lib64/libsofthsm2.so", "/usr/local/lib/softhsm/libsofthsm2.so",
	} {
		if _, err := os.Stat(path); path != "" && err == nil {
			return path
		}
	}
	t.Fatal("the token's proof needs SoftHSM: install softhsm2, or set SOFTHSM2_MODULE")
	return ""
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestToken(t *testing.T) {
	uri := softHSM(t)
	store, err := Open(uri, pin, true)
	must(t, err)
	contract.Try(t, store, func() keys.Store {
		again, err := Open(uri, pin, false)
		must(t, err)
		return again
	})
	if _, err := Open(uri, "another PIN of the token", false); !refusal.Is(err, refusal.PinIncorrect) {
		t.Errorf("another PIN: %v", err)
	}
	if _, err := Open(uri, pin, true); refusal.Outer(err) != refusal.KeyInvalid {
		t.Errorf("made over the keys that are there: %v", err)
	}
	if _, err := Open("pkcs11:token=nobody?module-path="+modulePath(t), pin, false); !refusal.Is(err, refusal.TokenNotFound) {
		t.Errorf("another token: %v", err)
	}
}

func TestNoKeyCanBeReadOut(t *testing.T) {
	uri := softHSM(t)
	store, err := Open(uri, pin, true)
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
