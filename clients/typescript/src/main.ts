#!/usr/bin/env node
/** The command line of clients/README.md: one JSON object on stdout, words for people on stderr. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { hoursOf, needed, read, type Said, tell, UsageError, type Values } from "./arguments.js";
import { clock, entropy } from "./client/cloud.js";
import { parseCode } from "./client/code.js";
import { certificateRequest, parseTicket } from "./client/enrolment.js";
import { Home } from "./client/home.js";
import { visit } from "./client/patient.js";
import { keepUp, renewNow } from "./client/upkeep.js";
import { register } from "./client/registration.js";
import { conclusionOf } from "./client/report.js";
import { consult } from "./consult.js";
import { writeNew } from "./keys/file.js";
import { hex } from "./protocol/bytes.js";
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
  const terms = { ...EVERYTHING, hours: hoursOf(values, EVERYTHING.hours) };
  const home = Home.open(needed(values, "home"), needed(values, "pin-file"));
  const code = parseCode(written ?? "");
  const biosignal = new Uint8Array(readFileSync(needed(values, "observation")));
  const done = await visit(
    await keepUp(home, tell),
    code,
    home.biometricPassword(needed(values, "sensor")),
    biosignal,
    tell,
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

async function renew(values: Values): Promise<Said> {
  const home = Home.open(needed(values, "home"), needed(values, "pin-file"));
  const { keyId, notAfter } = await renewNow(home);
  return { identity: home.identity, key_id: hex(keyId), not_after: Number(notAfter) };
}

function failed(error: unknown): number {
  if (error instanceof UsageError) {
    tell(`${error.message}\n${USAGE}`);
    return 2;
  }
  const refusal = refusalOf(error);
  tell(`${refusal.message} (${preciseReason(refusal)})`);
  process.stdout.write(JSON.stringify({ reason: refusal.reason }) + "\n");
  return 1;
}

/** What is no refusal is about a file that was named, or a fault of this program. */
function refusalOf(error: unknown): Refusal {
  if (error instanceof Refusal) return error;
  const { syscall, message, stack } = error as NodeJS.ErrnoException;
  if (syscall !== undefined) return new Refusal("FILE_UNUSABLE", message, { cause: error });
  return new Refusal("INTERNAL", stack ?? String(error), { cause: error });
}

// Streams that a finished command leaves behind must not keep it.
process.exit(await main().catch(failed));
