/**
 * Keys at rest where there is no token: one file, AES-256-GCM under a key that scrypt (RFC 7914) makes of a PIN. Mode 0600, put in
 * place whole.
 */

import { createCipheriv, createDecipheriv, randomBytes, scryptSync } from "node:crypto";
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, statSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { fromHex, hex } from "../protocol/bytes.js";
import { DecryptionKey, softwareX25519 } from "../protocol/hpke.js";
import { Refusal, require } from "../protocol/refusal.js";
import type { SigningKey } from "../protocol/statements.js";
import { type DerivedSecret, softwareSecret } from "./keys.js";
import { softwareSigningKey } from "./software.js";

const SALT_BYTES = 16;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const WORK = { N: 2 ** 17, r: 8, p: 1, maxmem: 256 * 1024 * 1024 };

/** The secrets of a party, hex: a seed of PRK_X, both halves of the epoch's KEM key, and S_X once there is one. */
interface Secrets {
  readonly signingSeed: string;
  readonly mlkemSeed: string;
  readonly x25519: string;
  readonly registrationSecret?: string;
}

/** The keys of a home directory, open. */
export class KeyFile {
  readonly #secrets: Secrets;

  private constructor(
    readonly path: string,
    readonly pinFile: string,
    secrets: Secrets,
  ) {
    this.#secrets = secrets;
  }

  /** Make fresh keys, and a new file for them: it never takes the place of another. */
  static create(path: string, pinFile: string): KeyFile {
    const secrets = { signingSeed: random(32), mlkemSeed: random(64), x25519: random(32) };
    const file = new KeyFile(path, pinFile, secrets);
    writeNew(path, file.#sealed(secrets));
    return file;
  }

  /** Open the file with the PIN of that file. */
  static open(path: string, pinFile: string): KeyFile {
    return new KeyFile(
      path,
      pinFile,
      JSON.parse(Buffer.from(unseal(readPrivate(path), readPin(pinFile))).toString()) as Secrets,
    );
  }

  get signingKey(): SigningKey {
    return softwareSigningKey(fromHex(this.#secrets.signingSeed));
  }

  get decryptionKey(): DecryptionKey {
    return new DecryptionKey(fromHex(this.#secrets.mlkemSeed), softwareX25519(fromHex(this.#secrets.x25519)));
  }

  /** S_X, with the U_X that it belongs to. */
  registrationSecret(publicPoint: Uint8Array): DerivedSecret {
    const kept = this.#secrets.registrationSecret;
    require(kept !== undefined, "NOT_REGISTERED", "this party is not registered yet");
    return softwareSecret(fromHex(kept), publicPoint);
  }

  /** Keep S_X (32 bytes), and wipe the caller's copy. */
  keepRegistrationSecret(secret: Uint8Array): KeyFile {
    const secrets = { ...this.#secrets, registrationSecret: hex(secret) };
    secret.fill(0);
    replaceFile(this.path, this.#sealed(secrets));
    return new KeyFile(this.path, this.pinFile, secrets);
  }

  #sealed(secrets: Secrets): Uint8Array {
    return sealed(Buffer.from(JSON.stringify(secrets)), readPin(this.pinFile));
  }
}

/** Put a file in place, whole, durable and with mode 0600; what was there gives way. */
export function replaceFile(path: string, data: Uint8Array): void {
  const partial = `${path}.${process.pid}`;
  writeNew(partial, data);
  renameSync(partial, path);
  syncDirectory(path);
}

/** Write a new file of mode 0600, on disk when this returns. */
export function writeNew(path: string, data: Uint8Array): void {
  const descriptor = openSync(path, "wx", 0o600);
  try {
    for (let written = 0; written < data.length;) written += writeSync(descriptor, data, written);
    fsyncSync(descriptor);
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

function sealed(plaintext: Uint8Array, pin: string): Uint8Array {
  const salt = randomBytes(SALT_BYTES);
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv("aes-256-gcm", scryptSync(pin, salt, 32, WORK), nonce);
  return Buffer.concat([salt, nonce, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
}

function unseal(content: Uint8Array, pin: string): Uint8Array {
  const salt = content.subarray(0, SALT_BYTES);
  const nonce = content.subarray(SALT_BYTES, SALT_BYTES + NONCE_BYTES);
  const decipher = createDecipheriv("aes-256-gcm", scryptSync(pin, salt, 32, WORK), nonce);
  decipher.setAuthTag(content.subarray(-TAG_BYTES));
  try {
    return Buffer.concat([decipher.update(content.subarray(SALT_BYTES + NONCE_BYTES, -TAG_BYTES)), decipher.final()]);
  } catch (error) {
    throw new Refusal("PIN_INCORRECT", "the PIN does not open the key file, or the file is damaged", { cause: error });
  }
}

function syncDirectory(path: string): void {
  const descriptor = openSync(dirname(path), "r");
  fsyncSync(descriptor);
  closeSync(descriptor);
}

function random(size: number): string {
  return randomBytes(size).toString("hex");
}
