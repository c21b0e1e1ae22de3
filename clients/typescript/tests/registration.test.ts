/** Registering through a rotation, a lost answer and an end of the program; and trust bundles that a directory brings. */

import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { Code, ConnectError } from "@connectrpc/connect";
import { register } from "../src/client/registration.js";
import { TrustBundleSchema } from "../src/gen/federation/v1/directory_pb.js";
import { signStatement } from "../src/protocol/statements.js";
import { bundle, cast, now } from "./cast.js";
import { lostAnswer, StubCloud } from "./clouds.js";
import { madeHome } from "./homes.js";
import { signingKey } from "./vectors.js";

const MINUTE = 60_000;
const evidence = new Uint8Array(32).fill(1);
const ticket = new Uint8Array(16).fill(2);

async function applicant(context: TestContext) {
  context.mock.timers.enable({ apis: ["Date"], now: Number(now) });
  return { ...(await madeHome(context)), cloud: new StubCloud() };
}

test("who registers follows the trust bundle that was handed over to the newest first", async (context) => {
  const { home, reopened, cloud } = await applicant(context);
  assert.equal(home.bundle.sequence, 1n);
  await register(home, evidence, ticket, cloud.caller());
  const registered = reopened();
  assert.equal(registered.bundle.sequence, bundle.sequence);
  const { self } = await (await cloud.caller().refresh(reopened())).party(now);
  assert.equal(self.identity, "P:wang");
  assert.notEqual(registered.lists, undefined);
  await assert.rejects(register(registered, evidence, ticket, cloud.caller()), { reason: "PROFILE_UNUSABLE" });
});

test("a registration whose answer was lost goes on with the same reg1, and forgets it then", async (context) => {
  const { home, reopened, cloud } = await applicant(context);
  cloud.lost = lostAnswer;
  await assert.rejects(register(home, evidence, ticket, cloud.caller()), { reason: "UNAVAILABLE" });
  cloud.lost = undefined;
  context.mock.timers.tick(10 * MINUTE - 1);
  await register(reopened(), evidence, ticket, cloud.caller());
  const [first, second] = cloud.registrations;
  assert.deepEqual(second, first);
  assert.equal(reopened().isRegistered, true);
  assert.equal(reopened().keys.registration, undefined);
});

test("a reg1 that the cloud has forgotten, or has refused, is not sent again", async (context) => {
  const { home, reopened, cloud } = await applicant(context);
  cloud.lost = lostAnswer;
  await assert.rejects(register(home, evidence, ticket, cloud.caller()));
  context.mock.timers.tick(10 * MINUTE);
  cloud.lost = new ConnectError("no such ticket", Code.PermissionDenied);
  await assert.rejects(register(reopened(), evidence, ticket, cloud.caller()));
  assert.notDeepEqual(cloud.registrations[1], cloud.registrations[0]);
  assert.equal(reopened().keys.registration, undefined);
});

test("another trust bundle of the same number is refused with the directory that brought it", async (context) => {
  const { home, reopened, cloud } = await applicant(context);
  const followed = await cloud.caller().refresh(home);
  const other = { ...bundle.content, offlineGraceSeconds: bundle.content.offlineGraceSeconds! + 1 };
  const key = signingKey(cast.cloud.signing_key);
  cloud.trustBundle = await signStatement("tb", TrustBundleSchema, other, key);
  await assert.rejects(cloud.caller().refresh(followed), { reason: "BUNDLE_OUT_OF_SEQUENCE" });
  assert.deepEqual(reopened().bundle.digest, bundle.digest);
});
