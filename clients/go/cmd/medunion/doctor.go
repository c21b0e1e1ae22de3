package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"medunion.example/clients/go/client"
	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/protocol"
	"medunion.example/clients/go/refusal"
	"medunion.example/clients/go/rules"
	"medunion.example/clients/go/transcript"
)

const (
	requestName = "certificate-request.der"
	patientTime = time.Hour
	receiptTime = time.Minute
)

func initDoctor(_ context.Context, given *arguments) (any, error) {
	trust := given.String("trust", "", "the federation's trust.json")
	identity := given.String("identity", "", "who you are: D:name")
	token := given.String("token", "", "RFC 7512 URI of the token that holds the keys, in place of a file")
	if err := given.read(0, "token"); err != nil {
		return nil, err
	}
	home, err := given.create(pb.Kind_KIND_DOCTOR_ID, *identity, *trust, *token)
	if err != nil {
		return nil, err
	}
	defer home.Close()
	template := &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: *identity},
		URIs:    []*url.URL{{Scheme: "urn", Opaque: "medunion:" + *identity}},
	}
	request, err := x509.CreateCertificateRequest(rand.Reader, template, home.Store.Signer())
	if err != nil {
		return nil, err
	}
	path := home.Path(requestName)
	if err := os.WriteFile(path, request, 0o600); err != nil {
		return nil, refusal.Because(err, refusal.FileUnusable, "the certificate request can't be written")
	}
	return map[string]string{"request": path}, nil
}

func registerDoctor(ctx context.Context, given *arguments) (any, error) {
	file := given.String("certificate", "", "your certificate, DER or PEM")
	if err := given.read(0); err != nil {
		return nil, err
	}
	certificate, err := readCertificate(*file)
	if err != nil {
		return nil, err
	}
	at, err := given.begin(given.open())
	if err != nil {
		return nil, err
	}
	defer at.close()
	if own, isECDSA := at.home.Store.Signer().Public().(*ecdsa.PublicKey); !isECDSA || !own.Equal(certificate.PublicKey) {
		return nil, refusal.New(refusal.CertificateForeign, "%s is for another key than the one in %s", *file, given.home)
	}
	party, err := at.cloud.Register(ctx, certificate.Raw, nil)
	if err != nil {
		return nil, err
	}
	return registered{party.Identity, hex.EncodeToString(party.Serial)}, nil
}

// readCertificate reads a certificate, DER or PEM: then the first of the file, whatever stands before it.
func readCertificate(path string) (*x509.Certificate, error) {
	content, err := readFile(path)
	if err != nil {
		return nil, err
	}
	der, rest := content, bytes.TrimPrefix(content, []byte("\xef\xbb\xbf"))
	for block, rest := pem.Decode(rest); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			der = block.Bytes
			break
		}
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, refusal.Because(err, refusal.FileUnusable, "%s is no certificate", path)
	}
	return certificate, nil
}

type consulted struct {
	Patient   string       `json:"patient"`
	Biosignal biosignal    `json:"biosignal"`
	Records   []recordTold `json:"records"`
	Receipt   bool         `json:"receipt"`
	Deposit   *string      `json:"deposit"`
}

// plan is what the command line asks of one visit.
type plan struct {
	hospital, address, department string
	conclusion, amend, codeFile   string
	deposit                       bool
	taking                        *taking
}

// check refuses what could only be found out while the patient waits.
func (p plan) check() error {
	if !rules.Matches(pb.Kind_KIND_HOSPITAL_ID, p.hospital) {
		return refusal.New(refusal.FieldInvalid, "%q is no hospital", p.hospital)
	}
	if !rules.Matches(pb.Kind_KIND_ADDRESS, p.address) {
		return refusal.New(refusal.FieldInvalid, "%q is no address: host:port", p.address)
	}
	if err := client.RequireConclusion(p.conclusion); err != nil {
		return err
	}
	if p.amend != "" {
		if err := client.RequireConclusion(p.amend); err != nil {
			return err
		}
	}
	if p.codeFile != "" {
		if err := requireWritable(filepath.Dir(p.codeFile)); err != nil {
			return err
		}
	}
	return p.taking.check()
}

func requireWritable(directory string) error {
	tried, err := os.CreateTemp(directory, ".tried-*")
	if err != nil {
		return refusal.Because(err, refusal.FileUnusable, "nothing can be written in %s", directory)
	}
	tried.Close()
	return os.Remove(tried.Name())
}

func consult(ctx context.Context, given *arguments) (any, error) {
	var asked plan
	given.StringVar(&asked.hospital, "hospital", "", "your hospital: H:name")
	given.StringVar(&asked.address, "address", "", "where your hospital is dialled: host:port")
	given.StringVar(&asked.department, "department", "", "department class under which the encounter is kept")
	given.StringVar(&asked.conclusion, "conclusion", "", "your conclusion")
	given.StringVar(&asked.amend, "amend", "", "then sign this conclusion in the place of the other")
	given.StringVar(&asked.codeFile, "code-file", "", "write the room's code there, too")
	given.BoolVar(&asked.deposit, "deposit", false, "keep the encounter at your hospital")
	asked.taking = takingOf(given)
	if err := given.read(0, append(takingOptions, "code-file", "deposit", "amend")...); err != nil {
		return nil, err
	}
	if err := asked.check(); err != nil {
		return nil, err
	}
	at, err := given.begin(given.open())
	if err != nil {
		return nil, err
	}
	defer at.close()
	if !at.member.Anchors().Publishes(asked.department) {
		return nil, refusal.New(refusal.FieldInvalid, "the federation does not publish the department class %q", asked.department)
	}
	asker := client.Asker{Member: at.member, Cloud: at.cloud, Tell: tell, MostRecords: asked.taking.most()}
	return asked.run(ctx, &client.Doctor{Asker: asker})
}

func (p plan) run(ctx context.Context, doctor *client.Doctor) (*consulted, error) {
	room, err := doctor.OpenRoom(ctx, p.hospital, p.address)
	if err != nil {
		return nil, err
	}
	defer room.Close()
	tell("You are " + dutyWords(room.Duty) + ".")
	if err := p.showCode(room.Code); err != nil {
		return nil, err
	}
	present, err := p.awaitPatient(ctx, room)
	if err != nil {
		return nil, err
	}
	defer present.Forget()
	told := &consulted{Patient: present.Shown.PatientID, Biosignal: toldBiosignal(present), Records: []recordTold{}}
	records := p.readRecords(ctx, doctor, present)
	for _, record := range records {
		defer record.Close()
		told.Records = append(told.Records, toldRecord(record)...)
	}
	report, err := p.report(doctor, present, records, p.conclusion, nil)
	if err != nil {
		return nil, err
	}
	awaiting, err := doctor.Diagnose(ctx, room, present, report, records)
	if err != nil {
		return nil, err
	}
	undeposited := p.end(ctx, doctor, room, present, awaiting, told)
	if p.amend == "" {
		return told, undeposited
	}
	if report, err = p.report(doctor, present, records, p.amend, report); err != nil {
		return nil, err
	}
	if awaiting, err = doctor.Amend(ctx, room, awaiting, report, records); err != nil {
		return nil, err
	}
	return told, p.end(ctx, doctor, room, present, awaiting, told)
}

// end deposits the encounter, if it is to be, and waits for the receipt; it gives why the encounter was not kept.
func (p plan) end(
	ctx context.Context, doctor *client.Doctor, room *client.Room, present *protocol.InConsultation, awaiting *protocol.AwaitingReceipt, told *consulted,
) (undeposited error) {
	if p.deposit && !present.Grant.Gives(pb.Right_RIGHT_WRITE) {
		tell("Without consent to keep this encounter, it is not deposited.")
	} else if p.deposit {
		told.Deposit, undeposited = p.keep(ctx, doctor, awaiting)
	}
	waiting, cancel := context.WithTimeout(ctx, receiptTime)
	defer cancel()
	told.Receipt = doctor.AwaitReceipt(waiting, room, present, awaiting)
	return undeposited
}

// keep deposits the encounter, and gives its handle. What the hospital refuses costs the patient nothing: the diagnosis is sent.
func (p plan) keep(ctx context.Context, doctor *client.Doctor, awaiting *protocol.AwaitingReceipt) (*string, error) {
	receipt, err := doctor.Deposit(ctx, awaiting, p.hospital, p.address, p.department)
	if err != nil {
		tell("The diagnosis is sent. THE ENCOUNTER IS NOT DEPOSITED: " + refusal.Plain(err))
		return nil, err
	}
	handle := hex.EncodeToString(receipt.GetHandle())
	return &handle, nil
}

func (p plan) showCode(code client.Code) error {
	for _, line := range []string{"Show this code to your patient; whoever has it may ask for you:", "", code.String(), ""} {
		tell(line)
	}
	if p.codeFile == "" {
		return nil
	}
	partial := filepath.Join(filepath.Dir(p.codeFile), "."+filepath.Base(p.codeFile)+".partial")
	err := os.WriteFile(partial, []byte(code.String()+"\n"), 0o600)
	if err == nil {
		err = os.Rename(partial, p.codeFile)
	}
	if err != nil {
		return refusal.Because(err, refusal.FileUnusable, "the code can't be written")
	}
	return nil
}

func (p plan) awaitPatient(ctx context.Context, room *client.Room) (*protocol.InConsultation, error) {
	waiting, cancel := context.WithTimeout(ctx, patientTime)
	defer cancel()
	present, err := room.AwaitPatient(waiting)
	if err != nil {
		return nil, err
	}
	came := present.Peer.Identity
	if came != present.Shown.PatientID {
		came += ", for " + present.Shown.PatientID + ","
	}
	tell(came + " is here; both sides have proved who they are.")
	if present.Grant != nil {
		tellAll(append([]string{"The consent:"}, grantWords(present.Grant, "the patient's")...)...)
	}
	return present, nil
}

// readRecords fetches the patient's records and saves them. What can't be saved is said, and the visit goes on: the patient is waiting.
func (p plan) readRecords(ctx context.Context, doctor *client.Doctor, present *protocol.InConsultation) []*client.Record {
	records := doctor.Records(ctx, present)
	for _, record := range records {
		tellCorrections(record)
		p.taking.keep(record)
	}
	return records
}

func tellCorrections(record *client.Record) {
	for _, entry := range record.Manifest.GetRecords() {
		if entry.GetVersion() > 1 {
			tell(fmt.Sprintf("Record %x of %s is a correction, version %d.", entry.GetHandle(), record.HospitalID, entry.GetVersion()))
		}
	}
}

func (p plan) report(
	doctor *client.Doctor, present *protocol.InConsultation, records []*client.Record, conclusion string, amends []byte,
) ([]byte, error) {
	var digests [][]byte
	for _, record := range records {
		digests = append(digests, record.Digest)
	}
	return client.NewReport(present.Shown.PatientID, doctor.Member.Identity(), conclusion, digests, amends, time.Now())
}

type biosignal struct {
	Size   int    `json:"size"`
	SHA256 string `json:"sha256"`
}

func toldBiosignal(present *protocol.InConsultation) biosignal {
	return biosignal{len(present.Biosignal), hex.EncodeToString(transcript.Digest(present.Biosignal))}
}
