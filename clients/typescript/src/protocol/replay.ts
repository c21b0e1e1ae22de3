/** Replay keys of messages that were taken (B2). A short-lived process may keep them in memory; a longer-lived one must not. */

import { hex } from "./bytes.js";
import { Refusal } from "./refusal.js";

export class ReplayMemory {
  readonly #taken = new Set<string>();

  /** Keep a message's replay key; refuse one that is kept already. */
  admit(replayKey: Uint8Array): void {
    const key = hex(replayKey);
    if (this.#taken.has(key)) {
      const cause = new Refusal("MESSAGE_REPLAYED", "this message was taken before");
      throw new Refusal("REJECTED", "the message was not accepted", { cause });
    }
    this.#taken.add(key);
  }
}
