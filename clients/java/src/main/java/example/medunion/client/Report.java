package example.medunion.client;

import com.google.gson.Gson;
import com.google.gson.JsonObject;
import com.google.gson.JsonParseException;
import com.google.gson.JsonParser;
import example.medunion.client.protocol.Refusal;
import example.medunion.client.protocol.Rules;
import example.medunion.federation.v1.DiagnosisDelivery;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.Base64;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** The diagnosis as a FHIR R4 DiagnosticReport. */
final class Report {
  private static final Map<String, String> CODE =
      Map.of("system", "http://loinc.org", "code", "29308-4", "display", "Diagnosis");
  private static final String SUPPORTING_INFO = "http://hl7.org/fhir/StructureDefinition/workflow-supportingInfo";

  private static final int MOST_BYTES = Rules.mostBytes(DiagnosisDelivery.getDescriptor(), "diagnosis");
  private static final int MOST_RECORDS = 64;

  private Report() {}

  /** Refuses a conclusion that no report can hold: it is checked before anybody waits for it. */
  static void requireConclusion(String conclusion) {
    // FHIR R4, string: no control character but these, and not white space alone.
    boolean text =
        conclusion.codePoints().allMatch(point -> point >= ' ' || point == '\t' || point == '\n' || point == '\r')
            && conclusion.codePoints().noneMatch(point -> Character.getType(point) == Character.SURROGATE);
    Refusal.require(text && !conclusion.isBlank(), "FHIR_INVALID", "a conclusion is a text, without control characters");
    String longestId = "P:" + "x".repeat(64);
    byte[] largest = of(longestId, longestId, conclusion, Collections.nCopies(MOST_RECORDS, new byte[32]));
    Refusal.require(largest.length <= MOST_BYTES, "FHIR_INVALID", "the conclusion is longer than a diagnosis may be");
  }

  /** A final report. `basedOn` are SHA-256 digests of the records that the doctor read, written as RFC 6920 URIs. */
  static byte[] of(String patientId, String doctorId, String conclusion, List<byte[]> basedOn) {
    Map<String, Object> report = new LinkedHashMap<>();
    report.put("resourceType", "DiagnosticReport");
    report.put("status", "final");
    report.put("code", Map.of("coding", List.of(CODE)));
    report.put("subject", Map.of("type", "Patient", "identifier", Map.of("value", patientId)));
    report.put("performer", List.of(Map.of("type", "Practitioner", "identifier", Map.of("value", doctorId))));
    report.put("issued", Instant.now().truncatedTo(ChronoUnit.MILLIS).toString());
    report.put("conclusion", conclusion);
    if (!basedOn.isEmpty()) {
      report.put("extension", basedOn.stream().map(Report::supporting).toList());
    }
    return new Gson().toJson(report).getBytes(StandardCharsets.UTF_8);
  }

  /** The conclusion of a report that a doctor signed. */
  static String conclusionOf(byte[] report) {
    try {
      JsonObject read = JsonParser.parseString(new String(report, StandardCharsets.UTF_8)).getAsJsonObject();
      if (read.get("resourceType").getAsString().equals("DiagnosticReport")) {
        return read.get("conclusion").getAsString();
      }
    } catch (JsonParseException
        | IllegalStateException
        | NullPointerException
        | ClassCastException
        | UnsupportedOperationException error) {
      throw new Refusal("FHIR_INVALID", "the diagnosis is no DiagnosticReport with a conclusion", error);
    }
    throw new Refusal("FHIR_INVALID", "the diagnosis is no DiagnosticReport");
  }

  private static Map<String, Object> supporting(byte[] digest) {
    String uri = "ni:///sha-256;" + Base64.getUrlEncoder().withoutPadding().encodeToString(digest);
    Map<String, String> identifier = Map.of("system", "urn:ietf:rfc:3986", "value", uri);
    return Map.of("url", SUPPORTING_INFO, "valueReference", Map.of("identifier", identifier));
  }
}
