/** The diagnosis as a FHIR R4 DiagnosticReport. */

import { Refusal } from "../protocol/refusal.js";

const CODE = { system: "http://loinc.org", code: "29308-4", display: "Diagnosis" };
const SUPPORTING_INFO = "http://hl7.org/fhir/StructureDefinition/workflow-supportingInfo";

/** A final report. `basedOn` are SHA-256 digests of the records that the doctor read, written as RFC 6920 URIs. */
export function diagnosticReport(
  patientId: string,
  doctorId: string,
  conclusion: string,
  basedOn: readonly Uint8Array[],
): Uint8Array {
  const report = {
    resourceType: "DiagnosticReport",
    status: "final",
    code: { coding: [CODE] },
    subject: { type: "Patient", identifier: { value: patientId } },
    performer: [{ type: "Practitioner", identifier: { value: doctorId } }],
    issued: new Date().toISOString(),
    conclusion,
    ...(basedOn.length === 0 ? {} : { extension: basedOn.map(supporting) }),
  };
  return new TextEncoder().encode(JSON.stringify(report));
}

/** The conclusion of a report that a doctor signed. */
export function conclusionOf(report: Uint8Array): string {
  try {
    const { resourceType, conclusion } = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(report)) as Record<
      string,
      unknown
    >;
    if (resourceType === "DiagnosticReport" && typeof conclusion === "string") return conclusion;
  } catch (error) {
    throw new Refusal("FHIR_INVALID", "the diagnosis is no JSON", { cause: error });
  }
  throw new Refusal("FHIR_INVALID", "the diagnosis is no DiagnosticReport with a conclusion");
}

function supporting(digest: Uint8Array) {
  const value = `ni:///sha-256;${Buffer.from(digest).toString("base64url")}`;
  return { url: SUPPORTING_INFO, valueReference: { identifier: { system: "urn:ietf:rfc:3986", value } } };
}
