package example.medunion.client.protocol;

import static example.medunion.client.protocol.Refusal.require;

import example.medunion.federation.v1.PartKind;
import example.medunion.federation.v1.RecordEntry;
import example.medunion.federation.v1.RecordManifest;
import example.medunion.federation.v1.RecordPart;
import java.nio.ByteBuffer;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.Optional;

/**
 * M_EMR || zeros on its way to the doctor. Its manifest says where it ends, and so what has to be padding (C8); it is held to the bounds of its
 * kinds and to what this doctor takes as soon as it is here, and what comes beyond it is cut at once. Nothing is proved yet.
 */
public final class IncomingRecord {
  /** What a record that broke goes on behind is a multiple of it. */
  private static final int RESUMED_BYTES = 512 * 1024;

  private static final long MOST_BUNDLE_BYTES = 17 * 1024 * 1024;
  private static final int MOST_MANIFEST_SLICES = 1024;
  private static final int MOST_MANIFEST_BYTES =
      Rules.payloadRule(RecordManifest.getDescriptor()).getMaxSize();

  private final long mostBytes;
  private final MessageDigest digest;
  private final RecordManifest manifest;
  private final byte[] manifestDigest;
  private final long begin;
  private final long size;
  private final long came;
  private final int slices;
  /** What came of F(manifest) before it is whole, then what the last slice held of the parts. */
  private final byte[] piece;
  /** The state up to where another session may go on; null for none, and for itself. */
  private final IncomingRecord resumable;

  /** Of what is not whole yet: F(manifest). */
  private IncomingRecord(long mostBytes, MessageDigest digest, int slices, byte[] head) {
    this.mostBytes = mostBytes;
    this.digest = digest;
    this.manifest = null;
    this.manifestDigest = Bytes.EMPTY;
    this.begin = 0;
    this.size = 0;
    this.came = head.length;
    this.slices = slices;
    this.piece = head;
    this.resumable = null;
  }

  /** Of what came up to there, the last of it this piece. */
  private IncomingRecord(
      IncomingRecord manifested, MessageDigest digest, long came, int slices, byte[] piece, IncomingRecord resumable) {
    this.mostBytes = manifested.mostBytes;
    this.digest = digest;
    this.manifest = manifested.manifest;
    this.manifestDigest = manifested.manifestDigest;
    this.begin = manifested.begin;
    this.size = manifested.size;
    this.came = came;
    this.slices = slices;
    this.piece = piece;
    this.resumable = resumable;
  }

  /** Of what came up to the end of the manifest. */
  private IncomingRecord(IncomingRecord before, MessageDigest digest, RecordManifest manifest, byte[] encoded, long partsSize) {
    this.mostBytes = before.mostBytes;
    this.digest = digest;
    this.manifest = manifest;
    this.manifestDigest = Bytes.sha256(encoded);
    this.begin = Integer.BYTES + encoded.length;
    this.size = begin + partsSize;
    this.came = begin;
    this.slices = before.slices;
    this.piece = Bytes.EMPTY;
    this.resumable = null;
  }

  /** Awaits a record whose parts have at most so many bytes together. */
  static IncomingRecord begin(long mostBytes) {
    try {
      return new IncomingRecord(mostBytes, MessageDigest.getInstance("SHA-256"), 0, Bytes.EMPTY);
    } catch (NoSuchAlgorithmException error) {
      throw new IllegalStateException(error);
    }
  }

  /** Takes a slice. */
  IncomingRecord take(byte[] slice) {
    return manifest == null ? withHead(Bytes.concat(piece, slice)) : withContent(slice);
  }

  /** What the hospital says that it sends, once that is here. */
  Optional<RecordManifest> manifest() {
    return Optional.ofNullable(manifest);
  }

  /** What came, up to where another session may go on: a multiple of 512 KiB, the manifest in it, and not all; nothing for none. */
  Optional<IncomingRecord> resumable() {
    boolean here = manifest != null && came > 0 && came == offset(came);
    return Optional.ofNullable(here ? this : resumable);
  }

  /** Where another session may go on, once so much came; 0 for nowhere. */
  private long offset(long came) {
    long offset = Math.min(came, size - 1) / RESUMED_BYTES * RESUMED_BYTES;
    return offset < begin ? 0 : offset;
  }

  /** How many bytes of M_EMR || zeros came. */
  public long came() {
    return came;
  }

  /** How many bytes of the parts came. */
  public long partsCame() {
    return came - begin;
  }

  /** How many bytes M_EMR has, by its manifest. */
  public long size() {
    return size;
  }

  byte[] manifestDigest() {
    return manifestDigest;
  }

  /** What the last slice held of the parts. */
  byte[] content() {
    return manifest == null ? Bytes.EMPTY : piece;
  }

  /** H(M_EMR), once all of it came. */
  byte[] wholeDigest() {
    require(manifest != null && came >= size, "RECORD_CUT_SHORT", "the record ends before its manifest says");
    Padding.requirePadded(came, size);
    return digest().digest();
  }

  private IncomingRecord withHead(byte[] head) {
    require(slices < MOST_MANIFEST_SLICES, "LIMIT_REACHED", "a manifest comes in too many slices");
    if (head.length < Integer.BYTES) {
      return new IncomingRecord(mostBytes, digest, slices + 1, head);
    }
    long bytes = Integer.toUnsignedLong(ByteBuffer.wrap(head).getInt());
    require(bytes <= MOST_MANIFEST_BYTES, "MESSAGE_TOO_LARGE", "a manifest of " + bytes + " bytes");
    int end = Integer.BYTES + (int) bytes;
    if (head.length < end) {
      return new IncomingRecord(mostBytes, digest, slices + 1, head);
    }
    byte[] encoded = Arrays.copyOfRange(head, Integer.BYTES, end);
    RecordManifest whole = Rules.parse(RecordManifest.getDefaultInstance(), encoded);
    MessageDigest begun = digest();
    begun.update(head, 0, end);
    return new IncomingRecord(this, begun, whole, encoded, sizeOf(whole)).withContent(Arrays.copyOfRange(head, end, head.length));
  }

  /** Takes bytes that follow the manifest. */
  private IncomingRecord withContent(byte[] bytes) {
    long now = came + bytes.length;
    require(now <= Padding.padded(size), "PADDING_INVALID", "the record holds more than its manifest says");
    int end = (int) Math.max(0, Math.min(bytes.length, size - came));
    Padding.requireZeros(bytes, end);
    MessageDigest hashed = digest();
    int mark = (int) Math.max(0, offset(now) - came);
    hashed.update(bytes, 0, mark);
    IncomingRecord reached = resumable().orElse(null);
    if (mark > 0) {
      reached = new IncomingRecord(this, cloned(hashed), came + mark, slices + 1, Bytes.EMPTY, null);
    }
    hashed.update(bytes, mark, end - mark);
    return new IncomingRecord(this, hashed, now, slices + 1, Arrays.copyOf(bytes, end), reached);
  }

  private MessageDigest digest() {
    return cloned(digest);
  }

  private static MessageDigest cloned(MessageDigest digest) {
    try {
      return (MessageDigest) digest.clone();
    } catch (CloneNotSupportedException error) {
      throw new IllegalStateException(error);
    }
  }

  /** How many bytes all parts have, each within the bound of its kind and all within what this doctor takes. */
  private long sizeOf(RecordManifest manifest) {
    long total = 0;
    for (RecordEntry entry : manifest.getRecordsList()) {
      for (RecordPart part : entry.getPartsList()) {
        boolean bundle = part.getKind() == PartKind.PART_KIND_FHIR_BUNDLE;
        boolean small = !bundle || Long.compareUnsigned(part.getSizeBytes(), MOST_BUNDLE_BYTES) <= 0;
        require(small, "RECORD_TOO_LARGE", "a FHIR bundle has at most " + MOST_BUNDLE_BYTES + " bytes");
        boolean taken = Long.compareUnsigned(part.getSizeBytes(), mostBytes - total) <= 0;
        require(taken, "RECORD_TOO_LARGE", "the record has more than the " + mostBytes + " bytes that are taken here");
        total += part.getSizeBytes();
      }
    }
    return total;
  }
}
