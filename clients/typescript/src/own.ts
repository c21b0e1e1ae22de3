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
import { described, fetchAll, said } from "./fetched.js";
import { type AccessEntry, AccessGround, AccessKind } from "./gen/federation/v1/access_pb.js";
import { ANY, type Grant } from "./protocol/access.js";
import { hex } from "./protocol/bytes.js";
import { peekGrant } from "./protocol/consent.js";
import { preciseReason, require } from "./protocol/refusal.js";
import { MOST_STATEMENTS, type TakenBack } from "./protocol/revocation.js";
import { Shown } from "./protocol/shown.js";

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
  const accesses = (await cloud.log(home, shown, entropy)).map((entry) => told(home.bundle.content.cloudId!, entry));
  const locations = await cloud.search(home, ANY, shown, entropy);
  const hospitals = new Map(locations.map((location) => [location.hospital.party.identity, location]));
  const missing: Record<string, string> = {};
  for (const [hospital, location] of hospitals) {
    try {
      const entries = await fetchLog(new CurrentHome(home), shown, location);
      accesses.push(...entries.map((entry) => told(hospital, entry)));
    } catch (error) {
      const refusal = refusalOf(error);
      missing[hospital] = preciseReason(refusal);
      tell(`WHO ASKED AT ${hospital} IS MISSING: ${said(refusal)}`);
    }
  }
  return { patient: home.identity, accesses, missing };
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
  };
}

/** A grant that was given from here, and what became of it, by the lists at hand. */
interface Given extends KeptGrant {
  readonly grant: Grant;
  readonly state: "stands" | "ended" | "taken back";
}

function givenFrom({ grants, lists }: Home): Given[] {
  return grants.map(({ number, signed }) => {
    const grant = peekGrant(signed);
    const isTakenBack = lists?.isTakenBack("grant", grant) ?? false;
    const state = isTakenBack ? "taken back" : clock() < grant.validity.notAfter ? "stands" : "ended";
    return { number, signed, grant, state };
  });
}

/** List what was consented to from here. */
export async function listGrants(values: Values): Promise<Said> {
  const given = givenFrom(await maintain(openHome(values), tell));
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
  const given = givenFrom(home);
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
