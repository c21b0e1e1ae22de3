package example.medunion.client;

import static example.medunion.client.Main.tell;

import com.google.protobuf.ByteString;
import example.medunion.client.calls.PatientClient;
import example.medunion.client.protocol.OneSided;
import example.medunion.client.protocol.Refusal;
import example.medunion.client.protocol.Search;
import example.medunion.client.protocol.ToldLog;
import example.medunion.federation.v1.AccessEntry;
import example.medunion.federation.v1.SignedStatement;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.function.Supplier;

/** Who asked for the patient's own records: at the public cloud, and at each hospital that has some. */
final class Accesses {
  private final Map<String, ToldLog> logs = new LinkedHashMap<>();
  private final Map<String, String> missing = new LinkedHashMap<>();

  /** Asks everybody. A hospital that does not answer stops no other. */
  Map<String, Object> read(PatientClient client, String patientId, String cloudId, List<SignedStatement> grants) {
    long askedAt = System.currentTimeMillis();
    read(cloudId, client::accessesAtCloud);
    Map<String, Search.RecordLocation> hospitals = new LinkedHashMap<>();
    client.findRecords().forEach(location -> hospitals.putIfAbsent(location.hospital().identity(), location));
    hospitals.forEach((hospital, location) -> read(hospital, () -> client.accessesAt(location)));
    List<OneSided.Remark> remarks = remarks(cloudId, askedAt, OneSided.unsearchable(grants));
    remarks.stream().filter(it -> it.words().equals(OneSided.UNSEARCHED)).forEach(Accesses::alarm);
    List<Map<String, Object>> told = new ArrayList<>();
    logs.forEach((where, log) -> log.entries().forEach(entry -> told.add(described(where, entry, remarks))));
    List<Map<String, Object>> proofs = logs.entrySet().stream().map(it -> described(it.getKey(), it.getValue())).toList();
    return Map.of("patient", patientId, "accesses", told, "logs", proofs, "missing", missing);
  }

  private void read(String where, Supplier<ToldLog> ask) {
    try {
      logs.put(where, ask.get());
    } catch (Refusal refusal) {
      missing.put(where, refusal.preciseReason());
      tell("WHO ASKED AT " + where + " IS MISSING: " + refusal.plain());
    }
  }

  /** What is to be said of what one side alone has; nothing where the public cloud did not answer. */
  private List<OneSided.Remark> remarks(String cloudId, long askedAt, Set<ByteString> unsearchable) {
    if (!logs.containsKey(cloudId)) {
      return List.of();
    }
    List<OneSided.Log> all =
        logs.entrySet().stream().map(it -> new OneSided.Log(it.getKey(), it.getValue().entries())).toList();
    OneSided.Circumstances circumstances = new OneSided.Circumstances(askedAt, unsearchable, missing.isEmpty());
    return OneSided.remarks(all.get(0), all.subList(1, all.size()), circumstances);
  }

  private static void alarm(OneSided.Remark remark) {
    String reading = "reading " + remark.number() + " at " + remark.partyId();
    tell("IN A HOSPITAL'S LOG AND NOT IN THE PUBLIC CLOUD'S: " + reading + ".");
  }

  /** By what a log is proved. */
  private static Map<String, Object> described(String where, ToldLog log) {
    if (log.untold() > 0) {
      tell(where + " counts " + log.untold() + " more about you, and tells nothing of them: forgotten there, or KEPT BACK.");
    }
    if (!log.isWitnessed()) {
      int found = log.cosigners().size();
      tell("NOT WITNESSED: " + found + " have cosigned the log of " + where + ", and the federation asks for " + log.cosignatures() + ".");
    }
    return Map.of(
        "where", where,
        "origin", log.head().origin(),
        "head", log.head().tree().size(),
        "cosigned_by", log.cosigners(),
        "witnessed", log.isWitnessed(),
        "began_anew", log.beginsAnew(),
        "untold", log.untold());
  }

  private static Map<String, Object> described(String where, AccessEntry entry, List<OneSided.Remark> remarks) {
    String remark =
        remarks.stream()
            .filter(it -> it.partyId().equals(where) && it.number() == entry.getNumber())
            .map(OneSided.Remark::words)
            .findFirst()
            .orElse("");
    Map<String, Object> described = new LinkedHashMap<>(Map.of("remark", remark));
    described.putAll(described(where, entry));
    return described;
  }

  private static Map<String, Object> described(String where, AccessEntry entry) {
    return Map.of(
        "where", where,
        "number", entry.getNumber(),
        "at", entry.getAt(),
        "asker", entry.getAskerId(),
        "kind", entry.getKind().name().replace("ACCESS_KIND_", ""),
        "department", entry.getDepartmentClass(),
        "ground", entry.getGround().name().replace("ACCESS_GROUND_", "").toLowerCase(Locale.ROOT),
        "reason", entry.getReason(),
        "leaf", entry.getLeafIndex());
  }
}
