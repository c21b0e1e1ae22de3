/** The tree of a log: hashes and proofs (RFC 9162, section 2.1; docs/protocol.md, 8, Tree). */

import { concat, EMPTY, equal, sha256 } from "./bytes.js";
import { require } from "./refusal.js";

/** A tree as one number and one hash: how many leaves it has, and its root. */
export interface TreeHead {
  readonly size: bigint;
  readonly root: Uint8Array;
}

export const EMPTY_ROOT = sha256(EMPTY);

/** The most leaves that a head can name. */
export const LARGEST_SIZE = 2n ** 63n - 1n;

const HASH_BYTES = 32;
const LEAF = Uint8Array.of(0);
const NODE = Uint8Array.of(1);
const REASON = "LOG_PROOF_INVALID";

/** The hash of a leaf: SHA-256(0x00 || data). */
export function leafHash(data: Uint8Array): Uint8Array {
  return sha256(concat(LEAF, data));
}

function nodeHash(left: Uint8Array, right: Uint8Array): Uint8Array {
  return sha256(concat(NODE, left, right));
}

/** Refuse unless a tree of this size and root has this leaf, its hash, at that place (RFC 9162, section 2.1.3.2). */
export function requireIncluded(
  leaf: Uint8Array,
  index: bigint,
  size: bigint,
  proof: readonly Uint8Array[],
  root: Uint8Array,
): void {
  require(0n <= index && index < size && size <= LARGEST_SIZE, REASON, "the tree has no leaf of that number"); // incl.1
  requireHashes(leaf, root, ...proof); // incl.2
  const way = new Way(index, size - 1n);
  let found = leaf;
  for (const beside of proof) found = way.up() === "left" ? nodeHash(beside, found) : nodeHash(found, beside); // incl.3
  way.requireEnded(); // incl.3
  require(equal(found, root), REASON, "the leaf is not in the tree at that place"); // incl.4
}

/** Refuse unless the new tree begins with all of the old one (RFC 9162, section 2.1.4.2). */
export function requireConsistent(before: TreeHead, after: TreeHead, proof: readonly Uint8Array[]): void {
  const grows = 0n <= before.size && before.size <= after.size && after.size <= LARGEST_SIZE;
  require(grows, REASON, "a tree does not shrink"); // cons.1
  requireHashes(before.root, after.root, ...proof); // cons.2
  for (const tree of [before, after])
    require(tree.size > 0n || equal(tree.root, EMPTY_ROOT), REASON, "the root of nothing is another"); // cons.3
  if (before.size === 0n || before.size === after.size) {
    require(proof.length === 0, REASON, "nothing is to be proved, and something is shown"); // cons.4
    require(before.size === 0n || equal(before.root, after.root), REASON, "two roots of one size"); // cons.4
    return;
  }
  // Where the old tree is complete, it is itself the subtree that both share.
  const isComplete = (before.size & (before.size - 1n)) === 0n;
  const [first, ...path] = isComplete ? [before.root, ...proof] : proof;
  require(first !== undefined, REASON, "the proof is empty"); // cons.5
  const way = Way.fromEdge(before.size - 1n, after.size - 1n);
  let [old, latest] = [first, first];
  for (const beside of path) {
    if (way.up() === "left") [old, latest] = [nodeHash(beside, old), nodeHash(beside, latest)];
    else latest = nodeHash(latest, beside);
  }
  way.requireEnded(); // cons.5
  const begins = equal(old, before.root) && equal(latest, after.root);
  require(begins, REASON, "the new tree does not begin with the old one"); // cons.6
}

/** The way from a place up to the root: on which side each next hash of a proof stands. */
class Way {
  constructor(
    private place: bigint,
    private last: bigint,
  ) {}

  /** From the right edge of an old tree: from its last complete subtree. */
  static fromEdge(place: bigint, last: bigint): Way {
    while (place & 1n) [place, last] = [place >> 1n, last >> 1n];
    return new Way(place, last);
  }

  up(): "left" | "right" {
    require(this.last !== 0n, REASON, "the proof is longer than the way up");
    const isRight = (this.place & 1n) === 1n || this.place === this.last;
    if (isRight) while (this.place !== 0n && !(this.place & 1n)) this.rise();
    this.rise();
    return isRight ? "left" : "right";
  }

  requireEnded(): void {
    require(this.last === 0n, REASON, "the proof is shorter than the way up");
  }

  private rise(): void {
    [this.place, this.last] = [this.place >> 1n, this.last >> 1n];
  }
}

function requireHashes(...hashes: readonly Uint8Array[]): void {
  require(hashes.every((hash) => hash.length === HASH_BYTES), REASON, "a hash has 32 bytes");
}
