package protocol

import (
	pb "medunion.example/clients/go/federationv1"
	"medunion.example/clients/go/refusal"
)

// outcome is what the cloud says of a question, or a hospital of a session.
type outcome struct {
	name    string         // in transcripts and sentences
	reason  refusal.Reason // none where nothing is wrong
	search  pb.SearchOutcome
	session pb.SessionOutcome
}

// outcomes has a row for each; the value 0 where a search or a session has no such outcome.
var outcomes = []outcome{
	{"found", "", pb.SearchOutcome_SEARCH_OUTCOME_FOUND, 0},
	{"none", "", pb.SearchOutcome_SEARCH_OUTCOME_NONE, 0},
	{"served", "", 0, pb.SessionOutcome_SESSION_OUTCOME_SERVED},
	{"no-record", refusal.NoSuchRecord, 0, pb.SessionOutcome_SESSION_OUTCOME_NO_RECORD},
	{"grant-missing", refusal.GrantMissing, pb.SearchOutcome_SEARCH_OUTCOME_GRANT_MISSING, pb.SessionOutcome_SESSION_OUTCOME_GRANT_MISSING},
	{"grant-invalid", refusal.GrantInvalid, pb.SearchOutcome_SEARCH_OUTCOME_GRANT_INVALID, 0}, // in a session it is REJECTED
	{"grant-expired", refusal.GrantExpired, pb.SearchOutcome_SEARCH_OUTCOME_GRANT_EXPIRED, pb.SessionOutcome_SESSION_OUTCOME_GRANT_EXPIRED},
	{"grant-revoked", refusal.GrantRevoked, pb.SearchOutcome_SEARCH_OUTCOME_GRANT_REVOKED, pb.SessionOutcome_SESSION_OUTCOME_GRANT_REVOKED},
	{"grant-scope", refusal.GrantScope, pb.SearchOutcome_SEARCH_OUTCOME_GRANT_SCOPE, pb.SessionOutcome_SESSION_OUTCOME_GRANT_SCOPE},
	{"emergency-refused", refusal.EmergencyRefused, pb.SearchOutcome_SEARCH_OUTCOME_EMERGENCY_REFUSED, pb.SessionOutcome_SESSION_OUTCOME_EMERGENCY_REFUSED},
	{"duty-missing", refusal.DutyMissing, pb.SearchOutcome_SEARCH_OUTCOME_DUTY_MISSING, pb.SessionOutcome_SESSION_OUTCOME_DUTY_MISSING},
	{"duty-over", refusal.DutyExpired, pb.SearchOutcome_SEARCH_OUTCOME_DUTY_OVER, pb.SessionOutcome_SESSION_OUTCOME_DUTY_OVER},
	{"deputy-over", refusal.DeputyExpired, pb.SearchOutcome_SEARCH_OUTCOME_DEPUTY_OVER, pb.SessionOutcome_SESSION_OUTCOME_DEPUTY_OVER},
	{"deputy-powers", refusal.DeputyPowers, pb.SearchOutcome_SEARCH_OUTCOME_DEPUTY_POWERS, pb.SessionOutcome_SESSION_OUTCOME_DEPUTY_POWERS},
	{"emergency-over", refusal.EmergencyExpired, pb.SearchOutcome_SEARCH_OUTCOME_EMERGENCY_OVER, pb.SessionOutcome_SESSION_OUTCOME_EMERGENCY_OVER},
	{"budget-exhausted", refusal.BudgetExhausted, pb.SearchOutcome_SEARCH_OUTCOME_BUDGET_EXHAUSTED, pb.SessionOutcome_SESSION_OUTCOME_BUDGET_EXHAUSTED},
	{"newer-than-list", refusal.NewerThanList, 0, pb.SessionOutcome_SESSION_OUTCOME_NEWER_THAN_LIST},
	{"not-own", refusal.NotOwnRecord, pb.SearchOutcome_SEARCH_OUTCOME_NOT_OWN, pb.SessionOutcome_SESSION_OUTCOME_NOT_OWN},
}

func ofSearch(value pb.SearchOutcome) outcome {
	return outcomeWhere(func(row outcome) bool { return row.search == value && value != 0 })
}

func ofSession(value pb.SessionOutcome) outcome {
	return outcomeWhere(func(row outcome) bool { return row.session == value && value != 0 })
}

// outcomeWhere gives the row; what is not known here is no permission.
func outcomeWhere(isMeant func(outcome) bool) outcome {
	for _, row := range outcomes {
		if isMeant(row) {
			return row
		}
	}
	return outcome{name: "unknown", reason: refusal.Unauthorized}
}

// toldBy gives the refusal that the outcome is, or nil.
func (o outcome) toldBy(who string) error {
	if o.reason == "" {
		return nil
	}
	return refusal.New(o.reason, "%s refuses: %s", who, o.name)
}
