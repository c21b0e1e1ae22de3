package example.medunion.client.calls;

import static example.medunion.client.protocol.Refusal.require;

import com.google.protobuf.ByteString;
import example.medunion.client.keys.PrivateFiles;
import example.medunion.client.protocol.Bytes;
import example.medunion.client.protocol.RecordSession;
import example.medunion.client.protocol.Refusal;
import example.medunion.client.protocol.Verifier;
import example.medunion.federation.v1.Purpose;
import example.medunion.federation.v1.RecordEnd;
import example.medunion.federation.v1.RecordManifest;
import example.medunion.federation.v1.RecordPart;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.Iterator;
import java.util.List;
import java.util.function.Supplier;
import java.util.regex.Pattern;

/**
 * What one hospital released in one session, whole and verified: M_EMR = F(manifest) || the bytes of every part, in the manifest's order. This
 * client holds it in memory until its last frame verified; one for large attachments would spool it to an encrypted file.
 */
public record FetchedRecord(RecordManifest manifest, byte[] digest, RecordEnd end, List<Content> contents) {
  // Without directories, not hidden, and safe to print.
  private static final Pattern PLAIN_NAME = Pattern.compile("[ -~&&[^./\\\\:*?\"<>|]][ -~&&[^/\\\\:*?\"<>|]]*");

  /** A part of a record, with its bytes. */
  public record Content(ByteString handle, RecordPart part, byte[] bytes) {}

  /** Sends D4 and takes H2 to its end: nothing is given before the last frame verified (C8). Parts have at most so many bytes together. */
  static FetchedRecord fetch(
      HospitalSession stream, RecordSession.Established established, Supplier<Verifier> verifier, long mostBytes) {
    return fetch(stream, established, verifier, mostBytes, RecordSession.LogPlace.NONE);
  }

  /** The same; of a log, what is before a place. */
  static FetchedRecord fetch(
      HospitalSession stream,
      RecordSession.Established established,
      Supplier<Verifier> verifier,
      long mostBytes,
      RecordSession.LogPlace place) {
    RecordSession.AwaitingRecord awaiting = established.query(mostBytes, place, System.currentTimeMillis());
    stream.send(awaiting.frame());
    Parts parts = null;
    while (true) {
      RecordSession.Progress progress = awaiting.receive(stream.receive(), verifier, System.currentTimeMillis());
      if (progress.isWhole()) {
        RecordManifest manifest = awaiting.manifest().orElseThrow(); // else it has no digest that could be signed
        return new FetchedRecord(manifest, progress.whole().recordDigest(), progress.whole().end(), parts.whole());
      }
      if (parts == null && awaiting.manifest().isPresent()) {
        RecordManifest manifest = awaiting.manifest().get();
        requireAsked(manifest, established);
        parts = new Parts(manifest);
      }
      if (parts != null) {
        parts.take(progress.content());
      }
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

    private final Iterator<Place> places;
    private final List<Content> contents = new ArrayList<>();
    private Place place;
    private ByteBuffer left;

    Parts(RecordManifest manifest) {
      this.places =
          manifest.getRecordsList().stream()
              .flatMap(entry -> entry.getPartsList().stream().map(part -> new Place(entry.getHandle(), part)))
              .iterator();
      advance();
    }

    /** Takes the next bytes. */
    void take(byte[] bytes) {
      ByteBuffer came = ByteBuffer.wrap(bytes);
      while (place != null && came.hasRemaining()) {
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
      require(place == null, "RECORD_CUT_SHORT", "the record ends before its manifest says");
      return List.copyOf(contents);
    }

    /** Goes on to the next part that has bytes. */
    private void advance() {
      place = null;
      while (place == null && places.hasNext()) {
        place = places.next();
        left = allocated(place.part().getSizeBytes());
        if (!left.hasRemaining()) {
          end();
        }
      }
    }

    private void end() {
      boolean same = Bytes.equal(place.part().getDigest(), Bytes.sha256(left.array()));
      require(same, "RECORD_DIGEST_MISMATCH", "a part of the record is not what its manifest says");
      contents.add(new Content(place.handle(), place.part(), left.array()));
      place = null;
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
