package example.medunion.client.calls;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.ByteString;
import example.medunion.client.protocol.Bytes;
import example.medunion.client.protocol.Refusal;
import example.medunion.federation.v1.RecordEntry;
import example.medunion.federation.v1.RecordManifest;
import example.medunion.federation.v1.RecordPart;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What a doctor saves of a record. */
final class FetchedRecordTest {
  @TempDir Path root;

  private static FetchedRecord.Content content(String name, String text) {
    ByteString handle = ByteString.copyFrom(new byte[16]);
    return new FetchedRecord.Content(handle, RecordPart.newBuilder().setName(name).build(), Bytes.text(text));
  }

  private static FetchedRecord record(FetchedRecord.Content... contents) {
    return new FetchedRecord(RecordManifest.getDefaultInstance(), new byte[32], null, List.of(contents));
  }

  @Test
  void partThatCantBeSavedStopsNoOther() throws IOException {
    Path saved = root.resolve("0".repeat(32));
    record(content("there.json", "first")).save(root);
    FetchedRecord record = record(content("there.json", "again"), content("../out", "no"), content("ct scan.dcm", "scan"));
    assertEquals("FILE_UNUSABLE", assertThrows(Refusal.class, () -> record.save(root)).reason());
    assertArrayEquals(Bytes.text("first"), Files.readAllBytes(saved.resolve("there.json")));
    assertArrayEquals(Bytes.text("scan"), Files.readAllBytes(saved.resolve("ct scan.dcm")));
    assertFalse(Files.exists(root.resolve("out")));
  }

  @Test
  void placeThatCantBeWrittenIsSaid() throws IOException {
    Files.createFile(root.resolve("0".repeat(32)));
    Refusal refusal = assertThrows(Refusal.class, () -> record(content("a", "first")).save(root));
    assertEquals("FILE_UNUSABLE", refusal.reason());
    assertTrue(refusal.getCause() instanceof UncheckedIOException);
  }

  @Test
  void partsAreTakenAsTheyCome() {
    byte[] bytes = Bytes.text("first, second");
    RecordEntry.Builder entry = RecordEntry.newBuilder();
    for (byte[] part : List.of(new byte[0], Bytes.text("first, "), new byte[0], Bytes.text("second"), new byte[0])) {
      entry.addParts(part(part.length, Bytes.sha256(part)));
    }
    RecordManifest manifest = RecordManifest.newBuilder().addRecords(entry).build();
    for (int size = 1; size <= bytes.length; size++) {
      FetchedRecord.Parts parts = new FetchedRecord.Parts(manifest);
      for (int at = 0; at < bytes.length; at += size) {
        assertEquals("RECORD_CUT_SHORT", assertThrows(Refusal.class, parts::whole).reason());
        parts.take(Arrays.copyOfRange(bytes, at, Math.min(bytes.length, at + size)));
      }
      assertEquals(
          List.of("", "first, ", "", "second", ""),
          parts.whole().stream().map(content -> new String(content.bytes(), StandardCharsets.US_ASCII)).toList());
      assertThrows(Refusal.class, () -> parts.take(new byte[1]));
    }
  }

  @Test
  void partsThatWentBackAreTakenOnceMore() {
    byte[] bytes = Bytes.text("first, second");
    RecordEntry.Builder entry = RecordEntry.newBuilder();
    for (byte[] part : List.of(new byte[0], Bytes.text("first, "), new byte[0], Bytes.text("second"), new byte[0])) {
      entry.addParts(part(part.length, Bytes.sha256(part)));
    }
    for (int came = 0; came <= bytes.length; came++) {
      for (int size = 0; size <= came && size < bytes.length; size++) {
        FetchedRecord.Parts parts = new FetchedRecord.Parts(RecordManifest.newBuilder().addRecords(entry).build());
        parts.take(Arrays.copyOf(bytes, came));
        parts.goBack(size);
        parts.take(Arrays.copyOfRange(bytes, size, bytes.length));
        assertEquals(
            List.of("", "first, ", "", "second", ""),
            parts.whole().stream().map(content -> new String(content.bytes(), StandardCharsets.US_ASCII)).toList());
      }
    }
  }

  @Test
  void partThatIsAnotherIsRefused() {
    RecordEntry entry = RecordEntry.newBuilder().addParts(part(3, new byte[32])).build();
    FetchedRecord.Parts parts = new FetchedRecord.Parts(RecordManifest.newBuilder().addRecords(entry).build());
    assertEquals("RECORD_DIGEST_MISMATCH", assertThrows(Refusal.class, () -> parts.take(new byte[3])).reason());
  }

  @Test
  void partThatDoesNotFitIsRefused() {
    RecordEntry entry = RecordEntry.newBuilder().addParts(part(1L << 40, new byte[32])).build();
    RecordManifest manifest = RecordManifest.newBuilder().addRecords(entry).build();
    assertEquals("LIMIT_REACHED", assertThrows(Refusal.class, () -> new FetchedRecord.Parts(manifest)).reason());
  }

  private static RecordPart part(long size, byte[] digest) {
    return RecordPart.newBuilder().setSizeBytes(size).setDigest(ByteString.copyFrom(digest)).build();
  }

  @Test
  void nameLeadsNowhereElse() {
    assertTrue(Stream.of("a", "ct scan.dcm", "x..y", "(1) [b] & c~").allMatch(FetchedRecord::isPlainName));
    Stream<String> others =
        Stream.of("", ".", "..", ".profile", "a/b", "a\\b", "c:", "a*", "a?", "\"a\"", "<a>", "a|b", "a\n", "é");
    assertTrue(others.noneMatch(FetchedRecord::isPlainName));
  }
}
