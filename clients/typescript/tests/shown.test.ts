/** What is shown for access: its digests by the vectors, and each check of its statements. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type DescMessage, type MessageShape } from "@bufbuild/protobuf";
import {
  type Access,
  AccessSchema,
  type Consent,
  ConsentSchema,
  DeclaredEmergencySchema,
  DeputyshipSchema,
  SecondClinicianSchema,
  type ShownDuty,
  ShownDutySchema,
} from "../src/gen/federation/v1/access_pb.js";
import {
  DutySchema,
  GrantSchema,
  GuardianshipSchema,
  MandateSchema,
  Power,
  Right,
  Role,
  Sensitivity,
  type SignedStatement,
} from "../src/gen/federation/v1/statement_pb.js";
import { DAY, HOUR } from "../src/protocol/access.js";
import { EMPTY, fromHex, hex, sha256, text } from "../src/protocol/bytes.js";
import { makeGrant, makeMandate, openDeputyship } from "../src/protocol/consent.js";
import { verifyDuty } from "../src/protocol/duty.js";
import type { Party } from "../src/protocol/party.js";
import { preciseReason } from "../src/protocol/refusal.js";
import { Shown } from "../src/protocol/shown.js";
import { peekStatement, signStatement } from "../src/protocol/statements.js";
import { transcript } from "../src/protocol/transcript.js";
import type { VerifiedParty, Verifier } from "../src/protocol/verifier.js";
import { cast, now, revoked, signed, statement, verifier, verifierWith } from "./cast.js";
import { signingKey, vectors } from "./vectors.js";

const certificate = fromHex(cast.parties.doctor.certificate);
const [keysOfPatient, keysOfDoctor, keysOfHospital] = ["patient", "doctor", "hospital"].map((name) =>
  signed(statement(`ks of the ${name}`)),
) as [SignedStatement, SignedStatement, SignedStatement];
const patient = verifier.party(keysOfPatient, Role.PATIENT, now);
const hospital = verifier.party(keysOfHospital, Role.HOSPITAL, now);
const doctor = await verifier.doctor(keysOfDoctor, certificate, now);
const keys = Object.fromEntries(
  ["patient", "doctor", "hospital"].map((name) => [name, signingKey(cast.parties[name].signing_key)]),
);
const duty = onDuty(signed(statement("duty")));
const byGuardian = create(DeputyshipSchema, {
  by: { case: "guardianship", value: signed(statement("guardian")) },
  keyStatement: keysOfHospital,
});
const byMandate = create(DeputyshipSchema, {
  by: { case: "mandate", value: signed(statement("mandate")) },
  keyStatement: keysOfPatient,
});

function onDuty(stated: SignedStatement): ShownDuty {
  return create(ShownDutySchema, { duty: stated, keyStatement: keysOfHospital });
}

function consent(grant: string, more: Partial<Consent> = {}): Consent {
  return create(ConsentSchema, { grant: signed(statement(grant)), keyStatement: keysOfPatient, ...more });
}

const byGuardiansGrant = consent("grant for a hospital, by a guardian", { deputyship: byGuardian });

/** Each kind of access of the vectors, by its name there. */
async function accesses(): Promise<Record<string, Shown>> {
  const emergency = signed(statement("bg"));
  const second = create(SecondClinicianSchema, {
    signature: await keys["doctor"]!.sign(transcript("bg-second", emergency.statement!)),
    keyStatement: keysOfDoctor,
    doctorCertificate: certificate,
  });
  const declared = (more: object) => {
    const value = create(DeclaredEmergencySchema, { emergency, duty, ...more });
    return new Shown("P:wang", create(AccessSchema, { ground: { case: "emergency", value } }) as Access);
  };
  return {
    "a consent for a doctor": Shown.byConsent("P:wang", consent("grant")),
    "a consent for a department, on duty": Shown.byConsent("P:wang", consent("grant for a department"), duty),
    "a guardian's consent for a hospital, on duty": Shown.byConsent("P:child", byGuardiansGrant, duty),
    "one's own": Shown.byOwnRight("P:wang"),
    "a deputy's": Shown.byOwnRight("P:wang", byMandate),
    "an emergency, seconded": declared({ second }),
    "an emergency": declared({}),
  };
}

test("H(access) and Hs(access) of every kind of access", async () => {
  const all = new Map(vectors("derived").map(({ name, value }) => [name, value]));
  const shown = await accesses();
  for (const [name, one] of Object.entries(shown)) {
    assert.equal(hex(one.digest), all.get(`H(access): ${name}`), name);
    assert.equal(hex(one.signedDigest), all.get(`Hs(access): ${name}`), name);
  }
  const named = [...all.keys()].filter((name) => name.startsWith("H(access): "));
  assert.equal(named.length, Object.keys(shown).length);
  const nothing = Shown.byConsent("P:wang", undefined, duty);
  assert.deepEqual([nothing.digest, nothing.signedDigest, nothing.grantDigest], [EMPTY, EMPTY, EMPTY]);
});

/** What becomes of a consent that a doctor is given: "success", or the reason of its refusal and what a peer is told. */
function decided(shown: Shown, at: Verifier = verifier, right?: Right): string {
  try {
    shown.decide(doctor, right, at, now);
    return "success";
  } catch (error) {
    return preciseReason(error);
  }
}

test("a consent for a doctor, a department and a hospital, by a patient and by a guardian, is of use", async () => {
  const shown = await accesses();
  for (const name of ["a consent for a doctor", "a consent for a department, on duty"])
    assert.equal(decided(shown[name]!), "success", name);
  assert.equal(decided(shown["a guardian's consent for a hospital, on duty"]!), "success");
  assert.equal(decided(Shown.byConsent("P:wang", undefined)), "GRANT_MISSING");
  assert.equal(decided(Shown.byConsent("P:wang", consent("grant for a department"))), "DUTY_MISSING");
});

/** A statement of the vectors, changed, and signed anew by whom it is. */
function bent<D extends DescMessage>(
  name: string,
  schema: D,
  signer: string,
  changes: Partial<MessageShape<D>>,
): Promise<SignedStatement> {
  const { label } = statement(name);
  const whole = { ...peekStatement(schema, signed(statement(name))), ...changes };
  return signStatement(label, schema, whole, keys[signer]!);
}

test("a grant that is not its signer's, or by another deputyship, is none", async () => {
  const regranted = async (changes: object, signer = "patient") =>
    Shown.byConsent("P:wang", consent("grant", { grant: await bent("grant", GrantSchema, signer, changes) }), duty);
  assert.equal(decided(await regranted({})), "success");
  assert.equal(decided(await regranted({}, "doctor")), "GRANT_INVALID"); // shown.2
  assert.equal(decided(await regranted({ signerId: "P:other" })), "GRANT_INVALID"); // shown.3
  assert.equal(decided(await regranted({ signerSerial: new Uint8Array(16) })), "GRANT_INVALID"); // shown.3
  assert.equal(decided(await regranted({ deputyshipDigest: new Uint8Array(32) })), "GRANT_INVALID"); // shown.4
  const foreign = { ...byGuardiansGrant, deputyship: byMandate };
  assert.equal(decided(Shown.byConsent("P:child", foreign, duty)), "GRANT_INVALID"); // shown.4
  const own = consent("grant", { keyStatement: keysOfHospital });
  assert.equal(decided(Shown.byConsent("P:wang", own)), "CREDENTIAL_INVALID"); // shown.1
});

test("a deputyship that is nobody's, or not its signer's, is none", async () => {
  const says = (shown: typeof byMandate, signer: VerifiedParty) => () => openDeputyship(shown, signer);
  const invalid = { reason: "DEPUTY_INVALID" };
  assert.equal(says(byMandate, patient)().deputyId, "P:li");
  assert.equal(says(byGuardian, hospital)().statedBy, "H:alpha");
  assert.throws(says(create(DeputyshipSchema, { keyStatement: keysOfPatient }), patient), invalid); // shown.5
  assert.throws(says(byMandate, hospital), invalid); // shown.6
  const serial = new Uint8Array(16);
  const [mandate, guardianship] = [
    await bent("mandate", MandateSchema, "patient", { patientSerial: serial }),
    await bent("guardian", GuardianshipSchema, "hospital", { hospitalSerial: serial }),
  ];
  assert.throws(says(create(DeputyshipSchema, { by: { case: "mandate", value: mandate } }), patient), invalid); // shown.7
  const stated = create(DeputyshipSchema, { by: { case: "guardianship", value: guardianship } });
  assert.throws(says(stated, hospital), invalid); // shown.7
});

test("a duty is its hospital's, for this doctor's key, there, and now", async () => {
  const verified = (shown: ShownDuty, at = verifier) => verifyDuty(shown, doctor, "H:alpha", at, now);
  assert.deepEqual(verified(duty).departmentClasses, ["cardiology"]);
  const restated = async (changes: object, signer = "hospital") =>
    onDuty(await bent("duty", DutySchema, signer, changes));
  const wrong: [string, ShownDuty][] = [
    ["CREDENTIAL_INVALID", create(ShownDutySchema, { ...duty, keyStatement: keysOfPatient })], // code.5
    ["DUTY_INVALID", await restated({}, "doctor")], // shown.9
    ["DUTY_INVALID", await restated({ hospitalId: "H:beta" })], // shown.10
    ["DUTY_INVALID", await restated({ hospitalSerial: new Uint8Array(16) })], // shown.10
    ["DUTY_INVALID", await restated({ verifyingKeyDigest: new Uint8Array(32) })], // shown.11
    ["DUTY_INVALID", await restated({ doctorId: "D:other" })], // duty.3
    ["DUTY_EXPIRED", await restated({ notBefore: now - HOUR, notAfter: now })], // duty.5
  ];
  for (const [reason, shown] of wrong) assert.throws(() => verified(shown), { reason });
  assert.throws(() => verifyDuty(duty, doctor, "H:beta", verifier, now), { reason: "DUTY_INVALID" }); // duty.2
  const { dutyId } = peekStatement(DutySchema, duty.duty!);
  const without = verifierWith(revoked.with(entry("duty", "H:alpha", dutyId!)));
  assert.throws(() => verified(duty, without), { reason: "DUTY_REVOKED" }); // duty.6
});

function entry(kind: string, ownerId: string, id: Uint8Array): Uint8Array {
  return sha256(transcript("revoked", text(kind), text(ownerId), id));
}

test("what was taken back, by itself or with all that its patient signed, is of no use", async () => {
  const shown = await accesses();
  const granted = shown["a consent for a doctor"]!;
  const byDeputy = shown["a guardian's consent for a hospital, on duty"]!;
  const { grantId } = peekStatement(GrantSchema, granted.consent!.grant!);
  const { guardianshipId } = peekStatement(GuardianshipSchema, byGuardian.by.value!);
  const { dutyId } = peekStatement(DutySchema, duty.duty!);
  const lists = (...entries: [string, string, Uint8Array][]) =>
    verifierWith(entries.reduce((set, one) => set.with(entry(...one)), revoked));
  const swept = (patientId: string, before: bigint) =>
    verifierWith(revoked.with(sha256(transcript("sweep", text(patientId))), before));
  assert.equal(decided(granted, lists(["grant", "P:wang", grantId!])), "GRANT_REVOKED");
  assert.equal(decided(granted, lists(["grant", "P:other", grantId!], ["mandate", "P:wang", grantId!])), "success");
  assert.equal(decided(granted, swept("P:wang", now)), "success");
  assert.equal(decided(granted, swept("P:wang", now + 1n)), "GRANT_REVOKED");
  assert.equal(decided(byDeputy, swept("P:wang", now + 1n)), "success"); // about another patient
  assert.equal(decided(byDeputy, swept("P:child", now + 1n)), "GRANT_REVOKED");
  assert.equal(decided(byDeputy, lists(["guardian", "H:alpha", guardianshipId!])), "DEPUTY_REVOKED");
  assert.equal(decided(byDeputy, lists(["guardian", "P:child", guardianshipId!])), "success");
  assert.equal(decided(byDeputy, lists(["duty", "H:alpha", dutyId!])), "DUTY_REVOKED");
});

test("grants and mandates are made as the vectors', and for no life that none may have", async () => {
  const self = { self: patient, signingKey: keys["patient"]! } as unknown as Party;
  const terms = {
    hospitals: ["*"],
    departmentClasses: ["*"],
    rights: [Right.INDEX, Right.READ, Right.WRITE],
    highestSensitivity: Sensitivity.NORMAL,
    purpose: "consultation",
    life: DAY,
  };
  const drawn = (name: string, id: (signed: SignedStatement) => Uint8Array) => () => id(signed(statement(name)));
  const grantId = (one: SignedStatement) => peekStatement(GrantSchema, one).grantId!;
  const department = { who: "department", hospitalId: "H:alpha", departmentClass: "cardiology" } as const;
  const made = await makeGrant(self, department, terms, now, drawn("grant for a department", grantId));
  assert.deepEqual(made, signed(statement("grant for a department")));
  const name = "grant for a hospital, by a guardian";
  const hospitals = { who: "hospital", hospitalId: "H:alpha" } as const;
  const byDeputy = await makeGrant(self, hospitals, terms, now, drawn(name, grantId), byGuardian);
  assert.deepEqual(byDeputy, signed(statement(name)));
  const mandateId = (one: SignedStatement) => peekStatement(MandateSchema, one).mandateId!;
  const powers = [Power.GRANT, Power.REVOKE, Power.READ];
  const mandated = await makeMandate(self, "P:li", powers, DAY, now, drawn("mandate", mandateId));
  assert.deepEqual(mandated, signed(statement("mandate")));
  for (const life of [0n, 366n * DAY + 1n]) {
    const granting = makeGrant(self, hospitals, { ...terms, life }, now, drawn(name, grantId));
    await assert.rejects(granting, { reason: "GRANT_INVALID" });
  }
  const forever = makeMandate(self, "P:li", powers, 1827n * DAY + 1n, now, drawn("mandate", mandateId));
  await assert.rejects(forever, { reason: "DEPUTY_INVALID" });
});
