package client

import (
	"context"
	"time"

	"medunion.example/clients/go/protocol"
	"medunion.example/clients/go/refusal"
)

const (
	listsKept = time.Minute // before the cloud is asked for newer ones
	mostPages = 128         // of a search
)

// Asker is a registered party that asks for records: a doctor by consent, a patient for its own.
type Asker struct {
	Member      *Member
	Cloud       *Cloud
	Tell        func(line string) // what is for people
	MostRecords uint64            // bytes of records that are taken in all

	refreshAt time.Time // not before
}

// show gives what is shown for access now.
type show func(ctx context.Context) protocol.Shown

// find asks the public cloud where a patient's records are: every page, of each of these classes. No record yet is no error. Refuses with what
// is wrong with what is shown; what was found before that is given, too.
func (a *Asker) find(ctx context.Context, shown show, classes []string) (locations []protocol.RecordLocation, err error) {
	for _, class := range classes {
		found, err := allPages(func(after []byte) (*protocol.Answer, error) {
			question := protocol.Question{DepartmentClass: class, After: after}
			return onceMore(ctx, func() (*protocol.Answer, error) {
				return a.Cloud.Search(ctx, question, shown(ctx))
			})
		})
		locations = append(locations, found...)
		if err != nil {
			return locations, err
		}
	}
	return locations, nil
}

// allPages asks for one page after the other. Refuses with LIMIT_REACHED more pages than a visit has time for.
func allPages(ask func(after []byte) (*protocol.Answer, error)) (locations []protocol.RecordLocation, err error) {
	err = eachPage(ask, func(answer *protocol.Answer) { locations = append(locations, answer.Locations...) })
	return locations, err
}

func eachPage(ask func(after []byte) (*protocol.Answer, error), take func(*protocol.Answer)) error {
	var after []byte
	for range mostPages {
		answer, err := ask(after)
		if err != nil {
			return err
		}
		take(answer)
		if after = answer.Next; len(after) == 0 {
			return nil
		}
	}
	return refusal.New(refusal.LimitReached, "the public cloud has more than %d pages to give", mostPages)
}

// refresh brings the lists up to date once a minute, and not before a cloud that asked to be left alone said so. Without the cloud the kept
// ones do, as long as they are current: whoever uses them checks that.
func (a *Asker) refresh(ctx context.Context) error {
	if time.Now().Before(a.refreshAt) {
		return nil
	}
	_, err := a.Cloud.Refresh(ctx)
	if err == nil {
		a.refreshAt = time.Now().Add(listsKept)
	}
	if IsPassing(err) {
		a.refreshAt = time.Now().Add(min(retryAfter(err), longestAsked))
		a.Member.hearBeside(ctx)
		return nil
	}
	return err
}
