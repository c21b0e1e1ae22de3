/** Renewal of the encryption key: ekput and ekack by the vectors, and what a home keeps between them. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type SealedOpening, SealedOpeningSchema } from "../src/gen/federation/v1/envelope_pb.js";
import {
  EncryptionKeyRenewalSchema,
  PutEncryptionKeyResponseSchema,
  RenewalReceiptSchema,
} from "../src/gen/federation/v1/membership_pb.js";
import { RegistrationAnswerSchema } from "../src/gen/federation/v1/registration_pb.js";
import { KeyStatementSchema, type SignedStatement } from "../src/gen/federation/v1/statement_pb.js";
import { isDue, isOver } from "../src/keys/epoch.js";
import { fromHex, hex } from "../src/protocol/bytes.js";
import { preciseReason } from "../src/protocol/refusal.js";
import { renew, renewalTranscript, restatementDue } from "../src/protocol/renewal.js";
import { isSignature } from "../src/protocol/signatures.js";
import { peekStatement, signStatement } from "../src/protocol/statements.js";
import { bundle, cast, cloud, decryptionKey, now, opened, signed, verifier } from "./cast.js";
import { madeHome } from "./homes.js";
import { type Vector, vectors, signingKey } from "./vectors.js";

const DAY = 24n * 3_600_000n;
const HOUR = 3_600_000n;
const MINUTE = 60_000n;

const ekput = vectors("calls").find(({ name }) => name === "ekput");
const statements = new Map<string, Vector>(vectors("statements").map((vector) => [vector.name, vector]));
const ekack = signed(statements.get("ekack"));
const cloudKey = signingKey(cast.cloud.signing_key);
const kept = signed(statements.get("ks of the hospital"));

async function put() {
  const { signing_key: scalar, encryption_key_statement: statement } = cast.parties.hospital;
  const { address } = fromBinary(EncryptionKeyRenewalSchema, fromHex(ekput.plaintext));
  return renew(signed(statement), signingKey(scalar), cloud, now, address);
}

test("ekput is the vector's: what is sealed, what is in clear, what is signed", async () => {
  const { opening } = await put();
  const plaintext = await opened(opening.sealed!, decryptionKey(cast.cloud), ekput.seal.info);
  assert.equal(hex(plaintext), ekput.plaintext);
  const expected: SealedOpening = fromBinary(SealedOpeningSchema, fromHex(ekput.message));
  assert.equal(opening.sealed!.length, expected.sealed!.length);
  assert.equal(hex(toBinary(SealedOpeningSchema, { ...opening, sealed: expected.sealed! })), ekput.message);
  const covered = renewalTranscript(fromBinary(EncryptionKeyRenewalSchema, plaintext), cloud.owner);
  assert.equal(hex(covered), ekput.signed.transcript);
  assert.ok(isSignature(fromHex(ekput.signed.verifying_key), fromHex(ekput.signed.signature), covered));
});

test("ekput of a patient or a doctor has no address", async () => {
  const { signing_key: scalar, encryption_key_statement: statement } = cast.parties.patient;
  const key = signingKey(scalar);
  const { opening } = await renew(signed(statement), key, cloud, now);
  const plaintext = await opened(opening.sealed!, decryptionKey(cast.cloud), ekput.seal.info);
  const renewal = fromBinary(EncryptionKeyRenewalSchema, plaintext);
  assert.equal(renewal.address, undefined);
  assert.ok(isSignature(key.publicKey, renewal.signature!, renewalTranscript(renewal, cloud.owner)));
});

test("ekack of the vectors is taken", async () => {
  const { awaiting } = await put();
  const { receipt, keyStatement } = awaiting.receive(answer(ekack), kept, verifier, now);
  assert.equal(receipt.doneAt, now);
  assert.equal(keyStatement, undefined);
});

test("a key statement that a later PRK_C signed anew is taken with ekack", async () => {
  const { awaiting } = await put();
  const anew = await restated();
  assert.notDeepEqual(anew, kept);
  assert.deepEqual(awaiting.receive(answer(ekack, anew), kept, verifier, now).keyStatement, anew);
});

test("every answer that is not the receipt for this key, by the cloud, is refused", async () => {
  const { awaiting } = await put();
  const receipt = peekStatement(RenewalReceiptSchema, ekack);
  const retired = signingKey(cast.cloud.retired_signing_key);
  const forOther = { ...receipt, keyId: new Uint8Array(16) };
  const answers: [string, SignedStatement | undefined, SignedStatement?][] = [
    ["MISSING_FIELD", undefined],
    ["SIGNATURE_INVALID", { ...ekack, signature: new Uint8Array(64) }],
    ["SIGNATURE_INVALID", await signStatement("puback", RenewalReceiptSchema, receipt, cloudKey)],
    ["SIGNATURE_INVALID", await signStatement("ekack", RenewalReceiptSchema, receipt, retired)],
    ["ANSWER_MISMATCH", await signStatement("ekack", RenewalReceiptSchema, forOther, cloudKey)],
    ["SIGNATURE_INVALID", ekack, { ...kept, signature: new Uint8Array(64) }],
    ["CREDENTIAL_INVALID", ekack, signed(statements.get("ks of the doctor"))],
    ["CREDENTIAL_INVALID", ekack, otherCredential()],
  ];
  for (const [reason, receipt, statement] of answers) {
    const take = () => awaiting.receive(answer(receipt, statement), kept, verifier, now);
    assert.throws(take, (error) => preciseReason(error) === reason, reason);
  }
});

test("a key statement is asked for anew when the PRK_C behind it has fallen, and not before", () => {
  const { statedAt } = peekStatement(KeyStatementSchema, kept);
  assert.equal(restatementDue(kept, bundle), false);
  const at = bundle.cloudKeys.at(statedAt!)!;
  for (const mark of ["taintedAt", "revokedAt"] as const) {
    at[mark] = now;
    assert.equal(restatementDue(kept, bundle), true, mark);
    at[mark] = undefined;
  }
});

test("an epoch is made and kept first, announced when it is acknowledged, and destroyed after its end", async (context) => {
  const { home, reopened } = await madeHome(context);
  const first = home.epoch!;
  assert.equal(first.notAfter, now + 7n * DAY);
  assert.equal(home.isEpochDue(now + 6n * DAY - 1n), false);
  assert.equal(home.isEpochDue(now + 6n * DAY), true);

  const begun = await home.beginEpoch(now + DAY);
  assert.deepEqual(home.epoch!.keyId, first.keyId);
  const crashed = reopened();
  assert.deepEqual(crashed.epoch!.keyId, first.keyId);
  assert.deepEqual((await crashed.beginEpoch(now + DAY + HOUR)).keyId, begun.keyId);

  crashed.renewed(crashed.keys.epochs.at(-1)!, { receipt: create(RenewalReceiptSchema) });
  const renewed = reopened();
  assert.deepEqual(renewed.epoch!.keyId, begun.keyId);
  assert.equal(renewed.keys.epochs.length, 2);
  renewed.sweep(first.notAfter + 5n * MINUTE - 1n);
  assert.equal(renewed.keys.epochs.length, 2);
  renewed.sweep(first.notAfter + 5n * MINUTE);
  assert.deepEqual(
    reopened().keys.epochs.map(({ keyId }) => hex(keyId)),
    [hex(begun.keyId)],
  );
});

test("an epoch that was never acknowledged is given up when it is due itself", async (context) => {
  const { home } = await madeHome(context);
  const begun = await home.beginEpoch(now);
  assert.ok(isDue(begun, now + 6n * DAY));
  const other = await home.beginEpoch(now + 6n * DAY);
  assert.notDeepEqual(other.keyId, begun.keyId);
  assert.equal(isOver(begun, begun.notAfter), false);
});

test("who was away for longer than an epoch has none, and begins another", async (context) => {
  const { home, reopened } = await madeHome(context);
  const later = now + 30n * DAY;
  assert.equal(home.holdsEpoch(now), true);
  assert.equal(home.holdsEpoch(home.epoch!.notAfter), false);
  home.sweep(later);
  assert.equal(reopened().epoch, undefined);
  assert.equal(home.isEpochDue(later), true);
  assert.equal((await home.epochToRegister(later)).notAfter, later + 7n * DAY);
  assert.deepEqual(reopened().epoch!.keyId, home.epoch!.keyId);
});

test("two commands of one party at a time don't lose each other's epochs", async (context) => {
  const { home, reopened } = await madeHome(context);
  const other = reopened();
  const [mine, theirs] = [await home.beginEpoch(now), await other.beginEpoch(now)];
  const ids = reopened().keys.epochs.map(({ keyId }) => hex(keyId));
  assert.deepEqual(ids.slice(1), [hex(mine.keyId), hex(theirs.keyId)]);
});

function answer(receipt: SignedStatement | undefined, keyStatement?: SignedStatement) {
  return create(PutEncryptionKeyResponseSchema, { receipt, keyStatement });
}

/** The hospital's KS as the cloud states it later. */
function restated(): Promise<SignedStatement> {
  const statement = peekStatement(KeyStatementSchema, kept);
  return signStatement("ks", KeyStatementSchema, { ...statement, statedAt: now + 1n }, cloudKey);
}

/** The KS of another registration of the same hospital. */
function otherCredential(): SignedStatement {
  const { plaintext } = vectors("registration").find(({ name }) => name === "reg2-hospital-again")!;
  return fromBinary(RegistrationAnswerSchema, fromHex(plaintext)).keyStatement!;
}
