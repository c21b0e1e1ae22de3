package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"medunion.example/clients/go/client"
	"medunion.example/clients/go/protocol"
	"medunion.example/clients/go/refusal"
)

type visited struct {
	Doctor     string `json:"doctor"`
	Grant      *int   `json:"grant"`
	Conclusion string `json:"conclusion"`
	// Amends is the conclusion whose place it takes; null for none.
	Amends *string `json:"amends"`
}

// visit looks at the doctor of a code, shows who that is and what is about to be signed, asks, and goes in.
func visit(ctx context.Context, given *arguments) (any, error) {
	sensor := given.String("simulated-sensor", "", "file of 32 bytes in place of the fuzzy key")
	observation := given.String("observation", "", "a FHIR R4 Observation about you, JSON")
	yes := given.Bool("yes", false, "don't ask: sign what is shown")
	stay := given.Float64("stay", 0, "seconds to stay after a diagnosis, for one that amends it")
	asked := askedOf(given)
	if err := given.read(1, append(consentOptions, "observation", "yes", "stay")...); err != nil {
		return nil, err
	}
	if !*yes && !isAnswered(os.Stdin) {
		return nil, fmt.Errorf("%w: what you are about to sign is shown first, and nobody can answer here: give --yes", errUsage)
	}
	fuzzyKey, err := readFuzzyKey(*sensor)
	if err != nil {
		return nil, err
	}
	defer clear(fuzzyKey)
	var biosignal []byte
	if *observation != "" {
		if biosignal, err = readFile(*observation); err != nil {
			return nil, err
		}
	}
	at, err := given.begin(given.open())
	if err != nil {
		return nil, err
	}
	defer at.close()
	code, err := client.ParseCode(given.Arg(0))
	if err != nil {
		return nil, err
	}
	password, err := passwordOf(at.home, at.member, fuzzyKey)
	if err != nil {
		return nil, err
	}
	defer clear(password)
	if *observation != "" {
		if err := client.RequireObservation(biosignal, at.member.Identity()); err != nil {
			return nil, err
		}
	}
	if err := asked.requirePublished(at.member.Anchors()); err != nil {
		return nil, err
	}
	patient := at.patient()
	patient.Password = password
	seen, err := patient.Look(ctx, code)
	if err != nil {
		return nil, err
	}
	offer, err := asked.offer(seen)
	if err == nil {
		err = patient.RequireUse(offer, seen)
	}
	if err != nil {
		return nil, err
	}
	show(patient, seen, biosignal, offer)
	if !*yes {
		if err := confirm(os.Stdin, "Go in, and sign this? [y/N]"); err != nil {
			return nil, err
		}
	}
	return goIn(ctx, patient, seen, biosignal, offer, time.Duration(*stay*float64(time.Second)))
}

func show(patient *client.Patient, seen *client.RoomView, biosignal []byte, offer *client.Offer) {
	tellAll(whoWords(seen)...)
	sent := "no observation"
	if len(biosignal) > 0 {
		sent = fmt.Sprintf("an observation of %d bytes", len(biosignal))
	}
	tellAll("What is sent:", "  who you are, "+patient.Member.Identity(), "  "+sent, "What you consent to:")
	tellAll(offerWords(offer, protocol.Instant(time.Now().UnixMilli()))...)
}

func goIn(ctx context.Context, patient *client.Patient, seen *client.RoomView, biosignal []byte, offer *client.Offer, stay time.Duration) (*visited, error) {
	before, err := patient.Member.Grants()
	if err != nil {
		return nil, err
	}
	reports, refused := patient.Visit(ctx, seen, biosignal, offer, stay)
	// However the visit ended: the consent may have gone out though no diagnosis came.
	after, err := patient.Member.Grants()
	if err != nil {
		return nil, err
	}
	told := &visited{Doctor: seen.Doctor.Identity}
	for _, kept := range after[len(before):] {
		told.Grant = &kept.Number
		tell(fmt.Sprintf("Your consent no. %d stands; it is taken back by: patient revoke %d", kept.Number, kept.Number))
		tellAll(grantWords(kept.Grant, "your")...)
	}
	if refused != nil {
		return nil, refused
	}
	if told.Conclusion, err = client.Conclusion(reports[len(reports)-1], patient.Member.Identity()); err != nil || len(reports) == 1 {
		return told, err
	}
	amended, err := client.Conclusion(reports[len(reports)-2], patient.Member.Identity())
	told.Amends = &amended
	return told, err
}

// isAnswered says whether somebody is there who can answer.
func isAnswered(from *os.File) bool {
	status, err := from.Stat()
	return err == nil && status.Mode()&os.ModeCharDevice != 0
}

// confirm asks; no is the usual answer. Refuses with DECLINED.
func confirm(from io.Reader, question string) error {
	tell(question)
	answer, _ := bufio.NewReader(from).ReadString('\n')
	if !slices.Contains([]string{"y", "yes"}, strings.ToLower(strings.TrimSpace(answer))) {
		return refusal.New(refusal.Declined, "nothing was signed, and nobody knows that you were here")
	}
	return nil
}
