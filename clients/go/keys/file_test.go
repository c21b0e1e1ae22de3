package keys_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"medunion.example/clients/go/internal/contract"
	"medunion.example/clients/go/keys"
	"medunion.example/clients/go/refusal"
)

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	store, err := keys.CreateFile(path, "a PIN")
	if err != nil {
		t.Fatal(err)
	}
	contract.Try(t, store, func() keys.Store {
		again, err := keys.OpenFile(path, "a PIN")
		if err != nil {
			t.Fatal(err)
		}
		return again
	})
	if status, err := os.Stat(path); err != nil || status.Mode().Perm() != 0o600 {
		t.Errorf("mode %v: %v", status.Mode(), err)
	}
	if _, err := keys.OpenFile(path, "another PIN"); !refusal.Is(err, refusal.PinIncorrect) {
		t.Errorf("another PIN: %v", err)
	}
	if _, err := keys.CreateFile(path, "a PIN"); !refusal.Is(err, refusal.ProfileUnusable) {
		t.Errorf("made over the keys that are there: %v", err)
	}
}

func TestAlteredFileIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	if _, err := keys.CreateFile(path, "a PIN"); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	place := bytes.Index(content, []byte(`"sealed":"`)) + 40
	content[place] ^= 1
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := keys.OpenFile(path, "a PIN"); !refusal.Is(err, refusal.PinIncorrect, refusal.ProfileUnusable) {
		t.Errorf("got %v", err)
	}
}

func TestPINFileOpenToOthersIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pin")
	if err := os.WriteFile(path, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if pin, err := keys.ReadPIN(path); err != nil || pin != "secret" {
		t.Errorf("%q: %v", pin, err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := keys.ReadPIN(path); !refusal.Is(err, refusal.PinUnavailable) {
		t.Errorf("got %v", err)
	}
}
