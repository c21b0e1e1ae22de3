/** `patient visit`: a look at the doctor, what will be signed, the visit, and what stands after it. */

import { createInterface } from "node:readline";
import {
  departmentsIn,
  has,
  hoursOf,
  listOf,
  needed,
  openHome,
  optional,
  readBounded,
  stayOf,
  type Said,
  tell,
  UsageError,
  type Values,
} from "./arguments.js";
import { clock } from "./client/cloud.js";
import { parseCode } from "./client/code.js";
import {
  type Asked,
  EVERYWHERE,
  grantLines,
  HERE,
  listed,
  LIVES,
  moment,
  type Offer,
  offerLines,
  offerOf,
} from "./client/consents.js";
import { type Home, readSensor } from "./client/home.js";
import { maintain } from "./client/maintenance.js";
import { look, lookAgain, type Looked, visit } from "./client/patient.js";
import { conclusionOf } from "./client/report.js";
import { Kind } from "./gen/federation/v1/rules_pb.js";
import { HOUR } from "./protocol/access.js";
import { EMPTY } from "./protocol/bytes.js";
import { readCertificate } from "./protocol/certificate.js";
import { peekGrant } from "./protocol/consent.js";
import { MOST_BIOSIGNAL_BYTES } from "./protocol/consultation.js";
import { Refusal, require } from "./protocol/refusal.js";
import { hasForm } from "./protocol/rules.js";

export async function visitDoctor(values: Values, [written]: string[]): Promise<Said> {
  const isAgreed = has(values, "yes");
  if (!isAgreed && !process.stdin.isTTY)
    throw new UsageError("what you are about to sign is shown first, and nobody can answer here: give --yes");
  const asked = askedIn(values);
  const opened = openHome(values);
  const code = parseCode(written ?? "");
  const observation = observationIn(values);
  const biometricPassword = opened.biometricPassword(readSensor(needed(values, "simulated-sensor")));
  let looked = await look(await maintain(opened, tell), code);
  const { home, doctor, duty } = looked;
  requirePublished(asked, home.bundle.content.departmentClasses);
  const offer = offerOf(asked, doctor, duty);
  shownLines(looked, observation, offer).forEach(tell);
  if (!isAgreed) {
    tell("Go in, and sign this? [y/N]");
    await requireAgreed(createInterface({ input: process.stdin }));
    looked = await lookAgain(looked);
  }
  const before = home.grants.length;
  try {
    const { diagnoses, grant } = await visit(looked, biometricPassword, observation, offer, tell, stayOf(values));
    const [conclusion, amends = null] = diagnoses.map(conclusionOf).reverse();
    return { doctor: doctor.party.identity, grant: grant?.number ?? null, conclusion, amends };
  } finally {
    tellWhatStands(home, before);
  }
}

/** What a patient asks for on the command line. */
export function askedIn(values: Values): Asked {
  const [whom, whomClass, ...more] = (optional(values, "for") ?? "doctor").split(":");
  const isClass = whomClass === undefined || (whom === "department" && hasForm(Kind.DEPARTMENT_CLASS, whomClass));
  if (!isWhom(whom!) || !isClass || more.length > 0)
    throw new UsageError("--for reads doctor, department, department:CLASS or hospital");
  const read = listOf(values, "read");
  const isPlace = (place: string) => place === HERE || place === EVERYWHERE || hasForm(Kind.HOSPITAL_ID, place);
  if (!read.every(isPlace)) throw new UsageError("--read reads here, everywhere or H:name");
  const hours = hoursOf(values);
  return {
    whom,
    whomClass,
    keep: !has(values, "no-keep"),
    read,
    departments: departmentsIn(values),
    restricted: has(values, "restricted"),
    life: hours === undefined ? undefined : BigInt(Math.round(hours * Number(HOUR))),
  };
}

function isWhom(whom: string): whom is Asked["whom"] {
  return Object.hasOwn(LIVES, whom);
}

/** Require department classes that the federation has: a consent to others would open nothing. */
function requirePublished({ departments, whomClass }: Asked, published: readonly string[]): void {
  const named = whomClass === undefined ? departments : [...departments, whomClass];
  const isKnown = named.every((name) => published.includes(name));
  require(isKnown, "FIELD_INVALID", `the federation has the departments ${published.join(", ")}`);
}

function observationIn(values: Values): Uint8Array {
  const path = optional(values, "observation");
  return path === undefined ? EMPTY : readBounded(path, MOST_BIOSIGNAL_BYTES, "an observation");
}

/** What a patient reads before it goes in. */
function shownLines({ home, doctor, duty }: Looked, observation: Uint8Array, offer: Offer | undefined): string[] {
  const { identity, authorityId } = doctor.party;
  const departments = listed(duty.departmentClasses) || "no department";
  return [
    `You are about to visit ${identity}`,
    ...namesIn(doctor.certificate, identity).map((name) => `  ${name}`),
    `  certified by ${authorityId}`,
    `  on duty at ${duty.hospitalId} in ${departments}, until ${moment(duty.validity.notAfter)}`,
    "What is sent:",
    `  who you are, ${home.identity}`,
    observation.length === 0 ? "  no observation" : `  an observation of ${observation.length} bytes`,
    "What you consent to:",
    ...offerLines(offer, clock()).map((line) => `  ${line}`),
  ];
}

/** What Cert_D, for which its authority vouches, says of its doctor in words. */
function namesIn(certificate: Uint8Array, identity: string): string[] {
  const { subjectName } = readCertificate(certificate);
  const names = ["CN", "T", "OU", "O"].map((name) => subjectName.getField(name).join(" "));
  return names.filter((name) => name !== "" && name !== identity);
}

/** Require the first line to say yes: no answer is none. */
export async function requireAgreed(lines: AsyncIterable<string>): Promise<void> {
  for await (const line of lines) {
    if (/^y(es)?$/i.test(line.trim())) return;
    break;
  }
  throw new Refusal("DECLINED", "nothing was signed, and nobody knows that you were here");
}

/** Say which consent stands, however the visit ended: it may have gone out though no diagnosis came. */
function tellWhatStands(home: Home, before: number): void {
  for (const { number, signed } of home.grants.slice(before)) {
    tell(`What you consented to stands. It is taken back by: patient revoke ${number}`);
    grantLines(peekGrant(signed), "your").forEach(tell);
  }
}
