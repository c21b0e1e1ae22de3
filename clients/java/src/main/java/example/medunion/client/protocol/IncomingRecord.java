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
final class IncomingRecord {
  private static final long MOST_BUNDLE_BYTES = 17 * 1024 * 1024;
  private static final int MOST_MANIFEST_SLICES = 1024;
  private static final int MOST_MANIFEST_BYTES =
      Rules.payloadRule(RecordManifest.getDescriptor()).getMaxSize();

  private final long mostBytes;
  private final MessageDigest digest;
  private final RecordManifest manifest;
  private final long size;
  private final long came;
  private final int slices;
  /** What came of F(manifest) before it is whole, then what the last slice held of the parts. */
  private final byte[] piece;

  private IncomingRecord(
      long mostBytes, MessageDigest digest, RecordManifest manifest, long size, long came, int slices, byte[] piece) {
    this.mostBytes = mostBytes;
    this.digest = digest;
    this.manifest = manifest;
    this.size = size;
    this.came = came;
    this.slices = slices;
    this.piece = piece;
  }

  /** Awaits a record whose parts have at most so many bytes together. */
  static IncomingRecord begin(long mostBytes) {
    try {
      return new IncomingRecord(mostBytes, MessageDigest.getInstance("SHA-256"), null, 0, 0, 0, Bytes.EMPTY);
    } catch (NoSuchAlgorithmException error) {
      throw new IllegalStateException(error);
    }
  }

  /** Takes a slice. */
  IncomingRecord take(byte[] slice) {
    return manifest == null ? withHead(Bytes.concat(piece, slice)) : withContent(manifest, size, digest(), came, slice);
  }

  /** What the hospital says that it sends, once that is here. */
  Optional<RecordManifest> manifest() {
    return Optional.ofNullable(manifest);
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
      return new IncomingRecord(mostBytes, digest, null, 0, head.length, slices + 1, head);
    }
    long bytes = Integer.toUnsignedLong(ByteBuffer.wrap(head).getInt());
    require(bytes <= MOST_MANIFEST_BYTES, "MESSAGE_TOO_LARGE", "a manifest of " + bytes + " bytes");
    int end = Integer.BYTES + (int) bytes;
    if (head.length < end) {
      return new IncomingRecord(mostBytes, digest, null, 0, head.length, slices + 1, head);
    }
    RecordManifest whole = Rules.parse(RecordManifest.getDefaultInstance(), Arrays.copyOfRange(head, Integer.BYTES, end));
    MessageDigest begun = digest();
    begun.update(head, 0, end);
    return withContent(whole, end + sizeOf(whole), begun, end, Arrays.copyOfRange(head, end, head.length));
  }

  /** Takes bytes that follow so many others. */
  private IncomingRecord withContent(RecordManifest whole, long size, MessageDigest digest, long before, byte[] bytes) {
    long now = before + bytes.length;
    require(now <= Padding.padded(size), "PADDING_INVALID", "the record holds more than its manifest says");
    int end = (int) Math.max(0, Math.min(bytes.length, size - before));
    Padding.requireZeros(bytes, end);
    digest.update(bytes, 0, end);
    return new IncomingRecord(mostBytes, digest, whole, size, now, slices + 1, Arrays.copyOf(bytes, end));
  }

  private MessageDigest digest() {
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
