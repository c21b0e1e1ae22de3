/** tests/vectors, read; byte strings are hex there. */

import { readFileSync } from "node:fs";

/** A vector as it stands in its file: what it has beside its name differs from file to file. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any
export type Vector = any;

const DIRECTORY = new URL("../../../../tests/vectors/", import.meta.url);

export function load(name: string): Vector {
  return JSON.parse(readFileSync(new URL(`${name}.json`, DIRECTORY), "utf8"));
}

export function vectors(name: string): Vector[] {
  return load(name).vectors;
}
