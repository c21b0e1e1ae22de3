//go:build cgo

package protocol

import (
	"testing"

	"medunion.example/clients/go/internal/softhsm"
	"medunion.example/clients/go/keys"
	"medunion.example/clients/go/keys/token"
)

// TestRunWithKeysInAToken is TestRun with S_X and the epoch's P-256 half of both sides in a real token, behind the same
// interface. PRK_X is not, for a token's signatures are not the vectors': client visits and the token's own tests try that one.
func TestRunWithKeysInAToken(t *testing.T) {
	uri := softhsm.New(t)
	var shared keys.Store // one module, one process: both parties' keys lie in one token
	run(t, func(t *testing.T) keys.Store {
		if shared == nil {
			opened, err := token.Open(uri, softhsm.PIN, true)
			if err != nil {
				t.Fatal(err)
			}
			shared = opened
			t.Cleanup(func() { shared.Close() })
		}
		return shared
	})
}
