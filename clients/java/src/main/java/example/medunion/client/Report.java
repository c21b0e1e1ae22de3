package example.medunion.client;

import com.google.gson.Gson;
import com.google.gson.JsonObject;
import com.google.gson.JsonParseException;
import com.google.gson.JsonParser;
import example.medunion.client.protocol.Bytes;
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
import java.util.Optional;
import java.util.stream.Stream;

/** The diagnosis as a FHIR R4 DiagnosticReport. */
final class Report {
  private static final Map<String, String> CODE =
      Map.of("system", "http://loinc.org", "code", "29308-4", "display", "Diagnosis");
  private static final String SUPPORTING_INFO = "http://hl7.org/fhir/StructureDefinition/workflow-supportingInfo";

  /** HL7's R4 extension for the report whose place one takes. */
  private static final String REPLACES = "http://hl7.org/fhir/StructureDefinition/diagnosticReport-replaces";

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
    byte[] largest =
        of(longestId, longestId, conclusion, Collections.nCopies(MOST_RECORDS, new byte[32]), Optional.of(Bytes.EMPTY));
    Refusal.require(largest.length <= MOST_BYTES, "FHIR_INVALID", "the conclusion is longer than a diagnosis may be");
  }

  /**
   * A report, final, or amended where it takes the place of the one whose bytes are `amends`. `basedOn` are SHA-256 digests of the records that
   * the doctor read. Digests are written as RFC 6920 URIs.
   */
  static byte[] of(
      String patientId, String doctorId, String conclusion, List<byte[]> basedOn, Optional<byte[]> amends) {
    Map<String, Object> report = new LinkedHashMap<>();
    report.put("resourceType", "DiagnosticReport");
    report.put("status", amends.isPresent() ? "amended" : "final");
    report.put("code", Map.of("coding", List.of(CODE)));
    report.put("subject", Map.of("type", "Patient", "identifier", Map.of("value", patientId)));
    report.put("performer", List.of(Map.of("type", "Practitioner", "identifier", Map.of("value", doctorId))));
    report.put("issued", Instant.now().truncatedTo(ChronoUnit.MILLIS).toString());
    report.put("conclusion", conclusion);
    List<Map<String, Object>> extension =
        Stream.concat(basedOn.stream().map(Report::supporting), amends.stream().map(Report::replacing)).toList();
    if (!extension.isEmpty()) {
      report.put("extension", extension);
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
    return Map.of("url", SUPPORTING_INFO, "valueReference", Map.of("identifier", identifier(digest)));
  }

  private static Map<String, Object> replacing(byte[] report) {
    Map<String, Object> reference =
        Map.of("type", "DiagnosticReport", "identifier", identifier(Bytes.sha256(report)));
    return Map.of("url", REPLACES, "valueReference", reference);
  }

  private static Map<String, String> identifier(byte[] digest) {
    String uri = "ni:///sha-256;" + Base64.getUrlEncoder().withoutPadding().encodeToString(digest);
    return Map.of("system", "urn:ietf:rfc:3986", "value", uri);
  }
}
