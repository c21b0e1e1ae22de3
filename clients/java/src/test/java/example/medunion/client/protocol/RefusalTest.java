package example.medunion.client.protocol;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Test;

class RefusalTest {
  private static final String ADVICE = "Type it again, slowly: the token counts wrong ones.";

  @Test
  void personReadsWhatHappenedWhyWhatToDoAndTheReason() {
    assertEquals(
        "The PIN is wrong. (two are left) " + ADVICE + " [PIN_INCORRECT]",
        new Refusal("PIN_INCORRECT", "two are left").plain());
    assertEquals(
        "The PIN is wrong. Twice. " + ADVICE + " [PIN_INCORRECT]",
        new Refusal("PIN_INCORRECT", "The PIN is wrong. Twice.").plain());
    assertEquals("The PIN is wrong. (" + ADVICE + ") [PIN_INCORRECT]", new Refusal("PIN_INCORRECT", ADVICE).plain());
    assertEquals(
        "a diagnosis has no code. Choose another file, or have it written again by what made it. [FHIR_INVALID]",
        new Refusal("FHIR_INVALID", "a diagnosis has no code").plain());
    assertEquals(
        "A message came at the wrong moment. (one before) Begin again. [OUT_OF_ORDER]",
        Refusal.rejected(new Refusal("OUT_OF_ORDER", "one before")).plain());
    assertEquals("of no vocabulary. [UNHEARD_OF]", new Refusal("UNHEARD_OF", "of no vocabulary").plain());
  }
}
