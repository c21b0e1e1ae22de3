package access

import (
	"encoding/csv"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/refusal"
)

const (
	epoch     = 1_000_000_000 // of the table, in seconds after the Unix epoch
	fewest    = 420           // rows: a file that is overlooked is noticed
	notOnFile = "not-on-file"
)

// row is one row of the decision table: a cell for each column.
type row struct {
	t     *testing.T
	cells map[string]string
}

// TestDecisions holds the decision to tests/decisions, whose README says how they are read.
func TestDecisions(t *testing.T) {
	directory, defaults := table(t), map[string]string{}
	for _, line := range read(t, filepath.Join(directory, "defaults.csv")) {
		defaults[line["column"]] = line["default"]
	}
	files, err := filepath.Glob(filepath.Join(directory, "*.csv"))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, file := range files {
		if filepath.Base(file) == "defaults.csv" {
			continue
		}
		for _, line := range read(t, file) {
			if seen[line["name"]] {
				t.Errorf("%s: there are two %s", filepath.Base(file), line["name"])
			}
			seen[line["name"]] = true
			t.Run(line["name"], func(t *testing.T) { decided(t, defaults, line) })
		}
	}
	if len(seen) < fewest {
		t.Errorf("%d rows", len(seen))
	}
}

func decided(t *testing.T, defaults, line map[string]string) {
	cells := maps.Clone(defaults)
	for column, cell := range line {
		if _, known := defaults[column]; !known && !slices.Contains([]string{"name", "source", "expect"}, column) {
			t.Fatalf("there is no column %s", column)
		}
		if cell != "" {
			cells[column] = cell
		}
	}
	tried := row{t: t, cells: cells}
	shown, question := tried.access(), tried.question()
	sensitivity := number[pb.Sensitivity](tried, "record.sensitivity", pb.Sensitivity_value, "SENSITIVITY_")
	allowed, err := Decide(shown, question, tried.standing(), tried.policy(), tried.time("now"))
	got := string(refusal.Outer(err))
	if err == nil {
		got = allowed.Ground
		if hospital := tried.known("record.hospital"); hospital != "" &&
			!allowed.Shows(hospital, cells["record.class"], cells["record.handle"], sensitivity) {
			got = notOnFile
		}
	}
	if got != line["expect"] {
		t.Errorf("%s (%v), not %s", got, err, line["expect"])
	}
}

func (r row) access() Access {
	switch ground := r.cells["ground"]; ground {
	case "consent":
		return Consent{r.grant(), r.deputyship(), r.duty()}
	case "own":
		return OwnAccess{r.deputyship()}
	case "emergency":
		return Emergency{
			ID:             make([]byte, 16),
			PatientID:      r.cells["emergency.patient"],
			DoctorID:       r.cells["emergency.doctor"],
			Hospital:       r.cells["emergency.hospital"],
			ReasonCode:     r.cells["emergency.reason"],
			SecondDoctorID: r.known("emergency.second"),
			Validity:       r.validity("emergency"),
			Duty:           r.duty(),
		}
	case "none":
		return nil
	default:
		r.t.Fatalf("there is no ground %s", ground)
		return nil
	}
}

func (r row) grant() Grant {
	return Grant{
		ID:                 make([]byte, 16),
		PatientID:          r.cells["grant.patient"],
		SignerID:           r.cells["grant.signer"],
		Grantee:            r.grantee(),
		Hospitals:          r.list("grant.hospitals"),
		DepartmentClasses:  r.list("grant.classes"),
		HighestSensitivity: number[pb.Sensitivity](r, "grant.highest", pb.Sensitivity_value, "SENSITIVITY_"),
		Rights:             numbers[pb.Right](r, "grant.rights", pb.Right_value, "RIGHT_"),
		StatedAt:           r.time("grant.stated_at"),
		Validity:           r.validity("grant"),
	}
}

func (r row) grantee() Grantee {
	switch words := r.list("grant.grantee"); {
	case len(words) == 0:
		return nil
	case words[0] == "doctor" && len(words) == 3:
		return ToDoctor{words[1], words[2]}
	case words[0] == "department" && len(words) == 3:
		return ToDepartment{words[1], words[2]}
	case words[0] == "hospital" && len(words) == 2:
		return ToHospital{words[1]}
	default:
		r.t.Fatalf("there is no grantee %v", words)
		return nil
	}
}

func (r row) deputyship() *Deputyship {
	kind := r.known("deputyship.kind")
	if kind == "" {
		return nil
	}
	return &Deputyship{
		Kind:      kind,
		ID:        make([]byte, 16),
		PatientID: r.cells["deputyship.patient"],
		DeputyID:  r.cells["deputyship.deputy"],
		Powers:    numbers[pb.Power](r, "deputyship.powers", pb.Power_value, "POWER_"),
		StatedAt:  r.time("deputyship.stated_at"),
		Validity:  r.validity("deputyship"),
	}
}

func (r row) duty() *Duty {
	hospital := r.known("duty.hospital")
	if hospital == "" {
		return nil
	}
	return &Duty{
		ID:                make([]byte, 16),
		HospitalID:        hospital,
		DoctorID:          r.cells["duty.doctor"],
		DepartmentClasses: r.list("duty.classes"),
		Validity:          r.validity("duty"),
	}
}

func (r row) question() Question {
	right := NoRight
	if r.known("question.right") != "" {
		right = number[pb.Right](r, "question.right", pb.Right_value, "RIGHT_")
	}
	return Question{
		Asker: Asker{
			Role:        number[pb.Role](r, "asker.role", pb.Role_value, "ROLE_"),
			Identity:    r.cells["asker.id"],
			AuthorityID: r.known("asker.authority"),
		},
		Right:           right,
		PatientID:       r.cells["question.patient"],
		HospitalID:      r.known("question.hospital"),
		DepartmentClass: r.known("question.class"),
	}
}

func (r row) standing() Standing {
	standing := Standing{
		Revoked:            r.listOf("standing.revoked", "grant", "deputyship", "duty"),
		EmergencyOverrides: r.isSo("standing.emergency_overrides"),
		Exhausted:          r.listOf("standing.exhausted", "accesses", "emergencies"),
	}
	for _, hidden := range r.list("standing.hidden") {
		parts := strings.Split(hidden, "/")
		if len(parts) != 3 {
			r.t.Fatalf("nothing is hidden by %s", hidden)
		}
		standing.Hidden = append(standing.Hidden, Hidden{parts[0], parts[1], parts[2]})
	}
	return standing
}

func (r row) policy() Policy {
	policy := Policy{Skew: time.Duration(r.seconds("policy.skew")) * time.Second}
	if r.isSo("policy.emergency") {
		policy.Emergency = &EmergencyPolicy{r.list("policy.reasons"), r.list("policy.duty_classes"), r.isSo("policy.second")}
	}
	return policy
}

// known gives a cell, or nothing where there is none.
func (r row) known(column string) string {
	if r.cells[column] == "-" {
		return ""
	}
	return r.cells[column]
}

func (r row) list(column string) []string { return strings.Fields(r.known(column)) }

// listOf gives a list of words of which there are no others.
func (r row) listOf(column string, known ...string) []string {
	listed := r.list(column)
	for _, word := range listed {
		if !slices.Contains(known, word) {
			r.t.Fatalf("%s has no %s", column, word)
		}
	}
	return listed
}

func (r row) isSo(column string) bool {
	is, isKnown := map[string]bool{"yes": true, "no": false}[r.cells[column]]
	if !isKnown {
		r.t.Fatalf("%s is %s", column, r.cells[column])
	}
	return is
}

func (r row) seconds(column string) int64 {
	seconds, err := strconv.ParseInt(r.cells[column], 10, 64)
	if err != nil {
		r.t.Fatalf("%s: %v", column, err)
	}
	return seconds
}

func (r row) time(column string) Instant { return Instant(epoch+r.seconds(column)) * 1000 }

func (r row) validity(of string) Validity {
	return Validity{r.time(of + ".not_before"), r.time(of + ".not_after")}
}

// number gives the value of an enumeration: of its word in lower case, or of a number that nobody knows.
func number[E ~int32](r row, column string, values map[string]int32, prefix string) E {
	return numbered[E](r, r.cells[column], values, prefix)
}

func numbers[E ~int32](r row, column string, values map[string]int32, prefix string) (all []E) {
	for _, word := range r.list(column) {
		all = append(all, numbered[E](r, word, values, prefix))
	}
	return all
}

func numbered[E ~int32](r row, word string, values map[string]int32, prefix string) E {
	if value, isKnown := values[prefix+strings.ToUpper(word)]; isKnown {
		return E(value)
	}
	value, err := strconv.ParseInt(word, 10, 32)
	if err != nil {
		r.t.Fatalf("there is no %s%s", prefix, word)
	}
	return E(value)
}

// read reads a file of the table: a map by the header for each line.
func read(t *testing.T, path string) (lines []map[string]string) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	all, err := csv.NewReader(file).ReadAll() // refuses a line with more or fewer cells than the header
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	for _, cells := range all[1:] {
		line := map[string]string{}
		for i, column := range all[0] {
			line[column] = cells[i]
		}
		lines = append(lines, line)
	}
	return lines
}

func table(t *testing.T) string {
	t.Helper()
	for up := "."; len(up) < 64; up = filepath.Join(up, "..") {
		found := filepath.Join(up, "tests", "decisions")
		if _, err := os.Stat(filepath.Join(found, "defaults.csv")); err == nil {
			return found
		}
	}
	t.Fatal("tests/decisions is not above this directory")
	return ""
}

func TestEmergencyHasADuty(t *testing.T) {
	emergency := Emergency{PatientID: "P:wang", DoctorID: "D:chen", Hospital: Any, ReasonCode: "unconscious", Validity: Validity{1000, 2000}}
	question := Question{Asker: Asker{Role: pb.Role_ROLE_DOCTOR, Identity: "D:chen", AuthorityID: "M:board"}, Right: pb.Right_RIGHT_READ, PatientID: "P:wang"}
	policy := Policy{Emergency: &EmergencyPolicy{Reasons: []string{"unconscious"}, DutyClasses: []string{Any}}}
	if _, err := Decide(emergency, question, Standing{}, policy, 1500); !refusal.Is(err, refusal.DutyMissing) {
		t.Errorf("an emergency without a duty: %v", err)
	}
}

func TestWhatIsLeftOutIsNotAllowed(t *testing.T) {
	question := Question{Asker: Asker{Role: pb.Role_ROLE_DOCTOR, Identity: "D:chen"}, PatientID: "P:wang"}
	grant := Grant{PatientID: "P:wang", SignerID: "P:wang", Grantee: ToDoctor{DoctorID: "D:chen"}, Validity: Validity{1000, 2000}}
	if _, err := Decide(Consent{Grant: grant}, question, Standing{}, Policy{}, 1500); !refusal.Is(err, refusal.GrantInvalid) {
		t.Errorf("a doctor of no authority: %v", err)
	}
	if !(Hidden{}).hides("H:alpha", "cardiology", "a1") {
		t.Error("what is hidden by no name is not everything")
	}
	if (&Allowed{Hospitals: []string{Any}, DepartmentClasses: []string{Any}}).Shows("H:alpha", "cardiology", "a1", pb.Sensitivity_SENSITIVITY_NORMAL) {
		t.Error("an access of no sensitivity shows a record")
	}
}

func TestClassesAreThoseOfBoth(t *testing.T) {
	published := []string{"radiology", "cardiology", "neurology"}
	for asked, expected := range map[string]string{"*": "cardiology radiology", "radiology": "radiology", "neurology": "", "oncology": ""} {
		allowed := &Allowed{DepartmentClasses: []string{"radiology", "cardiology"}}
		classes, err := allowed.Classes(asked, published)
		if got := strings.Join(classes, " "); got != expected || (expected == "") != refusal.Is(err, refusal.GrantScope) {
			t.Errorf("%s: %s, %v", asked, got, err)
		}
	}
	if classes, err := (&Allowed{DepartmentClasses: []string{Any}}).Classes(Any, published); err != nil || len(classes) != 3 {
		t.Errorf("all: %v, %v", classes, err)
	}
}
