package example.medunion.client.calls;

import static example.medunion.client.protocol.Refusal.require;

import com.google.protobuf.ByteString;
import example.medunion.client.keys.PrivateFiles;
import example.medunion.client.protocol.Bytes;
import example.medunion.client.protocol.RecordSession;
import example.medunion.client.protocol.Refusal;
import example.medunion.client.protocol.Rules;
import example.medunion.federation.v1.RecordEnd;
import example.medunion.federation.v1.RecordEntry;
import example.medunion.federation.v1.RecordManifest;
import example.medunion.federation.v1.RecordPart;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.regex.Pattern;

/**
 * What one hospital released in one session, whole and verified: M_EMR = F(manifest) || the bytes of every part, in the manifest's order. This
 * client keeps a record in memory until its last frame verified; one for large attachments would spool it to an encrypted file.
 */
public record FetchedRecord(RecordManifest manifest, byte[] digest, RecordEnd end, List<Content> contents) {
  private static final int MOST_MANIFEST_BYTES = 1_048_576;
  private static final int MOST_RECORD_BYTES = 256 * 1024 * 1024;
  // Without directories, not hidden, and safe to print.
  private static final Pattern PLAIN_NAME = Pattern.compile("[ -~&&[^./\\\\:*?\"<>|]][ -~&&[^/\\\\:*?\"<>|]]*");

  /** A part of a record, with its bytes. */
  public record Content(ByteString handle, RecordPart part, byte[] bytes) {}

  /** Sends D4 and takes H2 to its end: nothing is given before the last frame verified (C8). */
  static FetchedRecord fetch(HospitalSession stream, RecordSession.Established session) {
    RecordSession.AwaitingRecord awaiting = session.query(System.currentTimeMillis());
    stream.send(awaiting.frame());
    ByteArrayOutputStream content = new ByteArrayOutputStream();
    while (true) {
      RecordSession.Progress progress = awaiting.receive(stream.receive(), System.currentTimeMillis());
      if (progress.isWhole()) {
        return read(content.toByteArray(), progress.end(), session);
      }
      content.writeBytes(progress.slice());
      boolean bounded = content.size() <= MOST_RECORD_BYTES;
      require(bounded, "LIMIT_REACHED", "this client takes records of at most " + MOST_RECORD_BYTES + " bytes");
    }
  }

  /**
   * Writes every part to `directory/<handle>/<name>`, unencrypted, over no file. One that can't be written stops no other: the first such is
   * refused with FILE_UNUSABLE in the end.
   */
  public void save(Path directory) {
    Refusal first = null;
    for (Content content : contents) {
      try {
        save(directory.resolve(HexFormat.of().formatHex(content.handle().toByteArray())), content);
      } catch (Refusal | UncheckedIOException error) {
        first = first == null ? new Refusal("FILE_UNUSABLE", "a part of the record can't be saved", error) : first;
      }
    }
    if (first != null) {
      throw first;
    }
  }

  private static void save(Path place, Content content) {
    // A name is a hospital's word, and no path.
    String name = content.part().getName();
    require(isPlainName(name), "FILE_UNUSABLE", "a part of a record has a name that is no file's");
    try {
      Files.createDirectories(place);
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
    PrivateFiles.writeNew(place.resolve(name), content.bytes());
  }

  static boolean isPlainName(String name) {
    return PLAIN_NAME.matcher(name).matches();
  }

  private static FetchedRecord read(byte[] content, RecordEnd end, RecordSession.Established session) {
    ByteBuffer left = ByteBuffer.wrap(content);
    long size = Integer.toUnsignedLong(ByteBuffer.wrap(take(left, Integer.BYTES)).getInt());
    require(size <= MOST_MANIFEST_BYTES, "MESSAGE_TOO_LARGE", "a manifest of " + size + " bytes");
    RecordManifest manifest = Rules.parse(RecordManifest.getDefaultInstance(), take(left, size));
    requireAsked(manifest, session);
    List<Content> contents = new ArrayList<>();
    for (RecordEntry entry : manifest.getRecordsList()) {
      for (RecordPart part : entry.getPartsList()) {
        byte[] bytes = take(left, part.getSizeBytes());
        boolean same = Bytes.equal(part.getDigest(), Bytes.sha256(bytes));
        require(same, "RECORD_DIGEST_MISMATCH", "a part of the record is not what its manifest says");
        contents.add(new Content(entry.getHandle(), part, bytes));
      }
    }
    require(!left.hasRemaining(), "RECORD_DIGEST_MISMATCH", "the record holds more than its manifest says");
    return new FetchedRecord(manifest, Bytes.sha256(content), end, contents);
  }

  /** Requires that the manifest is of the patient, hospital and records that were asked for. */
  private static void requireAsked(RecordManifest manifest, RecordSession.Established session) {
    RecordSession.Intent intent = session.intent();
    boolean same =
        manifest.getPatientId().equals(intent.patientId())
            && manifest.getHospitalId().equals(session.hospital().identity());
    require(same, "IDENTITY_MISMATCH", "the record names another patient or hospital");
    List<ByteString> asked = intent.scope().getHandlesList();
    boolean ours = manifest.getRecordsList().stream().allMatch(entry -> asked.contains(entry.getHandle()));
    require(ours, "ANSWER_MISMATCH", "the hospital sent a record that was not asked for");
  }

  private static byte[] take(ByteBuffer left, long size) {
    boolean there = Long.compareUnsigned(size, left.remaining()) <= 0;
    require(there, "RECORD_CUT_SHORT", "the record ends before its manifest says");
    byte[] taken = new byte[(int) size];
    left.get(taken);
    return taken;
  }
}
