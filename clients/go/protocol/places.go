package protocol

import (
	"strings"
	"time"

	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/refusal"
)

// PlacesLife is how long after the cloud's answer they are of use.
const PlacesLife = 90 * 24 * time.Hour

// KnownHospital is a hospital where the patient has records, by the cloud's word of then.
type KnownHospital struct {
	ID, Address string
	Departments []*pb.IndexDepartment
}

// KnownPlaces is what is shown of a search, and when its oldest page was answered.
type KnownPlaces struct {
	AsOf      Instant
	Hospitals []KnownHospital
}

// ReadPlaces verifies where records are as a patient brings it, and gives what is shown of it. Refuses with FIELD_INVALID, FUTURE_DATED,
// PLACES_OUTDATED, CLOUD_KEY_UNKNOWN, CLOUD_KEY_REVOKED, SIGNATURE_INVALID, DEPARTMENT_FOREIGN.
func ReadPlaces(kept *pb.KeptPlaces, patientID string, verifier Verifier, now Instant) (*KnownPlaces, error) {
	if len(kept.GetPages()) == 0 {
		return nil, refusal.New(refusal.FieldInvalid, "nothing is kept of a search") // places.1
	}
	known := &KnownPlaces{AsOf: now + milliseconds(verifier.Freshness.Skew)}
	for _, page := range kept.GetPages() {
		if err := verifier.Freshness.RequireNotFuture(page.GetSentAt(), now); err != nil {
			return nil, err // places.2
		}
		if now > page.GetSentAt()+milliseconds(PlacesLife) {
			return nil, refusal.New(refusal.PlacesOutdated, "where the patient has records was looked up too long ago") // places.3
		}
		key, err := verifier.Anchors.cloudKeyAt(page.GetSentAt())
		if err != nil {
			return nil, err // places.4
		}
		if err := verifySignature(key, page.GetSignature(), pageCovered(page, patientID)); err != nil {
			return nil, err // places.5
		}
		known.AsOf = min(known.AsOf, page.GetSentAt())
		for _, place := range page.GetPlaces() {
			if place.HospitalId == nil {
				continue
			}
			hospital := KnownHospital{ID: place.GetHospitalId(), Address: place.GetAddress()}
			for _, department := range place.GetDepartments() {
				if department.Shown == nil {
					continue
				}
				if !strings.HasPrefix(department.GetShown().GetDepartmentId(), hospital.ID+"/") {
					return nil, refusal.New(refusal.DepartmentForeign, "a place names a department of another hospital") // places.6
				}
				hospital.Departments = append(hospital.Departments, department.GetShown())
			}
			known.Hospitals = append(known.Hospitals, hospital)
		}
	}
	return known, nil
}

// pageCovered is what Sig_C of a page covers: that this patient's records were found there.
func pageCovered(page *pb.PlacesPage, patientID string) []byte {
	var places [][]byte
	for _, place := range page.GetPlaces() {
		places = append(places, keptDigest(place))
	}
	return pageTranscript(page, "found", patientID, places, accessesDigest(nil), headDigest(nil))
}

// keptDigest gives H(place), of one that is shown or not. What is shown is what is signed, whatever digest stands beside it.
func keptDigest(place *pb.KeptPlace) []byte {
	if place.HospitalId == nil {
		return place.GetDigest()
	}
	var departments [][]byte
	for _, department := range place.GetDepartments() {
		digest := department.GetDigest()
		if department.Shown != nil {
			digest = departmentDigest(department.GetShown())
		}
		departments = append(departments, digest)
	}
	return placeDigest(place.GetHospitalId(), place.GetAddress(), place.GetDigest(), departments)
}
