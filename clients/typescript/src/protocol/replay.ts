/** Replay keys of messages that were taken (B2). Whoever keeps them writes them down before the message is answered. */

import { hex, type Instant } from "./bytes.js";
import { SKEW, WINDOW } from "./freshness.js";
import { Refusal } from "./refusal.js";

/** Until when each replay key, hex, is kept: in milliseconds, as JSON holds them. */
export type ReplayKeys = Readonly<Record<string, number>>;

/** The keys with a message's own, without those that are over; one that is kept already is refused. */
export function admit(kept: ReplayKeys, replayKey: Uint8Array, now: Instant): ReplayKeys {
  const key = hex(replayKey);
  if (key in kept) {
    const cause = new Refusal("MESSAGE_REPLAYED", "this message was taken before");
    throw new Refusal("REJECTED", "the message was not accepted", { cause });
  }
  const current = Object.entries(kept).filter(([, until]) => until >= now);
  return { ...Object.fromEntries(current), [key]: Number(now + WINDOW + 2n * SKEW) };
}
