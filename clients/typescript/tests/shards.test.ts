/** Shards of the revocation list, asked for where a look-up misses: of the cloud, or else of the relay. */

import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { Code, ConnectError, createRouterTransport } from "@connectrpc/connect";
import { fromBinary } from "@bufbuild/protobuf";
import type { Home } from "../src/client/home.js";
import { askingOf, withShards } from "../src/client/shards.js";
import { AccessEntrySchema, ProvedHeadSchema } from "../src/gen/federation/v1/access_pb.js";
import { RecordService } from "../src/gen/federation/v1/record_pb.js";
import { Role, type RevocationExcerpt } from "../src/gen/federation/v1/statement_pb.js";
import { fromHex, sha256 } from "../src/protocol/bytes.js";
import { afterOpening, preciseReason, Refusal } from "../src/protocol/refusal.js";
import { prefixOf } from "../src/protocol/shards.js";
import { transcript } from "../src/protocol/transcript.js";
import { excerptOf, now, revoked, signed, statement, verifier } from "./cast.js";
import { StubCloud } from "./clouds.js";
import { madeHome } from "./homes.js";
import { vectors } from "./vectors.js";

const keyStatement = signed(statement("ks of the patient"));
const { serial } = verifier.party(keyStatement, Role.PATIENT, now);
const entry = sha256(transcript("serial", serial));
const prefix = prefixOf(entry);
const { sequence } = verifier.lists.head;
const MISSING = { reason: "REVOCATION_SHARD_MISSING" };

async function followed(context: TestContext): Promise<{ home: Home; reopened: () => Home; cloud: StubCloud }> {
  context.mock.timers.enable({ apis: ["Date"], now: Number(now) });
  const [{ home, reopened }, cloud] = [await madeHome(context), new StubCloud()];
  return { home: await cloud.caller().refresh(home), reopened, cloud };
}

function checked(home: Home) {
  return withShards(home, () => home.verifier(now).party(keyStatement, Role.PATIENT, now));
}

function away(): Promise<RevocationExcerpt> {
  return Promise.reject(new ConnectError("away", Code.Unavailable));
}

/** What the cloud's log told, under a head that a hospital has cosigned. */
async function cosigners(home: Home): Promise<readonly string[]> {
  const told = vectors("told").find(({ name }) => name === "the public cloud's");
  const entries = told.entries.map((encoded: string) => fromBinary(AccessEntrySchema, fromHex(encoded)));
  const proved = fromBinary(ProvedHeadSchema, fromHex(told.head));
  const key = fromHex(told.verifying_key);
  const author = { partyId: told.party_id, key };
  return (await home.checked({ entries, proved }, told.patient_id, author, undefined, now)).cosigners;
}

test("a shard is asked for when it is needed, by 12 bits, and once", async (context) => {
  const { home, cloud } = await followed(context);
  assert.throws(() => home.verifier(now).party(keyStatement, Role.PATIENT, now), MISSING);
  assert.equal((await checked(home)).identity, "P:wang");
  assert.equal((await checked(home)).identity, "P:wang");
  assert.equal((await checked(await cloud.caller().refresh(home))).identity, "P:wang"); // of the same root
  assert.deepEqual(cloud.asked, [prefix]);
});

test("what is revoked under a newer head is revoked, and that head is kept", async (context) => {
  const { home, reopened, cloud } = await followed(context);
  await checked(home);
  const newer = { sequence: sequence! + 1n };
  cloud.shards = (prefixes) => excerptOf(revoked.with(entry), prefixes, newer);
  const elsewhere = new Uint8Array(32).fill(0x55);
  await withShards(home, () => home.lists!.listed.find(elsewhere, home.lists!.head.root!));
  await assert.rejects(checked(home), { reason: "CREDENTIAL_REVOKED" });
  assert.equal(reopened().lists!.head.sequence, newer.sequence);
  cloud.shards = (prefixes) => excerptOf(revoked, prefixes); // the older one, once more
  const third = new Uint8Array(32).fill(0x66);
  const found = withShards(home, () => home.lists!.listed.find(third, home.lists!.head.root!));
  await assert.rejects(found, (error: Refusal) => {
    assert.equal((error.cause as Refusal).reason, "REVOCATION_HEAD_OLDER");
    return error.reason === MISSING.reason;
  });
});

test("the CRLs that are not at hand come with a shard, and nothing is sent twice", async (context) => {
  context.mock.timers.enable({ apis: ["Date"], now: Number(now) });
  const [{ home: made, reopened }, cloud] = [await madeHome(context), new StubCloud()];
  const issued = cloud.crls;
  cloud.crls = [];
  const home = await cloud.caller().refresh(made);
  assert.deepEqual(home.crls, []);
  cloud.crls = issued;
  await checked(home);
  assert.deepEqual(reopened().crls, issued);
  await cloud.caller().refresh(home);
  assert.deepEqual(reopened().crls, issued);
  assert.deepEqual(cloud.sent, [0, 1, 0]);
});

test("an older head of the same root does", async (context) => {
  const { home, reopened, cloud } = await followed(context);
  cloud.shards = (prefixes) => excerptOf(revoked, prefixes, { sequence: sequence! - 1n });
  await checked(home);
  assert.equal(reopened().lists!.head.sequence, sequence);
});

test("another head of the same number does not", async (context) => {
  const { home, cloud } = await followed(context);
  cloud.shards = (prefixes) => excerptOf(revoked.with(new Uint8Array(32)), prefixes);
  await assert.rejects(checked(home), MISSING);
  assert.deepEqual(cloud.asked, [prefix]);
});

test("where the cloud does not answer, or not truly, the hospitals that are dealt with are asked", async (context) => {
  const { home, cloud } = await followed(context);
  let asked: number[] = [];
  const transport = createRouterTransport(({ service }) =>
    service(RecordService, {
      getHospitalShards: async ({ prefixes }) => {
        asked = prefixes;
        return { revocations: await excerptOf(revoked, prefixes) };
      },
    }),
  );
  home.shards.dealWith("H:alpha", askingOf(transport));
  home.shards.dealWith("H:beta", away);
  cloud.shards = away;
  await checked(home);
  assert.deepEqual(asked, [prefix]);
});

test("the newer list of a hospital is taken where the cloud does not answer", async (context) => {
  const { home } = await followed(context);
  home.shards.dealWith("H:alpha", (prefixes) => excerptOf(revoked, prefixes, { sequence: sequence! + 1n }));
  home.shards.dealWith("H:beta", away);
  await home.hearBeside();
  assert.equal(home.lists!.head.sequence, sequence! + 1n);
});

test("a shard that nobody gives, or that is another, is a no", async (context) => {
  const { home, cloud } = await followed(context);
  const none = await excerptOf(revoked, []);
  const bent = await excerptOf(revoked, [prefix]);
  bent.shards[0]!.path[7]![0]! ^= 1;
  const beside = await excerptOf(revoked, [prefix ^ 1]);
  const moved = await excerptOf(revoked, [0x273]); // one with an entry
  moved.shards[0]!.prefix = prefix;
  const invalid = "REVOCATION_SHARD_INVALID";
  for (const [answer, cause] of [[none], [bent, invalid], [beside], [moved, invalid]] as const) {
    cloud.shards = () => Promise.resolve(answer);
    await assert.rejects(checked(home), (error: Refusal) => {
      assert.equal((error.cause as Refusal | undefined)?.reason, cause);
      return error.reason === MISSING.reason;
    });
  }
  cloud.shards = away;
  await assert.rejects(checked(home), MISSING);
  const sealed = () => afterOpening(() => home.verifier(now).party(keyStatement, Role.PATIENT, now));
  await assert.rejects(withShards(home, sealed), (error: Refusal) => {
    assert.equal(preciseReason(error), MISSING.reason);
    return error.reason === "REJECTED";
  });
});

test("what was refused for another reason is not tried again", async (context) => {
  const { home } = await followed(context);
  let tried = 0;
  const step = () => {
    tried++;
    throw new Refusal("SEAL_INVALID", "the frame does not open");
  };
  await assert.rejects(withShards(home, step), { reason: "SEAL_INVALID" });
  assert.equal(tried, 1);
});

test("for who cosigned the head of a log a shard is asked for", async (context) => {
  const { home, cloud } = await followed(context);
  assert.deepEqual(await cosigners(home), ["H:alpha"]);
  assert.equal(cloud.asked.length > 0, true);
});

test("a cosignature of whom nobody knows whether it was revoked counts for nothing", async (context) => {
  const { home, cloud } = await followed(context);
  cloud.shards = away;
  assert.deepEqual(await cosigners(home), []);
});
