package refusal_test

import (
	"errors"
	"testing"

	"medunion.example/clients/go/refusal"
)

// What a person reads of a peer's refusal, and of most of this side's, is held to tests/vectors/plain.json, beside fromStatus.
func TestPlainSaysWhatWasFoundHere(t *testing.T) {
	for _, tried := range []struct {
		err  error
		want string
	}{
		{errors.New("no refusal"), "no refusal"},
		{refusal.AfterOpening(refusal.New(refusal.OutOfOrder, "one before")),
			"A message came at the wrong moment. Begin again. [OUT_OF_ORDER]"},
		{refusal.Because(errors.New("no such file"), refusal.PinUnavailable, "the PIN file can't be read"),
			"The PIN could not be had. (the PIN file can't be read: no such file) " +
				"Give it in a file (`--pin-file`) that nobody but you may read. [PIN_UNAVAILABLE]"},
		{refusal.New("UNHEARD_OF", "of no vocabulary"), "of no vocabulary. [UNHEARD_OF]"},
	} {
		if got := refusal.Plain(tried.err); got != tried.want {
			t.Errorf("%q, not %q", got, tried.want)
		}
	}
}
