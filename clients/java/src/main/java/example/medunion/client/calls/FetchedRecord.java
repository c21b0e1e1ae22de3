package example.medunion.client.calls;

import static example.medunion.client.protocol.Refusal.require;

import com.google.protobuf.ByteString;
import example.medunion.client.keys.PrivateFiles;
import example.medunion.client.protocol.Bytes;
import example.medunion.client.protocol.IncomingRecord;
import example.medunion.client.protocol.RecordSession;
import example.medunion.client.protocol.Refusal;
import example.medunion.client.protocol.Verifier;
import example.medunion.federation.v1.Purpose;
import example.medunion.federation.v1.RecordEnd;
import example.medunion.federation.v1.RecordManifest;
import example.medunion.federation.v1.RecordPart;
import example.medunion.federation.v1.SessionFrame;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Optional;
import java.util.function.LongSupplier;
import java.util.function.Supplier;
import java.util.regex.Pattern;

/**
 * What one hospital released, whole and verified: M_EMR = F(manifest) || the bytes of every part, in the manifest's order. This
 * client holds it in memory until its last frame verified; one for large attachments would spool it to an encrypted file.
 */
public record FetchedRecord(RecordManifest manifest, byte[] digest, RecordEnd end, List<Content> contents) {
  // Without directories, not hidden, and safe to print.
  private static final Pattern PLAIN_NAME = Pattern.compile("[ -~&&[^./\\\\:*?\"<>|]][ -~&&[^/\\\\:*?\"<>|]]*");

  /** A part of a record, with its bytes. */
  public record Content(ByteString handle, RecordPart part, byte[] bytes) {}

  /** A record on its way in: what came of it in the sessions until now, as far as the next one goes on behind it. */
  static final class Incoming {
    private IncomingRecord broken;
    private Parts parts;

    /** What the next session goes on behind; nothing where it begins at 0. */
    Optional<IncomingRecord> broken() {
      return Optional.ofNullable(broken);
    }

    void forget() {
      broken = null;
      parts = null;
    }

    private void keep(Optional<IncomingRecord> resumable) {
      if (resumable.isEmpty()) {
        forget();
        return;
      }
      broken = resumable.get();
      parts.goBack(broken.partsCame());
    }
  }

  /**
   * Sends D4 and takes H2 to its end: nothing is given before the last frame verified (C8). Parts have at most so many bytes together; of a log,
   * what is before a place. Where the session ends before, `incoming` keeps what came.
   */
  static FetchedRecord fetch(
      HospitalSession stream,
      RecordSession.Established established,
      Supplier<Verifier> verifier,
      long mostBytes,
      RecordSession.LogPlace place,
      Incoming incoming,
      LongSupplier clock) {
    long now = clock.getAsLong();
    RecordSession.AwaitingRecord awaiting =
        incoming.broken().map(broken -> established.goOn(broken, now)).orElseGet(() -> established.query(mostBytes, place, now));
    stream.send(awaiting.frame());
    while (true) {
      RecordSession.Progress progress = awaiting.receive(received(stream, awaiting, incoming), verifier, clock.getAsLong());
      if (progress.isWhole()) {
        RecordManifest manifest = awaiting.manifest().orElseThrow(); // else it has no digest that could be signed
        return new FetchedRecord(manifest, progress.whole().recordDigest(), progress.whole().end(), incoming.parts.whole());
      }
      if (incoming.parts == null && awaiting.manifest().isPresent()) {
        RecordManifest manifest = awaiting.manifest().get();
        requireAsked(manifest, established);
        incoming.parts = new Parts(manifest);
      }
      if (incoming.parts != null) {
        incoming.parts.take(progress.content());
      }
    }
  }

  private static SessionFrame received(HospitalSession stream, RecordSession.AwaitingRecord awaiting, Incoming incoming) {
    try {
      return stream.receive();
    } catch (Refusal refusal) {
      incoming.keep(awaiting.resumable());
      throw refusal;
    }
  }

  /** How many bytes its parts have. */
  long size() {
    return contents.stream().mapToLong(content -> content.bytes().length).sum();
  }

  /** What is left to say of it once its parts are saved, or not wanted. */
  FetchedRecord withoutContents() {
    return new FetchedRecord(manifest, digest, end, List.of());
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

  /** Requires that the manifest is of the patient, hospital and records that were asked for. */
  private static void requireAsked(RecordManifest manifest, RecordSession.Established established) {
    RecordSession.Intent intent = established.intent();
    boolean same =
        manifest.getPatientId().equals(intent.shown().patientId())
            && manifest.getHospitalId().equals(established.session().peer().identity());
    require(same, "IDENTITY_MISMATCH", "the record names another patient or hospital");
    List<ByteString> asked = intent.scope().getHandlesList();
    boolean ours = manifest.getRecordsList().stream().allMatch(entry -> asked.contains(entry.getHandle()));
    boolean hasLog = manifest.getAccessesCount() > 0 || manifest.hasLogHead() || manifest.hasNext();
    boolean isUnasked = hasLog && intent.scope().getPurpose() != Purpose.PURPOSE_LOG;
    require(ours && !isUnasked, "ANSWER_MISMATCH", "the hospital sent a record that was not asked for");
  }

  /** The parts of a record as their bytes come in. */
  static final class Parts {
    private record Place(ByteString handle, RecordPart part) {}

    private final List<Place> places;
    private final List<Content> contents = new ArrayList<>();
    /** Of the part that comes in; null once all are here. */
    private ByteBuffer left;

    Parts(RecordManifest manifest) {
      this.places =
          manifest.getRecordsList().stream()
              .flatMap(entry -> entry.getPartsList().stream().map(part -> new Place(entry.getHandle(), part)))
              .toList();
      advance();
    }

    /** Takes the next bytes. */
    void take(byte[] bytes) {
      ByteBuffer came = ByteBuffer.wrap(bytes);
      while (left != null && came.hasRemaining()) {
        int size = Math.min(left.remaining(), came.remaining());
        left.put(bytes, came.position(), size);
        came.position(came.position() + size);
        if (!left.hasRemaining()) {
          end();
          advance();
        }
      }
      require(!came.hasRemaining(), "RECORD_DIGEST_MISMATCH", "the record holds more than its manifest says");
    }

    /** All of them. */
    List<Content> whole() {
      require(left == null, "RECORD_CUT_SHORT", "the record ends before its manifest says");
      return List.copyOf(contents);
    }

    /** Forgets what came behind so many bytes, which are fewer than all: it comes once more. */
    void goBack(long size) {
      long kept = contents.stream().mapToLong(content -> content.bytes().length).sum();
      while (kept > size) {
        left = ByteBuffer.wrap(contents.remove(contents.size() - 1).bytes());
        kept -= left.capacity();
      }
      left.position((int) (size - kept));
    }

    /** Goes on to the next part that has bytes. */
    private void advance() {
      left = null;
      while (left == null && contents.size() < places.size()) {
        left = allocated(places.get(contents.size()).part().getSizeBytes());
        if (!left.hasRemaining()) {
          end();
        }
      }
    }

    private void end() {
      Place place = places.get(contents.size());
      boolean same = Bytes.equal(place.part().getDigest(), Bytes.sha256(left.array()));
      require(same, "RECORD_DIGEST_MISMATCH", "a part of the record is not what its manifest says");
      contents.add(new Content(place.handle(), place.part(), left.array()));
      left = null;
    }

    private static ByteBuffer allocated(long size) {
      try {
        return ByteBuffer.allocate(Math.toIntExact(size));
      } catch (ArithmeticException | OutOfMemoryError error) {
        throw new Refusal("LIMIT_REACHED", "a part of " + size + " bytes does not fit into memory", error);
      }
    }
  }
}
