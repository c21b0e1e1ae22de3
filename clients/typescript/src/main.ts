#!/usr/bin/env node
/** The command line of clients/README.md: one JSON object on stdout, words for people on stderr. */

import { join } from "node:path";
import {
  needed,
  neededForm,
  graceOf,
  networksOf,
  openHome,
  optional,
  read,
  readBounded,
  readLine,
  type Said,
  spoken,
  tell,
  UsageError,
  type Values,
} from "./arguments.js";
import { clock, entropy } from "./client/cloud.js";
import { certificateIn, certificateRequest, parseTicket } from "./client/enrolment.js";
import { Home, readSensor } from "./client/home.js";
import { renewNow } from "./client/maintenance.js";
import { register } from "./client/registration.js";
import { consult } from "./consult.js";
import { Kind } from "./gen/federation/v1/rules_pb.js";
import { writeNew } from "./keys/files.js";
import { hex } from "./protocol/bytes.js";
import { listGrants, ownAccesses, ownRecords, revokeGrants } from "./own.js";
import { plain, Refusal, require } from "./protocol/refusal.js";
import { visitDoctor } from "./visit.js";

const USAGE = `usage:
  medunion-client patient register --directory DIR --trust FILE --identity P:name --simulated-sensor FILE --ticket-file FILE|-
                                   [--token URI]
  medunion-client patient visit    --directory DIR --simulated-sensor FILE [--observation FILE] [--for WHOM] [--read WHERE]... [--no-keep]
                                   [--department CLASS]... [--restricted] [--hours N] [--yes]
                                   [--stay SECONDS] CODE
  medunion-client patient grants   --directory DIR
  medunion-client patient revoke   --directory DIR NUMBER... | --last | --all
  medunion-client patient records  --directory DIR [--save DIR] [--fetch-at-most N]
  medunion-client patient accesses --directory DIR
  medunion-client patient renew    --directory DIR
  medunion-client doctor init      --directory DIR --trust FILE --identity D:name [--token URI]
  medunion-client doctor register  --directory DIR --certificate FILE
  medunion-client doctor consult   --directory DIR --hospital H:name --address HOST:PORT --department CLASS --conclusion TEXT
                                   [--amend TEXT] [--code-file FILE] [--save DIR] [--fetch-at-most N] [--deposit]
  medunion-client doctor renew     --directory DIR
a visit and a consultation renew the encryption key by themselves on its last day; renew does at any time
an observation has at most 16 MiB
a visit shows who is there and what you are about to sign, and asks, unless --yes has answered; unless you say otherwise, the
  doctor's hospital may keep the record of the visit (--no-keep), and none of your records is read
--for doctor (24 hours), department or department:CLASS (30 days), hospital (90 days): whoever is on duty there; --hours N, at most 8784
--read here, everywhere or H:name: records there may be found and read; --department: of that class only; --restricted: restricted ones, too
records of one visit, or of one's own, have at most 1000 MB together, for they are held in memory; --fetch-at-most says otherwise, in megabytes
--stay: so long after a diagnosis, for one that amends it; --amend: what is signed in the place of --conclusion, once that is answered
a certificate is DER or PEM, whatever text stands before it
every command needs --pin-file FILE, mode 0600
--token URI (RFC 7512) puts the keys into a PKCS#11 token, as pkcs11:token=LABEL?module-path=/PATH; the PIN is then the token's
every command takes --grace-hours N: it goes on for so long after the end of the newest revocation list, by what stood before it: 1, at most 72
every command takes --dial-only NETWORK, as 10.0.0.0/8 and again for more, and then dials nothing else; no proxy is asked
`;

/** Bytes of a certificate file: PEM and the text before it have a few KiB. */
const MOST_CERTIFICATE_BYTES = 1024 * 1024;

async function main(): Promise<number> {
  const { values, positionals } = read();
  if (values["help"] === true) {
    process.stdout.write(USAGE);
    return 0;
  }
  const command = COMMANDS[positionals.slice(0, 2).join(" ")];
  if (command === undefined) throw new UsageError("there is no such command");
  const said = await command(values, positionals.slice(2));
  process.stdout.write(spoken(said) + "\n");
  return 0;
}

const COMMANDS: Record<string, (values: Values, rest: string[]) => Promise<Said>> = {
  "patient register": registerPatient,
  "patient visit": visitDoctor,
  "patient grants": listGrants,
  "patient revoke": revokeGrants,
  "patient records": ownRecords,
  "patient accesses": ownAccesses,
  "patient renew": renew,
  "doctor init": initDoctor,
  "doctor register": registerDoctor,
  "doctor consult": consult,
  "doctor renew": renew,
};

async function registerPatient(values: Values): Promise<Said> {
  const identity = neededForm(values, "identity", Kind.PATIENT_ID, "P:name");
  const ticket = parseTicket(readLine(needed(values, "ticket-file")));
  const fuzzyKey = readSensor(needed(values, "simulated-sensor"));
  const home = await openOrCreate(values, identity);
  return { identity, serial: hex(await register(home, home.biometricPassword(fuzzyKey), ticket)) };
}

/** The home of a patient whose earlier registration was cut off, or a new one. */
async function openOrCreate(values: Values, identity: string): Promise<Home> {
  const directory = needed(values, "directory");
  const pinFile = needed(values, "pin-file");
  if (!Home.exists(directory)) {
    const place = { pinFile, token: optional(values, "token") };
    return Home.create(directory, identity, needed(values, "trust"), place, entropy, clock(), networksOf(values));
  }
  const home = Home.open(directory, pinFile, networksOf(values), graceOf(values));
  require(home.identity === identity, "PROFILE_UNUSABLE", `${home.identity} is at home there`);
  return home;
}

async function initDoctor(values: Values): Promise<Said> {
  const directory = needed(values, "directory");
  const identity = neededForm(values, "identity", Kind.DOCTOR_ID, "D:name");
  const home = await Home.create(
    directory,
    identity,
    needed(values, "trust"),
    { pinFile: needed(values, "pin-file"), token: optional(values, "token") },
    entropy,
    clock(),
  );
  const request = join(directory, "certificate-request.der");
  writeNew(request, await certificateRequest(identity, home.keys.signingKey));
  return { request };
}

async function registerDoctor(values: Values): Promise<Said> {
  const home = openHome(values);
  const written = readBounded(needed(values, "certificate"), MOST_CERTIFICATE_BYTES, "a certificate");
  const certificate = certificateIn(written);
  return { identity: home.identity, serial: hex(await register(home, certificate)) };
}

async function renew(values: Values): Promise<Said> {
  const home = openHome(values);
  const { keyId, notAfter } = await renewNow(home);
  return { identity: home.identity, key_id: hex(keyId), not_after: Number(notAfter) };
}

function failed(error: unknown): number {
  if (error instanceof UsageError) {
    tell(error.message);
    process.stderr.write(USAGE);
    return 2;
  }
  const refusal = refusalOf(error);
  const isOurFault = refusal !== error && refusal.reason === "INTERNAL";
  (isOurFault ? refusal.message : plain(refusal)).split("\n").forEach(tell);
  process.stdout.write(spoken({ reason: refusal.reason }) + "\n");
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
