package main

import (
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"slices"
	"strings"
	"time"

	"medunion.example/clients/go/access"
	"medunion.example/clients/go/client"
	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/protocol"
)

// names are what a person reads of Cert_D's subject: common name, title, department, organisation.
var names = []asn1.ObjectIdentifier{{2, 5, 4, 3}, {2, 5, 4, 12}, {2, 5, 4, 11}, {2, 5, 4, 10}}

// whoWords says who is in a room, by whose word, and where on duty: what a patient reads before it consents to anything.
func whoWords(seen *client.RoomView) []string {
	lines := []string{"You are about to visit " + seen.Doctor.Identity}
	if certificate, err := x509.ParseCertificate(seen.Doctor.Certificate); err == nil {
		for _, name := range names {
			for _, said := range certificate.Subject.Names {
				if text, isText := said.Value.(string); isText && said.Type.Equal(name) && text != seen.Doctor.Identity {
					lines = append(lines, "  "+text)
				}
			}
		}
	}
	return append(lines, "  certified by "+seen.Doctor.AuthorityID, "  "+dutyWords(seen.Duty))
}

func dutyWords(duty *access.Duty) string {
	return fmt.Sprintf("on duty at %s in %s, until %s", duty.HospitalID, listed(duty.DepartmentClasses, "no department"), moment(duty.Validity.NotAfter))
}

// offerWords says what a visit consents to, one thing a line.
func offerWords(offer *client.Offer, now protocol.Instant) []string {
	if offer == nil {
		return []string{"Nothing beyond this visit: no record of it is kept at the hospital, and none of yours is read."}
	}
	terms := offer.Terms
	grant := &access.Grant{
		Grantee:            offer.Grantee,
		Hospitals:          terms.Hospitals,
		DepartmentClasses:  terms.DepartmentClasses,
		HighestSensitivity: terms.HighestSensitivity,
		Rights:             terms.Rights,
		Validity:           access.Validity{NotBefore: now, NotAfter: now + uint64(terms.Life.Milliseconds())},
	}
	return append(grantWords(grant, "your"), "All else stays closed. You can take it back at any time.")
}

// grantWords says what a consent allows, one thing a line. Whose the records are is "your", or "the patient's".
func grantWords(grant *access.Grant, whose string) []string {
	lines := []string{fmt.Sprintf("For %s, until %s:", granteeWords(grant.Grantee), moment(grant.Validity.NotAfter))}
	where, what := listed(grant.Hospitals, "no hospital"), listed(grant.DepartmentClasses, "no department")
	if slices.Contains(grant.Hospitals, access.Any) {
		where = "every hospital"
	}
	if slices.Contains(grant.DepartmentClasses, access.Any) {
		what = "every department"
	}
	closed := ""
	if grant.HighestSensitivity == pb.Sensitivity_SENSITIVITY_RESTRICTED {
		closed = ", restricted ones too"
	}
	if grant.Gives(pb.Right_RIGHT_WRITE) {
		lines = append(lines, fmt.Sprintf("  - Keep the record of a visit at %s, in %s.", where, what))
	}
	switch finds, reads := grant.Gives(pb.Right_RIGHT_INDEX), grant.Gives(pb.Right_RIGHT_READ); {
	case finds && reads:
		lines = append(lines, fmt.Sprintf("  - Find and read %s records at %s, of %s%s.", whose, where, what, closed))
	case reads:
		lines = append(lines, fmt.Sprintf("  - Read %s records at %s, of %s%s.", whose, where, what, closed))
	case finds:
		lines = append(lines, fmt.Sprintf("  - See at which hospitals %s records of %s are, and read none.", whose, what))
	}
	if len(lines) == 1 {
		lines = append(lines, "  - Nothing.")
	}
	return lines
}

// granteeWords says whom a consent is for.
func granteeWords(grantee access.Grantee) string {
	switch grantee := grantee.(type) {
	case access.ToDoctor:
		return fmt.Sprintf("%s (certified by %s)", grantee.DoctorID, grantee.AuthorityID)
	case access.ToDepartment:
		return fmt.Sprintf("every doctor on duty in %s at %s", grantee.DepartmentClass, grantee.HospitalID)
	case access.ToHospital:
		return "every doctor on duty at " + grantee.HospitalID
	default:
		return "nobody that is known here"
	}
}

func listed(names []string, none string) string {
	last := len(names) - 1
	switch {
	case last < 0:
		return none
	case last == 0:
		return names[0]
	default:
		return strings.Join(names[:last], ", ") + " and " + names[last]
	}
}

func moment(at protocol.Instant) string { return time.UnixMilli(int64(at)).Format("2006-01-02 15:04") }
