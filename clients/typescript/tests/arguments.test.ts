/** The command line: what is looked at before anything is done, and what reaches a terminal. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { graceOf, hoursOf, networksOf, readLine, spoken, UsageError } from "../src/arguments.js";
import { formatCode } from "../src/client/code.js";
import { diagnosticReport, requireConclusion } from "../src/client/report.js";
import { planOf } from "../src/consult.js";
import { HOUR, LONGEST_GRANT } from "../src/protocol/access.js";
import { MOST_BIOSIGNAL_BYTES } from "../src/protocol/consultation.js";
import { madeDirectory, madeHome } from "./homes.js";

const PROGRAM = new URL("../src/main.js", import.meta.url).pathname;
const CODE = formatCode({
  address: "127.0.0.1:1",
  hospitalId: "H:alpha",
  roomId: new Uint8Array(16),
  digest: new Uint8Array(32),
});

function run(...words: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [PROGRAM, ...words], { encoding: "utf8" });
  return { status, said: stdout.trim(), told: stderr };
}

/** What a consultation is told, with changes. */
function told(changes: Record<string, string> = {}): Record<string, string> {
  return {
    hospital: "H:alpha",
    address: "alpha.example:443",
    department: "cardiology",
    conclusion: "Sinus rhythm.",
    ...changes,
  };
}

test("what a consultation is told is looked at whole", (context) => {
  const directory = madeDirectory(context);
  const wrong: Record<string, string>[] = [
    { hospital: "alpha" },
    { hospital: "D:alpha" },
    { address: "alpha.example" },
    { address: "unix:/tmp/s" },
    { address: "unix-abstract:evil:1" },
    { address: "alpha.example:99999" },
    { department: "Cardiology!" },
    { conclusion: "" },
    { "fetch-at-most": "lots" },
    { "fetch-at-most": "-1" },
    { "code-file": directory },
  ];
  for (const changes of wrong) assert.throws(() => planOf(told(changes)), UsageError, JSON.stringify(changes));
  for (const network of ["everywhere", "10.0.0.0/33", "10.0.0.1/8", ""])
    assert.throws(() => networksOf({ "dial-only": [network] }), UsageError, network);
  for (const hours of ["73", "-1", "long", ""])
    assert.throws(() => graceOf({ "grace-hours": hours }), UsageError, hours);
  assert.deepEqual([{}, { "grace-hours": "0" }, { "grace-hours": "72" }].map(graceOf), [HOUR, 0n, 72n * HOUR]);
  for (const conclusion of [" \n\t", "Sinus\u0007rhythm"])
    assert.throws(() => planOf(told({ conclusion })), { reason: "FHIR_INVALID" });
  const file = join(directory, "code");
  writeFileSync(file, "an old code\n");
  assert.throws(() => planOf(told({ save: join(file, "records") })), { syscall: "mkdir" });
  assert.throws(() => planOf(told({ "code-file": join(directory, "not", "there") })), { syscall: "access" });
  const plan = planOf(told({ "code-file": file, save: join(directory, "records"), "fetch-at-most": "0.5" }));
  assert.deepEqual([plan.codeFile, plan.mostBytes], [file, 500_000]);
  assert.ok(existsSync(join(directory, "records")));
});

test("wrong usage is said before anything else is done", (context) => {
  const home = join(madeDirectory(context), "nobody");
  const consult = (changes: Record<string, string> = {}) => {
    const options = { ...told(changes), directory: home, "pin-file": home };
    return run("doctor", "consult", ...Object.entries(options).flatMap(([name, value]) => [`--${name}`, value]));
  };
  assert.equal(consult({ address: "unix:/tmp/s" }).status, 2);
  assert.equal(consult().said, '{"reason":"PROFILE_UNUSABLE"}');
});

test("a ticket is the first line of a file or of standard input, and of so many bytes", (context) => {
  const file = join(madeDirectory(context), "ticket");
  const ticket = "AAAA-AAAA-AAAA-AAAA-AAAA-AAAA-AA3U";
  for (const [written, line] of [
    [`${ticket}\nof tomorrow\n`, ticket],
    [ticket, ticket],
    ["", ""],
    ["\n", ""],
    ["A".repeat(5000), "A".repeat(1024)],
  ] as const) {
    writeFileSync(file, written);
    assert.equal(readLine(file), line);
  }
  assert.throws(() => readLine(`${file}.none`), { syscall: "open" });
  const register = ["patient", "register", "--identity", "P:wang", "--ticket-file", "-"];
  const registered = (input: string) =>
    spawnSync(process.execPath, [PROGRAM, ...register], { encoding: "utf8", input }).stderr;
  assert.match(registered(`${ticket}\n`), /^--simulated-sensor is missing/);
  assert.match(registered("AAAA\n"), /\[TICKET_INVALID\]/);
});

test("who registers has an identity of its role, and a reading, before a home is made", (context) => {
  const directory = madeDirectory(context);
  const home = [
    "--directory",
    join(directory, "home"),
    "--pin-file",
    join(directory, "pin"),
    "--trust",
    join(directory, "t"),
  ];
  const written = join(directory, "ticket");
  writeFileSync(written, "AAAA-AAAA-AAAA-AAAA-AAAA-AAAA-AA3U\nof tomorrow\n");
  const ticket = ["--ticket-file", written, "--simulated-sensor", join(directory, "sensor")];
  assert.equal(run("patient", "register", ...home, ...ticket, "--identity", "D:chen").status, 2);
  assert.equal(run("doctor", "init", ...home, "--identity", "P:wang").status, 2);
  assert.equal(run("doctor", "init", ...home, "--identity", "D:").status, 2);
  writeFileSync(join(directory, "sensor"), "short", { mode: 0o600 });
  const said = run("patient", "register", ...home, ...ticket, "--identity", "P:wang").said;
  assert.equal(said, '{"reason":"BIOMETRIC_MISMATCH"}');
  assert.equal(existsSync(join(directory, "home")), false);
});

async function patient(context: TestContext) {
  const { home } = await madeHome(context);
  const directory = join(home.directory, "..");
  const [sensor, observation] = [join(directory, "sensor"), join(directory, "observation")];
  writeFileSync(sensor, new Uint8Array(32), { mode: 0o600 });
  writeFileSync(observation, "{}");
  const own = ["--directory", home.directory, "--pin-file", join(directory, "pin"), "--simulated-sensor", sensor];
  const unanswered = () => run("patient", "visit", ...own, CODE);
  const visit = (...more: string[]) => run("patient", "visit", ...own, "--yes", ...more);
  return { sensor, observation, visit, unanswered };
}

test("a patient contacts nobody with a biosignal, reading, code or consent that can't go", async (context) => {
  const { sensor, observation, visit, unanswered } = await patient(context);
  assert.equal(unanswered().status, 2); // what is to be signed is shown first, and nobody can answer here
  const given = ["--observation", observation];
  assert.equal(visit(...given, CODE.replace("127.0.0.1:1", "vsock:1:2")).said, '{"reason":"CODE_INVALID"}');
  for (const wrong of [
    ["--hours", "abc"],
    ["--for", "nurse"],
    ["--read", "there"],
  ])
    assert.equal(visit(...given, ...wrong, CODE).status, 2);
  for (const hours of ["0", "-1", "abc", String(LONGEST_GRANT / HOUR + 1n), "0.000001"])
    assert.throws(() => hoursOf({ hours }), UsageError, hours);
  truncateSync(observation, MOST_BIOSIGNAL_BYTES + 1);
  assert.equal(visit(...given, CODE).said, '{"reason":"LIMIT_REACHED"}');
  truncateSync(observation, MOST_BIOSIGNAL_BYTES);
  writeFileSync(sensor, "short");
  assert.equal(visit(...given, CODE).said, '{"reason":"BIOMETRIC_MISMATCH"}');
  const { said, told } = visit("--observation", join(sensor, "none"), CODE);
  assert.equal(said, '{"reason":"FILE_UNUSABLE"}');
  assert.doesNotMatch(told, /cloud/);
});

test("who takes a consent back says which", async (context) => {
  const { sensor } = await patient(context);
  const directory = join(sensor, "..");
  const own = ["--directory", join(directory, "home"), "--pin-file", join(directory, "pin")];
  for (const words of [[], ["--last", "--all"], ["1", "--last"], ["first"], ["0"]])
    assert.equal(run("patient", "revoke", ...own, ...words).status, 2, words.join(" "));
});

test("a conclusion is a FHIR string that D5 can carry with all that it rests on", () => {
  const digests = Array.from({ length: 64 }, () => new Uint8Array(32).fill(255));
  const party = "x".repeat(64);
  const [escaped, plain] = [
    "\u2028\\".repeat(10),
    `Sinusrhythmus, keine Isch\u00e4mie.\u00a0\r\n\t${"x".repeat(899_900)}`,
  ];
  for (const conclusion of [requireConclusion(escaped), requireConclusion(plain)])
    assert.ok(diagnosticReport(`P:${party}`, `D:${party}`, conclusion, digests).length <= 917_504);
  assert.throws(() => requireConclusion(plain + "x".repeat(100)), { reason: "LIMIT_REACHED" });
  const report = (amends?: Uint8Array) =>
    JSON.parse(Buffer.from(diagnosticReport("P:wang", "D:chen", "A flutter.", [], amends)).toString()) as {
      status: string;
      extension?: { valueReference: { identifier: { value: string } } }[];
    };
  assert.equal(report().status, "final");
  const { status, extension } = report(Buffer.from("first"));
  const { value } = extension![0]!.valueReference.identifier;
  assert.deepEqual([status, value], ["amended", "ni:///sha-256;p5N7ZLjKpY8Dchu2us9ceMsjX-vg5wsbhM2ZVBRhoI4"]);
  for (const conclusion of [" ", "\u000b", "a\u0000", "a\u001b[2J"])
    assert.throws(() => requireConclusion(conclusion), { reason: "FHIR_INVALID" });
});

test("what is said holds nothing that a terminal obeys, and is the same JSON", () => {
  const said = { conclusion: "calm\u001b[2J\u009b31m\u202egood\u2028\u007f\u{e0041}\n", receipt: true };
  const text = spoken(said);
  assert.match(text, /^[ -~]+$/);
  assert.deepEqual(JSON.parse(text), said);
});

test("what is told is one line of plain text, whatever stands in it", () => {
  const { told, status } = run("doctor\u001b[2J", "consult", "--directory\u202e", "x");
  assert.equal(status, 2);
  // eslint-disable-next-line no-control-regex
  assert.doesNotMatch(told, /[\u001b\u202e]/);
});
