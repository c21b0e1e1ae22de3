package terminal_test

import (
	"encoding/json"
	"strings"
	"testing"

	"medunion.example/clients/go/internal/terminal"
)

const hostile = "\x1b]0;title\a\r\n\u202e\u009b\x7f\u2028\U000e0041 é"

func TestLineShowsNothingButText(t *testing.T) {
	if line := terminal.Line(hostile); line != " ]0;title         é" {
		t.Errorf("%q", line)
	}
	if line := terminal.Line(strings.Repeat("é", 10_000)); len([]rune(line)) != 4000 {
		t.Errorf("%d characters", len([]rune(line)))
	}
}

func TestJSONMeansTheSameAndShowsNothingButText(t *testing.T) {
	encoded, err := json.Marshal(hostile)
	if err != nil {
		t.Fatal(err)
	}
	shown, read := terminal.JSON(encoded), ""
	if terminal.Line(shown) != shown {
		t.Errorf("%q", shown)
	}
	if err := json.Unmarshal([]byte(shown), &read); err != nil || read != hostile {
		t.Errorf("%q: %v", read, err)
	}
}
