/** `doctor consult`: one visit, from the room to the receipt. What can't be had is said, and the visit goes on: the patient is waiting. */

import {
  fetchAtMostOf,
  needed,
  neededForm,
  networksOf,
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
import { fetch, MOST_BYTES } from "./client/fetch.js";
import { Home } from "./client/home.js";
import { type FetchedRecord, saveRecord } from "./client/records.js";
import { diagnosticReport, requireConclusion } from "./client/report.js";
import { type CurrentHome, maintain } from "./client/maintenance.js";
import { Kind } from "./gen/federation/v1/rules_pb.js";
import { Right } from "./gen/federation/v1/statement_pb.js";
import { replaceFile } from "./keys/files.js";
import { hex, sha256 } from "./protocol/bytes.js";
import type { AwaitingReceipt, InConsultation } from "./protocol/doctor.js";
import { preciseReason, Refusal } from "./protocol/refusal.js";
import type { RecordLocation } from "./protocol/search.js";

const RECEIPT_MS = 60_000;

/** What the command line says of a visit, each looked at before a patient is let in: nothing of it can fail the visit then. */
interface Plan {
  readonly hospital: string;
  readonly address: string;
  readonly department: string;
  readonly conclusion: string;
  readonly codeFile: string | undefined;
  readonly save: string | undefined;
  readonly mostBytes: number;
  readonly keeps: boolean;
}

export async function consult(values: Values): Promise<Said> {
  const plan = planOf(values);
  const opened = Home.open(needed(values, "home"), needed(values, "pin-file"), networksOf(values));
  const home = await maintain(opened, tell);
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
    codeFile: path("code-file", writableFile),
    save: path("save", writableDirectory),
    mostBytes: fetchAtMostOf(values, MOST_BYTES),
    keeps: values["deposit"] === true,
  };
}

function requireDepartment(department: string, classes: readonly string[]): void {
  if (!classes.includes(department)) throw new UsageError(`--department is one of ${classes.join(", ")}`);
}

/** The visit in an open room. A deposit that fails ends it only when P6 was awaited: the diagnosis is sent, and the receipt is the patient's. */
export async function consultIn(room: DoctorRoom, plan: Plan): Promise<Said> {
  const { conclusion, codeFile, keeps, department } = plan;
  tell(`Show this code to your patient: ${room.text}`);
  if (codeFile !== undefined) replaceFile(codeFile, Buffer.from(room.text + "\n"));
  const consultation = await room.awaitPatient((reason) => tell(`Somebody was refused (${reason}); still waiting.`));
  const patient = consultation.patientId;
  tell(`${patient} is here; both sides have proved who they are.`);
  const records = await readRecords(room.currentHome, consultation, plan);
  const digests = records.map(({ digest }) => digest);
  const report = diagnosticReport(patient, room.home.identity, conclusion, digests);
  const diagnosed = await room.diagnose(consultation, report, records);
  const [kept] = await Promise.allSettled([keeps ? deposited(room, diagnosed, department) : null]);
  if (kept.status === "rejected")
    tell(`The diagnosis is sent. THE ENCOUNTER IS NOT DEPOSITED: ${said(refusalOf(kept.reason))}`);
  const receipt = await room.awaitReceipt(diagnosed, RECEIPT_MS, tell);
  if (kept.status === "rejected") throw kept.reason;
  const { biosignal: content } = consultation;
  const biosignal = { size: content.length, sha256: hex(sha256(content)) };
  return { patient, biosignal, records: records.flatMap(described), receipt, deposit: kept.value };
}

/** Look for records, fetch and save them, as far as the consent goes. */
async function readRecords(
  currentHome: CurrentHome,
  consultation: InConsultation,
  plan: Plan,
): Promise<FetchedRecord[]> {
  const { access } = consultation;
  if (!access?.allows(Right.INDEX) || !access.allows(Right.READ)) {
    tell("Without consent to look for records, none is looked for.");
    return [];
  }
  const locations = await locationsOf(currentHome.last, consultation);
  const missing = (hospital: string, refusal: Refusal) => tell(`RECORDS AT ${hospital} ARE MISSING: ${said(refusal)}`);
  const records = await fetch(currentHome, consultation, locations, missing, plan.mostBytes);
  if (plan.save !== undefined) for (const record of records) save(record, plan.save);
  return records;
}

async function locationsOf(home: Home, consultation: InConsultation): Promise<RecordLocation[]> {
  try {
    return await search(home, consultation);
  } catch (error) {
    tell(`The public cloud did not say where records are. RECORDS MAY BE MISSING: ${said(refusalOf(error))}`);
    return [];
  }
}

function save(record: FetchedRecord, directory: string): void {
  try {
    saveRecord(record, directory);
  } catch (error) {
    tell(`THE RECORD FROM ${record.manifest.hospitalId} IS NOT SAVED WHOLE: ${said(refusalOf(error))}`);
  }
}

async function deposited(
  room: DoctorRoom,
  diagnosed: AwaitingReceipt,
  departmentClass: string,
): Promise<string | null> {
  if (!diagnosed.consultation.access?.allows(Right.WRITE)) {
    tell("Without consent to keep this encounter, it is not deposited.");
    return null;
  }
  const { hospitalId, address } = room.code;
  return hex(await deposit(room.home, diagnosed, hospitalId, address, departmentClass));
}

function said(refusal: Refusal): string {
  return `${refusal.message} (${preciseReason(refusal)})`;
}

function described({ manifest }: FetchedRecord): Said[] {
  return manifest.records.map(({ handle, departmentId, parts }) => ({
    hospital: manifest.hospitalId,
    handle: hex(handle!),
    department: departmentId,
    parts: parts.map(({ name, mediaType, sizeBytes, digest }) => ({
      name,
      media_type: mediaType,
      size: Number(sizeBytes),
      sha256: hex(digest!),
    })),
  }));
}
