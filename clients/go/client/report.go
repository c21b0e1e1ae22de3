package client

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"
	"unicode/utf8"

	"medunion.example/clients/go/protocol"
	"medunion.example/clients/go/refusal"
	"medunion.example/clients/go/transcript"
)

const replaces = "http://hl7.org/fhir/StructureDefinition/diagnosticReport-replaces" // HL7's R4 extension for the report whose place this one takes

const mostReport = 917_504 // bytes of M_DINF, by the rule of its field

// A reference names a party of the federation inside FHIR: logically, by the identity that the protocol authenticates.
type reference struct {
	Type       string     `json:"type,omitempty"`
	Identifier identifier `json:"identifier"`
}

type identifier struct {
	System string `json:"system,omitempty"`
	Value  string `json:"value"`
}

type coding struct {
	System  string `json:"system"`
	Code    string `json:"code"`
	Display string `json:"display"`
}

type concept struct {
	Coding []coding `json:"coding"`
}

type extension struct {
	URL            string    `json:"url"`
	ValueReference reference `json:"valueReference"`
}

type diagnosticReport struct {
	ResourceType string      `json:"resourceType"`
	Status       string      `json:"status"`
	Code         concept     `json:"code"`
	Subject      reference   `json:"subject"`
	Performer    []reference `json:"performer"`
	Issued       string      `json:"issued"`
	Conclusion   string      `json:"conclusion"`
	Extension    []extension `json:"extension,omitempty"`
}

// NewReport makes M_DINF: a FHIR R4 DiagnosticReport, final, or amended where it takes the place of the report whose bytes are amends. basedOn
// are H(M_EMR) of the records that the doctor read. Digests are written as RFC 6920 URIs under HL7's extensions.
func NewReport(patientID, doctorID, conclusion string, basedOn [][]byte, amends []byte, issued time.Time) ([]byte, error) {
	report := diagnosticReport{
		ResourceType: "DiagnosticReport",
		Status:       "final",
		Code:         concept{[]coding{{"http://loinc.org", "29308-4", "Diagnosis"}}},
		Subject:      reference{"Patient", identifier{Value: patientID}},
		Performer:    []reference{{"Practitioner", identifier{Value: doctorID}}},
		Issued:       issued.UTC().Format("2006-01-02T15:04:05.000Z"),
		Conclusion:   conclusion,
	}
	for _, digest := range basedOn {
		report.Extension = append(report.Extension, extension{
			"http://hl7.org/fhir/StructureDefinition/workflow-supportingInfo",
			reference{Identifier: identifierOf(digest)},
		})
	}
	if amends != nil {
		report.Status = "amended"
		reference := reference{"DiagnosticReport", identifierOf(transcript.Digest(amends))}
		report.Extension = append(report.Extension, extension{replaces, reference})
	}
	return json.Marshal(report)
}

func identifierOf(digest []byte) identifier {
	return identifier{"urn:ietf:rfc:3986", "ni:///sha-256;" + base64.RawURLEncoding.EncodeToString(digest)}
}

// RequireConclusion refuses what can't stand in a report as its conclusion, before anybody waits for it: FHIR_INVALID what is no FHIR
// string (R4, section 2.24.0.1: some text, and no control character but tab and line ends), FHIR_TOO_LARGE what leaves no room.
func RequireConclusion(text string) error {
	if !utf8.ValidString(text) || strings.Trim(text, " \t\r\n") == "" || strings.ContainsFunc(text, isForbiddenInFHIR) {
		return refusal.New(refusal.FHIRInvalid, "a conclusion is some text, without control characters")
	}
	based := make([][]byte, mostRecordSessions)
	for i := range based {
		based[i] = make([]byte, 32)
	}
	longestIdentity := "P:" + strings.Repeat("x", 64)
	report, err := NewReport(longestIdentity, longestIdentity, text, based, []byte{}, time.UnixMilli(0))
	if err != nil {
		return err
	}
	if len(report) > mostReport {
		return refusal.New(refusal.FHIRTooLarge, "a report of %d bytes; it may have %d", len(report), mostReport)
	}
	return nil
}

func isForbiddenInFHIR(char rune) bool {
	return char < ' ' && char != '\t' && char != '\r' && char != '\n'
}

// Conclusion gives the conclusion of a DiagnosticReport that is about this patient, for printing. Refuses with FHIR_NOT_JSON, WRONG_SUBJECT.
func Conclusion(report []byte, patientID string) (string, error) {
	var read struct { // and nothing else, for an odd field beside these is no reason not to hear it
		ResourceType string    `json:"resourceType"`
		Subject      reference `json:"subject"`
		Conclusion   string    `json:"conclusion"`
	}
	if err := json.Unmarshal(report, &read); err != nil || read.ResourceType != "DiagnosticReport" {
		return "", refusal.New(refusal.FHIRNotJSON, "the diagnosis is no DiagnosticReport")
	}
	if read.Subject.Identifier.Value != patientID {
		return "", refusal.New(refusal.WrongSubject, "the diagnosis is about another patient")
	}
	return read.Conclusion, nil
}

// RequireObservation refuses a biosignal that has more bytes than a doctor or a hospital takes (FHIR_TOO_LARGE), that is no FHIR R4
// Observation (FHIR_NOT_JSON), that lacks what each has to have (FHIR_INVALID), or that is not about this patient (WRONG_SUBJECT).
func RequireObservation(content []byte, patientID string) error {
	if len(content) > protocol.MostBiosignal {
		return refusal.New(refusal.FHIRTooLarge, "a biosignal may have %d bytes", protocol.MostBiosignal)
	}
	var read struct {
		ResourceType string          `json:"resourceType"`
		Status       string          `json:"status"`
		Code         json.RawMessage `json:"code"`
		Subject      reference       `json:"subject"`
	}
	if err := json.Unmarshal(content, &read); err != nil || read.ResourceType != "Observation" {
		return refusal.New(refusal.FHIRNotJSON, "the biosignal is no Observation")
	}
	if read.Status == "" || !bytes.HasPrefix(read.Code, []byte("{")) {
		return refusal.New(refusal.FHIRInvalid, "an Observation has a status and a code")
	}
	if read.Subject.Identifier.Value != patientID {
		return refusal.New(refusal.WrongSubject, "the Observation is not about this patient")
	}
	return nil
}
