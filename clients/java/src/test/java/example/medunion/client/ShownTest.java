package example.medunion.client;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.google.gson.Gson;
import com.google.gson.JsonParser;
import org.junit.jupiter.api.Test;

/** What a peer wrote, on a terminal. */
class ShownTest {
  private static final String HOSTILE = "\u001b]0;title\u0007\r\n\u202e\u009b\u007f\u2028\udb40\udc41\ud800 é";

  @Test
  void lineShowsNothingButText() {
    assertEquals(" ]0;title          é", Shown.line(HOSTILE));
    assertEquals(4000, Shown.line("é".repeat(10_000)).length());
  }

  @Test
  void jsonMeansTheSameAndShowsNothingButText() {
    String shown = Shown.json(new Gson().toJson(HOSTILE));
    assertEquals(Shown.line(shown), shown);
    assertEquals(HOSTILE, JsonParser.parseString(shown).getAsString());
  }
}
