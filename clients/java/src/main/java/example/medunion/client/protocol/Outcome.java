package example.medunion.client.protocol;

import example.medunion.federation.v1.SearchOutcome;
import example.medunion.federation.v1.SessionOutcome;
import java.util.Arrays;
import java.util.Locale;

/** What the cloud says of a question, or a hospital of a session: one table, a row for each. */
enum Outcome {
  FOUND(null, SearchOutcome.SEARCH_OUTCOME_FOUND, null),
  NONE(null, SearchOutcome.SEARCH_OUTCOME_NONE, null),
  SERVED(null, null, SessionOutcome.SESSION_OUTCOME_SERVED),
  NO_RECORD("NO_SUCH_RECORD", null, SessionOutcome.SESSION_OUTCOME_NO_RECORD),
  GRANT_MISSING("GRANT_MISSING", SearchOutcome.SEARCH_OUTCOME_GRANT_MISSING, SessionOutcome.SESSION_OUTCOME_GRANT_MISSING),
  /** In a session it is REJECTED. */
  GRANT_INVALID("GRANT_INVALID", SearchOutcome.SEARCH_OUTCOME_GRANT_INVALID, null),
  GRANT_EXPIRED("GRANT_EXPIRED", SearchOutcome.SEARCH_OUTCOME_GRANT_EXPIRED, SessionOutcome.SESSION_OUTCOME_GRANT_EXPIRED),
  GRANT_REVOKED("GRANT_REVOKED", SearchOutcome.SEARCH_OUTCOME_GRANT_REVOKED, SessionOutcome.SESSION_OUTCOME_GRANT_REVOKED),
  GRANT_SCOPE("GRANT_SCOPE", SearchOutcome.SEARCH_OUTCOME_GRANT_SCOPE, SessionOutcome.SESSION_OUTCOME_GRANT_SCOPE),
  EMERGENCY_REFUSED(
      "EMERGENCY_REFUSED",
      SearchOutcome.SEARCH_OUTCOME_EMERGENCY_REFUSED,
      SessionOutcome.SESSION_OUTCOME_EMERGENCY_REFUSED),
  DUTY_MISSING("DUTY_MISSING", SearchOutcome.SEARCH_OUTCOME_DUTY_MISSING, SessionOutcome.SESSION_OUTCOME_DUTY_MISSING),
  DUTY_OVER("DUTY_EXPIRED", SearchOutcome.SEARCH_OUTCOME_DUTY_OVER, SessionOutcome.SESSION_OUTCOME_DUTY_OVER),
  DEPUTY_OVER("DEPUTY_EXPIRED", SearchOutcome.SEARCH_OUTCOME_DEPUTY_OVER, SessionOutcome.SESSION_OUTCOME_DEPUTY_OVER),
  DEPUTY_POWERS("DEPUTY_POWERS", SearchOutcome.SEARCH_OUTCOME_DEPUTY_POWERS, SessionOutcome.SESSION_OUTCOME_DEPUTY_POWERS),
  EMERGENCY_OVER(
      "EMERGENCY_EXPIRED",
      SearchOutcome.SEARCH_OUTCOME_EMERGENCY_OVER,
      SessionOutcome.SESSION_OUTCOME_EMERGENCY_OVER),
  BUDGET_EXHAUSTED(
      "BUDGET_EXHAUSTED",
      SearchOutcome.SEARCH_OUTCOME_BUDGET_EXHAUSTED,
      SessionOutcome.SESSION_OUTCOME_BUDGET_EXHAUSTED),
  NEWER_THAN_LIST("NEWER_THAN_LIST", null, SessionOutcome.SESSION_OUTCOME_NEWER_THAN_LIST),
  NOT_OWN("NOT_OWN_RECORD", SearchOutcome.SEARCH_OUTCOME_NOT_OWN, SessionOutcome.SESSION_OUTCOME_NOT_OWN),
  /** What is not known here is no permission. */
  UNKNOWN("UNAUTHORIZED", null, null);

  private final String reason;
  private final SearchOutcome search;
  private final SessionOutcome session;

  /** The reason is null where nothing is wrong, a value where a search or a session has no such outcome. */
  Outcome(String reason, SearchOutcome search, SessionOutcome session) {
    this.reason = reason;
    this.search = search;
    this.session = session;
  }

  static Outcome of(SearchOutcome value) {
    return Arrays.stream(values()).filter(row -> row.search == value).findFirst().orElse(UNKNOWN);
  }

  static Outcome of(SessionOutcome value) {
    return Arrays.stream(values()).filter(row -> row.session == value).findFirst().orElse(UNKNOWN);
  }

  /** How transcripts and sentences name it: "grant-expired". */
  String words() {
    return name().toLowerCase(Locale.ROOT).replace('_', '-');
  }

  /** Refuses, if that is what it says. */
  void requireGood(String who) {
    Refusal.require(reason == null, reason, who + " refuses: " + words());
  }
}
