/** What the cloud says of a question, or a hospital of a session: one table, a row for each. */

import { SessionOutcome } from "../gen/federation/v1/record_pb.js";
import { SearchOutcome } from "../gen/federation/v1/search_pb.js";
import { Refusal } from "./refusal.js";

/** Its name in transcripts and sentences, the reason where something is wrong, and its values, where a search or a session has it. */
interface Outcome {
  readonly name: string;
  readonly reason?: string;
  readonly search?: SearchOutcome;
  readonly session?: SessionOutcome;
}

const UNAUTHORIZED = "UNAUTHORIZED";

const OUTCOMES: readonly Outcome[] = [
  { name: "found", search: SearchOutcome.FOUND },
  { name: "none", search: SearchOutcome.NONE },
  { name: "served", session: SessionOutcome.SERVED },
  { name: "no-record", reason: "NO_SUCH_RECORD", session: SessionOutcome.NO_RECORD },
  {
    name: "grant-missing",
    reason: "GRANT_MISSING",
    search: SearchOutcome.GRANT_MISSING,
    session: SessionOutcome.GRANT_MISSING,
  },
  { name: "grant-invalid", reason: "GRANT_INVALID", search: SearchOutcome.GRANT_INVALID }, // in a session it is REJECTED
  {
    name: "grant-expired",
    reason: "GRANT_EXPIRED",
    search: SearchOutcome.GRANT_EXPIRED,
    session: SessionOutcome.GRANT_EXPIRED,
  },
  {
    name: "grant-revoked",
    reason: "GRANT_REVOKED",
    search: SearchOutcome.GRANT_REVOKED,
    session: SessionOutcome.GRANT_REVOKED,
  },
  {
    name: "grant-scope",
    reason: "GRANT_SCOPE",
    search: SearchOutcome.GRANT_SCOPE,
    session: SessionOutcome.GRANT_SCOPE,
  },
  {
    name: "emergency-refused",
    reason: "EMERGENCY_REFUSED",
    search: SearchOutcome.EMERGENCY_REFUSED,
    session: SessionOutcome.EMERGENCY_REFUSED,
  },
  {
    name: "duty-missing",
    reason: "DUTY_MISSING",
    search: SearchOutcome.DUTY_MISSING,
    session: SessionOutcome.DUTY_MISSING,
  },
  { name: "duty-over", reason: "DUTY_EXPIRED", search: SearchOutcome.DUTY_OVER, session: SessionOutcome.DUTY_OVER },
  {
    name: "deputy-over",
    reason: "DEPUTY_EXPIRED",
    search: SearchOutcome.DEPUTY_OVER,
    session: SessionOutcome.DEPUTY_OVER,
  },
  {
    name: "deputy-powers",
    reason: "DEPUTY_POWERS",
    search: SearchOutcome.DEPUTY_POWERS,
    session: SessionOutcome.DEPUTY_POWERS,
  },
  {
    name: "emergency-over",
    reason: "EMERGENCY_EXPIRED",
    search: SearchOutcome.EMERGENCY_OVER,
    session: SessionOutcome.EMERGENCY_OVER,
  },
  {
    name: "budget-exhausted",
    reason: "BUDGET_EXHAUSTED",
    search: SearchOutcome.BUDGET_EXHAUSTED,
    session: SessionOutcome.BUDGET_EXHAUSTED,
  },
  { name: "newer-than-list", reason: "NEWER_THAN_LIST", session: SessionOutcome.NEWER_THAN_LIST },
  { name: "not-own", reason: "NOT_OWN_RECORD", search: SearchOutcome.NOT_OWN, session: SessionOutcome.NOT_OWN },
];

/** What is not known here is no permission. */
const UNKNOWN: Outcome = { name: "unknown", reason: UNAUTHORIZED };

export function ofSearch(value: SearchOutcome): Outcome {
  return OUTCOMES.find(({ search }) => search === value) ?? UNKNOWN;
}

export function ofSession(value: SessionOutcome): Outcome {
  return OUTCOMES.find(({ session }) => session === value) ?? UNKNOWN;
}

/** The refusal that an outcome is. */
export function refusalIn({ name, reason = UNAUTHORIZED }: Outcome, who: string): Refusal {
  return new Refusal(reason, `${who} refuses: ${name}`);
}
