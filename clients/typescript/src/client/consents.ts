/** What a patient consents to: what it asks for, what that comes to at the doctor whom it visits, and both in words for people. */

import { Right, Sensitivity } from "../gen/federation/v1/statement_pb.js";
import { ANY, DAY, type Duty, type Grant, type Grantee, HOUR } from "../protocol/access.js";
import type { Terms } from "../protocol/consent.js";
import type { Peer } from "../protocol/handshake.js";
import { Refusal } from "../protocol/refusal.js";

export const HERE = "here";
export const EVERYWHERE = "everywhere";

/** For whom a consent may be, and how long it then lasts, in milliseconds, unless the patient says otherwise. */
export const LIVES = { doctor: 24n * HOUR, department: 30n * DAY, hospital: 90n * DAY };

/** What a patient asks for: the narrowest, where it says nothing. */
export interface Asked {
  readonly whom: keyof typeof LIVES;
  /** The department that is meant, where it is for one and the doctor is on duty in several. */
  readonly whomClass: string | undefined;
  /** Whether this hospital may keep the record of the visit. */
  readonly keep: boolean;
  /** Where records may be found and read: HERE, EVERYWHERE, hospitals. */
  readonly read: readonly string[];
  readonly departments: readonly string[];
  readonly restricted: boolean;
  readonly life: bigint | undefined;
}

/** Who may do what. */
export interface Offer {
  readonly grantee: Grantee;
  readonly terms: Terms;
}

/** What is asked for at this doctor, who is on duty; nothing, where nothing beyond the visit is. */
export function offerOf(asked: Asked, doctor: Peer, duty: Duty): Offer | undefined {
  const { keep, read, restricted, life, whom } = asked;
  if (!keep && read.length === 0) return undefined;
  const terms = {
    hospitals: hospitalsOf(asked, duty),
    departmentClasses: classesOf(asked, duty),
    rights: [...(read.length > 0 ? [Right.INDEX, Right.READ] : []), ...(keep ? [Right.WRITE] : [])],
    highestSensitivity: restricted ? Sensitivity.RESTRICTED : Sensitivity.NORMAL,
    purpose: "consultation",
    life: life ?? LIVES[whom],
  };
  return { grantee: granteeOf(asked, doctor, duty), terms };
}

function hospitalsOf({ keep, read }: Asked, { hospitalId }: Duty): string[] {
  if (read.includes(EVERYWHERE)) return [ANY];
  const places = [...(keep ? [HERE] : []), ...read].map((place) => (place === HERE ? hospitalId : place));
  return [...new Set(places)];
}

/** What is only kept stays in the departments where the doctor works; who lets records be read means those of all. */
function classesOf({ read, departments }: Asked, { departmentClasses }: Duty): readonly string[] {
  if (departments.length > 0) return departments;
  return read.length === 0 && departmentClasses.length > 0 ? departmentClasses : [ANY];
}

function granteeOf({ whom: who, whomClass }: Asked, { party }: Peer, duty: Duty): Grantee {
  const { hospitalId, departmentClasses } = duty;
  switch (who) {
    case "doctor":
      return { who, doctorId: party.identity, authorityId: party.authorityId };
    case "hospital":
      return { who, hospitalId };
    case "department":
      return { who, hospitalId, departmentClass: classOn(departmentClasses, whomClass) };
  }
}

/** The department that is meant: the doctor has to be on duty there, else the consent would be of no use. */
function classOn(departmentClasses: readonly string[], named: string | undefined): string {
  const found = departmentClasses.filter((name) => named === undefined || name === named);
  if (found.length === 1) return found[0]!;
  const which = departmentClasses.join(", ") || "none";
  throw new Refusal("DUTY_INVALID", `--for department:CLASS names one where the doctor is on duty, of ${which}`);
}

/** An offer in lines; none is nothing beyond the visit. */
export function offerLines(offer: Offer | undefined, now: bigint): string[] {
  if (offer === undefined)
    return ["Nothing beyond this visit: no record of it is kept at the hospital, and none of yours is read."];
  const { grantee, terms } = offer;
  const head = `For ${granteeWords(grantee)}, until ${moment(now + terms.life)}:`;
  return [head, ...termLines(terms, "your"), "All else stays closed. You can take it back at any time."];
}

/** A grant in lines; `whose` records are "your", or "the patient's". */
export function grantLines(grant: Grant, whose: string): string[] {
  const head = `For ${granteeWords(grant.grantee)}, until ${moment(grant.validity.notAfter)}:`;
  return [head, ...termLines(grant, whose)];
}

/** Whom a consent is for. */
export function granteeWords(grantee: Grantee | undefined): string {
  switch (grantee?.who) {
    case "doctor":
      return `${grantee.doctorId} (certified by ${grantee.authorityId})`;
    case "department":
      return `every doctor on duty in ${grantee.departmentClass} at ${grantee.hospitalId}`;
    case "hospital":
      return `every doctor on duty at ${grantee.hospitalId}`;
    default:
      return "nobody that is known here";
  }
}

/** What is allowed, one thing a line. */
function termLines(
  { rights, hospitals, departmentClasses, highestSensitivity }: Omit<Terms, "purpose" | "life">,
  whose: string,
): string[] {
  const where = hospitals.includes(ANY) ? "every hospital" : listed(hospitals) || "no hospital";
  const what = departmentClasses.includes(ANY) ? "every department" : listed(departmentClasses) || "no department";
  const closed = highestSensitivity === Sensitivity.RESTRICTED ? ", restricted ones too" : "";
  const lines: string[] = [];
  if (rights.includes(Right.WRITE)) lines.push(`  - Keep the record of a visit at ${where}, in ${what}.`);
  const finds = rights.includes(Right.INDEX);
  if (rights.includes(Right.READ))
    lines.push(`  - ${finds ? "Find and read" : "Read"} ${whose} records at ${where}, of ${what}${closed}.`);
  else if (finds) lines.push(`  - See at which hospitals ${whose} records of ${what} are, and read none.`);
  return lines.length > 0 ? lines : ["  Nothing."];
}

/** Names as a sentence lists them. */
export function listed(names: readonly string[]): string {
  return [names.slice(0, -1).join(", "), ...names.slice(-1)].filter((part) => part !== "").join(" and ");
}

export function moment(at: bigint): string {
  return new Date(Number(at)).toISOString().replace(/\.\d+Z$/, "Z");
}
