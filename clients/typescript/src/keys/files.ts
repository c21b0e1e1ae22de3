/** Files of a party's own: private, whole, durable. */

import { closeSync, fsyncSync, openSync, readFileSync, renameSync, statSync, unlinkSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { require } from "../protocol/refusal.js";

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

/** The line of a PIN file. */
export function readPin(path: string): string {
  const pin = Buffer.from(readPrivate(path))
    .toString()
    .replace(/\r?\n$/, "");
  require(pin.length > 0, "PIN_INCORRECT", `${path} holds no PIN`);
  return pin;
}

function syncDirectory(path: string): void {
  const descriptor = openSync(dirname(path), "r");
  fsyncSync(descriptor);
  closeSync(descriptor);
}
