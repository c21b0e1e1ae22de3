/** The lowest layers: transcripts, points, issuing, full point, schedule, HPKE, derivations, statements, bundles. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { create, createRegistry, type DescMessage } from "@bufbuild/protobuf";
import { file_federation_v1_directory, MedicalAuthoritySchema } from "../src/gen/federation/v1/directory_pb.js";
import { file_federation_v1_membership } from "../src/gen/federation/v1/membership_pb.js";
import { file_federation_v1_publication } from "../src/gen/federation/v1/publication_pb.js";
import { file_federation_v1_record } from "../src/gen/federation/v1/record_pb.js";
import {
  CrlPinSchema,
  file_federation_v1_statement,
  SignedStatementSchema,
} from "../src/gen/federation/v1/statement_pb.js";
import { softwareSecret } from "../src/keys/keys.js";
import { follow, pin, type TrustedBundle } from "../src/protocol/bundle.js";
import { concat, fromHex, hex, hkdf, hmacSha256, sha256 } from "../src/protocol/bytes.js";
import {
  publicPoint,
  requireReceivedPoint,
  scalar,
  tokenForm,
  uCoordinate,
  recoverPoint,
} from "../src/protocol/group.js";
import { DecryptionKey, seal, softwareX25519 } from "../src/protocol/hpke.js";
import { verifyCertificate } from "../src/protocol/certificate.js";
import { readCrl } from "../src/protocol/crl.js";
import { paddedSize } from "../src/protocol/frames.js";
import type { Lists } from "../src/protocol/lists.js";
import { preciseReason } from "../src/protocol/refusal.js";
import { parse } from "../src/protocol/rules.js";
import { derive } from "../src/protocol/handshake.js";
import { ofSearch, ofSession } from "../src/protocol/outcomes.js";
import { SessionOutcomeSchema } from "../src/gen/federation/v1/record_pb.js";
import { SearchOutcomeSchema } from "../src/gen/federation/v1/search_pb.js";
import type { DescEnum } from "@bufbuild/protobuf";
import { isSignature, openStatement } from "../src/protocol/statements.js";
import { statementDigest, transcript } from "../src/protocol/transcript.js";
import { credentialTranscript } from "../src/protocol/verifier.js";
import { load, type Vector, vectors } from "./vectors.js";

function outcome(step: () => unknown): string {
  try {
    step();
    return "success";
  } catch (error) {
    return preciseReason(error);
  }
}

test("transcripts", () => {
  const all = vectors("transcript");
  for (const vector of all) {
    const made = transcript(vector.label, ...vector.fields.map(fromHex));
    assert.equal(hex(made), vector.transcript);
    assert.equal(hex(sha256(made)), vector.sha256);
  }
  assert.ok(all.length > 5);
});

test("points that may be received, and points that may not", () => {
  const all = vectors("points");
  for (const vector of all)
    assert.equal(
      outcome(() => requireReceivedPoint(fromHex(vector.point))),
      vector.expect,
      vector.name,
    );
  assert.ok(all.some((vector) => vector.expect !== "success"));
});

test("issuing: U_X, h, the form for a token, eq. 4, 7, 10, K_X", async () => {
  const all = vectors("issuing");
  for (const vector of all) {
    const signed = credentialTranscript(fromHex(vector.credential));
    assert.equal(hex(signed), vector.transcript);
    const issuer = fromHex(vector.issuer_public_key);
    const point = publicPoint(fromHex(vector.registration_point), issuer, signed);
    assert.equal(hex(point), vector.public_point);
    assert.ok(isSignature(issuer, fromHex(vector.registration_point + vector.registration_secret), signed));
    const secret = fromHex(vector.registration_secret);
    assert.equal(hex(tokenForm(secret)), vector.token_form);
    const derived = await softwareSecret(secret, point).derive(issuer);
    const info = transcript("shared", Buffer.from(vector.identity), fromHex(vector.serial));
    assert.equal(hex(hkdf(derived, info, 32)), vector.shared_key);
  }
  assert.ok(all.length >= 3);
});

test("the full point out of two derives of a token", async () => {
  const all = vectors("full_point");
  for (const vector of all) {
    const own = fromHex(vector.public_point);
    assert.equal(hex(recoverPoint(fromHex(vector.u1), fromHex(vector.u2), own)), vector.result);
    const secret = softwareSecret(fromHex(vector.registration_secret), own);
    assert.equal(hex(await secret.agree(fromHex(vector.point))), vector.result);
    const other = fromHex(vector.u1);
    assert.throws(() => recoverPoint(other, other, own));
    assert.equal(hex(uCoordinate(fromHex(vector.result))), vector.u1);
  }
  assert.ok(all.length > 3);
});

test("both key schedules", () => {
  const all = vectors("schedule");
  for (const vector of all) {
    const hash = transcript(vector.transcript_hash.label, ...vector.transcript_hash.fields.map(fromHex));
    assert.equal(hex(sha256(hash)), vector.transcript_hash.value);
    const contributions = vector.contributions.map(fromHex);
    const keys = derive([fromHex(vector.K), fromHex(vector.Z)], contributions, sha256(hash), vector.roles);
    const [opener, answerer] = vector.roles;
    assert.equal(hex(keys.forward.key), vector.keys[`k_${opener}>${answerer}`]);
    assert.equal(hex(keys.backward.key), vector.keys[`k_${answerer}>${opener}`]);
    assert.equal(hex(keys.forward.iv), vector.keys[`iv_${opener}>${answerer}`]);
    assert.equal(hex(keys.backward.iv), vector.keys[`iv_${answerer}>${opener}`]);
    assert.equal(hex(keys.keyConfirmation), vector.keys[`kc_${answerer}`]);
    assert.ok(scalar(fromHex(vector.opener_scalar)) > 0n);
  }
  assert.equal(all.length, 2);
});

test("HPKE: opening, and what is sealed opens", async () => {
  const all = vectors("hpke");
  for (const vector of all) {
    const key = new DecryptionKey(fromHex(vector.mlkem_seed), softwareX25519(fromHex(vector.x25519_private_key)));
    assert.equal(hex(key.encryptionKey), vector.encryption_key);
    assert.equal(hex(key.keyId), vector.key_id);
    const info = fromHex(vector.info);
    assert.equal(hex(await key.open(fromHex(vector.sealed), info)), vector.plaintext);
    const again = await seal(key.encryptionKey, fromHex(vector.plaintext), info);
    assert.equal(hex(await key.open(again, info)), vector.plaintext);
    await assert.rejects(key.open(again, concat(info, info)), { reason: "SEAL_INVALID" });
  }
  assert.ok(all.length > 0);
});

test("hashes, HMACs and HKDFs of a transcript", () => {
  const all = vectors("derived");
  for (const vector of all) {
    const made = transcript(vector.label, ...vector.fields.map(fromHex));
    assert.equal(hex(made), vector.transcript, vector.name);
    assert.equal(hex(derived(vector, made)), vector.value, vector.name);
  }
  assert.ok(all.length > 10);
});

function derived(vector: Vector, made: Uint8Array): Uint8Array {
  if (vector.kind === "sha256") return sha256(made);
  if (vector.kind === "hmac-sha256") return hmacSha256(fromHex(vector.key), made);
  assert.equal(vector.kind, "hkdf-sha256");
  return hkdf(fromHex(vector.fuzzy_key + vector.device_secret), made, vector.value.length / 2);
}

test("every kind of statement", () => {
  const files = [file_federation_v1_directory, file_federation_v1_membership, file_federation_v1_publication];
  const registry = createRegistry(...files, file_federation_v1_record, file_federation_v1_statement);
  const all = vectors("statements");
  for (const vector of all) {
    const schema = registry.getMessage(vector.message_type) as DescMessage;
    const signed = create(SignedStatementSchema, {
      statement: fromHex(vector.statement),
      signature: fromHex(vector.signature),
    });
    assert.equal(hex(transcript(vector.label, signed.statement!)), vector.transcript);
    assert.equal(hex(statementDigest(vector.label, signed)), vector.digest);
    openStatement(vector.label, schema, signed, fromHex(vector.verifying_key));
    assert.throws(() => openStatement("other", schema, signed, fromHex(vector.verifying_key)), {
      reason: "SIGNATURE_INVALID",
    });
  }
  assert.ok(all.length > 10);
});

test("padded(n)", () => {
  const all = vectors("padding");
  for (const { size, padded } of all) assert.equal(paddedSize(size), padded, `${size}`);
  assert.ok(all.length > 20);
});

test("addresses, scopes and times that have their form, and that have not", () => {
  const registry = createRegistry(
    file_federation_v1_directory,
    file_federation_v1_membership,
    file_federation_v1_record,
  );
  const all = vectors("forms");
  for (const vector of all) {
    const schema = registry.getMessage(vector.message_type) as DescMessage;
    assert.equal(
      outcome(() => parse(schema, fromHex(vector.message))),
      vector.expect,
      vector.name,
    );
  }
  assert.ok(all.filter((vector) => vector.expect === "FIELD_INVALID").length > 50);
});

test("Cert_D, its authority's scope, and the CRLs that count", async () => {
  const all = vectors("certificates");
  for (const vector of all) {
    const certificate = fromHex(vector.authority_certificate);
    const authority = create(MedicalAuthoritySchema, { certificate, doctorIds: vector.doctor_ids });
    const crls = vector.pins.map((pin: Vector) =>
      create(CrlPinSchema, {
        certificateDigest: fromHex(pin.certificate_digest),
        number: fromHex(pin.number),
        digest: fromHex(pin.digest),
      }),
    );
    const lists = { crls: vector.crls.map(fromHex).map(readCrl), revocations: { crls } } as unknown as Lists;
    const owner = { identity: vector.doctor_id, verifyingKey: fromHex(vector.verifying_key) };
    const verified = verifyCertificate(fromHex(vector.certificate), [authority], lists, owner, BigInt(vector.now));
    assert.equal(await verified.then(() => "success", preciseReason), vector.expect, vector.name);
  }
  assert.ok(all.filter((vector) => vector.expect !== "success").length > 10);
});

test("the chain of trust bundles, and successors that nobody may follow", () => {
  const cast = load("parties");
  const read = (entry: Vector) =>
    create(SignedStatementSchema, { statement: fromHex(entry.statement), signature: fromHex(entry.signature) });
  const chain: TrustedBundle[] = [];
  for (const bundle of cast.trust_bundles)
    chain.push(chain.length === 0 ? pin(read(bundle)) : follow(chain.at(-1)!, read(bundle)));
  const all = vectors("bundles");
  for (const vector of all) {
    const take = () =>
      vector.follows === 0
        ? pin(read(vector), fromHex(vector.digest))
        : follow(chain[vector.follows - 1]!, read(vector));
    assert.equal(outcome(take), vector.expect, vector.name);
  }
  assert.ok(all.filter((vector) => vector.expect !== "success").length > 5);
});

test("every outcome of a search and of a session has its row", () => {
  const rows: [DescEnum, (value: number) => { name: string }][] = [
    [SearchOutcomeSchema, ofSearch],
    [SessionOutcomeSchema, ofSession],
  ];
  for (const [schema, rowOf] of rows) {
    for (const { localName, number } of schema.values) {
      const expected = number === 0 ? "unknown" : localName.toLowerCase().replaceAll("_", "-");
      assert.equal(rowOf(number).name, expected, `${schema.typeName} ${localName}`);
    }
  }
});
