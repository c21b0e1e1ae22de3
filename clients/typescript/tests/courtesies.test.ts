/** What goes wrong beside a visit's messages, and costs neither side the visit. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { EventEmitter, once } from "node:events";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { untilKept } from "../src/client/deposit.js";
import { DoctorRoom } from "../src/client/doctor.js";
import { fetched, MOST_RECORDS, type Order, ordersOf } from "../src/client/fetch.js";
import { acknowledge, acknowledgeAll, byCurrentLists, heardFrom } from "../src/client/patient.js";
import type { Home } from "../src/client/home.js";
import { type FetchedRecord, saveRecord } from "../src/client/records.js";
import { Mailbox } from "../src/client/relay.js";
import { SessionStream } from "../src/client/session.js";
import { CurrentHome } from "../src/client/maintenance.js";
import { Direction, GetRoomResponseSchema, RelayService } from "../src/gen/federation/v1/consultation_pb.js";
import { DepositSchema, RecordService } from "../src/gen/federation/v1/record_pb.js";
import { RevocationHeadSchema, Right } from "../src/gen/federation/v1/statement_pb.js";
import { BundleLease } from "../src/protocol/bundle.js";
import { peekStatement, signStatement } from "../src/protocol/statements.js";
import { consultIn } from "../src/consult.js";
import { Pending } from "../src/protocol/handshake.js";
import type { AwaitingReceipt } from "../src/protocol/doctor.js";
import type { AwaitingDiagnosis } from "../src/protocol/patient.js";
import { fromHex, hex } from "../src/protocol/bytes.js";
import { preciseReason, Refusal } from "../src/protocol/refusal.js";
import type { RecordLocation } from "../src/protocol/search.js";
import { Shown } from "../src/protocol/shown.js";
import { bundle, cast, now, signed } from "./cast.js";
import { madeDirectory, madeHome } from "./homes.js";
import { served } from "./servers.js";
import { signingKey } from "./vectors.js";

const HOUR = 3_600_000;

test("a receipt that can't be sent costs the patient nothing but a word", async () => {
  const told: string[] = [];
  const put = () => Promise.reject(new Refusal("NO_SUCH_ROOM", "the room is gone"));
  const following = {} as AwaitingDiagnosis;
  const receipt = () => Promise.resolve({ following, frame: {} as never });
  assert.equal(await acknowledge({ put }, { receipt }, (sentence) => told.push(sentence)), following);
  assert.deepEqual(told, ["The receipt could not be sent (NO_SUCH_ROOM)."]);
});

test("a patient who stays takes what amends the diagnosis, and one who goes does not wait for it", async () => {
  const diagnosed = (...diagnosis: number[]) => ({
    delivery: { diagnosis: Uint8Array.from(diagnosis) } as never,
    receipt: () => Promise.resolve({ following: {} as AwaitingDiagnosis, frame: {} as never }),
  });
  const put: unknown[] = [];
  const mailbox = { put: (frame: unknown) => Promise.resolve(void put.push(frame)) };
  const told: string[] = [];
  const tell = (sentence: string) => told.push(sentence);
  assert.deepEqual(await acknowledgeAll(mailbox, diagnosed(1), tell), [Uint8Array.of(1)]);
  for (const [reason, words] of [
    ["NO_ANSWER", []],
    ["CREDENTIAL_REVOKED", ["What may have amended it was not taken (CREDENTIAL_REVOKED)."]],
  ] as const) {
    const come = [diagnosed(2), diagnosed(3)];
    const next = () => {
      const one = come.shift();
      return one === undefined ? Promise.reject(new Refusal(reason, "nothing")) : Promise.resolve(one);
    };
    told.length = put.length = 0;
    const all = await acknowledgeAll(mailbox, diagnosed(1), tell, next);
    assert.deepEqual(
      all.map(([first]) => first),
      [1, 2, 3],
    );
    assert.deepEqual([put.length, told], [3, words]);
  }
});

test("a receipt that can't be waited for costs the doctor nothing but a word", async (context) => {
  const transport = await served(context, ({ service }) =>
    service(RelayService, {
      // eslint-disable-next-line require-yield
      async *followFrames() {
        throw new ConnectError("no such room", Code.NotFound);
      },
    }),
  );
  const mailbox = new Mailbox(transport, new Uint8Array(16), Direction.TO_PATIENT);
  const room = new DoctorRoom(new CurrentHome({} as never), {} as never, transport, {} as never, mailbox, {} as never);
  const told: string[] = [];
  assert.equal(await room.awaitReceipt({} as AwaitingReceipt, HOUR, (sentence) => told.push(sentence)), false);
  assert.equal(told.length, 1);
});

test("a deposit that fails ends a consultation only when its receipt was awaited", async () => {
  const refused = new Refusal("UNAUTHORIZED", "the hospital refuses");
  const transportToHospital = () => {
    throw refused;
  };
  const consultation = {
    patientId: "P:wang",
    visitorId: "P:wang",
    biosignal: new Uint8Array(),
    delivery: {},
    session: { own: { self: { identity: "D:chen" } } },
    shown: Shown.byOwnRight("P:wang"),
    grant: { rights: [Right.WRITE], hospitals: [], departmentClasses: [], validity: { notBefore: 0n, notAfter: 1n } },
  };
  const done: string[] = [];
  const room = {
    home: { identity: "D:chen", transportToHospital },
    code: { hospitalId: "H:a", address: "a.example:1" },
    duty: { on: (shown: Shown) => Promise.resolve(shown) },
    awaitPatient: () => Promise.resolve(consultation),
    diagnose: () => Promise.resolve({ consultation, diagnosis: { diagnosis: new Uint8Array(), basedOn: [] } }),
    awaitReceipt: () => Promise.resolve(done.push("P6") > 0),
  } as unknown as DoctorRoom;
  const plan = { conclusion: "Sinus rhythm.", department: "cardiology", keeps: true } as Parameters<
    typeof consultIn
  >[1];
  await assert.rejects(consultIn(room, plan), refused);
  assert.deepEqual(done, ["P6"]);
});

test("a patient whom the cloud does not answer takes the lists that the relay hands over", async (context) => {
  const { home, reopened } = await madeHome(context);
  const doctor = cast.parties.doctor;
  const room = create(GetRoomResponseSchema, {
    keyStatement: signed(cast.revocation_head), // whose room it is counts later
    doctorCertificate: fromHex(doctor.certificate),
    encryptionKeyStatement: signed(doctor.encryption_key_statement),
    revocations: { head: signed(cast.revocation_head) },
    certificateRevocationList: fromHex(cast.authority.crl),
    duty: { duty: signed(cast.revocation_head), keyStatement: signed(cast.revocation_head) },
  });
  assert.equal(await heardFrom(room, home), home); // the bundle that was handed over can't verify them
  const list = peekStatement(RevocationHeadSchema, room.revocations!.head!);
  const key = signingKey(cast.cloud.signing_key);
  const older = { ...list, sequence: list.sequence! - 1n };
  const kept = await signStatement("rl", RevocationHeadSchema, older, key);
  const followed = home.learned(new BundleLease(bundle, now), kept, []);
  const heard = await heardFrom(room, followed);
  assert.equal(heard.verifier(now).lists.head.sequence, list.sequence);
  assert.deepEqual(reopened().crls, [room.certificateRevocationList]);
  assert.equal(await heardFrom(room, heard), heard); // no newer ones
});

test("the doctor's own frame is held on to until a current list is at hand", async () => {
  const stale = new Refusal("REVOCATION_LIST_STALE", "the list has run out");
  const rejected = new Refusal("REJECTED", "the message was not accepted", { cause: stale });
  const [old, fresh] = [{} as Home, {} as Home];
  let asked = 0;
  const currentHome = new CurrentHome(old, (home) => {
    if (++asked === 1) return Promise.reject(new Refusal("INTERNAL", "a proxy's fault"));
    return Promise.resolve(asked < 3 ? home : fresh);
  });
  const taken: Home[] = [];
  const take = (home: Home) => {
    taken.push(home);
    return home === fresh ? Promise.resolve("D5") : Promise.reject(rejected);
  };
  assert.equal(await byCurrentLists(currentHome, Date.now() + HOUR, take), "D5");
  assert.deepEqual([asked, taken.length], [3, 4]);
  const behind = new CurrentHome(old, (home) => Promise.resolve(home));
  await assert.rejects(byCurrentLists(behind, Date.now(), take), rejected);
});

test("a stranger's frame is refused before the cloud is asked", async () => {
  const currentHome = new CurrentHome({} as Home, () => assert.fail("asked"));
  const stranger = new Refusal("SEAL_INVALID", "the frame does not open");
  await assert.rejects(
    byCurrentLists(currentHome, Date.now() + HOUR, () => Promise.reject(stranger)),
    stranger,
  );
});

test("a deposit whose session is lost is sent again as it was, and one that is stale with a new T", async (context) => {
  context.mock.timers.enable({ apis: ["Date"], now: Number(now) });
  const prepared = create(DepositSchema, { sentAt: 1n, blind: new Uint8Array(32).fill(3) });
  const failures = [
    new Refusal("RECORD_CUT_SHORT", "the hospital ended the session"),
    new Refusal("STORE_UNAVAILABLE", "a part of this server does not answer", { passes: true }),
    new Refusal("STALE", "sent long ago"),
  ];
  const sent: [bigint, string][] = [];
  const once = ({ sentAt, blind }: typeof prepared) => {
    sent.push([sentAt!, hex(blind!)]);
    const failure = failures.shift();
    return failure === undefined ? Promise.resolve("kept") : Promise.reject(failure);
  };
  assert.equal(await untilKept(prepared, once, 1), "kept");
  assert.deepEqual(
    sent,
    [1n, 1n, 1n, now].map((sentAt) => [sentAt, "03".repeat(32)]),
  );
  failures.push(...Array<Refusal>(4).fill(new Refusal("UNAVAILABLE", "away", { passes: true })));
  await assert.rejects(untilKept(prepared, once, 1), { reason: "UNAVAILABLE" });
  failures.splice(0, 4, new Refusal("GRANT_SCOPE", "not allowed"));
  await assert.rejects(untilKept(prepared, once, 1), { reason: "GRANT_SCOPE" });
  assert.equal(sent.length, 9);
});

test("a hospital is silent only while nothing goes out to it any more", async (context) => {
  const frame = {
    sessionId: new Uint8Array(16),
    sequence: 0n,
    last: false,
    sealed: new Uint8Array(200_000),
    sentAt: now,
  };
  const came = new EventEmitter();
  const transport = await served(context, ({ service }) =>
    service(RecordService, {
      async *openSession(requests, { signal }) {
        let count = 0;
        for await (const { content } of requests) {
          if (content.case === "frame" && ++count === 12) break;
          const goOn = once(came, "taken");
          came.emit("frame");
          await goOn;
        }
        yield { content: { case: "frame", value: { ...frame, sealed: new Uint8Array([count]) } } };
        await once(signal, "abort");
      },
    }),
  );
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const stream = new SessionStream(transport, 500);
  context.after(() => stream.close());
  // Two frames at most lie between the one that the connection takes and the one that the hospital reads.
  came.on("frame", () => {
    context.mock.timers.tick(150);
    came.emit("taken");
  });
  for (let count = 0; count < 12; count++) stream.send(frame as never);
  assert.deepEqual([...(await stream.receive()).sealed!], [12]);
  const silent = assert.rejects(stream.receive(), { reason: "UNAVAILABLE", passes: true });
  let isOver = false;
  void silent.then(() => (isOver = true));
  context.mock.timers.tick(499);
  await new Promise(setImmediate);
  assert.equal(isOver, false);
  context.mock.timers.tick(1);
  await silent;
});

function location(hospital: string, departmentId: string, handle: number): RecordLocation {
  return {
    hospital: { party: { identity: hospital } },
    departmentId,
    handle: new Uint8Array([handle]),
  } as unknown as RecordLocation;
}

test("one session asks for the records of a class at a hospital, 64 at most", () => {
  const cardiology = Array.from({ length: 65 }, (_, handle) =>
    location("H:a", `H:a/cardiology.w${handle % 2}`, handle),
  );
  const orders = ordersOf([...cardiology, location("H:a", "H:a/surgery", 1), location("H:b", "H:b/cardiology", 2)]);
  const sizes = orders.map(({ location, departmentClass, handles }) => [
    location.hospital.party.identity,
    departmentClass,
    handles.length,
  ]);
  assert.deepEqual(sizes, [
    ["H:a", "cardiology", 64],
    ["H:a", "cardiology", 1],
    ["H:a", "surgery", 1],
    ["H:b", "cardiology", 1],
  ]);
});

test("a hospital that is away stops no other, and a record that is gone or odd no other of its hospital", async () => {
  const handles = Array.from({ length: 5 }, (_, handle) => location("H:a", "H:a/cardiology", handle));
  const missing: string[] = [];
  const fetchOne = ({ location, handles }: Order) => {
    if (location.hospital.party.identity === "H:b")
      return Promise.reject(new Refusal("UNAVAILABLE", "away", { passes: true }));
    const ids = handles.map(([id]) => id);
    if (ids.includes(3)) return Promise.reject(new Refusal("NO_SUCH_RECORD", "gone"));
    const odd = new Refusal("REJECTED", "not accepted", { cause: new Refusal("FIELD_INVALID", "stored after 9999") });
    if (ids.includes(1)) return Promise.reject(ids.length > 1 ? odd : new RangeError("Invalid time value"));
    return Promise.resolve(ids);
  };
  const orders = ordersOf([location("H:b", "H:b/cardiology", 9), ...handles]);
  const told = (hospital: string, { reason }: Refusal) => missing.push(`${hospital} ${reason}`);
  const records = await fetched(orders, fetchOne, told, MOST_RECORDS);
  assert.deepEqual(records.flat(), [0, 2, 4]);
  assert.deepEqual(missing, ["H:b UNAVAILABLE", "H:a INTERNAL", "H:a NO_SUCH_RECORD"]);
});

test("no more records are fetched than a diagnosis can name", async () => {
  const orders = Array.from(
    { length: 66 },
    (_, index) => ordersOf([location(`H:h${index}`, "H:h/cardiology", index)])[0]!,
  );
  const missing: string[] = [];
  const records = await fetched(
    orders,
    () => Promise.resolve(1),
    (hospital) => missing.push(hospital),
    MOST_RECORDS,
  );
  assert.deepEqual([records.length, missing], [64, ["H:h64", "H:h65"]]);
});

test("a part is saved under any plain name, over no other file, and none stops the others", (context) => {
  const directory = madeDirectory(context);
  const parts = ["ECG (1).pdf", "../up", ".hidden", "a/b", "twice", "twice", "last"].map((name, index) => ({
    handle: new Uint8Array([1]),
    part: { name },
    content: new Uint8Array([index]),
  }));
  mkdirSync(join(directory, "01"));
  assert.throws(() => saveRecord({ parts } as unknown as FetchedRecord, directory), { reason: "FILE_UNUSABLE" });
  const saved = (name: string) => [...readFileSync(join(directory, "01", name))];
  assert.deepEqual([saved("ECG (1).pdf"), saved("twice"), saved("last")], [[0], [4], [6]]);
});

test("a P1 that was taken is refused in every later room, as long as it could be fresh", async (context) => {
  const { home, reopened } = await madeHome(context);
  const key = new Uint8Array(32);
  const until = now + 40_000n;
  const pending = new Pending(key, until, "asked");
  assert.equal(pending.admit(home.admit(key, now, until)), "asked");
  assert.throws(
    () => pending.admit(reopened().admit(key, until, until)),
    (error) => preciseReason(error) === "MESSAGE_REPLAYED",
  );
  assert.ok(reopened().admit(new Uint8Array(32).fill(1), until + 1n, until + 1n));
  const kept = JSON.parse(readFileSync(join(home.directory, "replay.json"), "utf8")) as object;
  assert.deepEqual(Object.keys(kept), ["01".repeat(32)]);
});

test("whatever is wrong, the command says one object; wrong usage is said before anything is done", (context) => {
  const directory = madeDirectory(context);
  const run = (...words: string[]) => {
    const program = new URL("../src/main.js", import.meta.url).pathname;
    const { status, stdout } = spawnSync(process.execPath, [program, ...words], { encoding: "utf8" });
    return [status, stdout.trim()];
  };
  const home = ["--directory", join(directory, "home"), "--pin-file", join(directory, "pin")];
  assert.deepEqual(run("patient", "visit", ...home, "--yes", "--hours", "abc", "code"), [2, ""]);
  assert.deepEqual(run("patient", "renew", ...home), [1, '{"reason":"PROFILE_UNUSABLE"}']);
  const trust = join(directory, "trust.json");
  const init = ["doctor", "init", ...home, "--identity", "D:chen", "--trust", trust];
  assert.deepEqual(run(...init), [1, '{"reason":"FILE_UNUSABLE"}']);
  writeFileSync(trust, "no JSON");
  assert.deepEqual(run(...init), [1, '{"reason":"BUNDLE_INVALID"}']);
});
