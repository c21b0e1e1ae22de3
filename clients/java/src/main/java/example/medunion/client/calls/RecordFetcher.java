package example.medunion.client.calls;

import example.medunion.client.protocol.Entropy;
import example.medunion.client.protocol.Handshake;
import example.medunion.client.protocol.IncomingRecord;
import example.medunion.client.protocol.RecordSession;
import example.medunion.client.protocol.Refusal;
import example.medunion.client.protocol.Search;
import example.medunion.client.protocol.ShownAccess;
import example.medunion.client.protocol.ToldLog;
import example.medunion.client.protocol.Verifier;
import example.medunion.federation.v1.ProvedHead;
import example.medunion.federation.v1.Purpose;
import example.medunion.federation.v1.RecordManifest;
import example.medunion.federation.v1.Scope;
import io.grpc.ManagedChannel;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.function.Supplier;
import java.util.stream.Stream;

/** Fetches what hospitals hold, for a doctor or for the patient itself. */
public final class RecordFetcher {
  private static final int MOST_RECORDS = 64;
  /** Before a record that broke goes on: from the first again whenever more of it came, and after the last it is given up. */
  static final List<Duration> BROKEN_PAUSES = Stream.of(1, 2, 4, 8, 15, 30).map(Duration::ofSeconds).toList();

  private final Home home;
  private final Supplier<Verifier> verifier;
  private final Entropy entropy;

  /** `verifier` is by the lists of now: records are on their way for long. */
  RecordFetcher(Home home, Supplier<Verifier> verifier, Entropy entropy) {
    this.home = home;
    this.verifier = verifier;
    this.entropy = entropy;
  }

  /** What becomes of records as they come, one after the other. */
  public interface Fetching {
    /** This one is here, whole and verified. Its parts are held no longer than this takes. */
    void taken(FetchedRecord record);

    /** What this hospital has can't be had. */
    void missing(String hospitalId, Refusal why);

    /** A record's session broke, or it was changed meanwhile, and it goes on: in words for people. */
    void goesOn(String words);
  }

  /**
   * Fetches what these locations hold, by what is shown, one session for each hospital and class, all together of at most so many bytes. What
   * can't be had stops nothing else.
   */
  List<FetchedRecord> fetch(
      Supplier<ShownAccess> shown, List<Search.RecordLocation> locations, long mostBytes, Fetching fetching) {
    List<FetchedRecord> records = new ArrayList<>();
    long left = mostBytes;
    for (Order order : Order.of(locations)) {
      try {
        boolean fits = records.size() < MOST_RECORDS;
        Refusal.require(fits, "LIMIT_REACHED", "at most " + MOST_RECORDS + " answers of hospitals are taken together");
        long most = left;
        FetchedRecord record =
            inSessions(order.hospitalId(), incoming -> fetch(shown.get(), order, most, incoming), fetching::goesOn, Calls::pause);
        left -= record.size();
        records.add(record.withoutContents());
        fetching.taken(record);
      } catch (Refusal refusal) {
        fetching.missing(order.hospitalId(), refusal);
      }
    }
    return records;
  }

  /** What the log of a hospital that has records has of a patient, by what is shown: every page, checked, below the head of the first. */
  ToldLog log(ShownAccess shown, Search.RecordLocation location, Consumer<String> tell) {
    String hospital = location.hospital().identity();
    ToldLog told = logPage(shown, location, Optional.empty());
    for (int page = 1; told.older().isPresent(); page++) {
      Refusal.require(page < Cloud.MOST_PAGES, "LIMIT_REACHED", hospital + " has more pages to give than are read");
      tell.accept(told.entries().size() + " of the entries of " + hospital + " read; the older ones are next.");
      told = logPage(shown, location, Optional.of(told));
    }
    return told;
  }

  private ToldLog logPage(ShownAccess shown, Search.RecordLocation location, Optional<ToldLog> before) {
    Scope scope = Scope.newBuilder().setPurpose(Purpose.PURPOSE_LOG).setDepartmentClass("*").build();
    String hospital = location.hospital().identity();
    OptionalLong leaf = before.map(ToldLog::older).orElse(OptionalLong.empty());
    RecordSession.LogPlace place = new RecordSession.LogPlace(home.knownSize(hospital, before), leaf);
    RecordManifest manifest = fetch(shown, location, scope, 0, place, new FetchedRecord.Incoming()).manifest();
    Optional<ProvedHead> head = manifest.hasLogHead() ? Optional.of(manifest.getLogHead()) : Optional.empty();
    OptionalLong older = manifest.hasNext() ? OptionalLong.of(manifest.getNext()) : OptionalLong.empty();
    ToldLog.Page page = new ToldLog.Page(manifest.getAccessesList(), head, older);
    byte[] key = location.hospital().party().verifyingKey();
    return home.checked(page, shown.patientId(), hospital, key, before, verifier.get());
  }

  /**
   * Takes a record in as many sessions as it takes while more of it comes (docs/adr/0041-transfers.md). One that was changed meanwhile comes from
   * its beginning; whatever else a hospital says ends it.
   */
  static FetchedRecord inSessions(
      String hospitalId, Function<FetchedRecord.Incoming, FetchedRecord> session, Consumer<String> tell, Consumer<Duration> pause) {
    FetchedRecord.Incoming incoming = new FetchedRecord.Incoming();
    long came = 0;
    int broke = 0;
    while (true) {
      boolean wasBroken = incoming.broken().isPresent();
      try {
        return session.apply(incoming);
      } catch (Refusal refusal) {
        if (!isLost(refusal)) {
          incoming.forget();
        }
        if (wasBroken && refusal.reason().equals("RECORD_CHANGED")) {
          tell.accept("The record from " + hospitalId + " was changed meanwhile: it comes from its beginning.");
          continue;
        }
        IncomingRecord broken = incoming.broken().orElseThrow(() -> refusal);
        if (broken.came() > came) {
          came = broken.came();
          broke = 0;
        }
        if (broke == BROKEN_PAUSES.size()) {
          throw refusal;
        }
        Duration next = BROKEN_PAUSES.get(broke++);
        tell.accept(
            String.format(
                Locale.ROOT,
                "The record from %s broke off: %.1f of %.1f MB came. It goes on behind that in %d s.",
                hospitalId, came / 1e6, broken.size() / 1e6, next.toSeconds()));
        pause.accept(Calls.pauseAfter(refusal, next));
      }
    }
  }

  /** Whether a session ended by something that passes, or before its last message: the same may be done in another. */
  static boolean isLost(Refusal refusal) {
    return Calls.passes(refusal) || refusal.reason().equals("RECORD_CUT_SHORT");
  }

  private FetchedRecord fetch(ShownAccess shown, Order order, long mostBytes, FetchedRecord.Incoming incoming) {
    return fetch(shown, order.location(), order.scope(), mostBytes, RecordSession.LogPlace.NONE, incoming);
  }

  private FetchedRecord fetch(
      ShownAccess shown,
      Search.RecordLocation location,
      Scope scope,
      long mostBytes,
      RecordSession.LogPlace place,
      FetchedRecord.Incoming incoming) {
    String hospitalId = location.hospital().identity();
    ManagedChannel there = home.hospitalChannel(location.address(), hospitalId);
    RecordSession.Intent intent = new RecordSession.Intent(shown, scope, entropy.draw(32));
    Function<Handshake.Peer, FetchedRecord> session =
        hospital -> {
          try (HospitalSession stream = new HospitalSession(there)) {
            RecordSession.Established established = stream.open(home, hospital, intent, entropy);
            return FetchedRecord.fetch(stream, established, verifier, mostBytes, place, incoming, System::currentTimeMillis);
          }
        };
    try {
      return byKeyOfNow(location.hospital(), () -> HospitalSession.address(there, hospitalId, home), session);
    } finally {
      there.shutdownNow();
    }
  }

  /** Opens a session with a hospital as it is known; where it has begun a new epoch since the public cloud was asked, as it is now. */
  static <T, R> R byKeyOfNow(T known, Supplier<T> asked, Function<T, R> session) {
    try {
      return session.apply(known);
    } catch (Refusal refusal) {
      if (!refusal.reason().equals("UNKNOWN_KEY_ID")) {
        throw refusal;
      }
    }
    return session.apply(asked.get());
  }
}
