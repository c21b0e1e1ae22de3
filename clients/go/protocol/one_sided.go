package protocol

import (
	"bytes"
	"cmp"
	"slices"

	pb "medunion.example/clients/go/federationv1"
)

// What is said of an access that one side's log alone has (docs/protocol.md, told).
const (
	Unsearched = "THE PUBLIC CLOUD KNOWS OF NO SEARCH FOR IT"
	Unread     = "no hospital tells that anything was read"
)

// begun is the reason of an entry that says that an access began, and not yet how it ended.
const begun = "BEGUN"

// tolerance is by how much two servers' clocks may differ: at more, one of them refuses what is sent to both.
var tolerance = uint64((DefaultFreshness.Window + DefaultFreshness.Skew).Milliseconds())

// PartyLog is what a party's log told of a patient.
type PartyLog struct {
	PartyID string
	Entries []*pb.AccessEntry
}

// Remark is what is to be said of an access: of the last entry that its log has of it, by its number.
type Remark struct {
	PartyID string
	Number  uint64
	Words   string
}

// readAccess is one access: what began and how it ended, joined.
type readAccess struct {
	entry *pb.AccessEntry // the last
	at    Instant
}

// side is what one log told, and since when it has all about its patient; 0 for from the first on.
type side struct {
	partyID  string
	accesses []readAccess
	since    Instant
}

// Remarks gives what is to be said of accesses that one side alone has. The cloud was asked at askedAt, and hospitals after it;
// unsearchable are H of the grants that give no right to search; isWhole says that every hospital was asked and answered.
func Remarks(cloud PartyLog, hospitals []PartyLog, unsearchable [][]byte, askedAt Instant, isWhole bool) (found []Remark) {
	atCloud := sideOf(cloud)
	searches := atCloud.by(pb.AccessKind_ACCESS_KIND_SEARCH)
	reads, allKnowSince := map[string]bool{}, Instant(0)
	var sides []side
	for _, log := range hospitals {
		one := sideOf(log)
		sides = append(sides, one)
		for key := range one.by(pb.AccessKind_ACCESS_KIND_READ) {
			reads[key] = true
		}
		allKnowSince = max(allKnowSince, behind(one.since, tolerance))
	}
	settled := askedAt - tolerance
	from := behind(atCloud.since, uint64(ConsultationLife.Milliseconds()))
	for _, one := range sides {
		for _, access := range one.accesses {
			isSettled := from <= access.at && access.at <= settled
			isSearchable := !slices.ContainsFunc(unsearchable, func(grant []byte) bool { return bytes.Equal(grant, access.entry.GetGrantDigest()) })
			if access.isByDoctor(pb.AccessKind_ACCESS_KIND_READ) && isSettled && isSearchable && !searches[access.key()] {
				found = append(found, Remark{one.partyID, access.entry.GetNumber(), Unsearched})
			}
		}
	}
	for _, access := range atCloud.accesses {
		isSettled := allKnowSince <= access.at && access.at <= settled
		if isWhole && access.isByDoctor(pb.AccessKind_ACCESS_KIND_SEARCH) && isSettled && !reads[access.key()] {
			found = append(found, Remark{atCloud.partyID, access.entry.GetNumber(), Unread})
		}
	}
	return found
}

func sideOf(log PartyLog) side {
	return side{log.PartyID, joined(log.Entries), knownSince(log.Entries)}
}

func behind(since Instant, duration uint64) Instant {
	if since == 0 {
		return 0
	}
	return since + duration
}

// by gives the keys of what doctors did of a kind.
func (s side) by(kind pb.AccessKind) map[string]bool {
	keys := map[string]bool{}
	for _, access := range s.accesses {
		if access.isByDoctor(kind) {
			keys[access.key()] = true
		}
	}
	return keys
}

// isByDoctor says whether it was given, by what others need: one's own right is of one side by nature, and so is a refusal.
func (a readAccess) isByDoctor(kind pb.AccessKind) bool {
	ground, reason := a.entry.GetGround(), a.entry.GetReason()
	isGiven := ground == pb.AccessGround_ACCESS_GROUND_CONSENT || ground == pb.AccessGround_ACCESS_GROUND_EMERGENCY
	return a.entry.GetKind() == kind && isGiven && (reason == "OK" || reason == begun)
}

// key is by what both sides name it: a doctor's duty may be another at each, a grant is not.
func (a readAccess) key() string {
	named := a.entry.GetGrantDigest()
	if len(named) == 0 {
		named = a.entry.GetAuthorization()
	}
	return a.entry.GetAskerId() + "\n" + string(named)
}

// joined gives the accesses of a log: an entry that says how one ended, and that it began, are one.
func joined(entries []*pb.AccessEntry) (found []readAccess) {
	type name struct {
		asker, class, authorization string
		kind                        pb.AccessKind
	}
	inOrder := slices.SortedFunc(slices.Values(entries), func(a, b *pb.AccessEntry) int {
		return cmp.Or(cmp.Compare(a.GetAt(), b.GetAt()), ended(a)-ended(b), cmp.Compare(a.GetNumber(), b.GetNumber()))
	})
	begunBy := map[name][]*pb.AccessEntry{}
	for _, entry := range inOrder {
		of := name{entry.GetAskerId(), entry.GetDepartmentClass(), string(entry.GetAuthorization()), entry.GetKind()}
		waiting := begunBy[of]
		switch {
		case ended(entry) == 0:
			begunBy[of] = append(waiting, entry)
		case len(waiting) > 0:
			found = append(found, readAccess{entry, waiting[0].GetAt()})
			begunBy[of] = waiting[1:]
		default:
			found = append(found, readAccess{entry, entry.GetAt()})
		}
	}
	for _, waiting := range begunBy {
		for _, entry := range waiting {
			found = append(found, readAccess{entry, entry.GetAt()})
		}
	}
	return found
}

// ended is 0 for an entry that says that an access began, and 1 for one that says how it ended.
func ended(entry *pb.AccessEntry) int {
	if entry.GetReason() == begun {
		return 0
	}
	return 1
}

// knownSince gives since when a log has every entry about its patient, by their numbers: 0 where that is from the first on.
func knownSince(entries []*pb.AccessEntry) Instant {
	newestFirst := slices.SortedFunc(slices.Values(entries), func(a, b *pb.AccessEntry) int { return cmp.Compare(b.GetNumber(), a.GetNumber()) })
	for i, entry := range newestFirst {
		isLast := i == len(newestFirst)-1
		if isLast && entry.GetNumber() > 1 || !isLast && entry.GetNumber() != newestFirst[i+1].GetNumber()+1 {
			return entry.GetAt()
		}
	}
	return 0
}
