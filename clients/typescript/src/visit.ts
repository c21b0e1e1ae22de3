/** `patient look` and `patient visit`: nothing of a patient goes out, and nothing is signed, before it has read what. */

import { createInterface } from "node:readline";
import {
  hoursOf,
  listOf,
  needed,
  openHome,
  optional,
  readBounded,
  type Said,
  tell,
  UsageError,
  type Values,
} from "./arguments.js";
import { clock } from "./client/cloud.js";
import { parseCode } from "./client/code.js";
import { type Given, givenTo, LIVES, moment, RIGHTS, sentencesOf, type Wish } from "./client/consents.js";
import { readSensor } from "./client/home.js";
import { maintain } from "./client/maintenance.js";
import { look, type Looked, visit } from "./client/patient.js";
import { conclusionOf } from "./client/report.js";
import { Kind } from "./gen/federation/v1/rules_pb.js";
import { EMPTY, hex } from "./protocol/bytes.js";
import { readCertificate } from "./protocol/certificate.js";
import { HOUR } from "./protocol/access.js";
import { MOST_BIOSIGNAL_BYTES } from "./protocol/consultation.js";
import { peekGrant } from "./protocol/consent.js";
import { Refusal } from "./protocol/refusal.js";

export async function lookAtDoctor(values: Values, [written]: string[]): Promise<Said> {
  const home = openHome(values);
  const looked = await look(await maintain(home, tell), parseCode(written ?? ""));
  introductionOf(looked).forEach(tell);
  const { doctor, duty } = looked;
  return {
    doctor: doctor.party.identity,
    authority: doctor.party.authorityId,
    hospital: duty.hospitalId,
    departments: duty.departmentClasses,
    on_duty_until: Number(duty.validity.notAfter),
  };
}

export async function visitDoctor(values: Values, [written]: string[]): Promise<Said> {
  const wish = wishOf(values);
  const home = openHome(values);
  const code = parseCode(written ?? "");
  const biosignal = biosignalOf(values);
  const biometricPassword = home.biometricPassword(readSensor(needed(values, "sensor")));
  const looked = await look(await maintain(home, tell), code);
  const given = givenTo(looked.doctor, looked.duty, wish);
  [...introductionOf(looked), ...sentTo(looked, biosignal), ...consentedTo(given)].forEach(tell);
  if (values["yes"] !== true) await requireAgreed();
  const { doctorId, grant, diagnosis } = await visit(looked, biometricPassword, biosignal, given, tell);
  return {
    doctor: doctorId,
    grant: grant === undefined ? null : hex(peekGrant(grant.signed).id),
    number: grant?.number ?? null,
    conclusion: conclusionOf(diagnosis),
  };
}

/** What a patient wishes to allow. */
export function wishOf(values: Values): Wish {
  const who = optional(values, "for") ?? "doctor";
  if (!isOf(LIVES, who)) throw new UsageError(`--for is one of ${Object.keys(LIVES).join(", ")}`);
  const names = optional(values, "rights")?.split(",") ?? [];
  if (!names.every((name) => isOf(RIGHTS, name)))
    throw new UsageError(`--rights lists some of ${Object.keys(RIGHTS).join(", ")}`);
  return {
    who,
    rights: [...new Set(names)].map((name) => RIGHTS[name]!),
    hospitals: listOf(values, "hospital", Kind.HOSPITAL_ID_OR_ANY, "H:name or *"),
    departmentClasses: listOf(
      values,
      "department",
      Kind.DEPARTMENT_CLASS_OR_ANY,
      "as a class of the federation's list, or *",
    ),
    isRestrictedToo: values["restricted"] === true,
    life: BigInt(Math.round(hoursOf(values, Number(LIVES[who] / HOUR)) * Number(HOUR))),
  };
}

function isOf<T extends object>(table: T, name: string): name is keyof T & string {
  return Object.hasOwn(table, name);
}

function biosignalOf(values: Values): Uint8Array {
  const path = optional(values, "observation");
  return path === undefined ? EMPTY : readBounded(path, MOST_BIOSIGNAL_BYTES, "an observation");
}

/** Who the doctor is, by whom certified, and where on duty. */
function introductionOf({ doctor, duty }: Looked): string[] {
  const { identity, authorityId } = doctor.party;
  const { subject } = readCertificate(doctor.certificate);
  const departments = duty.departmentClasses.length === 0 ? "" : `, in ${duty.departmentClasses.join(", ")}`;
  return [
    `This code is of ${identity}, certified by ${authorityId} as ${subject}.`,
    `On duty at ${duty.hospitalId}${departments}, until ${moment(duty.validity.notAfter)}.`,
  ];
}

function sentTo({ home, doctor }: Looked, biosignal: Uint8Array): string[] {
  const what = biosignal.length === 0 ? "no biosignal" : `a biosignal of ${biosignal.length} bytes`;
  return [`${doctor.party.identity} is sent who you are, ${home.identity}, and ${what}.`];
}

function consentedTo(given: Given | undefined): string[] {
  if (given === undefined) return ["You consent to nothing beyond this visit."];
  const { grantee, terms } = given;
  const notBefore = clock();
  return [
    "You consent to this:",
    ...sentencesOf({ ...terms, grantee, validity: { notBefore, notAfter: notBefore + terms.life } }),
  ];
}

/** Ask whether that may happen; no answer is no. */
async function requireAgreed(): Promise<void> {
  tell("Is that what you want? [y/N]");
  const lines = createInterface({ input: process.stdin });
  for await (const line of lines) {
    if (/^y(es)?$/i.test(line.trim())) return;
    break;
  }
  throw new Refusal("NOT_AGREED", "nothing was sent, and nothing signed");
}
