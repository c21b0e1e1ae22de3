/** What a log tells its patient, checked by the patient: each entry by its leaf, the head, the head remembered before (docs/protocol.md, told). */

import type { AccessEntry, ProvedHead } from "../gen/federation/v1/access_pb.js";
import type { SignedStatement } from "../gen/federation/v1/statement_pb.js";
import type { TrustedBundle } from "./bundle.js";
import { equal, type Instant } from "./bytes.js";
import { accessLeaf, authorOf, type LogHead, logOrigin, openHead, peekHead, type Witness } from "./log.js";
import { leafHash, requireConsistent, requireIncluded } from "./merkle.js";
import { linesOf } from "./notes.js";
import { Refusal, require } from "./refusal.js";
import type { VerifiedParty } from "./verifier.js";
import { countedBy, heldBy } from "./witnesses.js";

/** Whose log it is: a realm's public cloud or hospital, and its key of now. */
export interface LogAuthor {
  readonly realm: string;
  readonly partyId: string;
  readonly key: Uint8Array;
}

/** What a log said of a patient, unchecked: entries, the head that they are proved below, and before which leaf older ones are. */
export interface LogPage {
  readonly entries: readonly AccessEntry[];
  readonly proved: ProvedHead | undefined;
  readonly older?: bigint | undefined;
}

/**
 * What a log told of a patient, each entry proved below the head, the newest first; `note` is that head as it is remembered. `beginsAnew`
 * says that this log is another than the one remembered: nothing proves what became of that one. Older entries, which were not asked for,
 * are before the leaf `older`. `cosigners` are those that count by the trust bundle's witness policy, which asks for so many `cosignatures`.
 */
export interface ToldLog {
  readonly entries: readonly AccessEntry[];
  readonly head: LogHead;
  readonly note: Uint8Array;
  readonly cosigners: readonly string[];
  readonly cosignatures: number;
  readonly beginsAnew: boolean;
  readonly older: bigint | undefined;
}

/** The reasons for which a head does not follow the one remembered: both are evidence. */
export const DOES_NOT_FOLLOW = ["HEAD_OLDER", "HEAD_CONFLICT", "LOG_PROOF_INVALID"];

/**
 * Check what a log told of a patient; `known` is the note of the head that is remembered. Refuses with MISSING_FIELD, NOTE_MALFORMED,
 * IDENTITY_MISMATCH, SIGNATURE_INVALID, FIELD_INVALID; with LEAF_MISMATCH an entry that is not what its leaf says; with one of
 * DOES_NOT_FOLLOW a head that does not follow the one remembered.
 */
export function requireTold(
  { entries, proved, older }: LogPage,
  patientId: string,
  author: LogAuthor,
  known?: Uint8Array,
): ToldLog {
  require(proved !== undefined, "MISSING_FIELD", "a log came without its head");
  const { origin } = peekHead(proved.note!);
  const isAuthors = origin === logOrigin(author.realm, author.partyId, numberOf(origin));
  require(isAuthors, "IDENTITY_MISMATCH", "this is the head of somebody else's log");
  const head = openHead(proved.note!, origin, author.key);
  requireOrder(entries);
  for (const entry of entries) requireIn(head, entry, patientId, author.partyId);
  const leads = older === undefined || entries.length === 0 || older <= entries.at(-1)!.leafIndex!;
  require(leads, "FIELD_INVALID", "older entries of a log are said to be where newer ones are");
  const beginsAnew = known !== undefined && follows(peekHead(known), head, proved.consistency);
  return { entries, head, note: proved.note!, cosigners: [], cosignatures: 1, beginsAnew, older };
}

/**
 * Check a further page of what a log told, and give it put to the pages before, which were checked: below one head. Refuses as requireTold;
 * with ANSWER_MISMATCH a page below another head.
 */
export function requireFurther(said: LogPage, patientId: string, author: LogAuthor, before: ToldLog): ToldLog {
  const page = requireTold(said, patientId, author, before.note);
  const isOneHead = page.head.origin === before.head.origin && page.head.size === before.head.size;
  require(isOneHead, "ANSWER_MISMATCH", "a further page of a log is below another head than the first");
  requireOrder([...before.entries.slice(-1), ...page.entries]);
  const { older: leaf } = before;
  const isAsked = leaf === undefined || page.entries.slice(0, 1).every(({ leafIndex }) => leafIndex! < leaf);
  require(isAsked, "FIELD_INVALID", "a further page of a log has entries that were not asked for");
  const leads = leaf === undefined || page.older === undefined || page.older < leaf;
  require(leads, "FIELD_INVALID", "a further page of a log leads nowhere");
  return { ...before, entries: [...before.entries, ...page.entries], older: page.older };
}

/** How many entries a log counts and does not tell, where it should: between two, or behind the last where there are no older. */
export function untoldOf({ entries, older }: ToldLog): bigint {
  if (entries.length === 0) return 0n;
  const behind = older === undefined ? 0n : entries.at(-1)!.number! - 1n;
  return entries[0]!.number! - BigInt(entries.length) - behind;
}

/**
 * What was told with whose cosignatures under its head hold and count by the policy of now, and how many that asks for: of the hospitals
 * whose statements came along, and of the public cloud. `verified` makes CRED of a hospital, and may ask for shards meanwhile.
 */
export async function witnessed(
  told: ToldLog,
  proved: ProvedHead,
  bundle: TrustedBundle,
  verified: (signed: SignedStatement) => VerifiedParty | Promise<VerifiedParty>,
  now: Instant,
): Promise<ToldLog> {
  const witnesses: Witness[] = [{ id: bundle.content.cloudId!, verifyingKey: bundle.cloudKeyAt(now) }];
  for (const signed of proved.witnessKeyStatements) {
    const held = await ifHeld(async () => [await verified(signed)]);
    witnesses.push(...held.map(({ identity: id, verifyingKey }) => ({ id, verifyingKey })));
  }
  const held = heldBy(proved.note!, linesOf(proved.note!), witnesses);
  const cosigners = countedBy(bundle.witnessPolicy, held, authorOf(proved.note!));
  return { ...told, cosigners, cosignatures: bundle.witnessPolicy.cosignatures };
}

/** Whether as many have cosigned the head of a log as the federation asks for. */
export function isWitnessed({ cosigners, cosignatures }: ToldLog): boolean {
  return cosigners.length >= cosignatures;
}

/** What does not hold counts for nothing. */
async function ifHeld<T>(step: () => Promise<readonly T[]>): Promise<readonly T[]> {
  try {
    return await step();
  } catch (error) {
    if (error instanceof Refusal) return [];
    throw error;
  }
}

function requireOrder(entries: readonly AccessEntry[]): void {
  const fall = entries.every(
    ({ number, leafIndex }, place) =>
      place === 0 || (entries[place - 1]!.number! > number! && entries[place - 1]!.leafIndex! > leafIndex!),
  );
  require(fall, "FIELD_INVALID", "the entries of a log are not the newest first");
}

function requireIn(head: LogHead, entry: AccessEntry, patientId: string, partyId: string): void {
  const leaf = leafHash(accessLeaf(entry, patientId, partyId, entry.blind!));
  try {
    requireIncluded(leaf, entry.leafIndex!, head.size, entry.inclusion, head.root);
  } catch (error) {
    throw new Refusal("LEAF_MISMATCH", "an entry is not what the log has at its place", { cause: error });
  }
}

/** Require that a head follows the one remembered; say whether it is of a log that was begun anew. */
function follows(known: LogHead, shown: LogHead, proof: readonly Uint8Array[]): boolean {
  const [number, knownNumber] = [numberOf(shown.origin), numberOf(known.origin)];
  if (number > knownNumber) return true;
  const isLater = number === knownNumber && shown.size >= known.size;
  require(isLater, "HEAD_OLDER", "a log is shorter than it was when it was last looked at");
  const isOne = shown.size !== known.size || equal(shown.root, known.root);
  require(isOne, "HEAD_CONFLICT", "two heads of one size of one log");
  requireConsistent(known, shown, proof);
  return false;
}

/** Which of its author's logs an origin names. */
function numberOf(origin: string): number {
  return Number(origin.slice(origin.lastIndexOf("/") + 1));
}
