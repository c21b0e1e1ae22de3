package example.medunion.client.protocol;

import static org.junit.jupiter.api.Assertions.assertEquals;

import example.medunion.federation.v1.SearchOutcome;
import example.medunion.federation.v1.SessionOutcome;
import java.util.Locale;
import org.junit.jupiter.api.Test;

/** Both enums are held to the table: a value that is added to either needs a row. */
final class OutcomeTest {
  private static String words(Enum<?> value, String prefix) {
    return value.name().substring(prefix.length()).toLowerCase(Locale.ROOT).replace('_', '-');
  }

  @Test
  void everyValueHasItsRow() {
    for (SearchOutcome value : SearchOutcome.values()) {
      boolean none = value == SearchOutcome.SEARCH_OUTCOME_UNSPECIFIED || value == SearchOutcome.UNRECOGNIZED;
      assertEquals(none ? "unknown" : words(value, "SEARCH_OUTCOME_"), Outcome.of(value).words());
    }
    for (SessionOutcome value : SessionOutcome.values()) {
      boolean none = value == SessionOutcome.SESSION_OUTCOME_UNSPECIFIED || value == SessionOutcome.UNRECOGNIZED;
      assertEquals(none ? "unknown" : words(value, "SESSION_OUTCOME_"), Outcome.of(value).words());
    }
    assertEquals("UNAUTHORIZED", Vectors.outcome(() -> Outcome.of(SessionOutcome.UNRECOGNIZED).requireGood("the hospital")));
  }
}
