/** What a patient consents to: from what it wishes and whom it visits, and in words for people. */

import { Right, Sensitivity } from "../gen/federation/v1/statement_pb.js";
import { ANY, DAY, type Duty, type Grant, type Grantee, HOUR } from "../protocol/access.js";
import type { Terms } from "../protocol/consent.js";
import type { Peer } from "../protocol/handshake.js";
import { Refusal } from "../protocol/refusal.js";

/** For whom a consent may be, how long it lasts unless the patient says otherwise, in milliseconds. */
export const LIVES = { doctor: 24n * HOUR, department: 30n * DAY, hospital: 90n * DAY };

export const RIGHTS: Readonly<Record<string, Right>> = { index: Right.INDEX, read: Right.READ, write: Right.WRITE };

/** What a patient wishes to allow. What is absent follows from whom it visits. */
export interface Wish {
  readonly who: keyof typeof LIVES;
  /** None allow nothing. */
  readonly rights: readonly Right[];
  readonly hospitals?: readonly string[] | undefined;
  readonly departmentClasses?: readonly string[] | undefined;
  readonly isRestrictedToo: boolean;
  readonly life?: bigint | undefined;
}

/** Who may do what. */
export interface Given {
  readonly grantee: Grantee;
  readonly terms: Terms;
}

/**
 * What the wish comes to at this doctor, who is on duty; nothing, where nothing is allowed. Who may only write does so at this hospital, in
 * the departments of the duty; who may look for records may wherever they are.
 */
export function givenTo(doctor: Peer, duty: Duty, wish: Wish): Given | undefined {
  const { who, rights, isRestrictedToo } = wish;
  if (rights.length === 0) return undefined;
  const isHere = rights.every((right) => right === Right.WRITE);
  const terms = {
    hospitals: wish.hospitals ?? [isHere ? duty.hospitalId : ANY],
    departmentClasses: wish.departmentClasses ?? (isHere ? duty.departmentClasses : [ANY]),
    rights,
    highestSensitivity: isRestrictedToo ? Sensitivity.RESTRICTED : Sensitivity.NORMAL,
    purpose: "consultation",
    life: wish.life ?? LIVES[who],
  };
  return { grantee: granteeAt(doctor, duty, who), terms };
}

function granteeAt({ party }: Peer, { hospitalId, departmentClasses }: Duty, who: Wish["who"]): Grantee {
  if (who === "doctor") return { who, doctorId: party.identity, authorityId: party.authorityId };
  if (who === "hospital") return { who, hospitalId };
  const [departmentClass, ...others] = departmentClasses;
  if (departmentClass === undefined || others.length > 0)
    throw new Refusal(
      "DUTY_INVALID",
      `${party.identity} is on duty in ${departmentClasses.length} departments, not in one`,
    );
  return { who, hospitalId, departmentClass };
}

/** What a grant is made of, as far as people are told of it. */
type Told = Pick<Grant, "grantee" | "hospitals" | "departmentClasses" | "highestSensitivity" | "rights" | "validity">;

const DONE: Partial<Record<Right, string>> = {
  [Right.INDEX]: "look for records",
  [Right.READ]: "read records",
  [Right.WRITE]: "keep the record of this visit",
};

/** Each right in a sentence: who may do what, where, until when. */
export function sentencesOf({
  grantee,
  hospitals,
  departmentClasses,
  highestSensitivity,
  rights,
  validity,
}: Told): string[] {
  const where = `at ${listed(hospitals, "every hospital")}, in ${listed(departmentClasses, "every department")}`;
  const kept = highestSensitivity === Sensitivity.RESTRICTED ? ", restricted ones too" : "";
  const until = moment(validity.notAfter);
  return rights.map((right) => `${named(grantee)} may ${DONE[right]} ${where}${kept}, until ${until}.`);
}

/** Who a grant is for. */
export function named(grantee: Grantee | undefined): string {
  switch (grantee?.who) {
    case "doctor":
      return grantee.doctorId;
    case "department":
      return `every doctor on duty in ${grantee.departmentClass} at ${grantee.hospitalId}`;
    case "hospital":
      return `every doctor on duty at ${grantee.hospitalId}`;
    default:
      return "nobody";
  }
}

function listed(names: readonly string[], all: string): string {
  return names.includes(ANY) ? all : names.join(", ") || "none";
}

export function moment(at: bigint): string {
  return new Date(Number(at)).toISOString();
}
