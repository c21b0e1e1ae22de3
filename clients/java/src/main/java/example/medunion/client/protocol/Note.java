package example.medunion.client.protocol;

import static example.medunion.client.protocol.Refusal.require;

import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Base64;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/**
 * A signed note (C2SP signed-note) that was taken apart: a text, and the lines under it (docs/protocol.md, 8, Head). The text is
 * nobody's until a signature under it holds.
 */
record Note(String text, List<Line> lines) {
  private static final int MOST_BYTES = 16384;
  private static final int MOST_SIGNATURES = 64;
  private static final int KEY_ID_BYTES = 4;
  private static final String GAP = "\n\n";
  private static final String REASON = "NOTE_MALFORMED";
  private static final Pattern LINE = Pattern.compile("\u2014 ([!-*,-~]+) ([A-Za-z0-9+/]+={0,2})");
  private static final Pattern CONTROL = Pattern.compile("[\u0000-\u0009\u000b-\u001f]");

  /** One line under a note: the key's name, the four bytes that say which key, and what it signed with. */
  record Line(String name, byte[] keyId, byte[] signature) {
    /** Reads one line, with its newline. */
    static Line read(byte[] data) {
      String line = printable(data);
      require(line.endsWith("\n"), REASON, "a line ends with a newline");
      return of(line.substring(0, line.length() - 1));
    }

    /** Whether this is the line of that name and key: of 4 bytes of a hash. */
    boolean isOf(String name, byte[] hash) {
      return this.name.equals(name) && Arrays.equals(keyId, Arrays.copyOf(hash, KEY_ID_BYTES));
    }

    private static Line of(String line) {
      Matcher found = LINE.matcher(line);
      require(found.matches(), REASON, "a line under a note is a dash, a name and a signature");
      byte[] signature = base64(found.group(2));
      require(signature.length > KEY_ID_BYTES, REASON, "a signature of a note is longer than its key id");
      byte[] rest = Arrays.copyOfRange(signature, KEY_ID_BYTES, signature.length);
      return new Line(found.group(1), Arrays.copyOf(signature, KEY_ID_BYTES), rest);
    }
  }

  /** The lines under a note, each with its newline. */
  static List<byte[]> lines(byte[] data) {
    String note = printable(data);
    String lines = note.substring(note.lastIndexOf(GAP) + GAP.length(), note.length() - 1);
    return Stream.of(lines.split("\n", -1)).map(line -> (line + "\n").getBytes(StandardCharsets.UTF_8)).toList();
  }

  /** Takes a note apart. */
  static Note read(byte[] data) {
    String note = printable(data);
    int gap = note.lastIndexOf(GAP);
    boolean formed = gap > 0 && note.endsWith("\n") && gap + GAP.length() < note.length();
    require(formed, REASON, "a note is a text, an empty line, and signatures");
    String[] lines = note.substring(gap + GAP.length(), note.length() - 1).split("\n", -1);
    require(lines.length <= MOST_SIGNATURES, REASON, "a note has not as many signatures as that");
    return new Note(note.substring(0, gap + 1), Stream.of(lines).map(Line::of).toList());
  }

  /** Requires a signature under the note by this key under this name; others' are left alone. */
  void requireSigned(String name, byte[] verifyingKey) {
    byte[] keyId = Bytes.sha256(Curve.spki(verifyingKey));
    List<Line> own = lines.stream().filter(line -> line.isOf(name, keyId)).toList();
    require(!own.isEmpty(), "SIGNATURE_INVALID", "the note is not signed by this key");
    own.forEach(line -> Signatures.verifyText(verifyingKey, line.signature(), text));
  }

  /** Reads base64 in its one form (RFC 4648, section 4). */
  static byte[] base64(String encoded) {
    byte[] decoded;
    try {
      decoded = Base64.getDecoder().decode(encoded);
    } catch (IllegalArgumentException error) {
      throw new Refusal(REASON, "this is not base64", error);
    }
    boolean formed = Base64.getEncoder().encodeToString(decoded).equals(encoded);
    require(formed, REASON, "this base64 has another form");
    return decoded;
  }

  private static String printable(byte[] data) {
    require(data.length <= MOST_BYTES, REASON, "a note is not as long as that");
    String decoded = utf8(data);
    require(!CONTROL.matcher(decoded).find(), REASON, "a note has no control characters");
    return decoded;
  }

  private static String utf8(byte[] data) {
    try {
      return StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(data)).toString();
    } catch (CharacterCodingException error) {
      throw new Refusal(REASON, "a note is UTF-8", error);
    }
  }
}
