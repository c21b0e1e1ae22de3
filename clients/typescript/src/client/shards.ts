/** The shards of the revocation list that a member has asked for: of the cloud, or else of a hospital that it deals with. */

import { createClient, type Transport } from "@connectrpc/connect";
import { GetHospitalShardsResponseSchema, RecordService } from "../gen/federation/v1/record_pb.js";
import type { RevocationExcerpt } from "../gen/federation/v1/statement_pb.js";
import type { Instant } from "../protocol/bytes.js";
import { equal } from "../protocol/bytes.js";
import { Refusal } from "../protocol/refusal.js";
import { type Listed, missingIn, Shards } from "../protocol/shards.js";
import { checkOuter } from "../protocol/rules.js";
import { called, refusalOf } from "./calls.js";
import type { Home } from "./home.js";

/** How long whoever is asked for shards has. */
export const SHARDS_MS = 10_000;

const MOST_KEPT = 128;
const MOST_BESIDE = 4;
const MOST_ASKED_A_STEP = 64;

/** Fetch the shards of these prefixes, and the CRLs but those of these digests; nothing of it is verified yet. */
export type AskShards = (prefixes: number[], heldCrls: Uint8Array[]) => Promise<RevocationExcerpt>;

/** The shards at hand, of one root, and whom to ask for more. A home hands it on to the home that it becomes. */
export class ShardKeeper implements Listed {
  askCloud: AskShards | undefined;
  #askBeside = new Map<string, AskShards>();
  #held = Shards.NONE;

  find(entry: Uint8Array, root: Uint8Array): Instant | undefined {
    return this.#held.find(entry, root);
  }

  /** Keep shards, and those of the same root that are here. */
  keep(shards: Shards): void {
    const goesOn = equal(this.#held.root, shards.root) && this.#held.byPrefix.size <= MOST_KEPT;
    this.#held = goesOn ? this.#held.with(shards) : shards;
  }

  /** Ask this hospital, too, before those that were dealt with earlier: what is at hand of one may be newer than what the next has. */
  dealWith(hospitalId: string, ask: AskShards): void {
    this.#askBeside.delete(hospitalId);
    this.#askBeside = new Map([[hospitalId, ask] as const, ...this.#askBeside].slice(0, MOST_BESIDE));
  }

  /** Ask the hospitals that are dealt with for their head, beside whichever shard; nothing that comes is verified yet. */
  async heads(heldCrls: Uint8Array[]): Promise<RevocationExcerpt[]> {
    const asked = [...this.#askBeside.values()].map((ask) => ask([0], heldCrls));
    const answers = await Promise.allSettled(asked);
    return answers.flatMap((answer) => (answer.status === "fulfilled" ? [answer.value] : []));
  }

  has(prefix: number, root: Uint8Array): boolean {
    return this.#held.has(prefix, root);
  }

  /**
   * Ask for a shard; `take` verifies and keeps what comes, and says whether the shard is here then. Refuses with REVOCATION_SHARD_MISSING
   * where nobody gives it.
   */
  async fetch(
    prefix: number,
    heldCrls: Uint8Array[],
    take: (excerpt: RevocationExcerpt) => Promise<boolean>,
  ): Promise<void> {
    let failure: Refusal | undefined;
    for (const ask of [this.askCloud, ...this.#askBeside.values()]) {
      if (ask === undefined) continue;
      try {
        if (await take(await ask([prefix], heldCrls))) return;
      } catch (error) {
        failure = refusalOf(error);
      }
    }
    const sentence = "the part of the revocation list in which it would stand can't be had now";
    throw new Refusal("REVOCATION_SHARD_MISSING", sentence, { cause: failure }); // shard.3
  }
}

/** Fetch shards of the revocation list as a hospital has it; nothing of them is verified yet. */
export function askingOf(transport: Transport): AskShards {
  return async (prefixes, heldCrls) => {
    const client = createClient(RecordService, transport);
    const answer = await called(() => client.getHospitalShards({ prefixes, heldCrls }, { timeoutMs: SHARDS_MS }));
    checkOuter(GetHospitalShardsResponseSchema, answer);
    return answer.revocations!;
  };
}

/**
 * Take a step by a home's lists, and again with each shard that it misses: verification is pure, so it comes to the same. The step reads the
 * lists anew, for a newer head may come with the shards. Refuses as the step does where nobody gives a shard.
 */
export async function withShards<T>(home: Home, step: () => T | Promise<T>): Promise<T> {
  for (let asked = 0; ; asked++) {
    try {
      return await step();
    } catch (error) {
      const missing = missingIn(error);
      if (missing === undefined || asked === MOST_ASKED_A_STEP) throw error;
      await fetched(home, missing.prefix, error);
    }
  }
}

/** Fetch a shard; where it can't be had, refuse as REJECTED what was REJECTED for the lack of it. */
async function fetched(home: Home, prefix: number, refused: unknown): Promise<void> {
  try {
    await home.shards.fetch(prefix, home.heldCrls, async (excerpt) => {
      await home.takeShards(excerpt);
      return home.shards.has(prefix, home.lists!.head.root!);
    });
  } catch (error) {
    if (!(refused instanceof Refusal) || refused.reason !== "REJECTED") throw error;
    throw new Refusal(refused.reason, refused.message, { cause: error });
  }
}
