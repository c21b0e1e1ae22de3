package example.medunion.client.protocol;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Test;

/** What a person reads of a peer's refusal, and of most of this side's, is held to tests/vectors/plain.json in CallsTest. */
class RefusalTest {
  @Test
  void personReadsWhatWasFoundInAPeersMessage() {
    assertEquals(
        "A message came at the wrong moment. Begin again. [OUT_OF_ORDER]",
        Refusal.rejected(new Refusal("OUT_OF_ORDER", "one before")).plain());
  }

  @Test
  void refusalOfNoVocabularySaysWhatItIs() {
    assertEquals("of no vocabulary. [UNHEARD_OF]", new Refusal("UNHEARD_OF", "of no vocabulary").plain());
  }
}
