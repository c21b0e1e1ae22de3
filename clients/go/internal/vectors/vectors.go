// Package vectors reads the federation's known answers (tests/vectors) for the tests of every layer.
package vectors

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"medunion.example/clients/go/refusal"
)

// Bytes is a byte string that stands in hex.
type Bytes []byte

// UnmarshalText reads hex.
func (b *Bytes) UnmarshalText(text []byte) error {
	decoded, err := hex.DecodeString(string(text))
	*b = decoded
	return err
}

// Read reads a file's list of vectors. A file that holds none fails the test: what tried nothing has proved nothing.
func Read[V any](t *testing.T, file string) []V {
	t.Helper()
	var content struct{ Vectors []V }
	ReadWhole(t, file, &content)
	if len(content.Vectors) == 0 {
		t.Fatalf("%s holds no vectors", file)
	}
	return content.Vectors
}

// Expected says whether an error, or none, is what a vector expects: "success", or the reason of a refusal.
func Expected(err error, expect string) bool {
	return expect == "success" && err == nil || expect != "success" && string(refusal.Outer(err)) == expect
}

// ReadWhole reads a file that is no list.
func ReadWhole(t *testing.T, file string, into any) {
	t.Helper()
	encoded, err := os.ReadFile(filepath.Join(root(t), file))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(encoded, into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

func root(t *testing.T) string {
	for up := "."; len(up) < 64; up = filepath.Join(up, "..") {
		found := filepath.Join(up, "tests", "vectors")
		if _, err := os.Stat(filepath.Join(found, "parties.json")); err == nil {
			return found
		}
	}
	t.Fatal("tests/vectors is not above this directory")
	return ""
}
