//go:build cgo

// Package softhsm makes real PKCS#11 tokens for tests.
package softhsm

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/miekg/pkcs11"
)

// PIN opens the tokens made here.
const PIN = "a PIN of the token"

// New makes a token of SoftHSM in a directory of the test's own, and gives its URI. Without SoftHSM the test fails.
func New(t *testing.T) string {
	t.Helper()
	path, directory := Module(t), t.TempDir()
	configuration := filepath.Join(directory, "softhsm2.conf")
	content := "directories.tokendir = " + directory + "\nobjectstore.backend = file\nlog.level = ERROR\n"
	must(t, os.WriteFile(configuration, []byte(content), 0o600))
	t.Setenv("SOFTHSM2_CONF", configuration)
	module := pkcs11.New(path)
	defer module.Destroy()
	must(t, module.Initialize())
	defer module.Finalize()
	slots, err := module.GetSlotList(false)
	must(t, err)
	must(t, module.InitToken(slots[0], "the officer's PIN", "doctor"))
	slots, err = module.GetSlotList(true) // an initialised token moves to another slot
	must(t, err)
	session, err := module.OpenSession(slots[0], pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
	must(t, err)
	must(t, module.Login(session, pkcs11.CKU_SO, "the officer's PIN"))
	must(t, module.InitPIN(session, PIN))
	return "pkcs11:token=doctor?module-path=" + path
}

// Module gives SoftHSM's library: $SOFTHSM2_MODULE, else where distributions put it.
func Module(t *testing.T) string {
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
