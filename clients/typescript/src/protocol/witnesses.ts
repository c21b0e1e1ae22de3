/** Whose cosignatures of a log's head count, and how many its readers ask for: the trust bundle says it (docs/protocol.md, 8, wp). */

import type { TrustBundle, WitnessPolicy as StatedPolicy } from "../gen/federation/v1/directory_pb.js";
import type { Instant } from "./bytes.js";
import { authorOf, requireCosigned, type Witness } from "./log.js";
import { Refusal, require } from "./refusal.js";

/** As many statements of witnesses come with a head that a patient is shown. */
const MOST_COSIGNATURES = 8;

/** A policy, and since when. `hospitals` is undefined where every registered one counts, `cloudId` where the cloud does not. */
export interface WitnessPolicy {
  readonly notBefore: Instant;
  readonly cosignatures: number;
  readonly hospitals: readonly string[] | undefined;
  readonly cloudId: string | undefined;
}

/** The policies that a bundle states, in the order of their beginnings: at least one, the last of them that of now. */
export function readPolicies(bundle: TrustBundle): readonly WitnessPolicy[] {
  const stated = bundle.witnessPolicies;
  const begins = stated.length > 0 && stated[0]!.notBefore === 0n;
  require(begins, "BUNDLE_INVALID", "the trust bundle has no witness policy, or none of the beginning"); // tb.20
  const inOrder = stated.every((one, place) => place === 0 || stated[place - 1]!.notBefore! < one.notBefore!);
  const isMade = inOrder && stated.at(-1)!.notBefore! <= bundle.issuedAt!;
  require(isMade, "BUNDLE_INVALID", "the witness policies of the trust bundle are not in their order, or lie ahead"); // tb.20
  return stated.map((one) => readPolicy(one, bundle.cloudId!));
}

function readPolicy(stated: StatedPolicy, cloudId: string): WitnessPolicy {
  const named = [...stated.hospitals].sort();
  const isAny = named.length === 1 && named[0] === "*";
  const isOnce = new Set(named).size === named.length && (isAny || !named.includes("*"));
  require(isOnce, "BUNDLE_INVALID", "a witness policy names a hospital twice, or others beside all of them"); // tb.21
  const cosignatures = stated.cosignatures!;
  const counting = isAny ? MOST_COSIGNATURES + 1 : named.length + (stated.publicCloud! ? 1 : 0);
  const canBe = cosignatures > 0 && cosignatures <= MOST_COSIGNATURES && cosignatures < counting;
  require(canBe, "BUNDLE_INVALID", "a witness policy asks for no cosignature, or for more than there can be"); // tb.21
  const hospitals = isAny ? undefined : named;
  return { notBefore: stated.notBefore!, cosignatures, hospitals, cloudId: stated.publicCloud! ? cloudId : undefined };
}

/** Require that policies go on from those of the bundle before, which was made then. */
export function requirePoliciesFollow(
  before: readonly WitnessPolicy[],
  after: readonly WitnessPolicy[],
  issuedAt: Instant,
): void {
  const kept = before.every((policy, place) => isSame(policy, after[place]));
  const follows = kept && after.slice(before.length).every(({ notBefore }) => notBefore >= issuedAt);
  require(follows, "BUNDLE_REWRITES_HISTORY", "a witness policy of before is gone from the trust bundle, or another"); // tb.22
}

function isSame(one: WitnessPolicy, other: WitnessPolicy | undefined): boolean {
  return (
    one.notBefore === other?.notBefore &&
    one.cosignatures === other.cosignatures &&
    one.cloudId === other.cloudId &&
    one.hospitals?.join() === other.hospitals?.join()
  );
}

/** Those of a head's cosigners that count, in order, each once, the log's author not at all. */
export function countedBy(policy: WitnessPolicy, cosigners: readonly string[], authorId: string): readonly string[] {
  const counts = (id: string) =>
    id.startsWith("H:") ? (policy.hospitals?.includes(id) ?? true) : id === policy.cloudId;
  return [...new Set(cosigners)].filter((id) => id !== authorId && counts(id)).sort();
}

/**
 * Require that enough of these witnesses have cosigned a head that `openHead` took, and give who counts; a line that does not hold counts
 * nothing. Refuses with HEAD_NOT_COSIGNED, and with NOTE_MALFORMED a note that is none.
 */
export function requireBelieved(
  policy: WitnessPolicy,
  head: Uint8Array,
  lines: readonly Uint8Array[],
  witnesses: readonly Witness[],
): readonly string[] {
  const counted = countedBy(policy, heldBy(head, lines, witnesses), authorOf(head));
  const said = `${counted.length} of the ${policy.cosignatures} cosignatures that are asked for`;
  require(counted.length >= policy.cosignatures, "HEAD_NOT_COSIGNED", said); // wp.1
  return counted;
}

/** The witnesses whose cosignature of a head holds; lines that don't are passed over, for they are anybody's. */
export function heldBy(
  head: Uint8Array,
  lines: readonly Uint8Array[],
  witnesses: readonly Witness[],
): readonly string[] {
  return witnesses.filter((witness) => lines.some((line) => holds(head, line, witness))).map(({ id }) => id);
}

function holds(head: Uint8Array, line: Uint8Array, witness: Witness): boolean {
  try {
    return requireCosigned(head, [line], [witness], 1).length > 0;
  } catch (error) {
    if (error instanceof Refusal) return false;
    throw error;
  }
}
