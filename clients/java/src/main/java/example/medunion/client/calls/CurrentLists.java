package example.medunion.client.calls;

import java.util.OptionalLong;
import java.util.function.BooleanSupplier;
import java.util.function.LongSupplier;

/** Lists of a client that works for hours: brought up to date when they are needed, once a minute at most. A list is good for an hour. */
final class CurrentLists {
  private static final long KEPT_NANOS = 60_000_000_000L;

  private final BooleanSupplier refresh;
  private final LongSupplier nanoTime;
  private OptionalLong readAt = OptionalLong.empty();

  /** Brought up to date by {@code refresh}, which says whether the cloud answered. */
  CurrentLists(BooleanSupplier refresh, LongSupplier nanoTime) {
    this.refresh = refresh;
    this.nanoTime = nanoTime;
  }

  /** Asks the cloud if that was a minute ago. While it doesn't answer, the next who needs the lists asks again. */
  void need() {
    long now = nanoTime.getAsLong();
    boolean kept = readAt.isPresent() && now - readAt.getAsLong() < KEPT_NANOS;
    if (!kept) {
      renew();
    }
  }

  /** Asks the cloud, however long ago that was: those at hand have run out. */
  void renew() {
    if (refresh.getAsBoolean()) {
      readAt = OptionalLong.of(nanoTime.getAsLong());
    }
  }
}
