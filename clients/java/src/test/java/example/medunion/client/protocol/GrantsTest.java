package example.medunion.client.protocol;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.google.gson.JsonObject;
import java.time.Duration;
import org.junit.jupiter.api.Test;

/** How long a grant may live, for whoever makes one; the vectors' refusals are for whoever is given one. */
class GrantsTest {
  private static final JsonObject CAST = Vectors.load("parties");
  private static final JsonObject PATIENT = CAST.getAsJsonObject("parties").getAsJsonObject("patient");

  private static String made(Duration life) {
    long now = CAST.get("now").getAsLong();
    VerifiedParty self = new VerifiedParty(null, "P:wang", new byte[16], null, null, null, null, null, null, null);
    SigningKey key = Vectors.signingKey(PATIENT);
    Party patient = new Party(self, key, null, null, null, null, null);
    Grants.Terms terms = Grants.Terms.everything(life);
    VerifiedParty chen = new VerifiedParty(null, "D:chen", null, null, null, null, null, null, null, null);
    Handshake.Peer doctor = new Handshake.Peer(chen, null, new byte[1]);
    return Vectors.outcome(() -> Grants.make(patient, doctor, terms, now, Entropy.system()));
  }

  @Test
  void grantBeginsBeforeItEndsAndLivesAYear() {
    assertEquals("success", made(Duration.ofMillis(1)));
    assertEquals("success", made(Duration.ofDays(366)));
    assertEquals("GRANT_INVALID", made(Duration.ofDays(366).plusMillis(1)));
    assertEquals("GRANT_INVALID", made(Duration.ZERO));
    assertEquals("GRANT_INVALID", made(Duration.ofDays(-1)));
  }
}
