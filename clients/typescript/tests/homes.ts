/** A patient's home in a directory of its own, with the first trust bundle of the vectors. */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { toJson } from "@bufbuild/protobuf";
import { Home, type KeyPlace } from "../src/client/home.js";
import { SignedStatementSchema } from "../src/gen/federation/v1/statement_pb.js";
import { cast, now, signed } from "./cast.js";

export async function madeHome(context: TestContext, place?: KeyPlace): Promise<{ home: Home; reopened: () => Home }> {
  const root = madeDirectory(context);
  const [directory, pinFile] = [join(root, "home"), place?.pinFile ?? join(root, "pin")];
  if (place === undefined) writeFileSync(pinFile, "a PIN of the test\n", { mode: 0o600 });
  const keys = place ?? { pinFile };
  const home = await Home.create(directory, "P:wang", trustIn(root), keys, (size) => new Uint8Array(size), now);
  return { home, reopened: () => Home.open(directory, pinFile) };
}

/** The first trust bundle of the vectors, as a file in that directory. */
export function trustIn(directory: string): string {
  const path = join(directory, "trust.json");
  writeFileSync(path, JSON.stringify(toJson(SignedStatementSchema, signed(cast.trust_bundles[0]))));
  return path;
}

export function madeDirectory(context: TestContext): string {
  const root = mkdtempSync(join(tmpdir(), "medunion-"));
  context.after(() => rmSync(root, { recursive: true }));
  return root;
}
