#!/usr/bin/env node
/** The command line of clients/README.md: one JSON object on stdout, words for people on stderr. */

import { readFileSync, renameSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { randomBytes } from "node:crypto";
import { clock } from "./client/cloud.js";
import { parseCode } from "./client/code.js";
import * as doctor from "./client/doctor.js";
import { certificateRequest, parseTicket } from "./client/enrolment.js";
import { Home } from "./client/home.js";
import { visit } from "./client/patient.js";
import { keepUp, renewNow } from "./client/upkeep.js";
import { register } from "./client/registration.js";
import { saveRecord } from "./client/records.js";
import { conclusionOf, diagnosticReport } from "./client/report.js";
import { writeNew } from "./keys/file.js";
import { hex, sha256 } from "./protocol/bytes.js";
import { EVERYTHING } from "./protocol/grant.js";
import { preciseReason, Refusal, require } from "./protocol/refusal.js";

const USAGE = `usage:
  medunion-client patient register --home DIR --trust FILE --id P:name --sensor FILE --ticket TEXT
  medunion-client patient visit    --home DIR --sensor FILE --observation FILE [--hours N] CODE
  medunion-client patient renew    --home DIR
  medunion-client doctor init      --home DIR --trust FILE --id D:name
  medunion-client doctor register  --home DIR --certificate FILE
  medunion-client doctor consult   --home DIR --hospital H:name --address HOST:PORT --department CLASS --conclusion TEXT
                                   [--code-file FILE] [--save DIR] [--deposit]
  medunion-client doctor renew     --home DIR
a visit and a consultation renew the encryption key by themselves on its last day; renew does at any time
every command needs --pin-file FILE, mode 0600
`;

const RECEIPT_MS = 30_000;

class UsageError extends Error {}

type Values = Record<string, string | boolean | undefined>;
type Said = Record<string, unknown>;

const entropy = (size: number) => new Uint8Array(randomBytes(size));

async function main(): Promise<number> {
  const { values, positionals } = read();
  if (values["help"] === true) {
    process.stdout.write(USAGE);
    return 0;
  }
  const command = COMMANDS[positionals.slice(0, 2).join(" ")];
  if (command === undefined) throw new UsageError("there is no such command");
  const said = await command(values, positionals.slice(2));
  process.stdout.write(JSON.stringify(said) + "\n");
  return 0;
}

const COMMANDS: Record<string, (values: Values, rest: string[]) => Promise<Said>> = {
  "patient register": registerPatient,
  "patient visit": visitDoctor,
  "patient renew": renew,
  "doctor init": initDoctor,
  "doctor register": registerDoctor,
  "doctor consult": consult,
  "doctor renew": renew,
};

async function registerPatient(values: Values): Promise<Said> {
  const identity = needed(values, "id");
  const ticket = parseTicket(needed(values, "ticket"));
  const home = await openOrCreate(values, identity);
  return { identity, serial: hex(await register(home, home.biometricPassword(needed(values, "sensor")), ticket)) };
}

/** The home of a patient whose earlier registration was cut off, or a new one. */
async function openOrCreate(values: Values, identity: string): Promise<Home> {
  const directory = needed(values, "home");
  const pinFile = needed(values, "pin-file");
  if (!Home.exists(directory)) {
    return Home.create(directory, identity, needed(values, "trust"), pinFile, entropy, clock());
  }
  const home = Home.open(directory, pinFile);
  require(home.identity === identity, "PROFILE_UNUSABLE", `${home.identity} is at home there`);
  return home;
}

async function visitDoctor(values: Values, [written]: string[]): Promise<Said> {
  const home = Home.open(needed(values, "home"), needed(values, "pin-file"));
  const code = parseCode(written ?? "");
  const biosignal = new Uint8Array(readFileSync(needed(values, "observation")));
  const terms = { ...EVERYTHING, hours: Number(values["hours"] ?? EVERYTHING.hours) };
  const done = await visit(
    await keepUp(home, tell),
    code,
    home.biometricPassword(needed(values, "sensor")),
    biosignal,
    terms,
  );
  return { doctor: done.doctorId, grant: done.grantId, conclusion: conclusionOf(done.diagnosis) };
}

async function initDoctor(values: Values): Promise<Said> {
  const directory = needed(values, "home");
  const identity = needed(values, "id");
  const home = await Home.create(
    directory,
    identity,
    needed(values, "trust"),
    needed(values, "pin-file"),
    entropy,
    clock(),
  );
  const request = join(directory, "certificate-request.der");
  writeNew(request, await certificateRequest(identity, home.keys.signingKey));
  return { request };
}

async function registerDoctor(values: Values): Promise<Said> {
  const home = Home.open(needed(values, "home"), needed(values, "pin-file"));
  const certificate = new Uint8Array(readFileSync(needed(values, "certificate")));
  return { identity: home.identity, serial: hex(await register(home, certificate)) };
}

async function consult(values: Values): Promise<Said> {
  const [hospital, address] = [needed(values, "hospital"), needed(values, "address")];
  const home = Home.open(needed(values, "home"), needed(values, "pin-file"));
  const room = await doctor.DoctorRoom.open(await keepUp(home, tell), hospital, address);
  try {
    return await consultIn(room, values);
  } finally {
    await room.close().catch((error: unknown) => tell(`The room was not closed (${preciseReason(error)}).`));
  }
}

async function renew(values: Values): Promise<Said> {
  const home = Home.open(needed(values, "home"), needed(values, "pin-file"));
  const { keyId, notAfter } = await renewNow(home);
  return { identity: home.identity, key_id: hex(keyId), not_after: Number(notAfter) };
}

async function consultIn(room: doctor.DoctorRoom, values: Values): Promise<Said> {
  const { hospitalId: hospital, address } = room.code;
  tell(`Show this code to your patient: ${room.text}`);
  if (typeof values["code-file"] === "string") writeWhole(values["code-file"], room.text + "\n");
  const consultation = await room.awaitPatient((reason) => tell(`Somebody was refused (${reason}); still waiting.`));
  const patient = consultation.asked.patient.identity;
  tell(`${patient} is here; both sides have proved who they are.`);
  const places = await doctor.search(room.home, consultation);
  const records = await doctor.fetch(room.home, consultation, places);
  if (typeof values["save"] === "string") for (const record of records) saveRecord(record, values["save"]);
  const report = diagnosticReport(
    patient,
    room.home.identity,
    needed(values, "conclusion"),
    records.map(({ digest }) => digest),
  );
  const diagnosed = await room.diagnose(consultation, report, records);
  const handle =
    values["deposit"] === true
      ? hex(await doctor.deposit(room.home, diagnosed, hospital, address, needed(values, "department")))
      : null;
  const receipt = await room.awaitReceipt(diagnosed, RECEIPT_MS);
  const { biosignal: content } = consultation;
  const biosignal = { size: content.length, sha256: hex(sha256(content)) };
  return { patient, biosignal, records: records.flatMap(described), receipt, deposit: handle };
}

function described({ manifest }: Awaited<ReturnType<typeof doctor.fetch>>[number]): Said[] {
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

function read(): { values: Values; positionals: string[] } {
  const text = { type: "string" } as const;
  const names = [
    "home",
    "trust",
    "id",
    "sensor",
    "ticket",
    "observation",
    "hours",
    "certificate",
    "hospital",
    "address",
    "department",
  ];
  const more = ["conclusion", "code-file", "save", "pin-file"];
  const flags = { deposit: { type: "boolean" }, help: { type: "boolean", short: "h" } } as const;
  try {
    return parseArgs({
      allowPositionals: true,
      options: { ...Object.fromEntries([...names, ...more].map((name) => [name, text])), ...flags },
    }) as never;
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

function needed(values: Values, name: string): string {
  const value = values[name];
  if (typeof value !== "string" || value === "") throw new UsageError(`--${name} is missing`);
  return value;
}

/** Write a file that others wait for: it is there whole, or not at all. */
function writeWhole(path: string, content: string): void {
  writeNew(`${path}.partial`, Buffer.from(content));
  renameSync(`${path}.partial`, path);
}

function tell(sentence: string): void {
  process.stderr.write(sentence + "\n");
}

function failed(error: unknown): number {
  if (error instanceof UsageError) {
    tell(`${error.message}\n${USAGE}`);
    return 2;
  }
  if (!(error instanceof Refusal)) throw error;
  tell(`${error.message} (${preciseReason(error)})`);
  process.stdout.write(JSON.stringify({ reason: error.reason }) + "\n");
  return 1;
}

// Streams that a finished command leaves behind must not keep it.
process.exit(await main().catch(failed));
