/** `patient records`, `accesses`, `grants` and `revoke`: what is the patient's own. */

import {
  fetchAtMostOf,
  has,
  openHome,
  optional,
  type Said,
  tell,
  UsageError,
  type Values,
  writableDirectory,
} from "./arguments.js";
import { refusalOf } from "./client/calls.js";
import { Cloud, clock, entropy } from "./client/cloud.js";
import { granteeWords, grantLines } from "./client/consents.js";
import { fetchLog, MOST_BYTES } from "./client/fetch.js";
import type { Home, KeptGrant } from "./client/home.js";
import { CurrentHome, maintain } from "./client/maintenance.js";
import { withShards } from "./client/shards.js";
import { described, fetchAll } from "./fetched.js";
import { type AccessEntry, AccessGround, AccessKind } from "./gen/federation/v1/access_pb.js";
import { Right } from "./gen/federation/v1/statement_pb.js";
import { ANY, type Grant } from "./protocol/access.js";
import { hex, type Instant } from "./protocol/bytes.js";
import { peekGrant } from "./protocol/consent.js";
import { type PartyLog, type Remark, remarks, UNSEARCHED } from "./protocol/onesided.js";
import { plain, preciseReason, require } from "./protocol/refusal.js";
import { MOST_STATEMENTS, type TakenBack } from "./protocol/revocation.js";
import { Shown } from "./protocol/shown.js";
import { isWitnessed, type ToldLog, untoldOf } from "./protocol/told.js";
import { statementDigest } from "./protocol/transcript.js";

/** Find the patient's own records, fetch and save them. */
export async function ownRecords(values: Values): Promise<Said> {
  const mostBytes = fetchAtMostOf(values, MOST_BYTES);
  const directory = optional(values, "save");
  if (directory !== undefined) writableDirectory(directory);
  const home = await maintain(openHome(values), tell);
  const shown = Shown.byOwnRight(home.identity);
  const locations = await new Cloud(home.cloudTransport).search(home, ANY, shown, entropy);
  const bounds = { mostBytes, mostRecords: Infinity };
  const showing = () => Promise.resolve(shown);
  const { records, missing } = await fetchAll(new CurrentHome(home), showing, locations, bounds, directory);
  return { patient: home.identity, records: records.flatMap(described), missing };
}

/** List who asked for the patient's own records: at the public cloud, and at each hospital that has some. */
export async function ownAccesses(values: Values): Promise<Said> {
  const home = await maintain(openHome(values), tell);
  const shown = Shown.byOwnRight(home.identity);
  const cloud = new Cloud(home.cloudTransport);
  const read: (ToldLog & PartyLog)[] = [];
  const missing: Record<string, string> = {};
  const take = async (where: string, ask: () => Promise<ToldLog>) => {
    try {
      read.push({ ...(await ask()), partyId: where });
    } catch (error) {
      const refusal = refusalOf(error);
      missing[where] = preciseReason(refusal);
      tell(`WHO ASKED AT ${where} IS MISSING: ${plain(refusal)}`);
    }
  };
  const cloudId = home.bundle.content.cloudId!;
  const askedAt = clock();
  await take(cloudId, () => cloud.log(home, shown, entropy));
  const locations = await cloud.search(home, ANY, shown, entropy);
  const hospitals = new Map(locations.map((location) => [location.hospital.party.identity, location]));
  for (const [hospital, location] of hospitals)
    await take(hospital, () => fetchLog(new CurrentHome(home), shown, location, tell));
  const remarked = remarksOn(home, cloudId, read, askedAt, Object.keys(missing).length === 0);
  const wordsOf = (where: string, number: bigint) =>
    remarked.find((remark) => remark.partyId === where && remark.number === number)?.words ?? "";
  for (const { partyId, number, words } of remarked)
    if (words === UNSEARCHED)
      tell(`IN A HOSPITAL'S LOG AND NOT IN THE PUBLIC CLOUD'S: reading ${number} at ${partyId}.`);
  const accesses = read.flatMap(({ partyId, entries }) =>
    entries.map((entry) => ({ ...told(partyId, entry), remark: wordsOf(partyId, entry.number!) })),
  );
  return { patient: home.identity, accesses, logs: read.map(toldLog), missing };
}

/** What is to be said of what one side alone has; nothing where the public cloud did not answer. */
function remarksOn(
  { grants }: Home,
  cloudId: string,
  read: readonly PartyLog[],
  askedAt: Instant,
  isWhole: boolean,
): Remark[] {
  const cloud = read.find(({ partyId }) => partyId === cloudId);
  if (cloud === undefined) return [];
  const hospitals = read.filter((log) => log !== cloud);
  const unsearchable = grants
    .filter(({ signed }) => !peekGrant(signed).rights.includes(Right.INDEX))
    .map(({ signed }) => statementDigest("grant", signed));
  return remarks(cloud, hospitals, { askedAt, unsearchable, isWhole });
}

/** By what a log is proved. */
function toldLog(log: ToldLog & PartyLog): Said {
  const { partyId, head, cosigners, cosignatures, beginsAnew } = log;
  const untold = Number(untoldOf(log));
  if (untold > 0)
    tell(`${partyId} counts ${untold} more about you, and tells nothing of them: forgotten there, or KEPT BACK.`);
  if (!isWitnessed(log))
    tell(
      `NOT WITNESSED: ${cosigners.length} have cosigned the log of ${partyId}, and the federation asks for ${cosignatures}.`,
    );
  return {
    where: partyId,
    origin: head.origin,
    head: Number(head.size),
    cosigned_by: [...cosigners],
    witnessed: isWitnessed(log),
    began_anew: beginsAnew,
    untold,
  };
}

function told(where: string, entry: AccessEntry): Said {
  return {
    where,
    number: Number(entry.number),
    at: Number(entry.at),
    asker: entry.askerId,
    kind: AccessKind[entry.kind!],
    department: entry.departmentClass,
    ground: AccessGround[entry.ground!].toLowerCase(),
    reason: entry.reason,
    leaf: Number(entry.leafIndex),
  };
}

/** A grant that was given from here, and what became of it, by the lists at hand. */
interface Given extends KeptGrant {
  readonly grant: Grant;
  readonly state: "stands" | "ended" | "taken back";
}

async function givenFrom(home: Home): Promise<Given[]> {
  const given: Given[] = [];
  for (const { number, signed } of home.grants) {
    const grant = peekGrant(signed);
    const state = (await isTakenBack(home, grant))
      ? "taken back"
      : clock() < grant.validity.notAfter
        ? "stands"
        : "ended";
    given.push({ number, signed, grant, state });
  }
  return given;
}

/** Where that can't be told it counts as given: what is told here is not what hospitals decide by. */
async function isTakenBack(home: Home, grant: Grant): Promise<boolean> {
  try {
    return await withShards(home, () => home.lists?.isTakenBack("grant", grant) ?? false);
  } catch (error) {
    preciseReason(error);
    return false;
  }
}

/** List what was consented to from here. */
export async function listGrants(values: Values): Promise<Said> {
  const given = await givenFrom(await maintain(openHome(values), tell));
  for (const { number, grant, state } of given) {
    const [head, ...lines] = grantLines(grant, "your");
    tell(`${number}. ${state === "stands" ? "" : `${state.toUpperCase()}. `}${head!}`);
    lines.forEach(tell);
  }
  return {
    grants: given.map(({ number, grant, state }) => ({
      number,
      id: hex(grant.id),
      for: granteeWords(grant.grantee),
      until: Number(grant.validity.notAfter),
      state,
    })),
  };
}

/** Take back the grants of these numbers, the last that stands, or everything that was signed until now. */
export async function revokeGrants(values: Values, numbers: string[]): Promise<Said> {
  const isAll = has(values, "all");
  const isLast = has(values, "last");
  if ([isAll, isLast, numbers.length > 0].filter(Boolean).length !== 1)
    throw new UsageError("give numbers as `grants` shows them, or --last, or --all");
  if (!numbers.every((number) => /^[1-9]\d*$/.test(number))) throw new UsageError("a consent has a number, from 1 on");
  const home = await maintain(openHome(values), tell);
  const given = await givenFrom(home);
  const standing = given.filter(({ state }) => state === "stands");
  const chosen = isAll
    ? standing
    : isLast
      ? standing.slice(-1)
      : given.filter(({ number }) => numbers.includes(`${number}`));
  const isFound = isAll || (chosen.length > 0 && chosen.length >= new Set(numbers).size);
  require(isFound, "NO_SUCH_GRANT", "no such consent was given from here, or none stands");
  const { identity: ownerId } = home;
  // What was signed in this very millisecond, too.
  const takenBack = isAll ? [{ ownerId, before: clock() + 1n }] : inBatches(ownerId, chosen);
  for (const one of takenBack) await new Cloud(home.cloudTransport).revoke(home, one, entropy);
  tell("Taken back. Hospitals know as soon as they have the next list, within the hour at the latest.");
  return { revoked: chosen.map(({ number }) => number) };
}

function inBatches(ownerId: string, given: readonly Given[]): TakenBack[] {
  const statements = given.map(({ signed: statement }) => ({ kind: "grant" as const, statement }));
  return Array.from({ length: Math.ceil(given.length / MOST_STATEMENTS) }, (_, index) => ({
    ownerId,
    statements: statements.slice(index * MOST_STATEMENTS, (index + 1) * MOST_STATEMENTS),
  }));
}
