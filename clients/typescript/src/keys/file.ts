/**
 * Keys at rest where there is no token: one file, AES-256-GCM under a key that scrypt (RFC 7914) makes of a PIN. Mode 0600, put in
 * place whole.
 */

import { createCipheriv, createDecipheriv, randomBytes, scryptSync } from "node:crypto";
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, statSync, unlinkSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { fromHex, hex, type Instant } from "../protocol/bytes.js";
import { Refusal, require } from "../protocol/refusal.js";
import type { SigningKey } from "../protocol/statements.js";
import { type Epoch, type KeptEpoch, makeEpoch, openEpoch } from "./epoch.js";
import { type DerivedSecret, softwareSecret } from "./keys.js";
import { softwareSigningKey } from "./keys.js";

const SALT_BYTES = 16;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const WORK = { N: 2 ** 17, r: 8, p: 1, maxmem: 256 * 1024 * 1024 };

/** A reg1 that is under way: as it was sent, and what is sealed in it. */
export interface SentRegistration {
  readonly opening: Uint8Array;
  readonly plaintext: Uint8Array;
}

/** The secrets of a party, hex: a seed of PRK_X, its epochs, the newest last, S_X once there is one, and a reg1 without an answer yet. */
interface Secrets {
  readonly signingSeed: string;
  readonly epochs: readonly KeptEpoch[];
  readonly registrationSecret?: string;
  readonly registration?: { readonly opening: string; readonly plaintext: string } | undefined;
}

/** The keys of a home directory, open. */
export class KeyFile {
  readonly #secrets: Secrets;
  readonly signingKey: SigningKey;
  /** The epochs whose keys are here, the newest last. */
  readonly epochs: readonly Epoch[];

  private constructor(
    readonly path: string,
    readonly pinFile: string,
    secrets: Secrets,
  ) {
    this.#secrets = secrets;
    this.signingKey = softwareSigningKey(fromHex(secrets.signingSeed));
    this.epochs = secrets.epochs.map(openEpoch);
  }

  /** Make fresh keys, the first epoch's among them, and a new file for them: it never takes the place of another. */
  static async create(path: string, pinFile: string, identity: string, now: Instant): Promise<KeyFile> {
    const signingSeed = randomBytes(32).toString("hex");
    const first = await makeEpoch(identity, softwareSigningKey(fromHex(signingSeed)), now);
    const secrets = { signingSeed, epochs: [first] };
    writeNew(path, sealed(secrets, readPin(pinFile)));
    return new KeyFile(path, pinFile, secrets);
  }

  /** Open the file with the PIN of that file. */
  static open(path: string, pinFile: string): KeyFile {
    return new KeyFile(path, pinFile, unseal(readPrivate(path), readPin(pinFile)));
  }

  /** S_X, with the U_X that it belongs to. */
  registrationSecret(publicPoint: Uint8Array): DerivedSecret {
    const kept = this.#secrets.registrationSecret;
    require(kept !== undefined, "NOT_REGISTERED", "this party is not registered yet");
    return softwareSecret(fromHex(kept), publicPoint);
  }

  /** The reg1 that was sent and has no answer yet. */
  get registration(): SentRegistration | undefined {
    const kept = this.#secrets.registration;
    return kept && { opening: fromHex(kept.opening), plaintext: fromHex(kept.plaintext) };
  }

  /** Keep a reg1 before it is sent. B_P is in it. */
  keepRegistration({ opening, plaintext }: SentRegistration): KeyFile {
    return this.#changed((kept) => ({ ...kept, registration: { opening: hex(opening), plaintext: hex(plaintext) } }));
  }

  /** Forget the reg1 that was kept. */
  dropRegistration(): KeyFile {
    return this.#changed((kept) => ({ ...kept, registration: undefined }));
  }

  /** Keep S_X (32 bytes), and wipe the caller's copy. */
  keepRegistrationSecret(secret: Uint8Array): KeyFile {
    const registrationSecret = hex(secret);
    secret.fill(0);
    return this.#changed((kept) => ({ ...kept, registrationSecret }));
  }

  /** Make and keep the keys of another epoch; the others stay. */
  async beginEpoch(identity: string, now: Instant): Promise<KeyFile> {
    const begun = await makeEpoch(identity, this.signingKey, now);
    return this.#changed((kept) => ({ ...kept, epochs: [...kept.epochs, begun] }));
  }

  /** Destroy the keys of the epochs of which that holds. */
  forget(over: (epoch: Epoch) => boolean): KeyFile {
    return this.#changed((kept) => ({ ...kept, epochs: kept.epochs.filter((epoch) => !over(openEpoch(epoch))) }));
  }

  /** The file with a change made to what is in it now, which another command of this party may have written since it was opened. */
  #changed(change: (kept: Secrets) => Secrets): KeyFile {
    const pin = readPin(this.pinFile);
    const secrets = change(unseal(readPrivate(this.path), pin));
    replaceFile(this.path, sealed(secrets, pin));
    return new KeyFile(this.path, this.pinFile, secrets);
  }
}

/** Put a file in place, whole, durable and with mode 0600; what was there gives way. */
export function replaceFile(path: string, data: Uint8Array): void {
  const partial = `${path}.${process.pid}`;
  writeNew(partial, data);
  renameSync(partial, path);
  syncDirectory(path);
}

/** Write a new file of mode 0600, on disk when this returns; where the disk is full there is none. */
export function writeNew(path: string, data: Uint8Array): void {
  const descriptor = openSync(path, "wx", 0o600);
  try {
    for (let written = 0; written < data.length;) written += writeSync(descriptor, data, written);
    fsyncSync(descriptor);
  } catch (error) {
    unlinkSync(path);
    throw error;
  } finally {
    closeSync(descriptor);
  }
  syncDirectory(path);
}

/** Read a file that others may not read. */
export function readPrivate(path: string): Uint8Array {
  require((statSync(path).mode & 0o077) === 0, "FILE_NOT_PRIVATE", `others may read ${path}; give it mode 0600`);
  return new Uint8Array(readFileSync(path));
}

function readPin(path: string): string {
  const pin = Buffer.from(readPrivate(path))
    .toString()
    .replace(/\r?\n$/, "");
  require(pin.length > 0, "PIN_INCORRECT", `${path} holds no PIN`);
  return pin;
}

function sealed(secrets: Secrets, pin: string): Uint8Array {
  const plaintext = Buffer.from(JSON.stringify(secrets));
  const salt = randomBytes(SALT_BYTES);
  const nonce = randomBytes(NONCE_BYTES);
  const key = scryptSync(pin, salt, 32, WORK);
  try {
    const cipher = createCipheriv("aes-256-gcm", key, nonce);
    return Buffer.concat([salt, nonce, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
  } finally {
    wipe(key, plaintext);
  }
}

function unseal(content: Uint8Array, pin: string): Secrets {
  const salt = content.subarray(0, SALT_BYTES);
  const nonce = content.subarray(SALT_BYTES, SALT_BYTES + NONCE_BYTES);
  const key = scryptSync(pin, salt, 32, WORK);
  const decipher = createDecipheriv("aes-256-gcm", key, nonce);
  decipher.setAuthTag(content.subarray(-TAG_BYTES));
  // GCM's plaintext is as long as its ciphertext: it is all in the first part, and the tag decides in the second.
  const plaintext = decipher.update(content.subarray(SALT_BYTES + NONCE_BYTES, -TAG_BYTES));
  try {
    decipher.final();
    return JSON.parse(plaintext.toString()) as Secrets;
  } catch (error) {
    throw new Refusal("PIN_INCORRECT", "the PIN does not open the key file, or the file is damaged", { cause: error });
  } finally {
    wipe(key, plaintext);
  }
}

function wipe(...secrets: Buffer[]): void {
  secrets.forEach((secret) => secret.fill(0));
}

function syncDirectory(path: string): void {
  const descriptor = openSync(dirname(path), "r");
  fsyncSync(descriptor);
  closeSync(descriptor);
}
