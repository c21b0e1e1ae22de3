package example.medunion.client.calls;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.ByteString;
import example.medunion.client.protocol.Bytes;
import example.medunion.client.protocol.Refusal;
import example.medunion.federation.v1.RecordManifest;
import example.medunion.federation.v1.RecordPart;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
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
  void nameLeadsNowhereElse() {
    assertTrue(Stream.of("a", "ct scan.dcm", "x..y", "(1) [b] & c~").allMatch(FetchedRecord::isPlainName));
    Stream<String> others =
        Stream.of("", ".", "..", ".profile", "a/b", "a\\b", "c:", "a*", "a?", "\"a\"", "<a>", "a|b", "a\n", "é");
    assertTrue(others.noneMatch(FetchedRecord::isPlainName));
  }
}
