package client

import (
	"encoding/base64"
	"encoding/json"
	"time"

	"medunion.example/clients/go/refusal"
)

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

// NewReport makes M_DINF: a final FHIR R4 DiagnosticReport. basedOn are H(M_EMR) of the records that the doctor read, written as RFC 6920
// URIs under HL7's extension for what a report was made from.
func NewReport(patientID, doctorID, conclusion string, basedOn [][]byte, issued time.Time) ([]byte, error) {
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
		uri := "ni:///sha-256;" + base64.RawURLEncoding.EncodeToString(digest)
		report.Extension = append(report.Extension, extension{
			"http://hl7.org/fhir/StructureDefinition/workflow-supportingInfo",
			reference{Identifier: identifier{"urn:ietf:rfc:3986", uri}},
		})
	}
	return json.Marshal(report)
}

// Conclusion gives the conclusion of a DiagnosticReport that is about this patient, for printing. Refuses with FHIR_NOT_JSON, WRONG_SUBJECT.
func Conclusion(report []byte, patientID string) (string, error) {
	var read diagnosticReport
	if err := json.Unmarshal(report, &read); err != nil || read.ResourceType != "DiagnosticReport" {
		return "", refusal.New(refusal.FHIRNotJSON, "the diagnosis is no DiagnosticReport")
	}
	if read.Subject.Identifier.Value != patientID {
		return "", refusal.New(refusal.WrongSubject, "the diagnosis is about another patient")
	}
	return read.Conclusion, nil
}

// RequireObservation refuses a biosignal that is no FHIR R4 Observation (FHIR_NOT_JSON), or not about this patient (WRONG_SUBJECT).
func RequireObservation(content []byte, patientID string) error {
	var read struct {
		ResourceType string    `json:"resourceType"`
		Subject      reference `json:"subject"`
	}
	if err := json.Unmarshal(content, &read); err != nil || read.ResourceType != "Observation" {
		return refusal.New(refusal.FHIRNotJSON, "the biosignal is no Observation")
	}
	if read.Subject.Identifier.Value != patientID {
		return refusal.New(refusal.WrongSubject, "the Observation is not about this patient")
	}
	return nil
}
