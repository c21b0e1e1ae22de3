/** Where records are by what a patient brought: for where the public cloud does not answer. */

import { create } from "@bufbuild/protobuf";
import type { KeptPlaces } from "../gen/federation/v1/search_pb.js";
import {
  RevocationExcerptSchema,
  RevocationHeadSchema,
  type SignedStatement,
} from "../gen/federation/v1/statement_pb.js";
import { covers, type Grant } from "../protocol/access.js";
import { equal, type Instant } from "../protocol/bytes.js";
import { type KnownHospital, readPlaces } from "../protocol/places.js";
import type { Refusal } from "../protocol/refusal.js";
import type { RecordLocation } from "../protocol/search.js";
import { peekStatement } from "../protocol/statements.js";
import { refusalOf } from "./calls.js";
import { clock } from "./cloud.js";
import { classOf } from "./fetch.js";
import type { Home } from "./home.js";
import { addressHospital } from "./session.js";

/** As of when, what there is, and which hospitals do not say now who they are. */
export interface Brought {
  readonly asOf: Instant;
  readonly locations: RecordLocation[];
  readonly missing: readonly (readonly [string, Refusal])[];
}

/** Verify what a patient brought, and ask each hospital that the grant covers who it is. Refuses as readPlaces. */
export async function brought(home: Home, kept: KeptPlaces, patientId: string, grant: Grant): Promise<Brought> {
  await hearHead(home, kept.revocationHead!);
  const now = clock();
  const { asOf, hospitals } = readPlaces(kept, patientId, home.verifier(now), now);
  const [locations, missing]: [RecordLocation[], [string, Refusal][]] = [[], []];
  for (const hospital of hospitals.filter(({ hospitalId }) => covers(grant.hospitals, hospitalId))) {
    try {
      locations.push(...(await locationsAt(home, hospital, grant)));
    } catch (error) {
      missing.push([hospital.hospitalId, refusalOf(error)]);
    }
  }
  return { asOf, locations, missing };
}

async function locationsAt(home: Home, known: KnownHospital, grant: Grant): Promise<RecordLocation[]> {
  const { hospitalId, address, departments } = known;
  const hospital = await addressHospital(home.transportToHospital(address, hospitalId), hospitalId, home);
  const covered = departments.filter(({ departmentId }) => covers(grant.departmentClasses, classOf(departmentId!)));
  return covered.flatMap(({ departmentId, handles }) =>
    handles.map((handle) => ({ hospital, address, departmentId: departmentId!, handle })),
  );
}

/** Take a newer head of the same set; of another set its shards could not be asked for, and nobody would be verified. */
async function hearHead(home: Home, signed: SignedStatement): Promise<void> {
  const [head, kept] = [peekStatement(RevocationHeadSchema, signed), home.lists?.head];
  const isNewer = kept !== undefined && equal(head.root!, kept.root!) && head.sequence! > kept.sequence!;
  if (isNewer) await home.hear(create(RevocationExcerptSchema, { head: signed }));
}
