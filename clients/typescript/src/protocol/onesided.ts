/** What one side's log has and the other's should: what the public cloud did about a patient, and what hospitals did (docs/protocol.md, told). */

import { type AccessEntry, AccessGround, AccessKind } from "../gen/federation/v1/access_pb.js";
import { EMPTY, hex, type Instant } from "./bytes.js";
import { CONSULTATION_LIFE } from "./consultation.js";
import { SKEW, WINDOW } from "./freshness.js";

export const UNSEARCHED = "THE PUBLIC CLOUD KNOWS OF NO SEARCH FOR IT";
export const UNREAD = "no hospital tells that anything was read";

/** By so much two servers' clocks may differ: at more, one of them refuses what is sent to both. */
const TOLERANCE = WINDOW + SKEW;
const BEGUN = "BEGUN";

/** What a party's log told of a patient. */
export interface PartyLog {
  readonly partyId: string;
  readonly entries: readonly AccessEntry[];
}

/** What is to be said of an access: of the last entry that its log has of it, by its number. */
export interface Remark {
  readonly partyId: string;
  readonly number: bigint;
  readonly words: string;
}

/** One access: its last entry, and when it began. */
interface ReadAccess {
  readonly entry: AccessEntry;
  readonly at: Instant;
}

/** What is said of accesses that one side alone has needs to know: when the cloud was asked, hospitals after it; and what all this is not. */
export interface Circumstances {
  readonly askedAt: Instant;
  /** H of the grants that give no right to search. */
  readonly unsearchable: readonly Uint8Array[];
  /** Whether every hospital was asked and answered. */
  readonly isWhole: boolean;
}

/** What is to be said of accesses that one side alone has. */
export function remarks(cloud: PartyLog, hospitals: readonly PartyLog[], circumstances: Circumstances): Remark[] {
  const { askedAt, isWhole } = circumstances;
  const unsearchable = new Set(circumstances.unsearchable.map(hex));
  const searches = joined(cloud.entries).filter(isByDoctor(AccessKind.SEARCH));
  const readings = hospitals.flatMap(({ partyId, entries }) =>
    joined(entries)
      .filter(isByDoctor(AccessKind.READ))
      .map((access) => ({ ...access, partyId })),
  );
  const searched = new Set(searches.map(keyOf));
  const read = new Set(readings.map(keyOf));
  const settled = askedAt - TOLERANCE;
  const cloudKnowsSince = behind(knownSince(cloud.entries), CONSULTATION_LIFE);
  const allKnowSince = hospitals
    .map(({ entries }) => behind(knownSince(entries), TOLERANCE))
    .reduce((latest, one) => (one > latest ? one : latest), 0n);
  const unsearched = readings.filter(
    ({ entry, at }) =>
      cloudKnowsSince <= at &&
      at <= settled &&
      !unsearchable.has(hex(entry.grantDigest ?? EMPTY)) &&
      !searched.has(keyOf({ entry })),
  );
  const unread = searches.filter(
    ({ entry, at }) => isWhole && allKnowSince <= at && at <= settled && !read.has(keyOf({ entry })),
  );
  return [
    ...unsearched.map(({ partyId, entry }) => ({ partyId, number: entry.number!, words: UNSEARCHED })),
    ...unread.map(({ entry }) => ({ partyId: cloud.partyId, number: entry.number!, words: UNREAD })),
  ];
}

function behind(since: Instant, duration: bigint): Instant {
  return since === 0n ? 0n : since + duration;
}

/** Whether it was given, by what others need: one's own right is of one side by nature, and so is a refusal. */
function isByDoctor(kind: AccessKind): (access: ReadAccess) => boolean {
  return ({ entry }) =>
    entry.kind === kind &&
    [AccessGround.CONSENT, AccessGround.EMERGENCY].includes(entry.ground!) &&
    ["OK", BEGUN].includes(entry.reason!);
}

/** By what both sides name it: a doctor's duty may be another at each, a grant is not. */
function keyOf({ entry }: Pick<ReadAccess, "entry">): string {
  return `${entry.askerId!} ${hex(entry.grantDigest ?? entry.authorization ?? EMPTY)}`;
}

/** The accesses of a log: an entry that says how one ended, and that it began, are one. */
function joined(entries: readonly AccessEntry[]): ReadAccess[] {
  const found: ReadAccess[] = [];
  const begun = new Map<string, AccessEntry[]>();
  for (const entry of [...entries].sort(inOrder)) {
    const { askerId, kind, departmentClass, authorization } = entry;
    const name = `${askerId!} ${kind!} ${departmentClass!} ${hex(authorization ?? EMPTY)}`;
    const waiting = begun.get(name) ?? [];
    begun.set(name, waiting);
    if (entry.reason === BEGUN) waiting.push(entry);
    else found.push({ entry, at: (waiting.shift() ?? entry).at! });
  }
  return [...found, ...[...begun.values()].flat().map((entry) => ({ entry, at: entry.at! }))];
}

/** By time; of one time, what began comes before what ended. */
function inOrder(one: AccessEntry, other: AccessEntry): number {
  const ended = ({ reason }: AccessEntry) => (reason === BEGUN ? 0 : 1);
  return Number(one.at! - other.at!) || ended(one) - ended(other) || Number(one.number! - other.number!);
}

/** Since when a log has every entry about its patient, by their numbers: 0 where that is from the first on. */
function knownSince(entries: readonly AccessEntry[]): Instant {
  const newestFirst = [...entries].sort((one, other) => Number(other.number! - one.number!));
  const gap = newestFirst.find(({ number }, place) => number !== (newestFirst[place + 1]?.number ?? 0n) + 1n);
  return gap?.at ?? 0n;
}
