/** `doctor consult`: one visit, from the room to the receipt. What can't be had is said, and the visit goes on: the patient is waiting. */

import {
  fetchAtMostOf,
  has,
  needed,
  neededForm,
  openHome,
  type Said,
  tell,
  UsageError,
  type Values,
  writableDirectory,
  writableFile,
} from "./arguments.js";
import { refusalOf } from "./client/calls.js";
import { deposit } from "./client/deposit.js";
import { DoctorRoom, search } from "./client/doctor.js";
import { grantLines, moment } from "./client/consents.js";
import { MOST_BYTES, MOST_RECORDS } from "./client/fetch.js";
import type { Home } from "./client/home.js";
import { brought } from "./client/places.js";
import type { FetchedRecord } from "./client/records.js";
import { diagnosticReport, requireConclusion } from "./client/report.js";
import { maintain } from "./client/maintenance.js";
import { described, fetchAll } from "./fetched.js";
import { Kind } from "./gen/federation/v1/rules_pb.js";
import type { KeptPlaces } from "./gen/federation/v1/search_pb.js";
import { Right } from "./gen/federation/v1/statement_pb.js";
import { replaceFile } from "./keys/files.js";
import { hex, sha256 } from "./protocol/bytes.js";
import type { AwaitingReceipt, InConsultation } from "./protocol/doctor.js";
import type { Grant } from "./protocol/access.js";
import { plain, preciseReason } from "./protocol/refusal.js";
import type { RecordLocation } from "./protocol/search.js";
import type { Shown } from "./protocol/shown.js";

const RECEIPT_MS = 60_000;

/** What the command line says of a visit, each looked at before a patient is let in: nothing of it can fail the visit then. */
interface Plan {
  readonly hospital: string;
  readonly address: string;
  readonly department: string;
  readonly conclusion: string;
  /** What is signed in its place then. */
  readonly amend?: string | undefined;
  readonly codeFile: string | undefined;
  readonly save: string | undefined;
  readonly mostBytes: number;
  readonly keeps: boolean;
}

export async function consult(values: Values): Promise<Said> {
  const plan = planOf(values);
  const home = await maintain(openHome(values), tell);
  requireDepartment(plan.department, home.bundle.content.departmentClasses);
  const room = await DoctorRoom.open(home, plan.hospital, plan.address);
  try {
    return await consultIn(room, plan);
  } finally {
    await room.close().catch((error: unknown) => tell(`The room was not closed (${preciseReason(error)}).`));
  }
}

/** Read the plan. */
export function planOf(values: Values): Plan {
  const path = (name: string, check: (path: string) => string) =>
    values[name] === undefined ? undefined : check(needed(values, name));
  return {
    hospital: neededForm(values, "hospital", Kind.HOSPITAL_ID, "H:name"),
    address: neededForm(values, "address", Kind.ADDRESS, "host:port"),
    department: neededForm(values, "department", Kind.DEPARTMENT_CLASS, "as a class of the federation's list"),
    conclusion: requireConclusion(needed(values, "conclusion")),
    amend: path("amend", requireConclusion),
    codeFile: path("code-file", writableFile),
    save: path("save", writableDirectory),
    mostBytes: fetchAtMostOf(values, MOST_BYTES),
    keeps: has(values, "deposit"),
  };
}

function requireDepartment(department: string, classes: readonly string[]): void {
  if (!classes.includes(department)) throw new UsageError(`--department is one of ${classes.join(", ")}`);
}

/** The visit in an open room. A deposit that fails ends it only when P6 was awaited: the diagnosis is sent, and the receipt is the patient's. */
export async function consultIn(room: DoctorRoom, plan: Plan): Promise<Said> {
  const { conclusion, amend, codeFile } = plan;
  tell(`Show this code to your patient: ${room.text}`);
  if (codeFile !== undefined) replaceFile(codeFile, Buffer.from(room.text + "\n"));
  const consultation = await room.awaitPatient((reason) => tell(`Somebody was refused (${reason}); still waiting.`));
  const { patientId: patient, visitorId } = consultation;
  const here = visitorId === patient ? visitorId : `${visitorId}, for ${patient},`;
  tell(`${here} is here; both sides have proved who they are.`);
  if (consultation.grant !== undefined) grantLines(consultation.grant, "the patient's").forEach(tell);
  const records = await readRecords(room, consultation, plan);
  const digests = records.map(({ digest }) => digest);
  const report = diagnosticReport(patient, room.home.identity, conclusion, digests);
  const diagnosed = await room.diagnose(consultation, report, records);
  let ended = await end(room, diagnosed, plan);
  if (amend !== undefined) {
    const amended = diagnosticReport(patient, room.home.identity, amend, digests, report);
    ended = await end(room, await room.amend(diagnosed, amended, records), plan);
  }
  const { receipt, kept } = ended;
  if (kept.status === "rejected") throw kept.reason;
  const { biosignal: content } = consultation;
  const biosignal = { size: content.length, sha256: hex(sha256(content)) };
  return { patient, biosignal, records: records.flatMap(described), receipt, deposit: kept.value };
}

/** Deposit the encounter, if it is to be, and wait for the receipt. */
async function end(room: DoctorRoom, diagnosed: AwaitingReceipt, { keeps, department }: Plan) {
  const [kept] = await Promise.allSettled([keeps ? deposited(room, diagnosed, department) : null]);
  if (kept.status === "rejected")
    tell(`The diagnosis is sent. THE ENCOUNTER IS NOT DEPOSITED: ${plain(refusalOf(kept.reason))}`);
  return { kept, receipt: await room.awaitReceipt(diagnosed, RECEIPT_MS, tell) };
}

/** Look for records, fetch and save them, as far as the consent goes. */
async function readRecords(
  { currentHome, duty }: DoctorRoom,
  { grant, shown, delivery }: InConsultation,
  { mostBytes, save }: Plan,
): Promise<FetchedRecord[]> {
  if (![Right.INDEX, Right.READ].every((right) => grant?.rights.includes(right))) {
    tell("Without consent to look for records, none is looked for.");
    return [];
  }
  const locations = await locationsOf(currentHome.last, grant!, await duty.on(shown), delivery.places);
  const bounds = { mostBytes, mostRecords: MOST_RECORDS };
  return (await fetchAll(currentHome, () => duty.on(shown), locations, bounds, save)).records;
}

async function locationsOf(
  home: Home,
  grant: Grant,
  shown: Shown,
  places: KeptPlaces | undefined,
): Promise<RecordLocation[]> {
  try {
    return await found(home, grant, shown, places);
  } catch (error) {
    tell(`The public cloud did not say where records are. RECORDS MAY BE MISSING: ${plain(refusalOf(error))}`);
    return [];
  }
}

/** Ask the public cloud; where it does not answer, and only then, what the patient brought takes its place. */
async function found(
  home: Home,
  grant: Grant,
  shown: Shown,
  places: KeptPlaces | undefined,
): Promise<RecordLocation[]> {
  try {
    return await search(home, grant, shown);
  } catch (error) {
    if (places === undefined || refusalOf(error).reason !== "UNAVAILABLE") throw error;
  }
  const { asOf, locations, missing } = await brought(home, places, shown.patientId, grant);
  tell("The public cloud does not answer. The patient's device says where records are, as of " + moment(asOf) + ".");
  tell("SOME MAY BE MISSING.");
  for (const [hospital, refusal] of missing) tell(`RECORDS AT ${hospital} ARE MISSING: ${plain(refusal)}`);
  return locations;
}

async function deposited(
  room: DoctorRoom,
  diagnosed: AwaitingReceipt,
  departmentClass: string,
): Promise<string | null> {
  const { grant, shown } = diagnosed.consultation;
  if (!grant?.rights.includes(Right.WRITE)) {
    tell("Without consent to keep this encounter, it is not deposited.");
    return null;
  }
  const { hospitalId, address } = room.code;
  return hex(await deposit(room.home, diagnosed, await room.duty.on(shown), hospitalId, address, departmentClass));
}
