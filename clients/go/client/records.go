package client

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"medunion.example/clients/go/access"
	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/protocol"
	"medunion.example/clients/go/refusal"
)

const (
	mostHandles        = 64
	mostRecordSessions = 64 // of one visit with hospitals: a diagnosis rests on so many signatures at most

	// DefaultMostRecords is how many bytes of records are taken, unless who asks wants more.
	DefaultMostRecords = 4_000_000_000
)

// Record is what one hospital released, in one session or several, whole and verified: signature, sizes and digests held. Close it.
type Record struct {
	HospitalID string
	Manifest   *pb.RecordManifest
	Digest     []byte // H(M_EMR)
	End        *pb.RecordEnd
	spool      *spool
}

// Close removes what was spooled.
func (r *Record) Close() { r.spool.close() }

// order is what one session asks for: records of one class at one hospital.
type order struct {
	location protocol.RecordLocation
	class    string
	handles  [][]byte
}

// ordersOf puts locations together: one session for each hospital and class.
func ordersOf(locations []protocol.RecordLocation) []order {
	var orders []order
	for _, location := range locations {
		class := classOf(location.DepartmentID)
		i := slices.IndexFunc(orders, func(o order) bool {
			return o.location.Hospital.Identity == location.Hospital.Identity && o.class == class && len(o.handles) < mostHandles
		})
		if i < 0 {
			orders, i = append(orders, order{location: location, class: class}), len(orders)
		}
		orders[i].handles = append(orders[i].handles, location.Handle)
	}
	return orders
}

// classOf gives the class of ID_HPC/class[.local].
func classOf(departmentID string) string {
	_, department, _ := strings.Cut(departmentID, "/")
	class, _, _ := strings.Cut(department, ".")
	return class
}

// Records looks for the patient's records and fetches them, one hospital after the other, MostRecords bytes in all, as far as the consent
// goes. What can't be had is told, and nothing more: the patient is waiting.
func (d *Doctor) Records(ctx context.Context, present *protocol.InConsultation) (records []*Record) {
	if !present.Grant.Gives(pb.Right_RIGHT_INDEX) || !present.Grant.Gives(pb.Right_RIGHT_READ) {
		d.Tell("Without consent to look for records, none is looked for.")
		return nil
	}
	classes := present.Grant.DepartmentClasses
	if slices.Contains(classes, access.Any) {
		classes = []string{access.Any}
	}
	shown := func(ctx context.Context) protocol.Shown {
		return protocol.ByConsent(present.Shown.PatientID, present.Shown.Consent(), d.onDuty(ctx))
	}
	locations, err := d.find(ctx, shown, classes)
	if refusal.Is(err, refusal.Unavailable) && present.Places() != nil {
		locations, err = d.brought(ctx, present)
	}
	if err != nil {
		d.Tell("The public cloud gave no whole answer. RECORDS FROM ELSEWHERE MAY BE MISSING: " + refusal.Plain(err))
	}
	d.fetchAll(ctx, shown, locations, mostRecordSessions, func(record *Record) { records = append(records, record) })
	return records
}

// fetchAll fetches what lies at these locations, in so many sessions at most and MostRecords bytes in all, and hands each record on as it comes.
// What can't be had is told, and stops nothing else; why is given by its hospital.
func (a *Asker) fetchAll(ctx context.Context, shown show, locations []protocol.RecordLocation, most int, take func(*Record)) map[string]refusal.Reason {
	missing, left, taken := map[string]refusal.Reason{}, a.MostRecords, 0
	for _, order := range ordersOf(locations) {
		record, err := (*Record)(nil), error(nil)
		if taken < most {
			record, err = a.fetch(ctx, shown, order, left)
		} else {
			err = refusal.New(refusal.LimitReached, "a diagnosis rests on the records of %d sessions at most", most)
		}
		if err != nil {
			hospital := order.location.Hospital.Identity
			a.Tell("RECORDS AT " + hospital + " ARE MISSING: " + refusal.Plain(err))
			missing[hospital] = refusal.Precise(err)
			continue
		}
		left, taken = left-record.spool.size, taken+1
		take(record)
	}
	return missing
}

// fetch takes what an order asks for, in as many sessions as it takes while more of it comes.
func (a *Asker) fetch(ctx context.Context, shown show, order order, most uint64) (*Record, error) {
	location := order.location
	coming := a.newIncoming(location.Hospital.Identity, most, func() (*session, error) {
		scope := &pb.Scope{Purpose: pb.Purpose_PURPOSE_READ.Enum(), DepartmentClass: proto.String(order.class), Handles: order.handles}
		intent := protocol.Intent{Shown: shown(ctx), Scope: scope, Blind: a.Member.entropy(32)}
		return a.openSession(ctx, location.Address, location.Hospital.Identity, location.Hospital, intent)
	})
	defer coming.close()
	return coming.take(ctx)
}

// fetchLog takes a page of a hospital's log, in one session.
func (a *Asker) fetchLog(ctx context.Context, intent protocol.Intent, location protocol.RecordLocation) (*Record, error) {
	hospital := location.Hospital.Identity
	coming := a.newIncoming(hospital, DefaultMostRecords, func() (*session, error) {
		return a.openSession(ctx, location.Address, hospital, location.Hospital, intent)
	})
	defer coming.close()
	return coming.once()
}

func (r *Record) read(take func(*pb.RecordEntry, *pb.RecordPart, io.Reader) error) error {
	reader, err := r.spool.reader()
	if err != nil {
		return err
	}
	return readRecord(reader, r.Manifest, take)
}

func skip(*pb.RecordEntry, *pb.RecordPart, io.Reader) error { return nil }

// Save writes every part to directory/<handle>/<the part's name>, unencrypted. It never writes over a file; the name of a part, which the
// hospital chose, leads nowhere else. A part that can't be written stops no other. Refuses with FILE_UNUSABLE, for the first of them.
func (r *Record) Save(directory string) error {
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return refusal.Because(err, refusal.FileUnusable, "records can't be saved there")
	}
	root, err := os.OpenRoot(directory)
	if err != nil {
		return refusal.Because(err, refusal.FileUnusable, "records can't be saved there")
	}
	defer root.Close()
	var failure error
	err = r.read(func(entry *pb.RecordEntry, part *pb.RecordPart, content io.Reader) error {
		failure = first(failure, savePart(root, hex.EncodeToString(entry.GetHandle()), part.GetName(), content))
		return nil
	})
	return first(err, failure)
}

func savePart(root *os.Root, handle, name string, content io.Reader) error {
	if !isPlainName(name) {
		return refusal.New(refusal.FileUnusable, "a part of a record has a name that is no file's: %q", name)
	}
	if err := root.Mkdir(handle, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return refusal.Because(err, refusal.FileUnusable, "a record can't be saved")
	}
	path := handle + "/" + name
	file, err := root.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return refusal.Because(err, refusal.FileUnusable, "a part of a record can't be saved")
	}
	_, err = io.Copy(file, content)
	if closed := file.Close(); err == nil {
		err = closed
	}
	if err != nil {
		root.Remove(path) // a piece of it would look like the whole
		return unwritten(err, refusal.FileUnusable, "a part of a record can't be saved")
	}
	return nil
}

// isPlainName says whether a name is a file's, without directories, not hidden, and safe to print.
func isPlainName(name string) bool {
	return name != "" && name[0] != '.' && !strings.ContainsFunc(name, func(char rune) bool {
		return char < ' ' || char > '~' || strings.ContainsRune(`/\:*?"<>|`, char)
	})
}
