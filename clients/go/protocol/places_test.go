package protocol

import (
	"testing"

	"google.golang.org/protobuf/proto"

	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/internal/vectors"
)

// TestPlaces holds where a patient says that its records are to known answers.
func TestPlaces(t *testing.T) {
	type department struct {
		DepartmentID string `json:"department_id"`
		Handles      []vectors.Bytes
	}
	type vector struct {
		Name, Expect string
		Now          Instant
		PatientID    string `json:"patient_id"`
		Places       vectors.Bytes
		AsOf         Instant `json:"as_of"`
		Hospitals    []struct {
			HospitalID  string `json:"hospital_id"`
			Address     string
			Departments []department
		}
	}
	verifier := newWorld(t).verifier
	for _, vector := range vectors.Read[vector](t, "places.json") {
		kept := &pb.KeptPlaces{}
		if err := proto.Unmarshal(vector.Places, kept); err != nil {
			t.Fatal(err)
		}
		known, err := ReadPlaces(kept, vector.PatientID, verifier, vector.Now)
		if !vectors.Expected(err, vector.Expect) {
			t.Errorf("%s: %v", vector.Name, err)
		}
		if err != nil || vector.Expect != "success" {
			continue
		}
		if known.AsOf != vector.AsOf || len(known.Hospitals) != len(vector.Hospitals) {
			t.Fatalf("%s: as of %d, %d hospitals", vector.Name, known.AsOf, len(known.Hospitals))
		}
		for i, hospital := range known.Hospitals {
			expected := vector.Hospitals[i]
			if hospital.ID != expected.HospitalID || hospital.Address != expected.Address || len(hospital.Departments) != len(expected.Departments) {
				t.Fatalf("%s: %v", vector.Name, hospital)
			}
			for j, shown := range hospital.Departments {
				if shown.GetDepartmentId() != expected.Departments[j].DepartmentID || len(shown.GetHandles()) != len(expected.Departments[j].Handles) {
					t.Fatalf("%s: %v", vector.Name, shown)
				}
				for k, handle := range shown.GetHandles() {
					equal(t, vector.Name, handle, expected.Departments[j].Handles[k])
				}
			}
		}
	}
}
