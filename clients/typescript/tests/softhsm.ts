/** Real PKCS#11 tokens for tests: SoftHSM's, in a directory of the test's own. */

import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { CKF, CKU, loadModule } from "../src/keys/cryptoki.js";

const PLACES = [
  process.env["SOFTHSM2_MODULE"],
  "/usr/lib/softhsm/libsofthsm2.so",
  "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
  "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
  "/usr/lib64/libsofthsm2.so",
  "/usr/local/lib/softhsm/libsofthsm2.so",
];
const OFFICERS_PIN = "the officer's PIN";

/** A directory with a token, and the files that hold its PIN and another one. */
export interface TestToken {
  readonly uri: string;
  readonly directory: string;
  readonly pinFile: string;
  readonly wrongPinFile: string;
}

/** SoftHSM's library. */
export function modulePath(): string {
  const found = PLACES.find((path) => path !== undefined && existsSync(path));
  if (found === undefined) throw new Error("the token's proof needs SoftHSM: install softhsm2, or set SOFTHSM2_MODULE");
  return found;
}

/**
 * Make a token that lasts until the test file is over. The module reads its settings when it is initialised: one token a
 * time.
 */
export function madeToken(label: string): TestToken {
  const path = modulePath();
  const directory = mkdtempSync(join(tmpdir(), "medunion-token-"));
  after(() => rmSync(directory, { recursive: true }));
  const settings = join(directory, "softhsm2.conf");
  writeFileSync(settings, `directories.tokendir = ${directory}\nobjectstore.backend = file\nlog.level = ERROR\n`);
  process.env["SOFTHSM2_CONF"] = settings;
  const [pinFile, wrongPinFile] = [join(directory, "pin"), join(directory, "wrong-pin")];
  writeFileSync(pinFile, "a PIN of the token\n", { mode: 0o600 });
  writeFileSync(wrongPinFile, "another PIN of the token\n", { mode: 0o600 });
  initialise(path, label, "a PIN of the token");
  return { uri: `pkcs11:token=${label}?module-path=${path}`, directory, pinFile, wrongPinFile };
}

function initialise(path: string, label: string, pin: string): void {
  const { cryptoki } = loadModule(path);
  cryptoki.C_Initialize();
  cryptoki.C_InitToken(cryptoki.C_GetSlotList(false)[0]!, OFFICERS_PIN, label.padEnd(32)); // padded, as PKCS#11 has it
  const [slot] = cryptoki.C_GetSlotList(true); // an initialised token moves to another slot
  const session = cryptoki.C_OpenSession(slot!, CKF.SERIAL_SESSION | CKF.RW_SESSION);
  cryptoki.C_Login(session, CKU.OFFICER, OFFICERS_PIN);
  cryptoki.C_InitPIN(session, pin);
  cryptoki.C_Finalize();
}
