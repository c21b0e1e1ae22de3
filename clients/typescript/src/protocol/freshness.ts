/** Freshness of messages (B2, B3): -sigma <= now - T <= Delta T. */

import type { Instant } from "./bytes.js";
import { require } from "./refusal.js";

export const WINDOW = 30_000n;
export const SKEW = 5_000n;

/** Require T to be fresh. The sentence holds this party's time. */
export function requireFresh(sentAt: Instant, now: Instant): void {
  requireNotFuture(sentAt, now);
  require(now - sentAt <= WINDOW, "STALE", `sent at ${sentAt}, and it is ${now} here`);
}

/** Require T of long content: fresh when its first frame came, however long the rest takes on a slow line. */
export function requireFreshSince(sentAt: Instant, heardAt: Instant, now: Instant): void {
  requireNotFuture(sentAt, now);
  requireFresh(sentAt < heardAt ? sentAt : heardAt, heardAt);
}

export function requireNotFuture(sentAt: Instant, now: Instant): void {
  require(hasBegun(sentAt, now), "FUTURE_DATED", `sent at ${sentAt}, and it is ${now} here`);
}

/** Whether a validity has begun, for a clock that may be sigma behind the one that stated it. */
export function hasBegun(notBefore: Instant, now: Instant): boolean {
  return notBefore - now <= SKEW;
}

/** Require the T inside a seal to be the T outside (B2). */
export function requireSameTime(inside: Instant | undefined, outside: Instant): void {
  require(inside === outside, "TIME_MISMATCH", "the time inside the seal is not the time outside");
}
