package example.medunion.client.calls;

import example.medunion.client.protocol.Entropy;
import example.medunion.client.protocol.Refusal;
import java.time.Instant;
import java.util.function.Consumer;

/**
 * What a client does for itself: it brings its lists up to date, ends epochs that are over, and begins the next a day before the present one
 * ends.
 */
public final class Maintenance {
  private Maintenance() {}

  /** Brings the lists up to date, if the cloud answers. Says whether it did; whoever uses lists checks how old they are. */
  static boolean refresh(Home home) {
    try (Cloud cloud = new Cloud(home)) {
      cloud.refresh(home);
      return true;
    } catch (Refusal refusal) {
      if (!Calls.passes(refusal)) {
        throw refusal;
      }
      home.shards().hearBeside();
      return false;
    }
  }

  /** Keeps a registered home going. While the cloud is away all of it waits, as long as the present epoch lasts. */
  public static void maintain(Home home, Entropy entropy, Consumer<String> tell) {
    long now = System.currentTimeMillis();
    home.sweep(now, entropy);
    boolean due = home.isEpochDue(now);
    if (!home.isRegistered() || (!due && !home.isRestatementDue())) {
      return;
    }
    try (Cloud cloud = new Cloud(home)) {
      if (due) {
        cloud.renew(home, entropy);
        tell.accept("The encryption key was renewed, and is good until " + Instant.ofEpochMilli(home.epochEnd()) + ".");
      } else {
        cloud.restate(home);
      }
    } catch (Refusal refusal) {
      if (!Calls.passes(refusal) || home.epochEnd() <= now) {
        throw refusal;
      }
      String end = Instant.ofEpochMilli(home.epochEnd()).toString();
      tell.accept("The public cloud could not be asked to renew keys; the present one is good until " + end + ".");
    }
  }
}
