/** Where a patient says that its records are, held to tests/vectors/places.json. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { fromBinary } from "@bufbuild/protobuf";
import { KeptPlacesSchema } from "../src/gen/federation/v1/search_pb.js";
import { fromHex, hex } from "../src/protocol/bytes.js";
import { readPlaces } from "../src/protocol/places.js";
import { verifier } from "./cast.js";
import { vectors } from "./vectors.js";

for (const vector of vectors("places")) {
  test(`places: ${vector.name}`, () => {
    const kept = fromBinary(KeptPlacesSchema, fromHex(vector.places));
    const read = () => readPlaces(kept, vector.patient_id, verifier, BigInt(vector.now));
    if (vector.expect !== "success") {
      assert.throws(read, { reason: vector.expect });
      return;
    }
    const { asOf, hospitals } = read();
    assert.equal(asOf, BigInt(vector.as_of));
    const shown = hospitals.map(({ hospitalId, address, departments }) => ({
      hospital_id: hospitalId,
      address,
      departments: departments.map(({ departmentId, handles }) => ({
        department_id: departmentId,
        handles: handles.map(hex),
      })),
    }));
    assert.deepEqual(shown, vector.hospitals);
  });
}
