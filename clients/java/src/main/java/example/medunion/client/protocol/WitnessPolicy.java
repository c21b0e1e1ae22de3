package example.medunion.client.protocol;

import static example.medunion.client.protocol.Refusal.require;

import example.medunion.federation.v1.TrustBundle;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;

/**
 * Whose cosignatures of a log's head count, how many its readers ask for, and since when: the trust bundle says it (docs/protocol.md, 8,
 * wp). `hospitals` is empty where every registered one counts, `cloudId` where the public cloud does not.
 */
public record WitnessPolicy(
    long notBefore, int cosignatures, Optional<Set<String>> hospitals, Optional<String> cloudId) {
  /** As many statements of witnesses come with a head that a patient is shown. */
  private static final int MOST_COSIGNATURES = 8;

  /** The policies that a bundle states, in the order of their beginnings: at least one, the last of them that of now. */
  static List<WitnessPolicy> read(TrustBundle bundle) {
    var stated = bundle.getWitnessPoliciesList();
    boolean begins = !stated.isEmpty() && stated.get(0).getNotBefore() == 0;
    require(begins, "BUNDLE_INVALID", "the trust bundle has no witness policy, or none of the beginning"); // tb.20
    List<WitnessPolicy> found = new ArrayList<>();
    long before = -1;
    for (var one : stated) {
      boolean follows = one.getNotBefore() > before && one.getNotBefore() <= bundle.getIssuedAt();
      require(follows, "BUNDLE_INVALID", "the witness policies are not in their order, or lie ahead"); // tb.20
      before = one.getNotBefore();
      found.add(read(one, bundle.getCloudId()));
    }
    return List.copyOf(found);
  }

  private static WitnessPolicy read(example.medunion.federation.v1.WitnessPolicy stated, String cloudId) {
    Set<String> named = new TreeSet<>(stated.getHospitalsList());
    boolean any = named.equals(Set.of("*"));
    boolean once = named.size() == stated.getHospitalsCount() && (any || !named.contains("*"));
    require(once, "BUNDLE_INVALID", "a witness policy names a hospital twice, or others beside all of them"); // tb.21
    int counting = any ? MOST_COSIGNATURES + 1 : named.size() + (stated.getPublicCloud() ? 1 : 0);
    long cosignatures = Integer.toUnsignedLong(stated.getCosignatures());
    boolean possible = cosignatures > 0 && cosignatures <= MOST_COSIGNATURES && cosignatures < counting;
    require(possible, "BUNDLE_INVALID", "a witness policy asks for no cosignature, or for more than there can be"); // tb.21
    return new WitnessPolicy(
        stated.getNotBefore(),
        (int) cosignatures,
        any ? Optional.empty() : Optional.of(named),
        stated.getPublicCloud() ? Optional.of(cloudId) : Optional.empty());
  }

  /** Requires that policies go on from those of the bundle before, which was made then. */
  static void requireFollow(List<WitnessPolicy> before, List<WitnessPolicy> after, long issuedAt) {
    boolean kept = after.size() >= before.size() && after.subList(0, before.size()).equals(before);
    boolean follows = kept && after.stream().skip(before.size()).allMatch(it -> it.notBefore() >= issuedAt);
    require(follows, "BUNDLE_REWRITES_HISTORY", "a witness policy of before is gone from the trust bundle, or another"); // tb.22
  }

  /** Those of a head's cosigners that count, in order, each once, the log's author not at all. */
  public List<String> counted(Collection<String> cosigners, String authorId) {
    return cosigners.stream().filter(id -> !id.equals(authorId) && counts(id)).distinct().sorted().toList();
  }

  private boolean counts(String id) {
    return id.startsWith("H:")
        ? hospitals.map(named -> named.contains(id)).orElse(true)
        : cloudId.filter(id::equals).isPresent();
  }

  /**
   * Requires that enough of these witnesses have cosigned a head that `openHead` took, and gives who counts; a line that does not hold
   * counts nothing. Refuses with HEAD_NOT_COSIGNED, and with NOTE_MALFORMED a note that is none.
   */
  public List<String> requireBelieved(byte[] head, List<byte[]> lines, List<AccessLog.Witness> witnesses) {
    List<String> counted = counted(held(head, lines, witnesses), AccessLog.authorOf(head));
    String said = counted.size() + " of the " + cosignatures + " cosignatures that are asked for";
    require(counted.size() >= cosignatures, "HEAD_NOT_COSIGNED", said); // wp.1
    return counted;
  }

  /** The witnesses whose cosignature of a head holds; lines that don't are passed over, for they are anybody's. */
  static List<String> held(byte[] head, List<byte[]> lines, List<AccessLog.Witness> witnesses) {
    return witnesses.stream()
        .filter(witness -> lines.stream().anyMatch(line -> holds(head, line, witness)))
        .map(AccessLog.Witness::id)
        .toList();
  }

  private static boolean holds(byte[] head, byte[] line, AccessLog.Witness witness) {
    try {
      return !AccessLog.requireCosigned(head, List.of(line), List.of(witness), 1).isEmpty();
    } catch (Refusal refusal) {
      return false;
    }
  }
}
