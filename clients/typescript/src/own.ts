/** `patient records`, `grants` and `revoke`: what is the patient's own. */

import {
  fetchAtMostOf,
  openHome,
  optional,
  type Said,
  tell,
  UsageError,
  type Values,
  writableDirectory,
} from "./arguments.js";
import { Cloud, clock, entropy } from "./client/cloud.js";
import { named, RIGHTS, sentencesOf } from "./client/consents.js";
import { MOST_BYTES } from "./client/fetch.js";
import type { Home, KeptGrant } from "./client/home.js";
import { CurrentHome, maintain } from "./client/maintenance.js";
import { described, fetchAll } from "./fetched.js";
import { ANY } from "./protocol/access.js";
import { hex } from "./protocol/bytes.js";
import { peekGrant } from "./protocol/consent.js";
import { Refusal } from "./protocol/refusal.js";
import { Shown } from "./protocol/shown.js";

/** Find the patient's own records, fetch and save them. */
export async function ownRecords(values: Values): Promise<Said> {
  const directory = optional(values, "save");
  const mostBytes = fetchAtMostOf(values, MOST_BYTES);
  const saved = directory && writableDirectory(directory);
  const home = await maintain(openHome(values), tell);
  const shown = Shown.byOwnRight(home.identity);
  const department = optional(values, "department") ?? ANY;
  const locations = await new Cloud(home.cloudTransport).search(home, department, shown, entropy);
  const bounds = { mostBytes, mostRecords: Infinity };
  const records = await fetchAll(new CurrentHome(home), () => Promise.resolve(shown), locations, bounds, saved);
  return { records: records.flatMap(described) };
}

/** Say what was consented to from here, and what became of it. */
export async function givenGrants(values: Values): Promise<Said> {
  const home = await maintain(openHome(values), tell);
  return { grants: home.grants.map((kept) => sayGrant(home, kept)) };
}

function sayGrant({ lists }: Home, { number, signed }: KeptGrant): Said {
  const grant = peekGrant(signed);
  const isTakenBack = lists?.isTakenBack("grant", grant) ?? false;
  const state = isTakenBack ? "taken back" : grant.validity.notAfter <= clock() ? "over" : "stands";
  sentencesOf(grant).forEach((sentence) => tell(`${number} (${state}): ${sentence}`));
  return {
    number,
    grant: hex(grant.id),
    for: named(grant.grantee),
    rights: Object.keys(RIGHTS).filter((name) => grant.rights.includes(RIGHTS[name]!)),
    hospitals: grant.hospitals,
    departments: grant.departmentClasses,
    until: Number(grant.validity.notAfter),
    state,
  };
}

/** Take back the grants of these numbers, the last one, or everything that was signed so far. */
export async function takeBack(values: Values, numbers: string[]): Promise<Said> {
  const ways = [values["last"] === true, values["all"] === true, numbers.length > 0];
  if (ways.filter(Boolean).length !== 1) throw new UsageError("a revocation names numbers, or --last, or --all");
  const opened = openHome(values);
  const kept = values["all"] === true ? [] : chosen(opened, numbers);
  const home = await maintain(opened, tell);
  const ownerId = home.identity;
  const before = values["all"] === true ? clock() : undefined;
  const statements = kept.map(({ signed }) => ({ kind: "grant" as const, statement: signed }));
  await new Cloud(home.cloudTransport).revoke(home, { ownerId, statements, before }, entropy);
  tell("Taken back. Hospitals know as soon as they have the next list, within the hour at the latest.");
  return before === undefined
    ? { revoked: kept.map(({ signed }) => hex(peekGrant(signed).id)) }
    : { before: Number(before) };
}

function chosen(home: Home, numbers: readonly string[]): KeptGrant[] {
  const given = home.grants;
  const wanted =
    numbers.length === 0 ? given.slice(-1) : given.filter(({ number }) => numbers.includes(String(number)));
  if (wanted.length === 0 || wanted.length < new Set(numbers).size)
    throw new Refusal("NO_SUCH_GRANT", "no consent of this number was given from here");
  return wanted;
}
