package example.medunion.client;

import static example.medunion.client.Main.hex;
import static example.medunion.client.Main.tell;

import example.medunion.client.calls.FetchedRecord;
import example.medunion.client.calls.RecordFetcher;
import example.medunion.client.protocol.Refusal;
import example.medunion.federation.v1.RecordEntry;
import example.medunion.federation.v1.RecordPart;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Records as they come, for a doctor or for the patient itself: saved where that was asked for, and described. */
final class Records implements RecordFetcher.Fetching {
  private static final long MOST_MEGABYTES = 10_000_000;

  private final Path save;
  private final Map<String, String> missing = new LinkedHashMap<>();

  /** Saves to that directory; null saves nothing. */
  private Records(Path save) {
    this.save = save;
  }

  /** As --save says; requires that it can be written to. */
  static Records of(Arguments arguments) {
    Path save = arguments.has("save") ? arguments.path("save") : null;
    try {
      if (save != null) {
        requireWritable(Files.createDirectories(save));
      }
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
    return new Records(save);
  }

  static void requireWritable(Path directory) {
    boolean writable = Files.isDirectory(directory) && Files.isWritable(directory);
    Refusal.require(writable, "FILE_UNUSABLE", "nothing can be written to " + directory);
  }

  /** How many bytes of records --fetch-at-most lets in. */
  static long mostBytes(Arguments arguments) {
    return Math.round(1_000_000 * arguments.number("fetch-at-most", "256", 8, MOST_MEGABYTES));
  }

  @Override
  public void taken(FetchedRecord record) {
    if (save == null) {
      return;
    }
    try {
      record.save(save);
    } catch (Refusal refusal) {
      tell("A RECORD FROM " + record.manifest().getHospitalId() + " IS NOT SAVED WHOLE: " + refusal.getCause().getMessage());
    }
  }

  @Override
  public void missing(String hospitalId, Refusal why) {
    missing.put(hospitalId, why.preciseReason());
    tell("RECORDS AT " + hospitalId + " ARE MISSING: " + why.plain());
  }

  @Override
  public void goesOn(String words) {
    tell(words);
  }

  /** Hospital -> the reason for which its records did not come. */
  Map<String, String> missing() {
    return missing;
  }

  static List<Map<String, Object>> described(List<FetchedRecord> records) {
    return records.stream().flatMap(record -> described(record).stream()).toList();
  }

  private static List<Map<String, Object>> described(FetchedRecord record) {
    String hospital = record.manifest().getHospitalId();
    return record.manifest().getRecordsList().stream().map(entry -> described(hospital, entry)).toList();
  }

  private static Map<String, Object> described(String hospital, RecordEntry entry) {
    return Map.of(
        "hospital", hospital,
        "handle", hex(entry.getHandle().toByteArray()),
        "department", entry.getDepartmentId(),
        "parts", entry.getPartsList().stream().map(Records::described).toList());
  }

  private static Map<String, Object> described(RecordPart part) {
    return Map.of(
        "name", part.getName(),
        "media_type", part.getMediaType(),
        "size", part.getSizeBytes(),
        "sha256", hex(part.getDigest().toByteArray()));
  }
}
