package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"medunion.example/clients/go/refusal"
)

func TestExitCode(t *testing.T) {
	pin := filepath.Join(t.TempDir(), "pin")
	if err := os.WriteFile(pin, []byte("a PIN\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	nowhere := filepath.Join(t.TempDir(), "nobody")
	certificate := []string{"--certificate", pin, "--pin-file", pin, "--directory", nowhere}
	visit := []string{"patient", "visit", "--directory", nowhere, "--pin-file", pin, "--simulated-sensor", pin, "--yes"}
	own := []string{"--directory", nowhere, "--pin-file", pin}
	for _, tried := range []struct {
		words []string
		code  int
	}{
		{[]string{"--help"}, 0},
		{nil, 2},
		{[]string{"patient"}, 2},
		{[]string{"patient", "dance"}, 2},
		{[]string{"patient", "visit"}, 2},
		{visit, 2}, // without a code
		{append(visit, "one", "two"), 2},
		{append(visit, "--hours", "-1", "code"), 2},
		{append(visit, "--hours", "8785", "code"), 2},
		{append(visit, "--hours", "NaN", "code"), 2},
		{append(visit, "--for", "anybody", "code"), 2},
		{append(visit, "--for", "doctor:cardiology", "code"), 2},
		{append(visit, "--for", "department:Cardiology", "code"), 2},
		{append(visit, "--read", "H:Alpha", "code"), 2},
		{append(visit, "--department", "*", "code"), 2},
		{append(visit, "--for", "department:cardiology", "--read", "here", "--read", "H:alpha", "--restricted", "--no-keep", "code"), 1},
		{append(visit, "--observation", pin, "code"), 1},
		{append(visit, "--dial-only", "10.0.0.0", "code"), 2},
		{append(visit, "--dial-only", "10.0.0.1/8", "code"), 2},
		{append(visit, "--dial-only", "10.0.0.0/8", "--proxy", "code"), 2},
		{append(visit, "--dial-only", "10.0.0.0/8", "--dial-only", "::1/128", "code"), 1},
		{append(visit, "--grace-hours", "73", "code"), 2},
		{append(visit, "--grace-hours", "-1", "code"), 2},
		{append(visit, "--grace-hours", "NaN", "code"), 2},
		{append(visit, "--grace-hours", "0", "code"), 1},
		{append(visit, "code"), 1},
		{append([]string{"patient", "grants"}, own...), 1},
		{append([]string{"patient", "revoke"}, own...), 2},
		{append(append([]string{"patient", "revoke"}, own...), "0"), 2},
		{append(append([]string{"patient", "revoke"}, own...), "--last", "1"), 2},
		{append(append([]string{"patient", "revoke"}, own...), "--last", "--all"), 2},
		{append(append([]string{"patient", "revoke"}, own...), "1", "2"), 1},
		{append([]string{"patient", "records"}, own...), 1},
		{append([]string{"patient", "accesses"}, own...), 1},
		{append(append([]string{"patient", "accesses"}, own...), "now"), 2},
		{append(append([]string{"patient", "records"}, own...), "--fetch-at-most", "0"), 2},
		{append([]string{"doctor", "register"}, certificate...), 1},
		{[]string{"patient", "renew", "--directory", nowhere}, 2},
		{[]string{"patient", "renew", "--directory", nowhere, "--pin-file", pin, "now"}, 2},
		{[]string{"doctor", "renew", "--directory", nowhere, "--pin-file", pin}, 1},
	} {
		if code := run(context.Background(), tried.words); code != tried.code {
			t.Errorf("%q: exit code %d, not %d", tried.words, code, tried.code)
		}
	}
}

// TestConsultLooksAtItsWordsFirst has nobody at home: what is refused for another reason was looked at before.
func TestConsultLooksAtItsWordsFirst(t *testing.T) {
	directory := t.TempDir()
	pin, file := filepath.Join(directory, "pin"), filepath.Join(directory, "file")
	for _, path := range []string{pin, file} {
		if err := os.WriteFile(path, []byte("a PIN\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	good := map[string]string{
		"--directory": filepath.Join(directory, "nobody"), "--pin-file": pin, "--hospital": "H:alpha", "--address": "alpha.example:443",
		"--department": "cardiology", "--conclusion": "Sinus rhythm.", "--save": filepath.Join(directory, "saved"),
		"--code-file": filepath.Join(directory, "code"),
	}
	for _, tried := range []struct {
		option, value string
		reason        refusal.Reason
	}{
		{"--fetch-at-most", "0.5", refusal.ProfileUnusable}, // nobody is at home
		{"--hospital", "D:chen", refusal.FieldInvalid},
		{"--address", "unix:/tmp/evil", refusal.FieldInvalid},
		{"--conclusion", "Sinus\x00rhythm", refusal.FHIRInvalid},
		{"--conclusion", strings.Repeat("x", 1<<20), refusal.FHIRTooLarge},
		{"--save", file, refusal.FileUnusable},
		{"--code-file", filepath.Join(file, "code"), refusal.FileUnusable},
	} {
		given := maps.Clone(good)
		given[tried.option] = tried.value
		var words []string
		for option, value := range given {
			words = append(words, option, value)
		}
		if _, err := consult(t.Context(), newArguments("doctor consult").with(words)); refusal.Outer(err) != tried.reason {
			t.Errorf("%s %.20q: %v, not %s", tried.option, tried.value, err, tried.reason)
		}
	}
	if left, err := os.ReadDir(filepath.Join(directory, "saved")); err != nil || len(left) > 0 {
		t.Errorf("%v is left: %v", left, err)
	}
}

func TestCertificateIsReadWhateverStandsBeforeIt(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	encoded := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	other := pem.EncodeToMemory(&pem.Block{Type: "EC PARAMETERS", Bytes: []byte{6, 0}})
	text := []byte("Certificate:\n    Data:\n        Version: 3 (0x2)\n")
	path := filepath.Join(t.TempDir(), "certificate")
	for name, content := range map[string][]byte{
		"DER": der, "PEM": encoded, "text before": slices.Concat(text, encoded), "another block before": slices.Concat(other, encoded),
		"a byte order mark": slices.Concat([]byte("\xef\xbb\xbf"), encoded), "two": slices.Concat(encoded, encoded),
		"Windows' lines": bytes.ReplaceAll(slices.Concat(text, encoded), []byte("\n"), []byte("\r\n")),
	} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if read, err := readCertificate(path); err != nil || !bytes.Equal(read.Raw, der) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, content := range map[string][]byte{"nothing": nil, "text": text, "another block": other} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readCertificate(path); !refusal.Is(err, refusal.FileUnusable) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
