/** How long a head of the revocation list counts that is over, and for what (docs/protocol.md, When the hub is dark). */

import type { RevocationHead } from "../gen/federation/v1/statement_pb.js";
import type { Instant } from "./bytes.js";
import { hasBegun, SKEW } from "./freshness.js";
import { require } from "./refusal.js";

/**
 * For how many milliseconds it counts on, and the latest moment at which it was used though it was over: `seen` keeps who sets a clock back
 * from stretching it.
 */
export interface Grace {
  readonly length: Instant;
  readonly seen: Instant;
}

export const NO_GRACE: Grace = { length: 0n, seen: 0n };

type Times = Pick<RevocationHead, "thisUpdate" | "nextUpdate">;

/** Require a head to be current, or over for less than this grace. */
export function requireCurrent(head: Times, grace: Grace, now: Instant): void {
  const isGood = now < head.nextUpdate! + grace.length;
  require(isGood, "REVOCATION_LIST_STALE", "no current revocation list is at hand");
  const wentBack = isLate(head, grace, now) && now + SKEW < grace.seen;
  require(!wentBack, "REVOCATION_LIST_STALE", "the list at hand is over, and this clock has gone back since");
  const begun = hasBegun(head.thisUpdate!, now);
  require(begun, "REVOCATION_LIST_STALE", "the revocation list is from the future");
}

/** Require of what somebody stated that it is no newer than the head, where that is over. */
export function requireStood(head: Times, statedAt: Instant, grace: Grace, now: Instant): void {
  const stood = !isLate(head, grace, now) || statedAt <= head.thisUpdate!;
  require(stood, "NEWER_THAN_LIST", "what is shown is newer than the revocation list at hand, and that is over");
}

/** Whether a head is over, by this clock or by what it has shown before. */
export function isLate({ nextUpdate }: Times, { seen }: Grace, now: Instant): boolean {
  return (now > seen ? now : seen) >= nextUpdate!;
}
