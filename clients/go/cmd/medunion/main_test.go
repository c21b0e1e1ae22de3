package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"
)

func TestExitCode(t *testing.T) {
	pin := filepath.Join(t.TempDir(), "pin")
	if err := os.WriteFile(pin, []byte("a PIN\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	nowhere := filepath.Join(t.TempDir(), "nobody")
	certificate := []string{"--certificate", pin, "--pin-file", pin, "--home", nowhere}
	visit := []string{"patient", "visit", "--home", nowhere, "--pin-file", pin, "--sensor", pin, "--observation", pin}
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
		{append(visit, "code"), 1},
		{append([]string{"doctor", "register"}, certificate...), 1},
		{[]string{"patient", "renew", "--home", nowhere}, 2},
		{[]string{"patient", "renew", "--home", nowhere, "--pin-file", pin, "now"}, 2},
		{[]string{"doctor", "renew", "--home", nowhere, "--pin-file", pin}, 1},
	} {
		if code := run(context.Background(), tried.words); code != tried.code {
			t.Errorf("%q: exit code %d, not %d", tried.words, code, tried.code)
		}
	}
}
