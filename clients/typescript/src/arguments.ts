/** What a command is given, and how it speaks to people. */

import { parseArgs } from "node:util";

export class UsageError extends Error {}

export type Values = Record<string, string | boolean | undefined>;

/** What a command says: one JSON object. */
export type Said = Record<string, unknown>;

const MOST_HOURS = 24 * 365;

/** Read the words of the command line. */
export function read(): { values: Values; positionals: string[] } {
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

/** An option that has to be given. */
export function needed(values: Values, name: string): string {
  const value = values[name];
  if (typeof value !== "string" || value === "") throw new UsageError(`--${name} is missing`);
  return value;
}

/** How long a consent lasts. */
export function hoursOf(values: Values, otherwise: number): number {
  const hours = Number(values["hours"] ?? otherwise);
  if (!(hours > 0 && hours <= MOST_HOURS)) throw new UsageError(`--hours lie between 0 and ${MOST_HOURS}`);
  return hours;
}

/** Say something to people. */
export function tell(sentence: string): void {
  process.stderr.write(sentence + "\n");
}
