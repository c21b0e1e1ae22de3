package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"medunion.example/clients/go/refusal"
)

func TestTicketIsTheFirstLineOfAFileOrOfStandardInput(t *testing.T) {
	const ticket = "AAAA-AAAA-AAAA-AAAA-AAAA-AAAA-AA3U"
	path := filepath.Join(t.TempDir(), "ticket")
	stdin := os.Stdin
	t.Cleanup(func() { os.Stdin = stdin })
	for _, tried := range []struct {
		written string
		reason  refusal.Reason
	}{
		{ticket + "\nof tomorrow\n", ""},
		{ticket, ""},
		{"\n" + ticket, refusal.TicketInvalid},
		{"", refusal.TicketInvalid},
		{strings.Repeat(" ", mostTicket) + ticket, refusal.TicketInvalid},
	} {
		if err := os.WriteFile(path, []byte(tried.written), 0o600); err != nil {
			t.Fatal(err)
		}
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		os.Stdin = file
		for _, named := range []string{path, "-"} {
			if _, err := readTicket(named); refusal.Outer(err) != tried.reason {
				t.Errorf("%q of %s: %v", tried.written, named, err)
			}
		}
		file.Close()
	}
	if _, err := readTicket(path + ".none"); !refusal.Is(err, refusal.FileUnusable) {
		t.Error(err)
	}
}
