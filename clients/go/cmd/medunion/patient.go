package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"medunion.example/clients/go/client"
	"medunion.example/clients/go/curve"
	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/protocol"
	"medunion.example/clients/go/refusal"
)

const (
	sensorSize = 32
	mostTicket = 1024
	enrolment  = 1 // a later one would have another B_P
)

type registered struct {
	Identity string `json:"identity"`
	Serial   string `json:"serial"`
}

func registerPatient(ctx context.Context, given *arguments) (any, error) {
	trust := given.String("trust", "", "the federation's trust.json")
	identity := given.String("identity", "", "who you are: P:name")
	sensor := given.String("simulated-sensor", "", "file of 32 bytes in place of the fuzzy key")
	ticketFile := given.String("ticket-file", "", "file with the ticket from a hospital's desk; - for standard input")
	token := given.String("token", "", "RFC 7512 URI of the token that holds the keys, in place of a file")
	if err := given.read(0, "token"); err != nil {
		return nil, err
	}
	ticket, err := readTicket(*ticketFile)
	if err != nil {
		return nil, err
	}
	fuzzyKey, err := readFuzzyKey(*sensor)
	if err != nil {
		return nil, err
	}
	defer clear(fuzzyKey)
	at, err := given.begin(given.openOrCreate(*identity, *trust, *token))
	if err != nil {
		return nil, err
	}
	defer at.close()
	password, err := passwordOf(at.home, at.member, fuzzyKey)
	if err != nil {
		return nil, err
	}
	defer clear(password)
	party, err := at.cloud.Register(ctx, password, ticket)
	if err != nil {
		return nil, err
	}
	return registered{party.Identity, hex.EncodeToString(party.Serial)}, nil
}

// openOrCreate opens a patient's home, where an earlier registration was cut off, or makes it.
func (a *arguments) openOrCreate(identity, trust, token string) (*client.Home, error) {
	if !client.Exists(a.home) {
		return a.create(pb.Kind_KIND_PATIENT_ID, identity, trust, token)
	}
	home, err := a.open()
	if err == nil && home.Identity() != identity {
		home.Close()
		return nil, refusal.New(refusal.ProfileUnusable, "%s is at home there", home.Identity())
	}
	return home, err
}

func (s *session) patient() *client.Patient {
	return &client.Patient{Asker: client.Asker{Member: s.member, Cloud: s.cloud, Tell: tell}}
}

type recordsTold struct {
	Patient string                    `json:"patient"`
	Records []recordTold              `json:"records"`
	Missing map[string]refusal.Reason `json:"missing"`
}

// records finds, fetches and saves the patient's own records.
func records(ctx context.Context, given *arguments) (any, error) {
	taking := takingOf(given)
	if err := given.read(0, takingOptions...); err != nil {
		return nil, err
	}
	if err := taking.check(); err != nil {
		return nil, err
	}
	at, err := given.begin(given.open())
	if err != nil {
		return nil, err
	}
	defer at.close()
	patient := at.patient()
	patient.MostRecords = taking.most()
	told := &recordsTold{Patient: at.member.Identity(), Records: []recordTold{}}
	told.Missing, err = patient.Records(ctx, func(record *client.Record) {
		defer record.Close()
		taking.keep(record)
		told.Records = append(told.Records, toldRecord(record)...)
	})
	return told, err
}

type accessTold struct {
	Where      string `json:"where"`
	Number     uint64 `json:"number"` // among those about this patient there, from the oldest on
	At         uint64 `json:"at"`     // milliseconds since 1970
	Asker      string `json:"asker"`
	Kind       string `json:"kind"`
	Department string `json:"department"`
	Ground     string `json:"ground"`
	Reason     string `json:"reason"`
	Leaf       uint64 `json:"leaf"`
	Remark     string `json:"remark"` // where the other side's log should have it, and has not
}

type logTold struct {
	Where      string   `json:"where"`
	Origin     string   `json:"origin"`
	Head       uint64   `json:"head"`        // leaves below it
	CosignedBy []string `json:"cosigned_by"` // those that count by the trust bundle's policy
	Witnessed  bool     `json:"witnessed"`   // whether they are as many as it asks for
	BeganAnew  bool     `json:"began_anew"`
	Untold     uint64   `json:"untold"` // entries that it counts and does not tell
}

type accessesTold struct {
	Patient  string                    `json:"patient"`
	Accesses []accessTold              `json:"accesses"`
	Logs     []logTold                 `json:"logs"`
	Missing  map[string]refusal.Reason `json:"missing"`
}

// accesses tells who asked for the patient's own records.
func accesses(ctx context.Context, given *arguments) (any, error) {
	if err := given.read(0); err != nil {
		return nil, err
	}
	at, err := given.begin(given.open())
	if err != nil {
		return nil, err
	}
	defer at.close()
	found, err := at.patient().Accesses(ctx)
	if err != nil {
		return nil, err
	}
	said := map[protocol.Remark]bool{}
	for _, remark := range found.Remarks {
		said[remark] = true
		if remark.Words == protocol.Unsearched {
			tell("IN A HOSPITAL'S LOG AND NOT IN THE PUBLIC CLOUD'S: reading " + strconv.FormatUint(remark.Number, 10) + " at " + remark.PartyID + ".")
		}
	}
	told := &accessesTold{at.member.Identity(), []accessTold{}, []logTold{}, found.Missing}
	for _, log := range found.Logs {
		cosigners := append([]string{}, log.Cosigners...)
		if !log.IsWitnessed() {
			tell(fmt.Sprintf("NOT WITNESSED: %d have cosigned the log of %s, and the federation asks for %d.", len(cosigners), log.PartyID, log.Cosignatures))
		}
		told.Logs = append(told.Logs, logTold{log.PartyID, log.Head.Origin, log.Head.Size, cosigners, log.IsWitnessed(), log.BeginsAnew, log.Untold()})
		for _, one := range log.Entries {
			access := toldAccess(log.PartyID, one)
			for _, words := range []string{protocol.Unsearched, protocol.Unread} {
				if said[protocol.Remark{PartyID: log.PartyID, Number: one.GetNumber(), Words: words}] {
					access.Remark = words
				}
			}
			told.Accesses = append(told.Accesses, access)
		}
	}
	return told, nil
}

func toldAccess(partyID string, one *pb.AccessEntry) accessTold {
	return accessTold{
		Where: partyID, Number: one.GetNumber(), At: one.GetAt(), Asker: one.GetAskerId(),
		Kind:       strings.TrimPrefix(one.GetKind().String(), "ACCESS_KIND_"),
		Department: one.GetDepartmentClass(),
		Ground:     strings.ToLower(strings.TrimPrefix(one.GetGround().String(), "ACCESS_GROUND_")),
		Reason:     one.GetReason(),
		Leaf:       one.GetLeafIndex(),
	}
}

// readFuzzyKey reads the file that stands for a reading of the body.
func readFuzzyKey(sensor string) ([]byte, error) {
	fuzzyKey, err := readFile(sensor)
	if err != nil {
		return nil, err
	}
	if len(fuzzyKey) != sensorSize {
		return nil, refusal.New(refusal.BiometricMismatch, "a fuzzy key has 32 bytes")
	}
	return fuzzyKey, nil
}

// readTicket reads the ticket that is a file's first line, or standard input's for -: whoever lists processes sees what they were given.
func readTicket(path string) ([]byte, error) {
	source := os.Stdin
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return nil, refusal.Because(err, refusal.FileUnusable, "%s can't be read", path)
		}
		defer file.Close()
		source = file
	}
	line, err := bufio.NewReader(io.LimitReader(source, mostTicket)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, refusal.Because(err, refusal.FileUnusable, "%s can't be read", path)
	}
	return client.ParseTicket(line)
}

// passwordOf gives B_P of the fuzzy key and the device secret.
func passwordOf(home *client.Home, member *client.Member, fuzzyKey []byte) ([]byte, error) {
	secret, err := home.DeviceSecret(curve.SystemEntropy)
	if err != nil {
		return nil, err
	}
	defer clear(secret)
	return protocol.BiometricPassword(fuzzyKey, secret, member.Anchors().Realm, enrolment), nil
}
