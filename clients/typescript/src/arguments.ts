/** What a command is given, looked at before anything is done with it, and how it speaks to people. */

import { accessSync, closeSync, constants, mkdirSync, openSync, readFileSync, readSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { parseArgs } from "node:util";
import { Home } from "./client/home.js";
import { Networks } from "./client/networks.js";
import { Kind } from "./gen/federation/v1/rules_pb.js";
import { HOUR, LONGEST_GRANT } from "./protocol/access.js";
import { Refusal } from "./protocol/refusal.js";
import { hasForm } from "./protocol/rules.js";

export class UsageError extends Error {}

export type Values = Record<string, string | string[] | boolean | undefined>;

/** What a command says: one JSON object. */
export type Said = Record<string, unknown>;

/** What a terminal could take for something else than text: control characters, and those that turn or hide it. */
const UNPRINTABLE = /[\p{C}\p{Zl}\p{Zp}]/gu;

const LONGEST_GRACE_HOURS = 72;
const MOST_LINE = 1024;
const MEGABYTE = 1_000_000;
const MOST_FETCHED_MEGABYTES = 10_000_000;

const NAMES = [
  "directory",
  "trust",
  "identity",
  "simulated-sensor",
  "ticket-file",
  "observation",
  "for",
  "hours",
  "certificate",
  "address",
  "conclusion",
  "amend",
  "stay",
  "code-file",
  "save",
  "fetch-at-most",
  "pin-file",
  "token",
  "grace-hours",
];

/** What may be given again for more. */
const REPEATED = ["hospital", "department", "read", "dial-only"];

const FLAGS = ["deposit", "no-keep", "restricted", "yes", "last", "all"];

/** Read the words of the command line. */
export function read(): { values: Values; positionals: string[] } {
  const text = { type: "string" } as const;
  const help = { type: "boolean", short: "h" } as const;
  const all = (names: string[], option: object) => Object.fromEntries(names.map((name) => [name, option]));
  const options = {
    ...all(NAMES, text),
    ...all(REPEATED, { ...text, multiple: true }),
    ...all(FLAGS, { type: "boolean" }),
  };
  try {
    return parseArgs({ allowPositionals: true, options: { ...options, help } }) as never;
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

/** An option that has to be given. */
export function needed(values: Values, name: string): string {
  const given = values[name];
  const value = Array.isArray(given) && given.length === 1 ? given[0] : given;
  if (Array.isArray(value)) throw new UsageError(`--${name} is given more than once`);
  if (typeof value !== "string" || value === "") throw new UsageError(`--${name} is missing`);
  return value;
}

/** An option that has to be given, in the form of that kind. */
export function neededForm(values: Values, name: string, kind: Kind, example: string): string {
  const value = needed(values, name);
  if (!hasForm(kind, value)) throw new UsageError(`--${name} reads ${example}`);
  return value;
}

/** An option that may be left out. */
export function optional(values: Values, name: string): string | undefined {
  return values[name] === undefined ? undefined : needed(values, name);
}

/** Whether an option is given that has no value. */
export function has(values: Values, name: string): boolean {
  return values[name] === true;
}

/** An option that may be given again for more. */
export function listOf(values: Values, name: string): string[] {
  const given = values[name];
  return Array.isArray(given) ? given : [];
}

/** The department classes that are named, if any are. */
export function departmentsIn(values: Values): string[] {
  const named = listOf(values, "department");
  const isFormed = named.every((name) => hasForm(Kind.DEPARTMENT_CLASS, name));
  if (!isFormed) throw new UsageError("--department reads as a class of the federation's list");
  return named;
}

/** How long a consent lasts, in hours, if that is said. */
export function hoursOf(values: Values): number | undefined {
  return optional(values, "hours") === undefined
    ? undefined
    : numberOf(values, "hours", 0, Number(LONGEST_GRANT / HOUR), 0.01);
}

/** The home that a command acts from. */
export function openHome(values: Values): Home {
  return Home.open(needed(values, "directory"), needed(values, "pin-file"), networksOf(values), graceOf(values));
}

/** How many bytes of records a visit takes, said in megabytes. */
export function fetchAtMostOf(values: Values, otherwise: number): number {
  return Math.round(MEGABYTE * numberOf(values, "fetch-at-most", otherwise / MEGABYTE, MOST_FETCHED_MEGABYTES, 0));
}

/** How long a patient stays after a diagnosis, in milliseconds, for one that amends it. */
export function stayOf(values: Values): number {
  return optional(values, "stay") === undefined ? 0 : 1000 * numberOf(values, "stay", 0, 12 * 3600, 0.001);
}

/** A number that is more than 0. */
function numberOf(values: Values, name: string, otherwise: number, most: number, least: number): number {
  const value = Number(values[name] ?? otherwise);
  if (!(value > 0 && value >= least && value <= most))
    throw new UsageError(`--${name} lies between ${least} and ${most}`);
  return value;
}

/** For how many milliseconds a revocation list that is over counts on. */
export function graceOf(values: Values): bigint {
  const hours = Number(optional(values, "grace-hours") ?? 1);
  if (!(hours >= 0 && hours <= LONGEST_GRACE_HOURS))
    throw new UsageError(`--grace-hours lies between 0 and ${LONGEST_GRACE_HOURS}`);
  return BigInt(Math.round(hours * Number(HOUR)));
}

/** The networks that alone may be dialled; none where all may be. */
export function networksOf(values: Values): Networks | undefined {
  const written = values["dial-only"];
  if (!Array.isArray(written)) return undefined;
  try {
    return new Networks(written);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    throw new UsageError(`--dial-only: ${error.message}`, { cause: error });
  }
}

/** A directory that is there, or is made, and may be written to. */
export function writableDirectory(path: string): string {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  accessSync(path, constants.W_OK);
  return path;
}

/** A file that may be written: what is there gives way. */
export function writableFile(path: string): string {
  accessSync(dirname(resolve(path)), constants.W_OK);
  const there = statSync(path, { throwIfNoEntry: false });
  if (there !== undefined && !there.isFile()) throw new UsageError(`${path} is no file`);
  return path;
}

/** A file's content, of so many bytes at most. */
export function readBounded(path: string, mostBytes: number, what: string): Uint8Array {
  const { size } = statSync(path);
  if (size > mostBytes)
    throw new Refusal("LIMIT_REACHED", `${what} has at most ${mostBytes} bytes, ${path} has ${size}`);
  return new Uint8Array(readFileSync(path));
}

/** The first line of a file, or of standard input for `-`: whoever lists processes sees what they were given. */
export function readLine(path: string): string {
  const line = Buffer.alloc(MOST_LINE);
  const source = path === "-" ? 0 : openSync(path, "r");
  let size = 0;
  for (let read = -1; read !== 0 && size < MOST_LINE && !line.includes("\n"); size += read)
    read = readSync(source, line, size, MOST_LINE - size, null);
  if (source !== 0) closeSync(source);
  return line.subarray(0, size).toString().split("\n", 1)[0]!;
}

/** Say something to people, on one line. Whatever reaches their terminal, a peer's words among it, goes through here or `spoken`. */
export function tell(sentence: string): void {
  process.stderr.write(sentence.replace(UNPRINTABLE, " ") + "\n");
}

/** An object as it is said: JSON in which every character that is no plain text is escaped. */
export function spoken(said: Said): string {
  return JSON.stringify(said).replace(UNPRINTABLE, (character) =>
    [...Array(character.length).keys()]
      .map((index) => `\\u${character.charCodeAt(index).toString(16).padStart(4, "0")}`)
      .join(""),
  );
}
