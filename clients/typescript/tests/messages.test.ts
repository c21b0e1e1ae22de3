/**
 * Every message that a patient or a doctor makes, with the vectors' keys, clock and randomness: made byte for byte up to HPKE's own randomness.
 * Every message that they receive is taken, and every refusal that is theirs has its reason.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type DescMessage, fromBinary, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { ConsentSchema, type ShownDuty, ShownDutySchema } from "../src/gen/federation/v1/access_pb.js";
import {
  BiosignalDeliverySchema,
  CloseRoomRequestSchema,
  type GetRoomResponse,
  GetRoomResponseSchema,
  OpenRoomRequestSchema,
} from "../src/gen/federation/v1/consultation_pb.js";
import {
  type SealedOpening,
  SealedOpeningSchema,
  SealedReplySchema,
  type SessionFrame,
  SessionFrameSchema,
} from "../src/gen/federation/v1/envelope_pb.js";
import {
  DepositSchema,
  GetDutyRequestSchema,
  PurposeSchema,
  RecordQuerySchema,
  type Scope,
} from "../src/gen/federation/v1/record_pb.js";
import { SearchQuerySchema } from "../src/gen/federation/v1/search_pb.js";
import { RevocationSchema, RevokeResponseSchema } from "../src/gen/federation/v1/revocation_pb.js";
import { GrantSchema, Right, Role, Sensitivity, type SignedStatement } from "../src/gen/federation/v1/statement_pb.js";
import { makeEpoch, openEpoch } from "../src/keys/epoch.js";
import { SoftwareKeys } from "../src/keys/software.js";
import { HOUR } from "../src/protocol/access.js";
import { SoftwareAgreement } from "../src/protocol/agreement.js";
import { concat, type Entropy, fromHex, hex, sha256, text } from "../src/protocol/bytes.js";
import { codeDigest, MOST_AMENDMENTS, MOST_BIOSIGNAL_BYTES } from "../src/protocol/consultation.js";
import { DiagnosisDeliverySchema } from "../src/gen/federation/v1/diagnosis_pb.js";
import * as doctorSide from "../src/protocol/doctor.js";
import { makeGrant } from "../src/protocol/consent.js";
import { type NewDocument, signDocument } from "../src/protocol/documents.js";
import { askForDuty } from "../src/protocol/duty.js";
import type { DecryptionKey } from "../src/protocol/hpke.js";
import type { Party } from "../src/protocol/party.js";
import * as patientSide from "../src/protocol/patient.js";
import { MOST_BYTES } from "../src/client/fetch.js";
import { layoutOf, Slices } from "../src/protocol/frames.js";
import * as record from "../src/protocol/record.js";
import { preciseReason } from "../src/protocol/refusal.js";
import { apply, type AwaitingCredential } from "../src/protocol/registration.js";
import { revoke } from "../src/protocol/revocation.js";
import { prefixOf } from "../src/protocol/shards.js";
import { peekStatement } from "../src/protocol/statements.js";
import { field, transcript } from "../src/protocol/transcript.js";
import * as search from "../src/protocol/search.js";
import { Shown } from "../src/protocol/shown.js";
import {
  bundle,
  cast,
  cloud,
  decryptionKey,
  excerptOf,
  head,
  now,
  opened as openedUnder,
  revoked,
  signed,
  statement,
  verifier,
  verifierWithout,
} from "./cast.js";
import type { Revoked } from "./revoked.js";
import { load, type Vector, vectors, signingKey } from "./vectors.js";

const entropies = load("entropy");
const messages = new Map<string, Vector>(
  ["registration", "consultation", "search", "record", "diagnosis", "calls"]
    .flatMap(vectors)
    .map((vector) => [vector.name, vector]),
);

/** How a receiver that has come this far takes a message: the bytes, its clock, whether the replay key was used before. */
const receivers = new Map<string, (message: Uint8Array, now: bigint, replayed: boolean) => unknown>();

function entropy(name: string): Entropy {
  let left: Uint8Array = fromHex(entropies[name]);
  return (size) => {
    const taken = left.subarray(0, size);
    assert.equal(taken.length, size, "more is drawn than was recorded");
    left = left.subarray(size);
    return taken;
  };
}

function message<D extends DescMessage>(schema: D, name: string): MessageShape<D> {
  return fromBinary(schema, fromHex(messages.get(name)!.message));
}

function payload<D extends DescMessage>(schema: D, name: string): MessageShape<D> {
  return fromBinary(schema, fromHex(messages.get(name)!.plaintext));
}

/** Require an opening to be the vector's, as far as its maker decides: who can open it may compare what is inside. */
async function requireMade(name: string, opening: SealedOpening, plaintext: Uint8Array): Promise<void> {
  const expected = message(SealedOpeningSchema, name);
  assert.equal(hex(plaintext), messages.get(name)!.plaintext);
  assert.equal(opening.sealed!.length, expected.sealed!.length);
  assert.equal(
    hex(toBinary(SealedOpeningSchema, { ...opening, sealed: expected.sealed! })),
    messages.get(name)!.message,
  );
}

async function register(name: "patient" | "doctor"): Promise<Party> {
  const own = cast.parties[name];
  const key = decryptionKey(own);
  const keys = { signingKey: signingKey(own.signing_key), decryptionKey: key, keyring: [key] };
  const draw = entropy(`reg1-${name}`);
  const applicant = {
    role: name === "patient" ? (Role.PATIENT as const) : (Role.DOCTOR as const),
    identity: own.identity,
    evidence: fromHex(own.evidence),
    ...(own.ticket === "" ? {} : { ticket: fromHex(own.ticket) }),
    encryptionKeyStatement: signed(own.encryption_key_statement),
    ...keys,
  };
  const { awaiting, opening } = await apply(applicant, draw(16), cloud, now);
  await requireMade(`reg1-${name}`, opening, await opened(opening, decryptionKey(cast.cloud), `reg1-${name}`));
  receivers.set(`reg2-${name}`, (bytes, at) => receive(awaiting, bytes, at));
  const registered = await receive(awaiting, fromHex(messages.get(`reg2-${name}`)!.message), now);
  const registrationSecret = new SoftwareAgreement(registered.registrationSecret);
  const certificate = fromHex(own.certificate ?? "");
  return {
    self: await verifier.member(registered.party.keyStatement, registered.party.role, certificate, now),
    registrationSecret,
    encryptionKeyStatement: applicant.encryptionKeyStatement,
    certificate,
    ...keys,
  };
}

function receive(awaiting: AwaitingCredential, bytes: Uint8Array, at: bigint) {
  return awaiting.receive(fromBinary(SealedReplySchema, bytes), bundle, [fromHex(cast.authority.crl)], at);
}

function opened(opening: SealedOpening, key: DecryptionKey, name: string): Promise<Uint8Array> {
  return openedUnder(opening.sealed!, key, messages.get(name)!.seal.info);
}

function requireFrame(name: string, frame: SessionFrame): void {
  assert.equal(hex(toBinary(SessionFrameSchema, frame)), messages.get(name)!.message, name);
}

const frame = (bytes: Uint8Array) => fromBinary(SessionFrameSchema, bytes);
const reply = (bytes: Uint8Array) => fromBinary(SealedReplySchema, bytes);
const vector = (name: string) => fromHex(messages.get(name)!.message);

let patient: Party;
let doctor: Party;
let grant: SignedStatement;
const duty = shownDuty();
let consultation: doctorSide.InConsultation;
let addressed: patientSide.AwaitingDiagnosis;

test("registration of a patient and of a doctor under another PK", async () => {
  patient = await register("patient");
  doctor = await register("doctor");
  assert.notDeepEqual(patient.self.issuer, doctor.self.issuer);
});

test("consultation: room, P1, D1, P2", async () => {
  const request = await doctorSide.askForRoom(doctor, "H:alpha", now, entropy("room"));
  assert.equal(hex(toBinary(OpenRoomRequestSchema, request)), messages.get("room")!.message);
  const room: GetRoomResponse = create(GetRoomResponseSchema, {
    keyStatement: doctor.self.keyStatement,
    doctorCertificate: doctor.certificate,
    encryptionKeyStatement: doctor.encryptionKeyStatement,
    revocations: { head },
    certificateRevocationList: fromHex(cast.authority.crl),
    duty,
  });
  const asking = await askForDuty(doctor, "H:alpha", now, entropy("duty-ask"));
  assert.equal(hex(toBinary(GetDutyRequestSchema, asking)), messages.get("duty-ask")!.message);
  const { statement, signature } = doctor.self.keyStatement;
  const code = codeDigest(statement!, signature!, doctor.certificate);
  const there = await patientSide.checkRoom(room, code, verifier, now);
  await assert.rejects(patientSide.checkRoom(room, new Uint8Array(32), verifier, now), { reason: "IDENTITY_MISMATCH" });
  assert.deepEqual(patientSide.checkDuty(room, there, "H:alpha", verifier, now).departmentClasses, ["cardiology"]);
  const elsewhere = () => patientSide.checkDuty(room, there, "H:beta", verifier, now);
  assert.throws(elsewhere, { reason: "DUTY_INVALID" });

  const biometric = fromHex(cast.parties.patient.evidence);
  const began = await patientSide.begin(patient, there, biometric, now, entropy("P1"));
  await requireMade("P1", began.opening, await opened(began.opening, doctor.decryptionKey, "P1"));
  receivers.set("P1", async (bytes, at, replayed) => {
    const taken = await doctorSide.receiveOpening(doctor, fromBinary(SealedOpeningSchema, bytes), verifier, at);
    taken.admit(!replayed);
  });
  const pending = await doctorSide.receiveOpening(doctor, message(SealedOpeningSchema, "P1"), verifier, now);
  await requireOpenedByEpochBefore(message(SealedOpeningSchema, "P1"));

  const replied = await pending.admit(true).reply(now, entropy("D1"));
  const inside = await opened(replied.reply as unknown as SealedOpening, patient.decryptionKey, "D1");
  assert.equal(hex(inside), messages.get("D1")!.plaintext);
  receivers.set("D1", (bytes, at) => began.awaiting.receive(reply(bytes), verifier, at));
  const established = await began.awaiting.receive(message(SealedReplySchema, "D1"), verifier, now);

  const { identity: doctorId, authorityId } = there.party;
  grant = await makeGrant(patient, { who: "doctor", doctorId, authorityId }, TERMS, now, entropy("grant"));
  const { identity, keyStatement } = patient.self;
  const shown = Shown.byConsent(identity, create(ConsentSchema, { grant, keyStatement }));
  const size = Number(payload(BiosignalDeliverySchema, "P2-1").biosignalSizeBytes);
  const biosignal = fromHex(messages.get("P2-0")!.plaintext).subarray(0, size);
  const tooLarge = new Uint8Array(MOST_BIOSIGNAL_BYTES + 1);
  await assert.rejects(established.deliver(tooLarge, shown, now), { reason: "LIMIT_REACHED" });
  const delivered = await established.deliver(biosignal, shown, now);
  addressed = delivered.awaiting;
  delivered.frames.forEach((made, index) => requireFrame(`P2-${index}`, made));

  const waiting = replied.awaiting;
  receivers.set("P2-0", (bytes, at) => waiting.receive(frame(bytes), verifier, at));
  const next = waiting.receive(frame(vector("P2-0")), verifier, now) as doctorSide.AwaitingBiosignal;
  receivers.set("P2-1", (bytes, at) => next.receive(frame(bytes), verifier, at, duty));
  const later = verifierWithout(patient.self.serial);
  assert.throws(
    () => next.receive(frame(vector("P2-1")), later, now, duty),
    (error) => preciseReason(error) === "CREDENTIAL_REVOKED",
  );
  consultation = next.receive(frame(vector("P2-1")), verifier, now, duty) as doctorSide.InConsultation;
  assert.deepEqual(consultation.biosignal, biosignal);
  assert.deepEqual(consultation.grant!.rights, TERMS.rights);
});

/** A doctor who has renewed its key still opens what is sealed to the one before; one that has destroyed that can't. */
async function requireOpenedByEpochBefore(opening: SealedOpening): Promise<void> {
  const store = new SoftwareKeys("");
  const fresh = openEpoch(await makeEpoch(doctor.self.identity, doctor.signingKey, store, now), store)!;
  const { decryptionKey, statement: encryptionKeyStatement } = fresh;
  const renewed = { ...doctor, decryptionKey, encryptionKeyStatement };
  const both = { ...renewed, keyring: [doctor.decryptionKey, decryptionKey] };
  const pending = await doctorSide.receiveOpening(both, opening, verifier, now);
  assert.equal(pending.admit(true).peer.party.identity, patient.self.identity);
  const later = { ...renewed, keyring: [decryptionKey] };
  await assert.rejects(doctorSide.receiveOpening(later, opening, verifier, now), { reason: "UNKNOWN_KEY_ID" });
}

const TERMS = {
  hospitals: ["*"],
  departmentClasses: ["*"],
  rights: [Right.INDEX, Right.READ, Right.WRITE],
  highestSensitivity: Sensitivity.NORMAL,
  purpose: "consultation",
  life: 24n * HOUR,
};

function shownDuty(): ShownDuty {
  const [stated, keyStatement] = ["duty", "ks of the hospital"].map((name) => signed(statement(name)));
  return create(ShownDutySchema, { duty: stated, keyStatement });
}

let place: search.RecordLocation;

test("search: D2, C", async () => {
  place = await found(doctor, consultation.shown, "");
});

test("search of one's own: D2, C", async () => {
  await found(patient, ownShown(), "-own");
});

function ownShown(): Shown {
  return Shown.byOwnRight(patient.self.identity);
}

test("search for who did: D2, C", async () => {
  const { locations, accesses } = await answered(patient, ownShown(), "-log");
  assert.equal(locations.length, 0);
  assert.deepEqual(
    accesses.map(({ reason }) => reason),
    ["OK", "GRANT_MISSING"],
  );
});

async function found(asker: Party, shown: Shown, suffix: "" | "-own"): Promise<search.RecordLocation> {
  const { locations, next } = await answered(asker, shown, suffix);
  const department = `H:alpha/${payload(SearchQuerySchema, "D2").departmentClass!}`;
  assert.deepEqual(
    locations.map((location) => location.departmentId),
    [department, department, `${department}.ward-2`],
  );
  assert.equal(next === undefined, suffix === "-own");
  return locations[0]!;
}

async function answered(asker: Party, shown: Shown, suffix: "" | "-own" | "-log"): Promise<search.Answer> {
  const made = payload(SearchQuerySchema, `D2${suffix}`);
  const right = made.right === Right.LOG ? Right.LOG : Right.INDEX;
  const { departmentClass, after, knownSize } = made;
  const question = { departmentClass: departmentClass!, after, right, knownSize } as const;
  const { awaiting, opening } = await search.ask(asker, question, shown, cloud, now, entropy(`D2${suffix}`));
  await requireMade(`D2${suffix}`, opening, await opened(opening, decryptionKey(cast.cloud), `D2${suffix}`));
  receivers.set(`C${suffix}`, (bytes, at) => awaiting.receive(reply(bytes), verifier, at));
  return awaiting.receive(message(SealedReplySchema, `C${suffix}`), verifier, now);
}

async function session(
  asker: Party,
  shown: Shown,
  name: "read" | "read-on" | "read-own" | "read-log" | "store" | "store-amended" | "add",
  scope: Scope,
): Promise<record.Established> {
  const { knownSize, before } = name === "read-log" ? payload(RecordQuerySchema, "D4-log") : {};
  const intent = { shown, scope, blind: fromHex(entropies[`rho-${name}`]), knownSize, before };
  const { awaiting, opening } = await record.begin(asker, place.hospital, intent, now, entropy(`D3-${name}`));
  await requireMade(`D3-${name}`, opening, await opened(opening, decryptionKey(cast.parties.hospital), `D3-${name}`));
  receivers.set(`H1-${name}`, (bytes, at) => awaiting.receive(reply(bytes), verifier, at));
  return awaiting.receive(message(SealedReplySchema, `H1-${name}`), verifier, now);
}

let recordSignature: Uint8Array;

test("record: D3, H1, D4, H2", async () => {
  const { end } = await readRecord(doctor, consultation.shown, "");
  recordSignature = end.signature!;
  assert.equal(recordSignature.length, 64);
});

test("a record that goes on: D3, H1, D4, H2", async () => {
  const [{ manifest, fill, size_bytes, came, offset }] = vectors("broken") as [Vector];
  const content = concat(field(fromHex(manifest)), new Uint8Array(size_bytes).fill(fromHex(fill)[0]!));
  const { scope } = payload(RecordQuerySchema, "D4-on");
  const established = await session(doctor, consultation.shown, "read-on", scope!);
  const altered = Uint8Array.from(content);
  altered[offset - 1]! ^= 1;
  for (const kept of [altered, content]) {
    let slices = new Slices();
    for (const size of came) slices = slices.with(kept.subarray(slices.size, slices.size + size));
    const broken = { slices, layout: layoutOf(slices, MOST_BYTES)! };
    const { awaiting, frame: d4 } = established.query(now, MOST_BYTES, broken);
    requireFrame("D4-on", d4);
    receivers.set("H2-0-on", (bytes, at) => awaiting.receive(frame(bytes), verifier, at));
    const rest = awaiting.receive(frame(vector("H2-0-on")), verifier, now) as record.AwaitingRecord;
    const end = () => rest.receive(frame(vector("H2-1-on")), verifier, now) as record.ReceivedRecord;
    if (kept === altered) assert.throws(end, (error) => preciseReason(error) === "SIGNATURE_INVALID");
    else assert.deepEqual(end().digest, sha256(content));
  }
});

test("one's own record: D3, H1, D4, H2", async () => {
  await readRecord(patient, ownShown(), "-own");
});

test("who did, at a hospital: D3, H1, D4, H2", async () => {
  const { layout } = await readRecord(patient, ownShown(), "-log");
  assert.deepEqual(
    layout.manifest.accesses.map(({ reason }) => reason),
    ["OK", "GRANT_MISSING"],
  );
  assert.equal(layout.manifest.next, layout.manifest.accesses.at(-1)!.leafIndex);
});

async function readRecord(asker: Party, shown: Shown, suffix: "" | "-own" | "-log"): Promise<record.ReceivedRecord> {
  const { scope } = payload(RecordQuerySchema, `D4${suffix}`);
  const established = await session(asker, shown, `read${suffix}`, scope!);
  const { awaiting, frame: d4 } = established.query(now, MOST_BYTES);
  requireFrame(`D4${suffix}`, d4);
  let state: record.AwaitingRecord | record.ReceivedRecord = awaiting;
  for (const name of ["H2-0", "H2-1", "H2-2"]) {
    assert.ok(state instanceof record.AwaitingRecord);
    const before: record.AwaitingRecord = state;
    receivers.set(name + suffix, (bytes, at) => before.receive(frame(bytes), verifier, at));
    if (name === "H2-2") await requireNoneOfARevokedHospital(before, vector(name + suffix));
    state = before.receive(frame(vector(name + suffix)), verifier, now);
  }
  assert.ok("end" in state);
  return state;
}

async function requireNoneOfARevokedHospital(before: record.AwaitingRecord, end: Uint8Array): Promise<void> {
  const later = verifierWithout(place.hospital.party.serial);
  assert.throws(
    () => before.receive(frame(end), later, now),
    (error) => preciseReason(error) === "CREDENTIAL_REVOKED",
  );
}

test("diagnosis: D5, P6, and the room is closed", async () => {
  const first = await consultation.diagnose(diagnosisIn("D5"), [recordSignature], now);
  const following = await requireExchange("", addressed, first);
  const second = await first.awaiting.amend(diagnosisIn("D5-amended"), [recordSignature], now);
  await requireExchange("-amended", following, second);
  let { awaiting } = second;
  for (let count = 1n; count < MOST_AMENDMENTS; count++)
    ({ awaiting } = await awaiting.amend(new Uint8Array(1), [], now));
  await assert.rejects(awaiting.amend(new Uint8Array(1), [], now), { reason: "LIMIT_REACHED" });
  const { roomId } = message(CloseRoomRequestSchema, "room-close");
  const closing = await doctorSide.askToClose(doctor, "H:alpha", roomId!);
  assert.equal(hex(toBinary(CloseRoomRequestSchema, closing)), messages.get("room-close")!.message);
});

async function requireExchange(
  suffix: string,
  waiting: patientSide.AwaitingDiagnosis,
  { awaiting, frame: d5 }: { awaiting: doctorSide.AwaitingReceipt; frame: SessionFrame },
): Promise<patientSide.AwaitingDiagnosis> {
  requireFrame(`D5${suffix}`, d5);
  receivers.set(`D5${suffix}`, (bytes, at) => waiting.receive(frame(bytes), verifier, at));
  const diagnosed = await waiting.receive(frame(vector(`D5${suffix}`)), verifier, now);
  assert.deepEqual(diagnosed.delivery.diagnosis, diagnosisIn(`D5${suffix}`));
  const { following, frame: receipt } = await diagnosed.receipt(now);
  requireFrame(`P6${suffix}`, receipt);
  receivers.set(`P6${suffix}`, (bytes, at) => awaiting.receive(frame(bytes), at));
  awaiting.receive(frame(vector(`P6${suffix}`)), now);
  return following;
}

test("deposit: D3, H1, STO, STOACK", async () => {
  for (const suffix of ["", "-amended"] as const) {
    const deposit = payload(DepositSchema, `STO-1${suffix}`);
    const established = await session(doctor, consultation.shown, `store${suffix}`, deposit.scope!);
    const { awaiting, frames } = established.deposit(consultation.biosignal, diagnosisIn(`D5${suffix}`), deposit);
    frames.forEach((made, index) => requireFrame(`STO-${index}${suffix}`, made));
    receivers.set(`STOACK${suffix}`, (bytes) => awaiting.receive(frame(bytes)));
    awaiting.receive(frame(vector(`STOACK${suffix}`)));
  }
  assert.ok(PurposeSchema.values.length > 2);
});

test("a note of one's own: D3, H1, OWN, STOACK", async () => {
  const note = {
    title: "Nasenbluten, März",
    mediaType: "text/plain; charset=utf-8",
    content: new TextEncoder().encode("Since Monday, each morning."),
    sensitivity: Sensitivity.RESTRICTED,
  };
  const sign = (written: NewDocument) =>
    signDocument(patient, written, ownShown(), "H:alpha", "cardiology", fromHex(entropies["rho-add"]), now);
  const document = await sign(note);
  const established = await session(patient, ownShown(), "add", document.own.scope!);
  const { awaiting, frames } = established.add(document);
  frames.forEach((made, index) => requireFrame(`OWN-${index}`, made));
  receivers.set("STOACK-own", (bytes) => awaiting.receive(frame(bytes)));
  awaiting.receive(frame(vector("STOACK-own")));
  const long = { ...note, content: new Uint8Array(MOST_BIOSIGNAL_BYTES + 1) };
  await assert.rejects(sign(long), (error) => preciseReason(error) === "LIMIT_REACHED");
});

test("rev: a grant, one of an earlier registration, and everything", async () => {
  for (const name of ["rev", "rev-older", "rev-all"]) {
    const { ownerId, statements, before } = payload(RevocationSchema, name);
    const given = statements.map((one) => ({ kind: "grant" as const, statement: one.statement! }));
    const takenBack = { ownerId: ownerId!, statements: given, before };
    const { awaiting, opening } = await revoke(patient, takenBack, cloud, now, entropy(name));
    await requireMade(name, opening, await opened(opening, decryptionKey(cast.cloud), name));
    const entries = before === undefined ? given.map(({ statement }) => grantEntry(statement)) : [sweepEntry()];
    const answer = async (set: Revoked, shown = entries) =>
      create(RevokeResponseSchema, { revocations: await excerptOf(set, [...new Set(shown.map(prefixOf))]) });
    const named = entries.reduce((set, entry) => set.with(entry, before), revoked);
    awaiting.receive(await answer(named), bundle);
    const mismatch = { reason: "ANSWER_MISMATCH" };
    await assert.rejects(async () => awaiting.receive(await answer(revoked), bundle), mismatch);
    await assert.rejects(async () => awaiting.receive(await answer(named, []), bundle), mismatch);
    const bent = await answer(named);
    bent.revocations!.shards[0]!.path[3]![0]! ^= 1;
    assert.throws(() => awaiting.receive(bent, bundle), { reason: "REVOCATION_SHARD_INVALID" });
  }
});

function sweepEntry(): Uint8Array {
  return sha256(transcript("sweep", text(patient.self.identity)));
}

function grantEntry(statement: SignedStatement): Uint8Array {
  const { grantId, patientId } = peekStatement(GrantSchema, statement);
  return sha256(transcript("revoked", text("grant"), text(patientId!), grantId!));
}

function diagnosisIn(name: string): Uint8Array {
  return payload(DiagnosisDeliverySchema, name).diagnosis!;
}

test("every refusal that is a patient's or a doctor's", async () => {
  const tried = new Set<string>();
  let count = 0;
  for (const refusal of vectors("refusals")) {
    const take = receivers.get(refusal.base);
    if (take === undefined) continue;
    tried.add(refusal.base);
    count += 1;
    assert.deepEqual(await outcome(take, refusal), [refusal.expect, refusal.wire], refusal.name);
  }
  const expected = [
    "reg2-patient",
    "P1",
    "D1",
    "P2-0",
    "P2-1",
    "C",
    "C-log",
    "H1-read",
    "H2-0",
    "H2-0-on",
    "H2-1",
    "H2-2",
    "STOACK",
    "STOACK-own",
    "D5",
    "D5-amended",
    "P6",
    "P6-amended",
  ];
  assert.deepEqual([...tried].sort(), expected.sort());
  assert.ok(count > 100, `${count} refusals`);
});

/** The precise reason, and what the peer is told. */
async function outcome(
  take: (bytes: Uint8Array, at: bigint, replayed: boolean) => unknown,
  refusal: Vector,
): Promise<[string, string]> {
  try {
    await take(bent(refusal), BigInt(refusal.now), refusal.replayed ?? false);
    return ["success", "success"];
  } catch (error) {
    return [preciseReason(error), (error as { reason: string }).reason];
  }
}

function bent(refusal: Vector): Uint8Array {
  const base = messages.get(refusal.base)!;
  const bytes = fromHex(refusal.message ?? base.message);
  if (refusal.flip_bit !== undefined) bytes[Math.floor(refusal.flip_bit / 8)]! ^= 1 << (refusal.flip_bit % 8);
  if (refusal.set === undefined) return bytes;
  const schema: DescMessage =
    { [SealedOpeningSchema.typeName]: SealedOpeningSchema, [SealedReplySchema.typeName]: SealedReplySchema }[
      base.message_type as string
    ] ?? SessionFrameSchema;
  const changed = fromBinary(schema, bytes) as unknown as Record<string, unknown>;
  for (const [name, value] of Object.entries(refusal.set))
    changed[schema.field[camel(name)] ? camel(name) : name] = typed(changed[camel(name)], value);
  return toBinary(schema, changed as never);
}

function camel(name: string): string {
  return name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase());
}

function typed(before: unknown, value: unknown): unknown {
  if (typeof value === "string") return fromHex(value);
  return typeof before === "bigint" ? BigInt(value as number) : value;
}
