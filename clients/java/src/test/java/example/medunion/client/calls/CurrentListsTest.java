package example.medunion.client.calls;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.time.Duration;
import org.junit.jupiter.api.Test;

/** When a doctor's room asks for newer lists. */
final class CurrentListsTest {
  private long now = -Duration.ofSeconds(30).toNanos();
  private int asked;
  private boolean answers = true;
  private final CurrentLists lists =
      new CurrentLists(
          () -> {
            asked++;
            return answers;
          },
          () -> now);

  private int askedAfter(Duration pause) {
    now += pause.toNanos();
    lists.need();
    return asked;
  }

  @Test
  void listsAreReadAgainOnceTheyWereKeptForAMinute() {
    assertEquals(1, askedAfter(Duration.ZERO));
    assertEquals(1, askedAfter(Duration.ofMillis(59_999)));
    assertEquals(2, askedAfter(Duration.ofMillis(1)));
    assertEquals(2, askedAfter(Duration.ofSeconds(59)));
    assertEquals(3, askedAfter(Duration.ofHours(3)));
  }

  @Test
  void aCloudThatDidNotAnswerIsAskedAgainTheNextTime() {
    answers = false;
    assertEquals(1, askedAfter(Duration.ZERO));
    assertEquals(2, askedAfter(Duration.ofSeconds(1)));
    answers = true;
    assertEquals(3, askedAfter(Duration.ofSeconds(1)));
    assertEquals(3, askedAfter(Duration.ofSeconds(1)));
  }
}
