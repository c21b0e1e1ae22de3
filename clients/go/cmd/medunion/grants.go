package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"

	"medunion.example/clients/go/client"
	"medunion.example/clients/go/protocol"
	"medunion.example/clients/go/refusal"
)

type grantTold struct {
	Number int              `json:"number"`
	ID     string           `json:"id"`
	For    string           `json:"for"`
	Until  protocol.Instant `json:"until"`
	State  string           `json:"state"`
}

// grants lists the consents that were given from here.
func grants(ctx context.Context, given *arguments) (any, error) {
	if err := given.read(0); err != nil {
		return nil, err
	}
	at, err := given.begin(given.open())
	if err != nil {
		return nil, err
	}
	defer at.close()
	kept, err := at.grants(ctx)
	if err != nil {
		return nil, err
	}
	all := []grantTold{}
	for _, one := range kept {
		grant := one.Grant
		all = append(all, grantTold{one.Number, hex.EncodeToString(grant.ID), granteeWords(grant.Grantee), grant.Validity.NotAfter, one.State})
		lines := grantWords(grant, "your")
		lines[0] = fmt.Sprintf("%d (%s). %s", one.Number, one.State, lines[0])
		tellAll(lines...)
	}
	return map[string]any{"grants": all}, nil
}

// grants gives the kept consents, by the newest lists; without the cloud by those at hand.
func (s *session) grants(ctx context.Context) ([]client.KeptGrant, error) {
	if _, err := s.cloud.Refresh(ctx); err != nil {
		if !client.IsPassing(err) {
			return nil, err
		}
		tell("The public cloud does not answer: what was taken back lately may not show.")
	}
	return s.member.Grants()
}

// revoke takes consents back: by their numbers, the last that stands, or everything.
func revoke(ctx context.Context, given *arguments) (any, error) {
	last := given.Bool("last", false, "the newest that still stands")
	all := given.Bool("all", false, "everything that you signed until now")
	if err := given.read(anyWords, "last", "all"); err != nil {
		return nil, err
	}
	numbers, err := numbersOf(given.Args())
	if err != nil {
		return nil, err
	}
	if ways := []bool{*last, *all, len(numbers) > 0}; len(slices.DeleteFunc(ways, func(is bool) bool { return !is })) != 1 {
		return nil, fmt.Errorf("%w: numbers as `grants` shows them, or --last, or --all", errUsage)
	}
	at, err := given.begin(given.open())
	if err != nil {
		return nil, err
	}
	defer at.close()
	kept, err := at.grants(ctx)
	if err != nil {
		return nil, err
	}
	chosen := standing(kept)
	switch {
	case *last:
		chosen, err = newest(chosen)
	case !*all:
		chosen, err = numbered(kept, numbers)
	}
	if err != nil {
		return nil, err
	}
	if *all {
		err = at.patient().TakeAllBack(ctx)
	} else {
		err = at.patient().TakeBack(ctx, chosen)
	}
	if err != nil {
		return nil, err
	}
	tell("Taken back. Hospitals know as soon as they have the next list, within the hour at the latest.")
	revoked := []int{}
	for _, one := range chosen {
		revoked = append(revoked, one.Number)
	}
	return map[string][]int{"revoked": revoked}, nil
}

func numbersOf(words []string) (numbers []int, err error) {
	for _, word := range words {
		number, err := strconv.Atoi(word)
		if err != nil || number < 1 {
			return nil, fmt.Errorf("%w: %q is no number of a consent", errUsage, word)
		}
		if !slices.Contains(numbers, number) {
			numbers = append(numbers, number)
		}
	}
	return numbers, nil
}

func standing(kept []client.KeptGrant) []client.KeptGrant {
	return slices.DeleteFunc(slices.Clone(kept), func(one client.KeptGrant) bool { return one.State != "stands" })
}

func newest(standing []client.KeptGrant) ([]client.KeptGrant, error) {
	if len(standing) == 0 {
		return nil, refusal.New(refusal.NoSuchGrant, "none of your consents stands")
	}
	return standing[len(standing)-1:], nil
}

func numbered(kept []client.KeptGrant, numbers []int) (chosen []client.KeptGrant, err error) {
	for _, number := range numbers {
		if number > len(kept) {
			return nil, refusal.New(refusal.NoSuchGrant, "you gave no consent of the number %d from here", number)
		}
		chosen = append(chosen, kept[number-1])
	}
	return chosen, nil
}
