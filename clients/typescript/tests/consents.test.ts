/** What a patient is shown and asked for before it signs, what it keeps of that, and a doctor's duty behind it. */

import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, createRouterTransport } from "@connectrpc/connect";
import { UsageError, type Values } from "../src/arguments.js";
import { Cloud } from "../src/client/cloud.js";
import { grantLines, offerLines, offerOf } from "../src/client/consents.js";
import { StatedDuty } from "../src/client/duty.js";
import type { Home } from "../src/client/home.js";
import { CurrentHome } from "../src/client/maintenance.js";
import { look, lookAgain } from "../src/client/patient.js";
import { ShownDutySchema } from "../src/gen/federation/v1/access_pb.js";
import { GetRoomResponseSchema, RelayService } from "../src/gen/federation/v1/consultation_pb.js";
import { DirectoryService } from "../src/gen/federation/v1/directory_pb.js";
import { RecordService } from "../src/gen/federation/v1/record_pb.js";
import { RevocationService } from "../src/gen/federation/v1/revocation_pb.js";
import {
  DutySchema,
  GrantSchema,
  Right,
  Role,
  Sensitivity,
  type SignedStatement,
} from "../src/gen/federation/v1/statement_pb.js";
import { DAY, HOUR } from "../src/protocol/access.js";
import { fromHex, hex, sha256, text } from "../src/protocol/bytes.js";
import { codeDigest } from "../src/protocol/consultation.js";
import { peekDuty, peekGrant } from "../src/protocol/consent.js";
import type { Peer } from "../src/protocol/handshake.js";
import { Shown } from "../src/protocol/shown.js";
import { peekStatement, signStatement } from "../src/protocol/statements.js";
import { transcript } from "../src/protocol/transcript.js";
import { askedIn, requireAgreed } from "../src/visit.js";
import { prefixOf } from "../src/protocol/shards.js";
import { ShardKeeper } from "../src/client/shards.js";
import { bundle, cast, cloud, excerptOf, head, now, revoked, signed, statement, verifier } from "./cast.js";
import { madeHome } from "./homes.js";
import { signingKey } from "./vectors.js";

const [keysOfDoctor, keysOfHospital] = ["doctor", "hospital"].map((name) => signed(statement(`ks of the ${name}`))) as [
  SignedStatement,
  SignedStatement,
];
const certificate = fromHex(cast.parties.doctor.certificate);
const doctor = await verifier.doctor(keysOfDoctor, certificate, now);
const stated = signed(statement("duty"));
const duty = peekDuty(create(ShownDutySchema, { duty: stated }));
const peer = { party: doctor, certificate } as unknown as Peer;

/** The duty of the vectors, changed, as the hospital states it. */
async function shownDuty(changes: object = {}) {
  const key = signingKey(cast.parties.hospital.signing_key);
  const duty = await signStatement("duty", DutySchema, { ...peekStatement(DutySchema, stated), ...changes }, key);
  return create(ShownDutySchema, { duty, keyStatement: keysOfHospital });
}

function offer(values: Values, departmentClasses = duty.departmentClasses) {
  return offerOf(askedIn(values), peer, { ...duty, departmentClasses });
}

test("a visit consents to the narrowest, unless more is asked for", () => {
  const { grantee, terms } = offer({})!;
  assert.deepEqual(grantee, { who: "doctor", doctorId: "D:chen", authorityId: "M:chamber" });
  assert.deepEqual(terms, {
    hospitals: ["H:alpha"],
    departmentClasses: ["cardiology"],
    rights: [Right.WRITE],
    highestSensitivity: Sensitivity.NORMAL,
    purpose: "consultation",
    life: 24n * HOUR,
  });
  assert.equal(offer({ "no-keep": true }), undefined);
  assert.deepEqual(offer({}, [])!.terms.departmentClasses, ["*"]);
});

test("what is asked for is what is offered, and no more", () => {
  const reading = offer({ read: ["here", "H:beta"], "no-keep": true, hours: "0.5" })!.terms;
  assert.deepEqual(reading.hospitals, ["H:alpha", "H:beta"]);
  assert.deepEqual(reading.rights, [Right.INDEX, Right.READ]);
  assert.deepEqual(reading.departmentClasses, ["*"]);
  assert.equal(reading.life, HOUR / 2n);
  const both = offer({ read: ["everywhere", "here"], department: ["surgery"], restricted: true })!.terms;
  assert.deepEqual([both.hospitals, both.departmentClasses], [["*"], ["surgery"]]);
  assert.deepEqual(both.rights, [Right.INDEX, Right.READ, Right.WRITE]);
  assert.equal(both.highestSensitivity, Sensitivity.RESTRICTED);
});

test("a consent is for the doctor, for one department of its duty, or for its hospital", () => {
  const departments = ["cardiology", "surgery"];
  assert.deepEqual(offer({ for: "hospital" })!.grantee, { who: "hospital", hospitalId: "H:alpha" });
  assert.equal(offer({ for: "hospital" })!.terms.life, 90n * DAY);
  const department = { who: "department", hospitalId: "H:alpha", departmentClass: "cardiology" };
  assert.deepEqual(offer({ for: "department" })!.grantee, department);
  assert.equal(offer({ for: "department" })!.terms.life, 30n * DAY);
  assert.deepEqual(offer({ for: "department:cardiology" }, departments)!.grantee, department);
  for (const [whom, classes] of [
    ["department", departments],
    ["department", []],
    ["department:neurology", departments],
  ] as const)
    assert.throws(() => offer({ for: whom }, [...classes]), { reason: "DUTY_INVALID" });
});

test("what can't be asked for is said before anybody is contacted", () => {
  const wrong: Values[] = [
    { for: "nurse" },
    { for: "doctor:cardiology" },
    { for: "department:Cardiology" },
    { for: "department:a:b" },
    { for: "toString" },
    { read: ["there"] },
    { read: ["D:chen"] },
    { department: ["*"] },
    { hours: "0" },
  ];
  for (const values of wrong) assert.throws(() => askedIn(values), UsageError, JSON.stringify(values));
});

test("each right is a sentence: to whom, what, where, until when", () => {
  const lines = (values: Values) => offerLines(offer(values), now);
  assert.match(lines({ "no-keep": true })[0]!, /^Nothing beyond this visit/);
  assert.deepEqual(lines({ read: ["here", "H:beta", "H:gamma"], restricted: true }).slice(0, 3), [
    "For D:chen (certified by M:chamber), until 2026-09-22T14:13:20Z:",
    "  - Keep the record of a visit at H:alpha, H:beta and H:gamma, in every department.",
    "  - Find and read your records at H:alpha, H:beta and H:gamma, of every department, restricted ones too.",
  ]);
  const grant = peekGrant(signed(statement("grant for a department")));
  const said = (rights: Right[]) => grantLines({ ...grant, rights }, "the patient's");
  assert.match(said([Right.READ])[0]!, /^For every doctor on duty in cardiology at H:alpha, until /);
  assert.match(said([Right.READ])[1]!, /^ {2}- Read the patient's records at every hospital, of every department\.$/);
  assert.match(said([Right.INDEX])[1]!, /^ {2}- See at which hospitals .* and read none\.$/);
  assert.deepEqual(said([]).slice(1), ["  Nothing."]);
  assert.match(grantLines({ ...grant, grantee: undefined }, "your")[0]!, /nobody that is known here/);
});

test("nothing but a yes is one", async () => {
  const said = (...lines: string[]) =>
    requireAgreed(
      (async function* () {
        yield* lines;
      })(),
    );
  await said("y");
  await said(" YES ", "n");
  for (const lines of [[], [""], ["n"], ["yes, but"], ["n", "y"]])
    await assert.rejects(said(...lines), { reason: "DECLINED" });
});

test("a grant that was given keeps its number", async (context) => {
  const { home, reopened } = await madeHome(context);
  const grants = ["grant", "grant for a department"].map((name) => signed(statement(name)));
  assert.deepEqual(home.grants, []);
  assert.deepEqual(
    grants.map((grant) => home.keepGrant(grant)),
    [1, 2],
  );
  const kept = reopened().grants.map(({ number, signed }) => [number, hex(signed.statement!)]);
  assert.deepEqual(
    kept,
    grants.map(({ statement }, index) => [index + 1, hex(statement!)]),
  );
});

/** A home with what the vectors trust, by way of these routes, as far as it is asked. */
function homeBy(transport: ReturnType<typeof createRouterTransport>, self = doctor): Home {
  const party = {
    self,
    certificate,
    signingKey: signingKey(cast.parties[self.role === Role.DOCTOR ? "doctor" : "patient"].signing_key),
  };
  return {
    bundle,
    identity: self.identity,
    lists: verifier.lists,
    verifier: () => verifier,
    party: () => Promise.resolve(party),
    shards: new ShardKeeper(),
    hear: () => Promise.resolve(),
    heldCrls: [],
    transportToHospital: () => transport,
  } as unknown as Home;
}

function atNow(context: TestContext): void {
  context.mock.timers.enable({ apis: ["Date"], now: Number(now) });
}

test("a patient looks before anything goes out, and again before it goes in", async (context) => {
  atNow(context);
  let departmentClasses = ["cardiology"];
  let doctorId = "D:chen";
  const transport = createRouterTransport(({ service }) =>
    service(RelayService, {
      getRoom: async () =>
        create(GetRoomResponseSchema, {
          keyStatement: keysOfDoctor,
          doctorCertificate: certificate,
          encryptionKeyStatement: signed(statement("ek of the doctor")),
          revocations: { head },
          certificateRevocationList: fromHex(cast.authority.crl),
          duty: await shownDuty({ departmentClasses, doctorId }),
        }),
    }),
  );
  const digest = codeDigest(keysOfDoctor.statement!, keysOfDoctor.signature!, certificate);
  const code = { address: "alpha.example:1", hospitalId: "H:alpha", roomId: new Uint8Array(16), digest };
  const looked = await look(homeBy(transport), code);
  assert.equal(looked.doctor.party.authorityId, "M:chamber");
  assert.deepEqual(looked.duty.departmentClasses, ["cardiology"]);
  await assert.rejects(look(looked.home, { ...code, digest: new Uint8Array(32) }), { reason: "IDENTITY_MISMATCH" });
  await assert.rejects(look(looked.home, { ...code, hospitalId: "H:beta" }), { reason: "DUTY_INVALID" });
  await lookAgain(looked);
  departmentClasses = ["surgery"];
  await assert.rejects(lookAgain(looked), { reason: "ROOM_CHANGED" });
  doctorId = "D:other";
  await assert.rejects(lookAgain(looked), { reason: "DUTY_INVALID" });
});

test("a duty is shown while it holds, and then the hospital is asked for another", async (context) => {
  atNow(context);
  const answers: (object | undefined)[] = [];
  let asked = 0;
  const transport = createRouterTransport(({ service }) =>
    service(RecordService, {
      getDuty: async () => {
        asked++;
        const answer = answers.shift();
        if (answer === undefined) throw new ConnectError("not on duty", Code.PermissionDenied);
        return { duty: await shownDuty(answer), revocations: { head } };
      },
    }),
  );
  const currentHome = new CurrentHome(homeBy(transport), (home) => Promise.resolve(home));
  const kept = new StatedDuty(currentHome, transport, "H:alpha");
  const foreign = await shownDuty({ doctorId: "D:other" });
  await assert.rejects(kept.take(foreign), { reason: "DUTY_INVALID" });
  assert.equal(await kept.current(), undefined);
  const first = await shownDuty({ notAfter: now + 61_000n });
  await kept.take(first);
  assert.equal(await kept.current(), first);
  context.mock.timers.tick(1_000); // it holds for a minute yet
  answers.push(undefined, { doctorId: "D:other" }, { notAfter: now + HOUR });
  assert.equal(await kept.current(), first);
  assert.equal(await kept.current(), first);
  assert.equal(asked, 3);
  const { consent } = await kept.on(Shown.byConsent("P:wang", { duty: first } as never));
  assert.equal(peekDuty(consent!.duty!).validity.notAfter, now + HOUR);
  assert.equal(asked, 4);
});

test("what is taken back stands on the list of the answer, or the cloud is not believed", async (context) => {
  atNow(context);
  const patient = verifier.party(signed(statement("ks of the patient")), Role.PATIENT, now);
  const { grantId } = peekStatement(GrantSchema, signed(statement("grant")));
  const entry = sha256(transcript("revoked", text("grant"), text("P:wang"), grantId!));
  let answer = await excerptOf(revoked, [prefixOf(entry)]);
  const transport = createRouterTransport(({ service }) => {
    service(DirectoryService, {
      getDirectory: () => ({
        trustBundle: signed(cast.trust_bundles.at(-1)),
        revocationHead: head,
        certificateRevocationLists: [fromHex(cast.authority.crl)],
        cloudEncryptionKeyStatement: cloud.statement,
      }),
    });
    service(RevocationService, { revoke: () => ({ revocations: answer }) });
  });
  const grant = signed(statement("grant"));
  const statements = [{ kind: "grant" as const, statement: grant }];
  const revoke = () =>
    new Cloud(transport, 1).revoke(
      homeBy(transport, patient),
      { ownerId: "P:wang", statements },
      (size) => new Uint8Array(size),
    );
  await assert.rejects(revoke(), { reason: "ANSWER_MISMATCH" });
  answer = await excerptOf(revoked.with(entry), []);
  await assert.rejects(revoke(), { reason: "ANSWER_MISMATCH" });
  answer = await excerptOf(revoked.with(entry), [prefixOf(entry)]);
  await revoke();
  answer.head = head;
  await assert.rejects(revoke(), { reason: "REVOCATION_SHARD_INVALID" });
});
