package example.medunion.client.protocol;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.protobuf.ByteString;
import example.medunion.federation.v1.PartKind;
import example.medunion.federation.v1.RecordEntry;
import example.medunion.federation.v1.RecordManifest;
import example.medunion.federation.v1.RecordPart;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.Collections;
import java.util.Optional;
import org.junit.jupiter.api.Test;

/** A hospital that sends a record, or something else. */
class IncomingRecordTest {
  private static final long MIB = 1024 * 1024;

  private static RecordManifest manifest(PartKind kind, long... sizes) {
    RecordEntry.Builder entry =
        RecordEntry.newBuilder()
            .setHandle(ByteString.copyFrom(new byte[16]))
            .setVersion(1)
            .setDepartmentId("H:a/cardiology")
            .setStoredAt(1);
    for (long size : sizes) {
      entry.addParts(
          RecordPart.newBuilder()
              .setKind(kind)
              .setName("part")
              .setMediaType("text/plain")
              .setSizeBytes(size)
              .setDigest(ByteString.copyFrom(new byte[32])));
    }
    return RecordManifest.newBuilder().setPatientId("P:wang").setHospitalId("H:a").addRecords(entry).build();
  }

  private static byte[] head(RecordManifest manifest) {
    return Transcript.field(manifest.toByteArray());
  }

  private static byte[] padded(byte[] content) {
    return Arrays.copyOf(content, (int) Padding.padded(content.length));
  }

  private static String outcome(long mostBytes, byte[] came) {
    return Vectors.outcome(() -> IncomingRecord.begin(mostBytes).take(came));
  }

  /** M_EMR of a record whose session broke. */
  static byte[] content(JsonObject vector) {
    byte[] parts = new byte[vector.get("size_bytes").getAsInt()];
    Arrays.fill(parts, Vectors.bytes(vector, "fill")[0]);
    return Bytes.concat(Transcript.field(Vectors.bytes(vector, "manifest")), parts);
  }

  /** So much of that content. */
  static IncomingRecord came(JsonObject vector, byte[] content) {
    byte[] all = padded(content);
    IncomingRecord incoming = IncomingRecord.begin(100 * MIB);
    int offset = 0;
    for (JsonElement size : vector.getAsJsonArray("came")) {
      incoming = incoming.take(Arrays.copyOfRange(all, offset, offset += size.getAsInt()));
    }
    return incoming;
  }

  @Test
  void recordThatBrokeGoesOnBehindWhatCame() {
    for (JsonObject vector : Vectors.all("broken")) {
      String name = Vectors.text(vector, "name");
      byte[] content = content(vector);
      Optional<IncomingRecord> broken = came(vector, content).resumable();
      long offset = vector.get("offset").getAsLong();
      assertEquals(offset, broken.map(IncomingRecord::came).orElse(0L), name);
      if (broken.isEmpty()) {
        continue;
      }
      assertArrayEquals(Vectors.bytes(vector, "manifest_digest"), broken.get().manifestDigest(), name);
      assertEquals(broken, broken.get().resumable(), name);
      byte[] rest = Arrays.copyOfRange(padded(content), (int) offset, (int) Padding.padded(content.length));
      assertArrayEquals(Bytes.sha256(content), broken.get().take(rest).wholeDigest(), name);
    }
  }

  @Test
  void recordGoesOnBehindNoPartOfItsManifest() {
    RecordManifest one = manifest(PartKind.PART_KIND_ATTACHMENT, new long[256]);
    RecordManifest.Builder many = one.toBuilder();
    Collections.nCopies(39, one.getRecords(0)).forEach(many::addRecords);
    many.addRecords(manifest(PartKind.PART_KIND_ATTACHMENT, MIB).getRecords(0));
    byte[] head = head(many.build());
    assertTrue(head.length > MIB / 2 && head.length < MIB);
    IncomingRecord incoming = IncomingRecord.begin(100 * MIB).take(head);
    assertTrue(incoming.resumable().isEmpty());
    incoming = incoming.take(new byte[(int) MIB - 1 - head.length]);
    assertTrue(incoming.resumable().isEmpty());
    assertEquals(MIB, incoming.take(new byte[1]).resumable().orElseThrow().came());
  }

  @Test
  void contentIsTheSameHoweverItIsCut() {
    byte[] parts = new byte[5000];
    Arrays.fill(parts, (byte) 7);
    byte[] content = Bytes.concat(head(manifest(PartKind.PART_KIND_ATTACHMENT, 4000, 0, 1000)), parts);
    byte[] all = padded(content);
    for (int slice : new int[] {7, 100, 2048, all.length}) {
      IncomingRecord incoming = IncomingRecord.begin(MIB);
      byte[] came = Bytes.EMPTY;
      for (int offset = 0; offset < all.length; offset += slice) {
        IncomingRecord before = incoming;
        assertEquals("RECORD_CUT_SHORT", offset < content.length ? Vectors.outcome(before::wholeDigest) : "RECORD_CUT_SHORT");
        incoming = incoming.take(Arrays.copyOfRange(all, offset, Math.min(all.length, offset + slice)));
        came = Bytes.concat(came, incoming.content());
      }
      assertArrayEquals(parts, came);
      assertArrayEquals(Bytes.sha256(content), incoming.wholeDigest());
    }
  }

  @Test
  void whatComesBeyondTheManifestIsCutAtOnce() {
    byte[] all = padded(head(manifest(PartKind.PART_KIND_ATTACHMENT, 3000)));
    IncomingRecord incoming = IncomingRecord.begin(MIB).take(all).take(new byte[3000 - all.length]);
    assertTrue(incoming.manifest().isPresent());
    assertEquals("PADDING_INVALID", Vectors.outcome(() -> incoming.take(new byte[2000])));
    byte[] talkative = new byte[400];
    talkative[399] = 1;
    assertEquals("PADDING_INVALID", Vectors.outcome(() -> incoming.take(talkative)));
    assertEquals("PADDING_INVALID", Vectors.outcome(() -> incoming.take(new byte[400]).wholeDigest()));
  }

  @Test
  void partsHaveTheBoundsOfTheirKind() {
    assertEquals("success", outcome(100 * MIB, head(manifest(PartKind.PART_KIND_FHIR_BUNDLE, 17 * MIB, 17 * MIB))));
    byte[] large = head(manifest(PartKind.PART_KIND_FHIR_BUNDLE, 17 * MIB + 1));
    assertEquals("RECORD_TOO_LARGE", outcome(100 * MIB, large));
    assertEquals("RECORD_TOO_LARGE", outcome(Long.MAX_VALUE, head(manifest(PartKind.PART_KIND_FHIR_BUNDLE, -1))));
    assertEquals("success", outcome(100 * MIB, head(manifest(PartKind.PART_KIND_ATTACHMENT, 16 * MIB + 1))));
  }

  @Test
  void allPartsHaveTheBoundThatTheDoctorSets() {
    byte[] two = head(manifest(PartKind.PART_KIND_ATTACHMENT, 5 * MIB, 5 * MIB));
    assertEquals("success", outcome(10 * MIB, two));
    assertEquals("RECORD_TOO_LARGE", outcome(10 * MIB - 1, two));
    assertEquals("RECORD_TOO_LARGE", outcome(1L << 40, head(manifest(PartKind.PART_KIND_ATTACHMENT, 1, -1))));
    assertEquals("RECORD_TOO_LARGE", outcome(1L << 40, head(manifest(PartKind.PART_KIND_ATTACHMENT, Long.MAX_VALUE))));
  }

  @Test
  void manifestIsBounded() {
    assertEquals("MESSAGE_TOO_LARGE", outcome(MIB, ByteBuffer.allocate(4).putInt((int) MIB + 1).array()));
    assertEquals("MESSAGE_TOO_LARGE", outcome(MIB, ByteBuffer.allocate(4).putInt(-1).array()));
    assertEquals("MALFORMED_MESSAGE", outcome(MIB, Transcript.field(new byte[] {7, 7})));
    byte[] begun = ByteBuffer.allocate(4).putInt((int) MIB).array();
    IncomingRecord[] incoming = {IncomingRecord.begin(MIB).take(begun)};
    Refusal refusal =
        assertThrows(
            Refusal.class,
            () -> {
              while (true) {
                incoming[0] = incoming[0].take(new byte[1]);
              }
            });
    assertEquals("LIMIT_REACHED", refusal.reason());
  }
}
