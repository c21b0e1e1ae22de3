/** What no longer holds, in 4,096 shards under one root: what is at hand of them (docs/protocol.md, "Revocation list: rl"; ADR 36). */

import type { RevocationShard } from "../gen/federation/v1/statement_pb.js";
import { concat, EMPTY, equal, type Instant, sha256, u64 } from "./bytes.js";
import { Refusal, require } from "./refusal.js";
import { transcript } from "./transcript.js";

const SHARDS = 4096;
const LEVELS = 12;

/** What is at hand of the set. */
export interface Listed {
  /** The time of a sweep, 0 of any other entry, and nothing of what is not in the set of that root. Refuses as ShardMissing. */
  find(entry: Uint8Array, root: Uint8Array): Instant | undefined;
}

/** The shard in which an entry would stand is not at hand: without it, no. Who can asks for it, and verifies again. */
export class ShardMissing extends Refusal {
  constructor(readonly prefix: number) {
    super("REVOCATION_SHARD_MISSING", "the part of the revocation list in which it would stand is not at hand");
  }
}

/** The missing shard behind a refusal, which may be REJECTED. */
export function missingIn(error: unknown): ShardMissing | undefined {
  if (error instanceof ShardMissing) return error;
  return error instanceof Error && error.cause !== undefined ? missingIn(error.cause) : undefined;
}

/** Which shard an entry lies in: its first 12 bits, and never what somebody says of it. */
export function prefixOf(entry: Uint8Array): number {
  return (entry[0]! << 4) | (entry[1]! >> 4);
}

/** Shards of one root, each proven by it. */
export class Shards implements Listed {
  static readonly NONE = new Shards(EMPTY, new Map());

  private constructor(
    readonly root: Uint8Array,
    readonly byPrefix: ReadonlyMap<number, RevocationShard>,
  ) {}

  /** Take shards that a root commits to. Refuses with REVOCATION_SHARD_INVALID. */
  static read(root: Uint8Array, shards: readonly RevocationShard[]): Shards {
    shards.forEach((shard) => requireProven(shard, root));
    return new Shards(root, new Map(shards.map((shard) => [shard.prefix!, shard])));
  }

  find(entry: Uint8Array, root: Uint8Array): Instant | undefined {
    const prefix = prefixOf(entry);
    if (!this.has(prefix, root)) throw new ShardMissing(prefix); // shard.3
    const { entries, sweeps } = this.byPrefix.get(prefix)!;
    if (entries.some((one) => equal(one, entry))) return 0n;
    return sweeps.find(({ patientDigest }) => equal(patientDigest!, entry))?.before;
  }

  has(prefix: number, root: Uint8Array): boolean {
    return equal(this.root, root) && this.byPrefix.has(prefix);
  }

  /** These, and others of the same root. */
  with(others: Shards): Shards {
    return new Shards(this.root, new Map([...this.byPrefix, ...others.byPrefix]));
  }
}

/** Require a root to commit to a shard, at the place of its prefix: RFC 9162, section 2.1. */
export function requireProven({ prefix, entries, sweeps, path }: RevocationShard, root: Uint8Array): void {
  const isPlace = prefix! < SHARDS && path.length === LEVELS;
  require(isPlace, "REVOCATION_SHARD_INVALID", "its place, or the length of its path, is no tree's of 4,096"); // shard.1
  const swept = sweeps.map(({ patientDigest, before }) => concat(patientDigest!, u64(before!)));
  const leaf = hashed(0, transcript("shard", concat(...entries), concat(...swept)));
  const found = path.reduce(
    (below, beside, level) => ((prefix! >> level) & 1 ? hashed(1, beside, below) : hashed(1, below, beside)),
    leaf,
  );
  require(equal(found, root), "REVOCATION_SHARD_INVALID", "the shard is not the head's"); // shard.2
}

function hashed(kind: number, ...parts: Uint8Array[]): Uint8Array {
  return sha256(concat(Uint8Array.of(kind), ...parts));
}
