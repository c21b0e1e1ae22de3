package refusal_test

import (
	"errors"
	"testing"

	"medunion.example/clients/go/refusal"
)

func TestPlainSaysWhatHappenedWhyWhatToDoAndItsReason(t *testing.T) {
	for _, tried := range []struct {
		err  error
		want string
	}{
		{errors.New("no refusal"), "no refusal"},
		{refusal.New(refusal.PinIncorrect, "two are left"),
			"The PIN is wrong. (two are left) Type it again, slowly: the token counts wrong ones. [PIN_INCORRECT]"},
		{refusal.New(refusal.PinIncorrect, "The PIN is wrong. (request 0123456789abcdef)"),
			"The PIN is wrong. (request 0123456789abcdef) Type it again, slowly: the token counts wrong ones. [PIN_INCORRECT]"},
		{refusal.New(refusal.PinIncorrect, "Type it again, slowly: the token counts wrong ones."),
			"The PIN is wrong. (Type it again, slowly: the token counts wrong ones.) [PIN_INCORRECT]"},
		{refusal.New(refusal.FHIRInvalid, "a diagnosis has no code"),
			"a diagnosis has no code. Choose another file, or have it written again by what made it. [FHIR_INVALID]"},
		{refusal.AfterOpening(refusal.New(refusal.OutOfOrder, "one before")),
			"A message came at the wrong moment. (one before) Begin again. [OUT_OF_ORDER]"},
		{refusal.New("UNHEARD_OF", "of no vocabulary"), "of no vocabulary. [UNHEARD_OF]"},
	} {
		if got := refusal.Plain(tried.err); got != tried.want {
			t.Errorf("%q, not %q", got, tried.want)
		}
	}
}
