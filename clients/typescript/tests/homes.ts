/** A patient's home in a directory of its own, with the first trust bundle of the vectors. */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { toJson } from "@bufbuild/protobuf";
import { Home } from "../src/client/home.js";
import { SignedStatementSchema } from "../src/gen/federation/v1/statement_pb.js";
import { cast, now, signed } from "./cast.js";

export async function madeHome(context: TestContext): Promise<{ home: Home; reopened: () => Home }> {
  const root = madeDirectory(context);
  const [directory, trust, pin] = [join(root, "home"), join(root, "trust.json"), join(root, "pin")];
  writeFileSync(trust, JSON.stringify(toJson(SignedStatementSchema, signed(cast.trust_bundles[0]))));
  writeFileSync(pin, "a PIN of the test\n", { mode: 0o600 });
  const home = await Home.create(directory, "P:wang", trust, { pinFile: pin }, (size) => new Uint8Array(size), now);
  return { home, reopened: () => Home.open(directory, pin) };
}

export function madeDirectory(context: TestContext): string {
  const root = mkdtempSync(join(tmpdir(), "medunion-"));
  context.after(() => rmSync(root, { recursive: true }));
  return root;
}
