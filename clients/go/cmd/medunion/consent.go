package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"medunion.example/clients/go/access"
	"medunion.example/clients/go/client"
	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/protocol"
	"medunion.example/clients/go/refusal"
	"medunion.example/clients/go/rules"
)

const (
	here       = "here"
	everywhere = "everywhere"
	purpose    = "consultation"
	mostHours  = 24 * 366
)

// lives is how long a consent lasts, by who it is for, unless the command line says otherwise.
var lives = map[string]time.Duration{
	"doctor": access.DoctorsLife, "department": access.DepartmentsLife, "hospital": access.HospitalsLife,
}

// asked is what the command line asks for when a patient consents: the narrowest, where nothing is said.
type asked struct {
	whom        string        // of lives
	class       string        // of whom, where one is named
	keep        bool          // the record of the visit
	read        []string      // where records may be read: here, everywhere, hospitals
	departments []string      // whose records; empty for what is usual
	restricted  bool          // those, too
	life        time.Duration // 0 for what is usual of whom
}

var consentOptions = []string{"for", "read", "no-keep", "department", "restricted", "hours"}

// askedOf names the options of a consent; what they say is there once they are read.
func askedOf(given *arguments) *asked {
	asked := &asked{whom: "doctor", keep: true}
	given.Func("for", "who the consent is for: doctor, department, department:CLASS or hospital", asked.setWhom)
	given.Func("read", "where your records may be found and read: here, everywhere or H:name; again for more", asked.addPlace)
	given.BoolFunc("no-keep", "the hospital may not keep the record of the visit", func(string) error {
		asked.keep = false
		return nil
	})
	given.Func("department", "records of this department class only; again for more", asked.addDepartment)
	given.BoolVar(&asked.restricted, "restricted", false, "records that are marked as restricted, too")
	given.Func("hours", "how long the consent lasts", asked.setHours)
	return asked
}

func (a *asked) setWhom(text string) error {
	whom, class, hasClass := strings.Cut(text, ":")
	if lives[whom] == 0 || hasClass && (whom != "department" || !rules.Matches(pb.Kind_KIND_DEPARTMENT_CLASS, class)) {
		return fmt.Errorf("%q is none of doctor, department, department:CLASS, hospital", text)
	}
	a.whom, a.class = whom, class
	return nil
}

func (a *asked) addPlace(text string) error {
	if text != here && text != everywhere && !rules.Matches(pb.Kind_KIND_HOSPITAL_ID, text) {
		return fmt.Errorf("%q is none of here, everywhere, H:name", text)
	}
	a.read = append(a.read, text)
	return nil
}

func (a *asked) addDepartment(text string) error {
	if !rules.Matches(pb.Kind_KIND_DEPARTMENT_CLASS, text) {
		return fmt.Errorf("%q is no department class", text)
	}
	a.departments = append(a.departments, text)
	return nil
}

func (a *asked) setHours(text string) error {
	hours, err := strconv.ParseFloat(text, 64)
	if err != nil || !(hours > 0 && hours <= mostHours) {
		return fmt.Errorf("hours lie between 0 and %d", mostHours)
	}
	a.life = time.Duration(hours * float64(time.Hour))
	return nil
}

// requirePublished requires department classes that the federation has: a consent to others would open nothing.
func (a *asked) requirePublished(anchors *protocol.Anchors) error {
	named := a.departments
	if a.class != "" {
		named = append(slices.Clone(named), a.class)
	}
	for _, class := range named {
		if !anchors.Publishes(class) {
			return refusal.New(refusal.FieldInvalid, "%q: the federation has the departments %s", class, strings.Join(anchors.DepartmentClasses, ", "))
		}
	}
	return nil
}

// offer gives the consent for the doctor who was looked at, nil for nothing beyond the visit. Refuses with DUTY_INVALID where the department
// has to be named.
func (a *asked) offer(seen *client.RoomView) (*client.Offer, error) {
	if !a.keep && len(a.read) == 0 {
		return nil, nil
	}
	grantee, err := a.grantee(seen)
	if err != nil {
		return nil, err
	}
	terms := protocol.Terms{
		Hospitals:          a.hospitals(seen.Duty),
		DepartmentClasses:  a.classes(seen.Duty),
		HighestSensitivity: pb.Sensitivity_SENSITIVITY_NORMAL,
		Purpose:            purpose,
		Life:               a.life,
	}
	if len(a.read) > 0 {
		terms.Rights = append(terms.Rights, pb.Right_RIGHT_INDEX, pb.Right_RIGHT_READ)
	}
	if a.keep {
		terms.Rights = append(terms.Rights, pb.Right_RIGHT_WRITE)
	}
	if a.restricted {
		terms.HighestSensitivity = pb.Sensitivity_SENSITIVITY_RESTRICTED
	}
	if terms.Life == 0 {
		terms.Life = lives[a.whom]
	}
	return &client.Offer{Grantee: grantee, Terms: terms}, nil
}

func (a *asked) grantee(seen *client.RoomView) (access.Grantee, error) {
	duty := seen.Duty
	switch {
	case a.whom == "hospital":
		return access.ToHospital{HospitalID: duty.HospitalID}, nil
	case a.whom == "department" && a.class != "":
		return access.ToDepartment{HospitalID: duty.HospitalID, DepartmentClass: a.class}, nil
	case a.whom == "department" && len(duty.DepartmentClasses) != 1:
		return nil, refusal.New(refusal.DutyInvalid, "--for department:CLASS, of the departments where the doctor is on duty: %s",
			strings.Join(duty.DepartmentClasses, ", "))
	case a.whom == "department":
		return access.ToDepartment{HospitalID: duty.HospitalID, DepartmentClass: duty.DepartmentClasses[0]}, nil
	default:
		return access.ToDoctor{DoctorID: seen.Doctor.Identity, AuthorityID: seen.Doctor.AuthorityID}, nil
	}
}

func (a *asked) hospitals(duty *access.Duty) (hospitals []string) {
	if slices.Contains(a.read, everywhere) {
		return []string{access.Any}
	}
	if a.keep {
		hospitals = []string{duty.HospitalID}
	}
	for _, place := range a.read {
		if place == here {
			place = duty.HospitalID
		}
		if !slices.Contains(hospitals, place) {
			hospitals = append(hospitals, place)
		}
	}
	return hospitals
}

// classes gives the departments that are meant: what is only kept stays in those where the doctor works, who lets records be read means those
// of all.
func (a *asked) classes(duty *access.Duty) []string {
	switch {
	case len(a.departments) > 0:
		return a.departments
	case len(a.read) == 0 && len(duty.DepartmentClasses) > 0:
		return duty.DepartmentClasses
	default:
		return []string{access.Any}
	}
}
