package example.medunion.client.protocol;

import com.google.protobuf.ByteString;
import example.medunion.federation.v1.AccessEntry;
import example.medunion.federation.v1.AccessGround;
import example.medunion.federation.v1.AccessKind;
import example.medunion.federation.v1.Right;
import example.medunion.federation.v1.SignedStatement;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.Deque;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;

/**
 * What one side's log has and the other's should: what the public cloud did about a patient, and what hospitals did. Both name an access by the
 * same digests (docs/protocol.md, told).
 */
public final class OneSided {
  public static final String UNSEARCHED = "THE PUBLIC CLOUD KNOWS OF NO SEARCH FOR IT";
  public static final String UNREAD = "no hospital tells that anything was read";

  /** By so much two servers' clocks may differ: at more, one of them refuses what is sent to both. */
  private static final long TOLERANCE = Freshness.WINDOW + Freshness.SKEW;

  private static final String BEGUN = "BEGUN";

  private OneSided() {}

  /** What a party's log told of a patient. */
  public record Log(String partyId, List<AccessEntry> entries) {}

  /** What is to be said of an access: of the last entry that its log has of it, by its number. */
  public record Remark(String partyId, long number, String words) {}

  /**
   * When the cloud was asked, hospitals after it; H of the grants that give no right to search; and whether every hospital was asked and
   * answered.
   */
  public record Circumstances(long askedAt, Set<ByteString> unsearchable, boolean isWhole) {}

  /** By what both sides name an access: a doctor's duty may be another at each, a grant is not. */
  private record Key(String askerId, ByteString shown) {}

  /** What an entry that says that an access began, and one that says how it ended, have in common. */
  private record Name(String askerId, AccessKind kind, String departmentClass, ByteString authorization) {}

  /** One access: its last entry, whose log has it, and when it began. */
  private record Read(String partyId, AccessEntry entry, long at) {
    Key key() {
      boolean granted = !entry.getGrantDigest().isEmpty();
      return new Key(entry.getAskerId(), granted ? entry.getGrantDigest() : entry.getAuthorization());
    }

    boolean isWithin(long from, long until) {
      return from <= at && at <= until;
    }

    /** Whether it was given, by what others need: one's own right is of one side by nature, and so is a refusal. */
    boolean isByDoctor(AccessKind kind) {
      boolean granted =
          entry.getGround() == AccessGround.ACCESS_GROUND_CONSENT
              || entry.getGround() == AccessGround.ACCESS_GROUND_EMERGENCY;
      return entry.getKind() == kind && granted && Set.of("OK", BEGUN).contains(entry.getReason());
    }
  }

  /** H of those of a patient's grants that give no right to search. */
  public static Set<ByteString> unsearchable(List<SignedStatement> grants) {
    return grants.stream()
        .filter(signed -> !AccessStatements.peekGrant(signed).rights().contains(Right.RIGHT_INDEX))
        .map(signed -> ByteString.copyFrom(Transcript.statementDigest("grant", signed)))
        .collect(Collectors.toSet());
  }

  /** What is to be said of accesses that one side alone has. */
  public static List<Remark> remarks(Log cloud, List<Log> hospitals, Circumstances circumstances) {
    List<Read> searches = byDoctors(List.of(cloud), AccessKind.ACCESS_KIND_SEARCH);
    List<Read> readings = byDoctors(hospitals, AccessKind.ACCESS_KIND_READ);
    Set<Key> searched = searches.stream().map(Read::key).collect(Collectors.toSet());
    Set<Key> read = readings.stream().map(Read::key).collect(Collectors.toSet());
    long settled = circumstances.askedAt - TOLERANCE;
    long cloudKnows = behind(knownSince(cloud.entries), Consultation.LIFE);
    long allKnow =
        hospitals.stream().mapToLong(log -> behind(knownSince(log.entries), TOLERANCE)).max().orElse(0);
    List<Remark> found = new ArrayList<>();
    for (Read one : readings) {
      boolean searchable = !circumstances.unsearchable.contains(one.entry.getGrantDigest());
      if (one.isWithin(cloudKnows, settled) && searchable && !searched.contains(one.key())) {
        found.add(new Remark(one.partyId, one.entry.getNumber(), UNSEARCHED));
      }
    }
    for (Read one : searches) {
      if (circumstances.isWhole && one.isWithin(allKnow, settled) && !read.contains(one.key())) {
        found.add(new Remark(one.partyId, one.entry.getNumber(), UNREAD));
      }
    }
    return found;
  }

  private static long behind(long since, long duration) {
    return since == 0 ? 0 : since + duration;
  }

  private static List<Read> byDoctors(List<Log> logs, AccessKind kind) {
    return logs.stream().flatMap(log -> joined(log).stream()).filter(read -> read.isByDoctor(kind)).toList();
  }

  /** The accesses of a log: an entry that says how one ended, and that it began, are one. */
  private static List<Read> joined(Log log) {
    Comparator<AccessEntry> order =
        Comparator.comparingLong(AccessEntry::getAt)
            .thenComparing(entry -> !entry.getReason().equals(BEGUN))
            .thenComparingLong(AccessEntry::getNumber);
    List<Read> found = new ArrayList<>();
    Map<Name, Deque<AccessEntry>> begun = new HashMap<>();
    for (AccessEntry entry : log.entries.stream().sorted(order).toList()) {
      Name name =
          new Name(entry.getAskerId(), entry.getKind(), entry.getDepartmentClass(), entry.getAuthorization());
      Deque<AccessEntry> waiting = begun.computeIfAbsent(name, it -> new ArrayDeque<>());
      if (entry.getReason().equals(BEGUN)) {
        waiting.add(entry);
      } else {
        AccessEntry first = waiting.isEmpty() ? entry : waiting.remove();
        found.add(new Read(log.partyId, entry, first.getAt()));
      }
    }
    begun.values().forEach(all -> all.forEach(entry -> found.add(new Read(log.partyId, entry, entry.getAt()))));
    return found;
  }

  /** Since when a log has every entry about its patient, by their numbers: 0 where that is from the first on. */
  private static long knownSince(List<AccessEntry> entries) {
    Set<Long> numbers = new HashSet<>(entries.stream().map(AccessEntry::getNumber).toList());
    return entries.stream()
        .filter(entry -> entry.getNumber() > 1 && !numbers.contains(entry.getNumber() - 1))
        .max(Comparator.comparingLong(AccessEntry::getNumber))
        .map(AccessEntry::getAt)
        .orElse(0L);
  }
}
