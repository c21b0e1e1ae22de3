/** `doctor consult`: one visit, from the room to the receipt. What can't be had is said, and the visit goes on: the patient is waiting. */

import { renameSync } from "node:fs";
import { needed, type Said, tell, type Values } from "./arguments.js";
import { deposit } from "./client/deposit.js";
import { allows, DoctorRoom, search } from "./client/doctor.js";
import { fetch } from "./client/fetch.js";
import { Home } from "./client/home.js";
import { type FetchedRecord, saveRecord } from "./client/records.js";
import { diagnosticReport } from "./client/report.js";
import { keepUp, waits } from "./client/upkeep.js";
import { Right } from "./gen/federation/v1/statement_pb.js";
import { writeNew } from "./keys/file.js";
import { hex, sha256 } from "./protocol/bytes.js";
import type { AwaitingReceipt, InConsultation } from "./protocol/doctor.js";
import { preciseReason, Refusal } from "./protocol/refusal.js";
import type { Place } from "./protocol/search.js";

const RECEIPT_MS = 30_000;

export async function consult(values: Values): Promise<Said> {
  const [hospital, address] = [needed(values, "hospital"), needed(values, "address")];
  for (const name of ["conclusion", "department"]) needed(values, name); // said now, not before a patient
  const home = Home.open(needed(values, "home"), needed(values, "pin-file"));
  const room = await DoctorRoom.open(await keepUp(home, tell), hospital, address);
  try {
    return await consultIn(room, values);
  } finally {
    await room.close().catch((error: unknown) => tell(`The room was not closed (${preciseReason(error)}).`));
  }
}

async function consultIn(room: DoctorRoom, values: Values): Promise<Said> {
  const conclusion = needed(values, "conclusion");
  tell(`Show this code to your patient: ${room.text}`);
  if (typeof values["code-file"] === "string") writeWhole(values["code-file"], room.text + "\n");
  const consultation = await room.awaitPatient((reason) => tell(`Somebody was refused (${reason}); still waiting.`));
  const patient = consultation.asked.patient.identity;
  tell(`${patient} is here; both sides have proved who they are.`);
  const records = await readRecords(room.home, consultation, values["save"]);
  const digests = records.map(({ digest }) => digest);
  const report = diagnosticReport(patient, room.home.identity, conclusion, digests);
  const diagnosed = await room.diagnose(consultation, report, records);
  const handle = values["deposit"] === true ? await deposited(room, diagnosed, needed(values, "department")) : null;
  const receipt = await room.awaitReceipt(diagnosed, RECEIPT_MS, tell);
  const { biosignal: content } = consultation;
  const biosignal = { size: content.length, sha256: hex(sha256(content)) };
  return { patient, biosignal, records: records.flatMap(described), receipt, deposit: handle };
}

/** Look for records, fetch and save them, as far as the consent goes. */
async function readRecords(home: Home, consultation: InConsultation, directory: unknown): Promise<FetchedRecord[]> {
  if (!allows(consultation, Right.INDEX) || !allows(consultation, Right.READ)) {
    tell("Without consent to look for records, none is looked for.");
    return [];
  }
  const places = await placesOf(home, consultation);
  const records = await fetch(home, consultation, places, (hospital, refusal) =>
    tell(`RECORDS AT ${hospital} ARE MISSING: ${said(refusal)}`),
  );
  if (typeof directory === "string") for (const record of records) save(record, directory);
  return records;
}

async function placesOf(home: Home, consultation: InConsultation): Promise<Place[]> {
  try {
    return await search(home, consultation);
  } catch (error) {
    if (!waits(error)) throw error;
    tell(`The public cloud could not be asked. RECORDS FROM ELSEWHERE MAY BE MISSING: ${said(error as Refusal)}`);
    return [];
  }
}

function save(record: FetchedRecord, directory: string): void {
  try {
    saveRecord(record, directory);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    tell(`THE RECORD FROM ${record.manifest.hospitalId} IS NOT SAVED: ${said(error)}`);
  }
}

async function deposited(
  room: DoctorRoom,
  diagnosed: AwaitingReceipt,
  departmentClass: string,
): Promise<string | null> {
  if (!allows(diagnosed.consultation, Right.WRITE)) {
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

/** Write a file that others wait for: it is there whole, or not at all. */
function writeWhole(path: string, content: string): void {
  writeNew(`${path}.partial`, Buffer.from(content));
  renameSync(`${path}.partial`, path);
}
