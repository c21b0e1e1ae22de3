package main

import (
	"encoding/hex"
	"fmt"
	"math"
	"os"

	"medunion.example/clients/go/client"
	"medunion.example/clients/go/refusal"
)

const (
	megabyte    = 1_000_000
	mostFetched = 10_000_000 // megabytes
)

type recordTold struct {
	Hospital   string     `json:"hospital"`
	Handle     string     `json:"handle"`
	Department string     `json:"department"`
	Parts      []partTold `json:"parts"`
}

type partTold struct {
	Name      string `json:"name"`
	MediaType string `json:"media_type"`
	Size      uint64 `json:"size"`
	SHA256    string `json:"sha256"`
}

// taking is how a command takes records: where they are saved, and how many.
type taking struct {
	save        string
	fetchAtMost float64 // megabytes
}

var takingOptions = []string{"save", "fetch-at-most"}

func takingOf(given *arguments) *taking {
	taking := &taking{}
	given.StringVar(&taking.save, "save", "", "save what was read there, unencrypted")
	given.Float64Var(&taking.fetchAtMost, "fetch-at-most", client.DefaultMostRecords/megabyte, "megabytes of records that are taken")
	return taking
}

// check refuses what could only be found out once records come.
func (t *taking) check() error {
	if !(t.fetchAtMost > 0 && t.fetchAtMost <= mostFetched) {
		return fmt.Errorf("%w: --fetch-at-most lies between 0 and %d", errUsage, mostFetched)
	}
	if t.save == "" {
		return nil
	}
	if err := os.MkdirAll(t.save, 0o700); err != nil {
		return refusal.Because(err, refusal.FileUnusable, "records can't be saved there")
	}
	return requireWritable(t.save)
}

func (t *taking) most() uint64 { return uint64(math.Round(t.fetchAtMost * megabyte)) }

// keep saves a record, where that was asked for. What can't be saved is told.
func (t *taking) keep(record *client.Record) {
	if t.save == "" {
		return
	}
	if err := record.Save(t.save); err != nil {
		tell("THE RECORD FROM " + record.HospitalID + " IS NOT SAVED WHOLE: " + refusal.Plain(err))
	}
}

func toldRecord(record *client.Record) []recordTold {
	var told []recordTold
	for _, entry := range record.Manifest.GetRecords() {
		one := recordTold{
			Hospital:   record.HospitalID,
			Handle:     hex.EncodeToString(entry.GetHandle()),
			Department: entry.GetDepartmentId(),
			Parts:      []partTold{},
		}
		for _, part := range entry.GetParts() {
			one.Parts = append(one.Parts, partTold{part.GetName(), part.GetMediaType(), part.GetSizeBytes(), hex.EncodeToString(part.GetDigest())})
		}
		told = append(told, one)
	}
	return told
}
