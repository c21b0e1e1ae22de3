/** The decision on access, held to tests/decisions: its README says what a column and a cell mean. */

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import {
  type Access,
  type Deputyship,
  decide,
  type Duty,
  type Emergency,
  type Grant,
  type Grantee,
  type Hidden,
  type Policy,
  type Question,
  Refused,
  type Standing,
  type Validity,
} from "../src/protocol/access.js";
import { Power, Right, Role, Sensitivity } from "../src/gen/federation/v1/statement_pb.js";

const DIRECTORY = new URL("../../../../tests/decisions/", import.meta.url);
const EPOCH_MS = 1_000_000_000_000;
const MILLISECONDS = 1_000;
const FEWEST_ROWS = 420;
const NONE = "-";
const ID = new Uint8Array(16);

/** A row's cells by column, each the file's or the default. */
class Row {
  readonly #read = new Set<string>();

  constructor(readonly cells: ReadonlyMap<string, string>) {}

  text(column: string): string {
    const cell = this.cells.get(column);
    assert.ok(cell !== undefined, `there is no column ${column}`);
    this.#read.add(column);
    return cell;
  }

  optional(column: string): string | undefined {
    const cell = this.text(column);
    return cell === NONE ? undefined : cell;
  }

  list(column: string): string[] {
    return this.optional(column)?.split(" ") ?? [];
  }

  seconds(column: string): number {
    const cell = this.text(column);
    assert.match(cell, /^-?\d+$/, column);
    return Number(cell) * MILLISECONDS;
  }

  time(column: string): bigint {
    return BigInt(EPOCH_MS + this.seconds(column));
  }

  isSo(column: string): boolean {
    const cell = this.text(column);
    assert.ok(["yes", "no"].includes(cell), column);
    return cell === "yes";
  }

  validity(name: string): Validity {
    return { notBefore: this.time(`${name}.not_before`), notAfter: this.time(`${name}.not_after`) };
  }

  /** Columns that nothing has looked at. */
  unread(): string[] {
    return [...this.cells.keys()].filter((column) => !this.#read.has(column));
  }
}

/** The value of an enum by its word in lower case, or by a number that nobody knows. */
function valueOf<T extends number>(table: Record<string, string | number>, word: string): T {
  const value = /^\d+$/.test(word) ? Number(word) : table[word.toUpperCase()];
  assert.ok(typeof value === "number", word);
  return value as T;
}

const right = (word: string) => valueOf<Right>(Right, word);

function among(words: readonly string[], known: readonly string[]): ReadonlySet<string> {
  assert.ok(
    words.every((word) => known.includes(word)),
    words.join(" "),
  );
  return new Set(words);
}

function accessIn(row: Row): Access | undefined {
  const shown = { deputyship: deputyshipIn(row), duty: dutyIn(row) };
  const [grant, emergency] = [grantIn(row), emergencyIn(row)];
  switch (row.text("ground")) {
    case "consent":
      return { ground: "consent", grant, ...shown };
    case "own":
      return { ground: "own", deputyship: shown.deputyship };
    case "emergency":
      assert.ok(shown.duty !== undefined, "an emergency has a duty");
      return { ...emergency, duty: shown.duty };
    case "none":
      return undefined;
    default:
      return assert.fail("there is no such ground");
  }
}

function grantIn(row: Row): Grant {
  return {
    id: ID,
    patientId: row.text("grant.patient"),
    signerId: row.text("grant.signer"),
    grantee: granteeIn(row.list("grant.grantee")),
    hospitals: row.list("grant.hospitals"),
    departmentClasses: row.list("grant.classes"),
    highestSensitivity: valueOf(Sensitivity, row.text("grant.highest")),
    rights: row.list("grant.rights").map(right),
    statedAt: row.time("grant.stated_at"),
    validity: row.validity("grant"),
  };
}

function granteeIn([who, first, second, ...more]: string[]): Grantee | undefined {
  assert.equal(more.length, 0);
  switch (who) {
    case "doctor":
      return { who, doctorId: first!, authorityId: second! };
    case "department":
      return { who, hospitalId: first!, departmentClass: second! };
    case "hospital":
      return { who, hospitalId: first! };
    default:
      return (assert.equal(who, undefined), undefined);
  }
}

function deputyshipIn(row: Row): Deputyship | undefined {
  const patientId = row.text("deputyship.patient");
  const says = {
    kind: row.text("deputyship.kind") as Deputyship["kind"],
    id: ID,
    statedBy: patientId,
    patientId,
    deputyId: row.text("deputyship.deputy"),
    powers: row.list("deputyship.powers").map((word) => valueOf<Power>(Power, word)),
    statedAt: row.time("deputyship.stated_at"),
    validity: row.validity("deputyship"),
  };
  return row.optional("deputyship.kind") === undefined ? undefined : says;
}

function dutyIn(row: Row): Duty | undefined {
  const says = {
    id: ID,
    doctorId: row.text("duty.doctor"),
    departmentClasses: row.list("duty.classes"),
    validity: row.validity("duty"),
  };
  const hospitalId = row.optional("duty.hospital");
  return hospitalId === undefined ? undefined : { ...says, hospitalId };
}

function emergencyIn(row: Row): Omit<Emergency, "duty"> {
  return {
    ground: "emergency",
    id: ID,
    patientId: row.text("emergency.patient"),
    doctorId: row.text("emergency.doctor"),
    hospital: row.text("emergency.hospital"),
    reasonCode: row.text("emergency.reason"),
    secondDoctorId: row.optional("emergency.second"),
    validity: row.validity("emergency"),
  };
}

function questionIn(row: Row): Question {
  const asked = row.optional("question.right");
  return {
    asker: {
      role: valueOf(Role, row.text("asker.role")),
      identity: row.text("asker.id"),
      authorityId: row.optional("asker.authority") ?? "",
    },
    right: asked === undefined ? undefined : right(asked),
    patientId: row.text("question.patient"),
    hospitalId: row.optional("question.hospital"),
    departmentClass: row.optional("question.class"),
  };
}

function standingIn(row: Row): Standing {
  return {
    revoked: among(row.list("standing.revoked"), ["grant", "deputyship", "duty"]),
    hidden: row.list("standing.hidden").map(hiddenIn),
    emergencyOverrides: row.isSo("standing.emergency_overrides"),
    exhausted: among(row.list("standing.exhausted"), ["accesses", "emergencies"]),
  };
}

function hiddenIn(element: string): Hidden {
  const [hospital, departmentClass, handle, ...more] = element.split("/");
  assert.ok(handle !== undefined && more.length === 0, element);
  return { hospital: hospital!, departmentClass: departmentClass!, handle };
}

function policyIn(row: Row): Policy {
  const emergency = {
    reasons: row.list("policy.reasons"),
    dutyClasses: row.list("policy.duty_classes"),
    secondClinician: row.isSo("policy.second"),
  };
  const skew = BigInt(row.seconds("policy.skew"));
  return row.isSo("policy.emergency") ? { skew, emergency } : { skew };
}

/** What comes of a row: a ground, a reason, or "not-on-file". */
function outcomeOf(row: Row): string {
  const decision = decide(accessIn(row), questionIn(row), standingIn(row), policyIn(row), row.time("now"));
  const record = {
    departmentClass: row.text("record.class"),
    handle: row.text("record.handle"),
    sensitivity: valueOf<Sensitivity>(Sensitivity, row.text("record.sensitivity")),
  };
  const hospitalId = row.optional("record.hospital");
  if (decision instanceof Refused) return decision.reason;
  const isShown =
    hospitalId === undefined || decision.shows(hospitalId, record.departmentClass, record.handle, record.sensitivity);
  return isShown ? decision.ground : "not-on-file";
}

function linesOf(name: string): string[][] {
  const written = readFileSync(new URL(name, DIRECTORY), "ascii");
  const lines = written.trimEnd().split("\n");
  const rows = lines.map((line) => line.split(","));
  assert.ok(
    rows.every((row) => row.length === rows[0]!.length),
    name,
  );
  return rows;
}

test("every row of the decision table", () => {
  const defaults = new Map(
    linesOf("defaults.csv")
      .slice(1)
      .map(([column, value]) => [column!, value!]),
  );
  const names = new Set<string>();
  const files = readdirSync(DIRECTORY).filter((name) => name.endsWith(".csv") && name !== "defaults.csv");
  for (const file of files) {
    const [header, ...rows] = linesOf(file);
    const columns = header!.slice(2, -1);
    assert.deepEqual([...header!.slice(0, 2), header!.at(-1)], ["name", "source", "expect"], file);
    assert.deepEqual(
      columns.filter((column) => !defaults.has(column)),
      [],
      file,
    );
    for (const cells of rows) {
      const [name, expected] = [cells[0]!, cells.at(-1)!];
      const own = columns.map((column, index) => [column, cells[index + 2]!] as const);
      const row = new Row(new Map([...defaults, ...own.filter(([, cell]) => cell !== "")]));
      assert.equal(outcomeOf(row), expected, `${file}: ${name}`);
      assert.deepEqual(row.unread(), [], "columns that this reader passes over");
      names.add(name);
    }
  }
  assert.ok(names.size >= FEWEST_ROWS, `${names.size} rows`);
});
