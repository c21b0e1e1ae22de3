/** The set of what no longer holds as a public cloud has it: written out here once more from docs/protocol.md. */

import { create } from "@bufbuild/protobuf";
import { type RevocationShard, RevocationShardSchema, SweepSchema } from "../src/gen/federation/v1/statement_pb.js";
import { concat, fromHex, hex, sha256, u64 } from "../src/protocol/bytes.js";
import type { Listed } from "../src/protocol/shards.js";
import { transcript } from "../src/protocol/transcript.js";
import type { Vector } from "./vectors.js";

const EMPTY_LEAF = leafOf(create(RevocationShardSchema, {}));

/** Entries in hex, each with a sweep's time or 0. */
export class Revoked implements Listed {
  constructor(readonly entries: ReadonlyMap<string, bigint> = new Map()) {}

  /** What the vectors have: entries and sweeps. */
  static read({ entries, sweeps }: Vector): Revoked {
    const swept: [string, bigint][] = sweeps.map((one: Vector) => [one.patient_digest, BigInt(one.before)]);
    return new Revoked(new Map([...entries.map((entry: string): [string, bigint] => [entry, 0n]), ...swept]));
  }

  /** The set and one entry more. */
  with(entry: Uint8Array, before = 0n): Revoked {
    return new Revoked(new Map([...this.entries, [hex(entry), before]]));
  }

  find(entry: Uint8Array): bigint | undefined {
    return this.entries.get(hex(entry));
  }

  get root(): Uint8Array {
    return this.#levels().at(-1)![0]!;
  }

  /** These shards with their paths. */
  shards(...prefixes: number[]): RevocationShard[] {
    const levels = this.#levels();
    return prefixes.map((prefix) => {
      const path = levels.slice(0, -1).map((nodes, level) => nodes[(prefix >> level) ^ 1]!);
      return create(RevocationShardSchema, { ...this.#shard(prefix), path });
    });
  }

  #shard(prefix: number): RevocationShard {
    const own = [...this.entries].filter(([entry]) => entry.startsWith(prefix.toString(16).padStart(3, "0"))).sort();
    return create(RevocationShardSchema, {
      prefix,
      entries: own.filter(([, before]) => before === 0n).map(([entry]) => fromHex(entry)),
      sweeps: own
        .filter(([, before]) => before !== 0n)
        .map(([entry, before]) => create(SweepSchema, { patientDigest: fromHex(entry), before })),
    });
  }

  #levels(): Uint8Array[][] {
    const leaves = Array<Uint8Array>(4096).fill(EMPTY_LEAF);
    for (const entry of this.entries.keys()) {
      const prefix = parseInt(entry.slice(0, 3), 16);
      leaves[prefix] = leafOf(this.#shard(prefix));
    }
    const levels = [leaves];
    for (let below = leaves; below.length > 1; levels.push(below))
      below = Array.from({ length: below.length / 2 }, (_, at) =>
        sha256(concat(Uint8Array.of(1), below[2 * at]!, below[2 * at + 1]!)),
      );
    return levels;
  }
}

function leafOf({ entries, sweeps }: RevocationShard): Uint8Array {
  const swept = sweeps.map(({ patientDigest, before }) => concat(patientDigest!, u64(before!)));
  return sha256(concat(Uint8Array.of(0), transcript("shard", concat(...entries), concat(...swept))));
}
