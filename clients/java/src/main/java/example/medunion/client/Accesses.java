package example.medunion.client;

import static example.medunion.client.Main.said;
import static example.medunion.client.Main.tell;

import example.medunion.client.calls.PatientClient;
import example.medunion.client.protocol.Refusal;
import example.medunion.client.protocol.Search;
import example.medunion.federation.v1.AccessEntry;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/** Who asked for the patient's own records: at the public cloud, and at each hospital that has some. */
final class Accesses {
  private final List<Map<String, Object>> told = new ArrayList<>();
  private final Map<String, String> missing = new LinkedHashMap<>();

  /** Asks everybody. A hospital that does not answer stops no other. */
  Map<String, Object> read(PatientClient client, String patientId, String cloudId) {
    take(cloudId, client.accessesAtCloud());
    Map<String, Search.RecordLocation> hospitals = new LinkedHashMap<>();
    client.findRecords().forEach(location -> hospitals.putIfAbsent(location.hospital().identity(), location));
    hospitals.forEach((hospital, location) -> read(client, hospital, location));
    return Map.of("patient", patientId, "accesses", told, "missing", missing);
  }

  private void read(PatientClient client, String hospital, Search.RecordLocation location) {
    try {
      take(hospital, client.accessesAt(location));
    } catch (Refusal refusal) {
      missing.put(hospital, refusal.preciseReason());
      tell("WHO ASKED AT " + hospital + " IS MISSING: " + said(refusal));
    }
  }

  private void take(String where, List<AccessEntry> entries) {
    entries.forEach(entry -> told.add(described(where, entry)));
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
        "reason", entry.getReason());
  }
}
