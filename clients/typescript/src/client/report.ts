/** The diagnosis as a FHIR R4 DiagnosticReport. */

import { sha256 } from "../protocol/bytes.js";
import { Refusal, require } from "../protocol/refusal.js";

const CODE = { system: "http://loinc.org", code: "29308-4", display: "Diagnosis" };
const SUPPORTING_INFO = "http://hl7.org/fhir/StructureDefinition/workflow-supportingInfo";
/** HL7's R4 extension for the report whose place one takes. */
const REPLACES = "http://hl7.org/fhir/StructureDefinition/diagnosticReport-replaces";

/** Bytes, at the most, of a conclusion: with what a report says beside it it fits into D5. */
const MOST_CONCLUSION_BYTES = 900_000;

/** Require a conclusion to be a FHIR string, which D5 can carry: text that is not all white space, in ASCII's sense, and without control characters. */
export function requireConclusion(conclusion: string): string {
  // eslint-disable-next-line no-control-regex
  const isText = /[^\t\n\r ]/.test(conclusion) && !/[\0-\x08\x0b\x0c\x0e-\x1f]/.test(conclusion);
  require(isText, "FHIR_INVALID", "a conclusion is text, without control characters");
  const size = Buffer.byteLength(JSON.stringify(conclusion));
  require(size <= MOST_CONCLUSION_BYTES, "LIMIT_REACHED", `a conclusion has at most ${MOST_CONCLUSION_BYTES} bytes`);
  return conclusion;
}

/**
 * A report, final, or amended where it takes the place of the one whose bytes are `amends`. `basedOn` are SHA-256 digests of the records that
 * the doctor read. Digests are written as RFC 6920 URIs.
 */
export function diagnosticReport(
  patientId: string,
  doctorId: string,
  conclusion: string,
  basedOn: readonly Uint8Array[],
  amends?: Uint8Array,
): Uint8Array {
  const extension = [...basedOn.map(supporting), ...(amends === undefined ? [] : [replacing(amends)])];
  const report = {
    resourceType: "DiagnosticReport",
    status: amends === undefined ? "final" : "amended",
    code: { coding: [CODE] },
    subject: { type: "Patient", identifier: { value: patientId } },
    performer: [{ type: "Practitioner", identifier: { value: doctorId } }],
    issued: new Date().toISOString(),
    conclusion,
    ...(extension.length === 0 ? {} : { extension }),
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
  return { url: SUPPORTING_INFO, valueReference: { identifier: identifierOf(digest) } };
}

function replacing(report: Uint8Array) {
  return { url: REPLACES, valueReference: { type: "DiagnosticReport", identifier: identifierOf(sha256(report)) } };
}

function identifierOf(digest: Uint8Array) {
  return { system: "urn:ietf:rfc:3986", value: `ni:///sha-256;${Buffer.from(digest).toString("base64url")}` };
}
