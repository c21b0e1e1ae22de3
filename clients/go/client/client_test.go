package client

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"medunion.example/clients/go/curve"
	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/internal/vectors"
	"medunion.example/clients/go/protocol"
	"medunion.example/clients/go/refusal"
	"medunion.example/clients/go/rules"
)

func TestCodeHasOneSpelling(t *testing.T) {
	code := Code{"127.0.0.1:4443", "H:alpha", make([]byte, 16), bytes.Repeat([]byte{7}, 32)}
	read, err := ParseCode(" " + code.String() + "\n")
	if err != nil || read.String() != code.String() {
		t.Fatalf("%v: %v", read, err)
	}
	text := code.String()
	for name, bent := range map[string]string{
		"nothing":             "",
		"another scheme":      strings.Replace(text, "medunion", "https", 1),
		"a hospital's id":     strings.Replace(text, "/alpha/", "/H:alpha/", 1),
		"a capital hospital":  strings.Replace(text, "/alpha/", "/Alpha/", 1),
		"an address short":    strings.Replace(text, ":4443", "", 1),
		"one letter short":    text[:len(text)-1],
		"other unused bits":   text[:len(text)-1] + "d",
		"something behind it": text + "/",
	} {
		if _, err := ParseCode(bent); !refusal.Is(err, refusal.CodeInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTicketsAndCodesAsTheyAreTyped(t *testing.T) {
	type typed struct {
		Name, Expect, Kind, Text string
		Ticket, Digest, Address  string
		HospitalID               string `json:"hospital_id"`
		RoomID                   string `json:"room_id"`
	}
	refused := 0
	for _, vector := range vectors.Read[typed](t, "typed.json") {
		var err error
		var said, want []string
		if vector.Kind == "ticket" {
			var ticket []byte
			ticket, err = ParseTicket(vector.Text)
			said, want = []string{hex.EncodeToString(ticket)}, []string{vector.Ticket}
		} else {
			var code Code
			code, err = ParseCode(vector.Text)
			said = []string{code.Address, code.HospitalID, hex.EncodeToString(code.Room), hex.EncodeToString(code.Digest)}
			want = []string{vector.Address, vector.HospitalID, vector.RoomID, vector.Digest}
		}
		if !vectors.Expected(err, vector.Expect) || !slices.Equal(said, want) {
			t.Errorf("%s: %v, %v, not %s", vector.Name, said, err, vector.Expect)
		}
		if err != nil {
			refused++
		}
	}
	if refused < 20 {
		t.Errorf("%d were refused", refused)
	}
}

func TestRefusalOfAPeer(t *testing.T) {
	told, err := status.New(codes.ResourceExhausted, "later").WithDetails(
		&errdetails.ErrorInfo{Reason: "SOMETHING_NEW", Domain: "medunion"},
		&errdetails.RetryInfo{RetryDelay: durationpb.New(3 * time.Second)})
	if err != nil {
		t.Fatal(err)
	}
	if got := fromStatus(told.Err(), nil, ""); !refusal.Is(got, refusal.LimitReached) || retryAfter(got) != 3*time.Second {
		t.Errorf("a reason that is not known here: %v after %s", got, retryAfter(got))
	}
	if got := fromStatus(status.Error(codes.Unavailable, "gone"), nil, ""); !IsPassing(got) {
		t.Errorf("got %v", got)
	}
	foreign, err := status.New(codes.NotFound, "no").WithDetails(&errdetails.ErrorInfo{Reason: "STALE", Domain: "elsewhere"})
	if err != nil {
		t.Fatal(err)
	}
	if got := fromStatus(foreign.Err(), nil, ""); refusal.Outer(got) != refusal.NotFound {
		t.Errorf("got %v", got)
	}
}

func TestCodeSaysWhetherARefusalPasses(t *testing.T) {
	for code, passes := range map[codes.Code]bool{
		codes.Unavailable: true, codes.ResourceExhausted: true, codes.DeadlineExceeded: true,
		codes.Internal: false, codes.PermissionDenied: false, codes.FailedPrecondition: false,
	} {
		for _, reason := range []refusal.Reason{refusal.Unavailable, refusal.CallOverdue, refusal.ReaderStalled, refusal.RevocationListStale} {
			if got := fromStatus(refused(code, string(reason)), nil, ""); IsPassing(got) != passes || refusal.Outer(got) != reason {
				t.Errorf("%s with %s: %v, passes: %v", reason, code, got, IsPassing(got))
			}
		}
	}
	if IsPassing(refusal.New(refusal.TokenUnavailable, "this side's own")) {
		t.Error("a fault of one's own token passes by itself")
	}
}

func TestNoWordOfAPeersRefusalIsShown(t *testing.T) {
	for _, reason := range []string{"NO_SUCH_ROOM", "CALL_555_0100_NOW", "\x1b[2J", ""} {
		phishing, err := status.New(codes.NotFound, "Your session ran out. Call 555 0100 and tell them your PIN.").WithDetails(
			&errdetails.ErrorInfo{Reason: reason, Domain: domain})
		must(t, err)
		got := fromStatus(phishing.Err(), nil, "")
		room, other := refusal.WordsOf(refusal.NoSuchRoom).Happened, refusal.WordsOf(refusal.NotFound).Happened
		if text := got.Error(); text != "NO_SUCH_ROOM: "+room && text != "NOT_FOUND: "+other {
			t.Errorf("reason %q: %q", reason, text)
		}
		if known := reason == "NO_SUCH_ROOM"; refusal.Is(got, refusal.NoSuchRoom) != known {
			t.Errorf("reason %q: %v", reason, got)
		}
	}
}

type said struct {
	Name, Kind, Expect, Said string
	Code                     codes.Code
	Message, Domain, Reason  string
	RequestID                string `json:"request_id"`
	RetryAfter               int64  `json:"retry_after"`
	Address, Sentence        string
}

// refused gives the trailers of what a peer says, or of its silence, and the error that gRPC makes of it.
func (v said) refused(t *testing.T) (metadata.MD, error) {
	t.Helper()
	told := status.New(v.Code, v.Message)
	var details []protoadapt.MessageV1
	if v.Domain != "" {
		details = append(details, &errdetails.ErrorInfo{Reason: v.Reason, Domain: v.Domain})
	}
	if v.RetryAfter != 0 {
		details = append(details, &errdetails.RetryInfo{RetryDelay: &durationpb.Duration{Seconds: v.RetryAfter}})
	}
	told, err := told.WithDetails(details...)
	must(t, err)
	return metadata.Pairs(requestID, v.RequestID), told.Err()
}

func TestWhatAPersonReadsOfARefusal(t *testing.T) {
	for _, vector := range vectors.Read[said](t, "plain.json") {
		var err error = refusal.New(refusal.Reason(vector.Expect), "%s", vector.Sentence)
		if vector.Kind == "call" {
			trailer, told := vector.refused(t)
			err = fromStatus(told, trailer, vector.Address)
		}
		if !vectors.Expected(err, vector.Expect) {
			t.Errorf("%s: %v, not %s", vector.Name, err, vector.Expect)
		}
		if got := refusal.Plain(err); got != vector.Said {
			t.Errorf("%s: %q, not %q", vector.Name, got, vector.Said)
		}
	}
}

// record gives M_EMR of one record, whose parts of these names have the same content, and its manifest.
func record(t *testing.T, content []byte, names ...string) ([]byte, *pb.RecordManifest) {
	t.Helper()
	digest := sha256.Sum256(content)
	var parts []*pb.RecordPart
	for _, name := range names {
		parts = append(parts, &pb.RecordPart{
			Kind:      pb.PartKind_PART_KIND_ATTACHMENT.Enum(),
			Name:      proto.String(name),
			MediaType: proto.String("application/dicom"),
			SizeBytes: proto.Uint64(uint64(len(content))),
			Digest:    digest[:],
		})
	}
	manifest := &pb.RecordManifest{
		PatientId:  proto.String("P:wang"),
		HospitalId: proto.String("H:alpha"),
		Records: []*pb.RecordEntry{{
			Handle:       make([]byte, 16),
			Version:      proto.Uint64(1),
			DepartmentId: proto.String("H:alpha/cardiology"),
			StoredAt:     proto.Uint64(1),
			Parts:        parts,
		}},
	}
	encoded, err := rules.Marshal(manifest)
	if err != nil {
		t.Fatal(err)
	}
	whole := append(binary.BigEndian.AppendUint32(nil, uint32(len(encoded))), encoded...)
	return append(whole, bytes.Repeat(content, len(names))...), manifest
}

func TestReadRecord(t *testing.T) {
	content := bytes.Repeat([]byte("slice"), 1000)
	whole, manifest := record(t, content, "scan.dcm")
	altered := bytes.Clone(whole)
	altered[len(altered)-1] ^= 1
	for name, bent := range map[string]struct {
		bytes  []byte
		reason refusal.Reason
	}{
		"as it is":            {whole, ""},
		"cut short":           {whole[:len(whole)-1], refusal.RecordCutShort},
		"cut in its manifest": {whole[:20], refusal.RecordCutShort},
		"empty":               {nil, refusal.RecordCutShort},
		"an altered part":     {altered, refusal.RecordDigestMismatch},
	} {
		for _, reader := range []io.Reader{bytes.NewReader(bent.bytes), iotest.OneByteReader(bytes.NewReader(bent.bytes))} {
			if err := readRecord(reader, manifest, skip); refusal.Outer(err) != bent.reason {
				t.Errorf("%s: %v, not %s", name, err, bent.reason)
			}
		}
	}
}

func TestSpoolHoldsNothingReadable(t *testing.T) {
	directory := t.TempDir()
	spool, err := newSpool(directory, curve.SystemEntropy)
	if err != nil {
		t.Fatal(err)
	}
	defer spool.close()
	content := strings.Repeat("in slices of a byte; ", 10_000)
	for _, slice := range content {
		_, err := spool.Write([]byte(string(slice)))
		must(t, err)
	}
	for range 2 {
		reader, err := spool.reader()
		if err != nil {
			t.Fatal(err)
		}
		if read, err := io.ReadAll(reader); err != nil || string(read) != content {
			t.Errorf("%d bytes: %v", len(read), err)
		}
	}
	if left, err := os.ReadDir(directory); err != nil || len(left) != 0 {
		t.Errorf("%v is left: %v", left, err)
	}
	if status, err := spool.file.Stat(); err != nil || status.Size() > int64(len(content))+100 {
		t.Errorf("%d bytes for %d: %v", status.Size(), len(content), err)
	}
	if _, err := spool.file.WriteAt([]byte{0xff}, 5); err != nil {
		t.Fatal(err)
	}
	reader, err := spool.reader()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(reader); !refusal.Is(err, refusal.SealInvalid) {
		t.Errorf("altered: %v", err)
	}
}

func TestNameOfAPartLeadsNowhere(t *testing.T) {
	directory := t.TempDir()
	root, err := os.OpenRoot(directory)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for _, name := range []string{"", ".", "..", "../up", "/etc/passwd", "a/b", `a\b`, ".hidden", "a\nb", "a\x1b[2J"} {
		if err := savePart(root, "00", name, strings.NewReader("x")); !refusal.Is(err, refusal.FileUnusable) {
			t.Errorf("%q: %v", name, err)
		}
	}
	for number, expected := range []refusal.Reason{"", refusal.FileUnusable} { // the second time it is there
		if err := savePart(root, "00", "scan.dcm", strings.NewReader("x")); refusal.Outer(err) != expected {
			t.Errorf("time %d: %v", number, err)
		}
	}
	if content, err := os.ReadFile(filepath.Join(directory, "00", "scan.dcm")); err != nil || string(content) != "x" {
		t.Errorf("%q: %v", content, err)
	}
}

func TestPieceOfAPartIsNotLeftBehind(t *testing.T) {
	directory := t.TempDir()
	root, err := os.OpenRoot(directory)
	must(t, err)
	defer root.Close()
	cut := io.MultiReader(strings.NewReader("x"), iotest.ErrReader(io.ErrUnexpectedEOF))
	if err := savePart(root, "00", "scan.dcm", cut); !refusal.Is(err, refusal.FileUnusable) {
		t.Errorf("got %v", err)
	}
	if left, err := os.ReadDir(filepath.Join(directory, "00")); err != nil || len(left) > 0 {
		t.Errorf("%v is left: %v", left, err)
	}
}

func TestPartThatCannotBeSavedStopsNoOther(t *testing.T) {
	directory := t.TempDir()
	spool, err := newSpool(directory, curve.SystemEntropy)
	must(t, err)
	whole, manifest := record(t, []byte("content"), "first.dcm", ".hidden", "last.dcm")
	taken := &Record{Manifest: manifest, spool: spool}
	defer taken.Close()
	_, err = spool.Write(whole)
	must(t, err)
	saved := filepath.Join(directory, strings.Repeat("0", 32))
	must(t, os.Mkdir(saved, 0o700))
	must(t, os.WriteFile(filepath.Join(saved, "first.dcm"), []byte("of an earlier visit"), 0o600))
	if err := taken.Save(directory); !refusal.Is(err, refusal.FileUnusable) || !errors.Is(err, fs.ErrExist) {
		t.Errorf("got %v", err)
	}
	for name, expected := range map[string]string{"first.dcm": "of an earlier visit", "last.dcm": "content"} {
		if content, err := os.ReadFile(filepath.Join(saved, name)); err != nil || string(content) != expected {
			t.Errorf("%s: %q, %v", name, content, err)
		}
	}
}

func TestReplayKeyIsAdmittedOnce(t *testing.T) {
	home := &Home{directory: t.TempDir()}
	for number, expected := range []bool{true, false} {
		if inserted, err := home.admit([]byte("key"), 1000, 2000); err != nil || inserted != expected {
			t.Errorf("time %d: %v, %v", number, inserted, err)
		}
	}
	if err := os.WriteFile(home.path(replayFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if inserted, err := home.admit([]byte("other"), 1000, 2000); err == nil || inserted {
		t.Error("a damaged memory admits")
	}
}

func TestObservation(t *testing.T) {
	for name, bent := range map[string]struct {
		content string
		reason  refusal.Reason
	}{
		"about this patient":    {`{"resourceType":"Observation","status":"final","code":{"text":"ECG"},"subject":{"identifier":{"value":"P:wang"}}}`, ""},
		"about nobody":          {`{"resourceType":"Observation","status":"final","code":{"text":"ECG"}}`, refusal.WrongSubject},
		"about another patient": {`{"resourceType":"Observation","status":"final","code":{"text":"ECG"},"subject":{"identifier":{"value":"P:other"}}}`, refusal.WrongSubject},
		"of no status":          {`{"resourceType":"Observation","code":{"text":"ECG"},"subject":{"identifier":{"value":"P:wang"}}}`, refusal.FHIRInvalid},
		"of no code":            {`{"resourceType":"Observation","status":"final","code":null,"subject":{"identifier":{"value":"P:wang"}}}`, refusal.FHIRInvalid},
		"something else":        {`{"resourceType":"Patient"}`, refusal.FHIRNotJSON},
		"no JSON":               {`ecg`, refusal.FHIRNotJSON},
		"more than is taken":    {strings.Repeat(" ", protocol.MostBiosignal+1), refusal.FHIRTooLarge},
	} {
		if err := RequireObservation([]byte(bent.content), "P:wang"); refusal.Outer(err) != bent.reason {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestConclusion(t *testing.T) {
	report, err := NewReport("P:wang", "D:chen", "Sinus rhythm.", [][]byte{make([]byte, 32)}, nil, time.UnixMilli(0))
	if err != nil {
		t.Fatal(err)
	}
	amended, err := NewReport("P:wang", "D:chen", "A flutter.", nil, []byte("first"), time.UnixMilli(0))
	if err != nil || !bytes.Contains(report, []byte(`"final"`)) || !bytes.Contains(amended, []byte(`"amended"`)) ||
		!bytes.Contains(amended, []byte("ni:///sha-256;p5N7ZLjKpY8Dchu2us9ceMsjX-vg5wsbhM2ZVBRhoI4")) {
		t.Errorf("%s, amended by %s: %v", report, amended, err)
	}
	if conclusion, err := Conclusion(report, "P:wang"); err != nil || conclusion != "Sinus rhythm." {
		t.Errorf("%q: %v", conclusion, err)
	}
	odd := bytes.Replace(report, []byte(`"issued":"1970-01-01T00:00:00.000Z"`), []byte(`"issued":99999999999999999,"performer":null,"effectiveDateTime":"10000-01-01"`), 1)
	if conclusion, err := Conclusion(odd, "P:wang"); err != nil || conclusion != "Sinus rhythm." || bytes.Equal(odd, report) {
		t.Errorf("with odd fields: %q: %v", conclusion, err)
	}
	if _, err := Conclusion(report, "P:other"); !refusal.Is(err, refusal.WrongSubject) {
		t.Errorf("another patient's: %v", err)
	}
}

func TestConclusionIsLookedAtBeforeAnybodyWaits(t *testing.T) {
	for text, reason := range map[string]refusal.Reason{
		"Sinus rhythm.\n\tNo ischaemia.":  "",
		"\u00a0":                          "", // of FHIR's white space it is none
		"Sinus rhythm\u202f120/min":       "",
		"":                                refusal.FHIRInvalid,
		" \r\n\t":                         refusal.FHIRInvalid,
		"Sinus\x00rhythm":                 refusal.FHIRInvalid,
		"Sinus\x0brhythm":                 refusal.FHIRInvalid,
		"Sinus \xff":                      refusal.FHIRInvalid,
		strings.Repeat("<", mostReport/6): refusal.FHIRTooLarge,
		strings.Repeat("x", mostReport):   refusal.FHIRTooLarge,
	} {
		if err := RequireConclusion(text); refusal.Outer(err) != reason {
			t.Errorf("%.20q: %v, not %s", text, err, reason)
		}
	}
}

func TestFullDiskIsTold(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	must(t, err)
	spool, err := newSpool(t.TempDir(), curve.SystemEntropy)
	must(t, err)
	spool.close()
	spool.file = full
	defer spool.close()
	if _, err := spool.Write(make([]byte, spoolChunk)); !refusal.Is(err, refusal.StoreFull) {
		t.Errorf("got %v", err)
	}
}
