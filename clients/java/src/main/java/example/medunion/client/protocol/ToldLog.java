package example.medunion.client.protocol;

import com.google.protobuf.ByteString;
import example.medunion.federation.v1.AccessEntry;
import example.medunion.federation.v1.ProvedHead;
import example.medunion.federation.v1.Role;
import example.medunion.federation.v1.SignedStatement;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Set;

/**
 * What a log told of a patient, each entry proved below the head, the newest first; `note` is that head as it is remembered
 * (docs/protocol.md, told). `beginsAnew` says that this log is another than the one remembered: nothing proves what became of that one. Older
 * entries, which were not asked for, are before the leaf `older`. `cosigners` are those that count by the trust bundle's witness policy, which
 * asks for so many `cosignatures`.
 */
public record ToldLog(
    List<AccessEntry> entries,
    AccessLog.Head head,
    byte[] note,
    List<String> cosigners,
    int cosignatures,
    boolean beginsAnew,
    OptionalLong older) {
  private static final Set<String> DOES_NOT_FOLLOW = Set.of("HEAD_OLDER", "HEAD_CONFLICT", "LOG_PROOF_INVALID");

  /** Whose log it is: a realm's public cloud or hospital, and its key of now. */
  public record Author(String realm, String partyId, byte[] key) {}

  /** What a log said, unchecked: entries, the head that they are proved below, and before which leaf older ones are. */
  public record Page(List<AccessEntry> entries, Optional<ProvedHead> head, OptionalLong older) {}

  /** Whether a refusal says that a head does not follow the one remembered: both are evidence then. */
  public static boolean isFork(Refusal refusal) {
    return DOES_NOT_FOLLOW.contains(refusal.reason());
  }

  /**
   * Checks what a log told of a patient; `known` is the note of the head that is remembered. Refuses with MISSING_FIELD, NOTE_MALFORMED,
   * IDENTITY_MISMATCH, SIGNATURE_INVALID, FIELD_INVALID; with LEAF_MISMATCH an entry that is not what its leaf says; with HEAD_OLDER, HEAD_CONFLICT or
   * LOG_PROOF_INVALID a head that does not follow the one remembered.
   */
  public static ToldLog require(Page page, String patientId, Author author, Optional<byte[]> known) {
    Refusal.require(page.head.isPresent(), "MISSING_FIELD", "a log came without its head");
    ProvedHead proved = page.head.get();
    List<AccessEntry> entries = page.entries;
    byte[] note = proved.getNote().toByteArray();
    String origin = AccessLog.peekHead(note).origin();
    boolean own = origin.equals(AccessLog.origin(author.realm(), author.partyId(), numberOf(origin)));
    Refusal.require(own, "IDENTITY_MISMATCH", "this is the head of somebody else's log");
    AccessLog.Head head = AccessLog.openHead(note, origin, author.key());
    requireOrder(entries);
    entries.forEach(entry -> requireIn(head.tree(), entry, patientId, author.partyId()));
    boolean leads = entries.isEmpty() || Long.compareUnsigned(page.older.orElse(0), entries.get(entries.size() - 1).getLeafIndex()) <= 0;
    Refusal.require(leads, "FIELD_INVALID", "older entries of a log are said to be where newer ones are");
    List<byte[]> proof = proved.getConsistencyList().stream().map(ByteString::toByteArray).toList();
    boolean anew = known.isPresent() && follows(AccessLog.peekHead(known.get()), head, proof);
    return new ToldLog(entries, head, note, List.of(), 1, anew, page.older);
  }

  /**
   * Checks a further page of what a log told, and gives it put to the pages before, which were checked: below one head. Refuses as `require`;
   * with ANSWER_MISMATCH a page below another head.
   */
  public static ToldLog requireFurther(Page said, String patientId, Author author, ToldLog before) {
    ToldLog page = require(said, patientId, author, Optional.of(before.note));
    boolean below =
        page.head.origin().equals(before.head.origin()) && page.head.tree().size() == before.head.tree().size();
    Refusal.require(below, "ANSWER_MISMATCH", "a further page of a log is below another head than the first");
    List<AccessEntry> all = new ArrayList<>(before.entries);
    all.addAll(page.entries);
    requireOrder(all);
    if (before.older.isPresent()) {
      long leaf = before.older.getAsLong();
      boolean asked = page.entries.isEmpty() || Long.compareUnsigned(page.entries.get(0).getLeafIndex(), leaf) < 0;
      Refusal.require(asked, "FIELD_INVALID", "a further page of a log has entries that were not asked for");
      boolean leads = page.older.isEmpty() || Long.compareUnsigned(page.older.getAsLong(), leaf) < 0;
      Refusal.require(leads, "FIELD_INVALID", "a further page of a log leads nowhere");
    }
    return new ToldLog(List.copyOf(all), before.head, before.note, before.cosigners, before.cosignatures, before.beginsAnew, page.older);
  }

  /** How many entries a log counts and does not tell, where it should: between two, or behind the last where there are no older. */
  public long untold() {
    if (entries.isEmpty()) {
      return 0;
    }
    long behind = older.isPresent() ? entries.get(entries.size() - 1).getNumber() - 1 : 0;
    return entries.get(0).getNumber() - entries.size() - behind;
  }

  /**
   * The same, with whose cosignatures under the head hold and count by the policy of now, and how many that asks for: of the hospitals whose
   * statements came along, and of the public cloud.
   */
  public ToldLog witnessed(ProvedHead proved, Verifier verifier, long now) {
    byte[] shown = proved.getNote().toByteArray();
    List<AccessLog.Witness> witnesses = new ArrayList<>();
    String cloudId = verifier.bundle().content().getCloudId();
    witnesses.add(new AccessLog.Witness(cloudId, verifier.bundle().cloudKeyAt(now)));
    proved.getWitnessKeyStatementsList().forEach(signed -> witness(signed, verifier, now).ifPresent(witnesses::add));
    WitnessPolicy policy = verifier.bundle().witnessPolicy();
    List<String> held = WitnessPolicy.held(shown, Note.lines(shown), witnesses);
    List<String> counted = policy.counted(held, AccessLog.authorOf(shown));
    return new ToldLog(entries, head, note, counted, policy.cosignatures(), beginsAnew, older);
  }

  /** Whether as many have cosigned the head as the federation asks for. */
  public boolean isWitnessed() {
    return cosigners.size() >= cosignatures;
  }

  private static Optional<AccessLog.Witness> witness(SignedStatement signed, Verifier verifier, long now) {
    try {
      VerifiedParty party = verifier.party(signed, Role.ROLE_HOSPITAL, now);
      return Optional.of(new AccessLog.Witness(party.identity(), party.verifyingKey()));
    } catch (Refusal refusal) {
      return Optional.empty(); // whose statement does not hold is no witness
    }
  }

  private static void requireOrder(List<AccessEntry> entries) {
    for (int place = 1; place < entries.size(); place++) {
      AccessEntry newer = entries.get(place - 1);
      AccessEntry older = entries.get(place);
      boolean falls =
          Long.compareUnsigned(newer.getNumber(), older.getNumber()) > 0
              && Long.compareUnsigned(newer.getLeafIndex(), older.getLeafIndex()) > 0;
      Refusal.require(falls, "FIELD_INVALID", "the entries of a log are not the newest first");
    }
  }

  private static void requireIn(Merkle.TreeHead tree, AccessEntry entry, String patientId, String partyId) {
    byte[] data = AccessLog.accessLeaf(entry, patientId, partyId, entry.getBlind().toByteArray());
    List<byte[]> proof = entry.getInclusionList().stream().map(ByteString::toByteArray).toList();
    try {
      Merkle.requireIncluded(Merkle.leafHash(data), entry.getLeafIndex(), tree.size(), proof, tree.root());
    } catch (Refusal refusal) {
      throw new Refusal("LEAF_MISMATCH", "an entry is not what the log has at its place", refusal);
    }
  }

  /** Requires that a head follows the one remembered; says whether it is of a log that was begun anew. */
  private static boolean follows(AccessLog.Head known, AccessLog.Head shown, List<byte[]> proof) {
    int number = numberOf(shown.origin());
    int before = numberOf(known.origin());
    if (number > before) {
      return true;
    }
    boolean later = number == before && shown.tree().size() >= known.tree().size();
    Refusal.require(later, "HEAD_OLDER", "a log is shorter than it was when it was last looked at");
    boolean single =
        shown.tree().size() > known.tree().size() || Arrays.equals(shown.tree().root(), known.tree().root());
    Refusal.require(single, "HEAD_CONFLICT", "two heads of one size of one log");
    Merkle.requireConsistent(known.tree(), shown.tree(), proof);
    return false;
  }

  /** Which of its author's logs an origin names. */
  private static int numberOf(String origin) {
    return Integer.parseInt(origin.substring(origin.lastIndexOf('/') + 1));
  }
}
