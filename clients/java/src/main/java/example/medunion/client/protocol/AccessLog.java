package example.medunion.client.protocol;

import static example.medunion.client.protocol.Refusal.require;

import example.medunion.client.protocol.Merkle.TreeHead;
import example.medunion.federation.v1.AccessEntry;
import example.medunion.federation.v1.AccessGround;
import example.medunion.federation.v1.AccessKind;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** The log: its heads, cosignatures of them, what who keeps heads decides, and the leaf of an access (docs/protocol.md, 8). */
public final class AccessLog {
  private static final long SECOND = 1000;
  private static final byte[] COSIGNATURE =
      Bytes.concat(new byte[] {(byte) 0xff}, Bytes.text("medunion/v1 ECDSA-P256-SHA256 cosignature/v1"));
  private static final Pattern HEAD =
      Pattern.compile("([^\n]+)\n(0|[1-9][0-9]{0,18})\n([A-Za-z0-9+/]{43}=)\n");
  private static final String PARTY = "[PD]:[A-Za-z0-9._-]{1,64}|[HC]:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?";
  private static final Pattern ORIGIN =
      Pattern.compile("([A-Za-z0-9._~%-]{1,192})/(" + PARTY + ")/[1-9][0-9]{0,8}");
  private static final Map<AccessKind, String> KINDS =
      Map.of(
          AccessKind.ACCESS_KIND_SEARCH, "SEARCH",
          AccessKind.ACCESS_KIND_READ, "READ",
          AccessKind.ACCESS_KIND_STORE, "STORE",
          AccessKind.ACCESS_KIND_LOG, "LOG",
          AccessKind.ACCESS_KIND_ADD, "ADD");
  private static final Map<AccessGround, String> GROUNDS =
      Map.of(
          AccessGround.ACCESS_GROUND_CONSENT, "consent",
          AccessGround.ACCESS_GROUND_OWN, "own",
          AccessGround.ACCESS_GROUND_EMERGENCY, "emergency",
          AccessGround.ACCESS_GROUND_NONE, "none");

  private AccessLog() {}

  /** How many leaves a log has, and the root over them. */
  public record Head(String origin, TreeHead tree) {}

  /** A member whose cosignatures count: its id, and PUK_W. */
  public record Witness(String id, byte[] verifyingKey) {}

  /** Which witness has cosigned a head, and when. */
  public record Cosignature(String witnessId, long at) {}

  /** The newest head of a log that was taken here, and its note, which is what proves a fork. */
  public record Kept(Head head, byte[] note) {}

  /** A head as its log shows it to who keeps one: the note, from which size the proof begins, and the proof. */
  public record Shown(byte[] note, long oldSize, List<byte[]> proof) {}

  /** Which log: the first line of its heads. */
  public static String origin(String realm, String authorId, int number) {
    StringBuilder encoded = new StringBuilder();
    for (byte part : realm.getBytes(StandardCharsets.UTF_8)) {
      boolean plain = String.valueOf((char) part).matches("[A-Za-z0-9._~-]");
      encoded.append(plain ? String.valueOf((char) part) : String.format("%%%02X", part));
    }
    return encoded + "/" + authorId + "/" + number;
  }

  /** Verifies the note of a head, then reads it. */
  public static Head openHead(byte[] data, String origin, byte[] verifyingKey) {
    Note note = Note.read(data); // lh.1
    note.requireSigned(origin, verifyingKey); // lh.2
    Head head = readHead(note.text());
    require(head.origin().equals(origin), "IDENTITY_MISMATCH", "this is the head of another log"); // lh.5
    return head;
  }

  /** Reads a head whose author is to be found by it; nothing of it may be used before `openHead`. */
  static Head peekHead(byte[] data) {
    Head head = readHead(Note.read(data).text());
    readOrigin(head.origin());
    return head;
  }

  /** How many leaves the head of a note says, which was checked before. */
  public static long sizeOf(byte[] note) {
    return peekHead(note).tree().size();
  }

  /** Whose log the head of a note is of, which `openHead` took. */
  static String authorOf(byte[] note) {
    return readOrigin(peekHead(note).origin()).group(2);
  }

  /**
   * Requires that so many of these witnesses, each counted once and the log's author not at all, have cosigned a head that `openHead`
   * took. Lines of others are left alone.
   */
  public static List<Cosignature> requireCosigned(
      byte[] head, List<byte[]> lines, List<Witness> witnesses, int quorum) {
    Note note = Note.read(head);
    Matcher origin = readOrigin(readHead(note.text()).origin());
    List<Note.Line> signatures = lines.stream().map(Note.Line::read).toList(); // cosig.1
    List<Cosignature> found = new ArrayList<>();
    for (Witness witness : witnesses) {
      cosignature(witness, origin.group(1), note.text(), signatures)
          .filter(cosignature -> !cosignature.witnessId().equals(origin.group(2)))
          .filter(cosignature -> found.stream().noneMatch(it -> it.witnessId().equals(cosignature.witnessId())))
          .ifPresent(found::add);
    }
    boolean enough = quorum >= 1 && found.size() >= quorum;
    require(enough, "HEAD_NOT_COSIGNED", found.size() + " witnesses have cosigned this head, not " + quorum); // cosig.4
    return found;
  }

  /** What is kept of a log from now on, where it shows a head to a reader or a witness; a fork's proof is both notes. */
  public static Kept follow(Optional<Kept> kept, Shown shown, String origin, byte[] verifyingKey, String readerId) {
    boolean anothers = !readOrigin(origin).group(2).equals(readerId);
    require(anothers, "WITNESS_INELIGIBLE", "nobody is a witness of its own log"); // wit.1
    Head head = openHead(shown.note(), origin, verifyingKey); // wit.2
    TreeHead after = head.tree();
    TreeHead before = kept.map(it -> it.head().tree()).orElse(new TreeHead(0, Merkle.EMPTY_ROOT));
    require(after.size() >= before.size(), "HEAD_OLDER", "a newer head of this log is kept"); // wit.3
    boolean single = after.size() > before.size() || Arrays.equals(after.root(), before.root());
    require(single, "HEAD_CONFLICT", "two heads of one size"); // wit.4
    boolean begins = shown.oldSize() == before.size();
    require(begins, "HEAD_BASE_MISMATCH", "the proof has to begin at " + before.size()); // wit.5
    Merkle.requireConsistent(before, after, shown.proof()); // wit.6
    return new Kept(head, shown.note());
  }

  /** The data of the leaf of an access, from what its patient is told of it, and where it was written. */
  public static byte[] accessLeaf(AccessEntry entry, String patientId, String where, byte[] blind) {
    return Transcript.of("log-access")
        .add(where)
        .add(entry.getAt())
        .add(entry.getAskerId())
        .add(patientId)
        .add(KINDS.get(entry.getKind()))
        .add(entry.getDepartmentClass())
        .add(GROUNDS.get(entry.getGround()))
        .add(entry.getAuthorization())
        .add(entry.getReason())
        .add(entry.getGrantDigest())
        .add(blind)
        .bytes();
  }

  /** Requires that a leaf, its hash, is of this data. */
  public static void requireLeaf(byte[] data, byte[] leaf) {
    boolean same = Bytes.equal(Merkle.leafHash(data), leaf);
    require(same, "LEAF_MISMATCH", "the entry says something else than its leaf"); // leaf.1
  }

  private static Optional<Cosignature> cosignature(
      Witness witness, String realm, String head, List<Note.Line> lines) {
    String name = realm + "/" + witness.id();
    byte[] spki = Curve.spki(witness.verifyingKey());
    byte[] keyId = Bytes.sha256(Bytes.concat(Bytes.text(name + "\n"), COSIGNATURE, spki));
    Optional<Cosignature> found = Optional.empty();
    for (Note.Line line : lines) {
      if (line.isOf(name, keyId)) {
        found = Optional.of(cosignature(witness, head, line.signature()));
      }
    }
    return found;
  }

  private static Cosignature cosignature(Witness witness, String head, byte[] stamped) {
    boolean timed = stamped.length >= Long.BYTES && stamped[0] >= 0;
    require(timed, "NOTE_MALFORMED", "a cosignature begins with a time"); // cosig.2
    long seconds = ByteBuffer.wrap(stamped).getLong();
    byte[] signature = Arrays.copyOfRange(stamped, Long.BYTES, stamped.length);
    String covered = "cosignature/v1\ntime " + seconds + "\n" + head;
    Signatures.verifyText(witness.verifyingKey(), signature, covered); // cosig.3
    return new Cosignature(witness.id(), seconds * SECOND);
  }

  private static Matcher readOrigin(String origin) {
    Matcher found = ORIGIN.matcher(origin);
    require(found.matches(), "NOTE_MALFORMED", "an origin is a realm, the id of a member and a number");
    return found;
  }

  private static Head readHead(String text) {
    Matcher found = HEAD.matcher(text);
    require(found.matches(), "NOTE_MALFORMED", "a log head is an origin, a size and a root"); // lh.3
    BigInteger size = new BigInteger(found.group(2));
    byte[] root = Note.base64(found.group(3));
    boolean isTree = size.bitLength() < Long.SIZE && (size.signum() > 0 || Arrays.equals(root, Merkle.EMPTY_ROOT));
    require(isTree, "NOTE_MALFORMED", "a log has no such size and root"); // lh.4
    return new Head(found.group(1), new TreeHead(size.longValue(), root));
  }
}
