/**
 * The lowest layers: transcripts, points, signatures, agreement, issuing, schedule, HPKE, seals at rest, derivations,
 * statements, bundles.
 */

import assert from "node:assert/strict";
import { createDecipheriv, createECDH } from "node:crypto";
import { test } from "node:test";
import { shake256 } from "@noble/hashes/sha3.js";
import { ml_kem768_p256 } from "@noble/post-quantum/hybrid.js";
import { create, createRegistry, type DescMessage } from "@bufbuild/protobuf";
import { file_federation_v1_directory, MedicalAuthoritySchema } from "../src/gen/federation/v1/directory_pb.js";
import { file_federation_v1_membership } from "../src/gen/federation/v1/membership_pb.js";
import { file_federation_v1_publication } from "../src/gen/federation/v1/publication_pb.js";
import { file_federation_v1_record } from "../src/gen/federation/v1/record_pb.js";
import {
  CrlPinSchema,
  file_federation_v1_statement,
  RevocationShardSchema,
  SignedStatementSchema,
  SweepSchema,
} from "../src/gen/federation/v1/statement_pb.js";
import { formatCode, parseCode } from "../src/client/code.js";
import { parseTicket } from "../src/client/enrolment.js";
import { requireConsistent } from "../src/keys/keys.js";
import { type Prf, sealAtRest, unsealAtRest } from "../src/keys/sealing.js";
import { softwareSigningKey } from "../src/keys/software.js";
import { agree, prfOf, SoftwareAgreement } from "../src/protocol/agreement.js";
import { follow, pin, type TrustedBundle } from "../src/protocol/bundle.js";
import { concat, EMPTY, fromHex, hex, hkdf, hmacSha256, sha256, text } from "../src/protocol/bytes.js";
import {
  compressed,
  credentialTranscript,
  CURVE,
  hashToCurve,
  ORDER,
  pointOver,
  publicPoint,
  requirePoint,
  requireRegistrationPoint,
  requireVerifyingKey,
  scalarFromSeed,
  xOf,
} from "../src/protocol/curve.js";
import { DecryptionKey, requireEncryptionKey, seal } from "../src/protocol/hpke.js";
import { verifyCertificate } from "../src/protocol/certificate.js";
import { readCrl } from "../src/protocol/crl.js";
import { paddedSize } from "../src/protocol/frames.js";
import type { Lists } from "../src/protocol/lists.js";
import { preciseReason, require } from "../src/protocol/refusal.js";
import { parse } from "../src/protocol/rules.js";
import { requireProven } from "../src/protocol/shards.js";
import { derive, type Shared } from "../src/protocol/handshake.js";
import { ofSearch, ofSession } from "../src/protocol/outcomes.js";
import { SessionOutcomeSchema } from "../src/gen/federation/v1/record_pb.js";
import { SearchOutcomeSchema } from "../src/gen/federation/v1/search_pb.js";
import type { DescEnum } from "@bufbuild/protobuf";
import { sharedKey } from "../src/protocol/party.js";
import { isEcdsa, isSignature, SigningKey } from "../src/protocol/signatures.js";
import { openStatement } from "../src/protocol/statements.js";
import { statementDigest, transcript } from "../src/protocol/transcript.js";
import type { VerifiedParty } from "../src/protocol/verifier.js";
import { load, type Vector, vectors, signingKey } from "./vectors.js";

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

test("points and keys that may be received, and those that may not", () => {
  const checks: Record<string, (value: Uint8Array) => void> = {
    KIND_POINT: requirePoint,
    KIND_REGISTRATION_POINT: requireRegistrationPoint,
  };
  const points = vectors("points");
  for (const { name, kind, point, expect } of points)
    assert.equal(
      outcome(() => checks[kind]!(fromHex(point))),
      expect,
      name,
    );
  const keys = vectors("verifying_keys");
  for (const { name, verifying_key: key, expect } of keys)
    assert.equal(
      outcome(() => requireVerifyingKey(fromHex(key))),
      expect,
      name,
    );
  for (const all of [points, keys]) assert.ok(all.some(({ expect }) => expect !== "success"));
});

test("signatures: made with RFC 6979's nonces, and whatever else is refused", async () => {
  const all = vectors("signatures");
  for (const vector of all) {
    const [key, message, signature] = [vector.verifying_key, vector.message, vector.signature].map(fromHex);
    assert.equal(isSignature(key!, signature!, message!), vector.expect === "success", vector.name);
    if (vector.private_key === undefined) continue;
    for (const own of [signingKey(vector.private_key), softwareSigningKey(fromHex(vector.private_key))]) {
      assert.equal(hex(own.publicKey), vector.verifying_key);
      assert.ok(isSignature(own.publicKey, await own.sign(message!), message!));
    }
    assert.equal(hex(await signingKey(vector.private_key).sign(message!)), vector.signature, vector.name);
  }
  assert.ok(all.filter(({ expect }) => expect !== "success").length > 10);
});

test("a key that signs wrongly has its signature withheld", async () => {
  const own = softwareSigningKey(fromHex(vectors("signatures")[0].private_key));
  const broken = new SigningKey({ publicKey: own.publicKey, sign: async () => new Uint8Array(64).fill(1) });
  await assert.rejects(broken.sign(text("message")), { reason: "KEY_INVALID" });
});

test("ECDSA of RFC 6979, A.2.5", async () => {
  const own = softwareSigningKey(fromHex("c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721"));
  const ux = "60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6";
  assert.equal(hex(own.publicKey), `03${ux}`);
  const known = {
    sample:
      "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716" +
      "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8",
    test:
      "f1abb023518351cd71d881567b1ea663ed3efcf6c5132b354f28d3b0b7d38367" +
      "019f4113742a2b14bd25926b49c649155f267e60d3814b4c0cc84250e46f0083",
  };
  for (const [message, signature] of Object.entries(known)) {
    assert.ok(isEcdsa(own.publicKey, fromHex(signature), text(message)));
    assert.ok(isEcdsa(own.publicKey, await own.signX509(text(message)), text(message)));
    assert.ok(!isEcdsa(own.publicKey, fromHex(signature), text("another")));
  }
});

test("agree, leading zeros of x kept", async () => {
  const all = vectors("agreement");
  for (const vector of all) {
    const key = new SoftwareAgreement(fromHex(vector.private_key));
    const peer = pointOver(fromHex(vector.point));
    assert.equal(hex(await key.exchange(peer)), vector.shared, vector.name);
    assert.equal(hex(await agree(key, peer, vector.label, ...vector.fields.map(fromHex))), vector.value, vector.name);
  }
  assert.ok(all.some(({ shared }) => shared.startsWith("00")));
  for (const scalar of [new Uint8Array(32), fromHex(ORDER.toString(16))])
    assert.throws(() => new SoftwareAgreement(scalar), { reason: "KEY_INVALID" });
});

test("scalars of 48 bytes: 1 + (the number mod n - 1)", () => {
  const number = (value: bigint) => fromHex(value.toString(16).padStart(96, "0"));
  const scalar = (value: bigint) => BigInt("0x" + hex(scalarFromSeed(number(value))));
  assert.equal(scalar(0n), 1n);
  assert.equal(scalar(ORDER - 2n), ORDER - 1n);
  assert.equal(scalar(ORDER - 1n), 1n);
  assert.equal(scalar(2n ** 384n - 1n), 1n + ((2n ** 384n - 1n) % (ORDER - 1n)));
});

test("hashing to the curve", () => {
  const all = vectors("hash_to_curve");
  for (const { name, message, tag, point } of all) {
    assert.equal(hex(hashToCurve(fromHex(message))), point, name);
    assert.equal(hex(hashToCurve(fromHex(message), fromHex(tag))), point, name);
  }
  assert.ok(all.length > 3);
});

test("hashing to the curve of RFC 9380, J.1.1", () => {
  const tag = text("QUUX-V01-CS02-with-P256_XMD:SHA-256_SSWU_RO_");
  const known = {
    "": "2c15230b26dbc6fc9a37051158c95b79656e17a1a920b11394ca91c44247d3e4",
    abc: "0bb8b87485551aa43ed54f009230450b492fead5f1cc91658775dac4a3388a0f",
    abcdef0123456789: "65038ac8f2b1def042a5df0b33b1f4eca6bff7cb0f9c6c1526811864e544ed80",
    ["q128_" + "q".repeat(128)]: "4be61ee205094282ba8a2042bcb48d88dfbb609301c49aa8b078533dc65a0b5d",
    ["a512_" + "a".repeat(512)]: "457ae2981f70ca85d8e24c308b14db22f3e3862c5ea0f652ca38b5e49cd64bc5",
  };
  for (const [message, x] of Object.entries(known)) assert.equal(hex(xOf(hashToCurve(text(message), tag))), x, message);
});

test("issuing: eq. 4, 7, 10, U_X, S_X R, K_X", async () => {
  const all = vectors("issuing");
  for (const vector of all) {
    const [issuer, credential, rho] = ["issuer_public_key", "credential", "registration_point"].map((name) =>
      fromHex(vector[name]),
    );
    const taken = () => {
      const secret = fromHex(vector.registration_secret ?? "");
      const holds = isEcdsa(issuer!, concat(rho!, secret), credentialTranscript(issuer!, credential!));
      require(holds || secret.length === 0, "CREDENTIAL_INVALID", "not issued");
      publicPoint(rho!, issuer!, credential!);
    };
    assert.equal(outcome(taken), vector.expect, vector.name);
    if (vector.expect !== "success") continue;
    assert.equal(hex(credentialTranscript(issuer!, credential!)), vector.transcript);
    const point = publicPoint(rho!, issuer!, credential!);
    assert.equal(hex(point), vector.public_point);
    const secret = new SoftwareAgreement(fromHex(vector.registration_secret));
    assert.deepEqual(await secret.exchange(pointOver(rho!)), xOf(point));
    const party = { identity: vector.identity, serial: fromHex(vector.serial) } as VerifiedParty;
    const made = { ...party, registrationPoint: rho!, publicPoint: point };
    await requireConsistent(secret, made);
    const another = new SoftwareAgreement(fromHex("1".padStart(64, "0")));
    await assert.rejects(requireConsistent(another, made), { reason: "CREDENTIAL_MISMATCH" });
    assert.equal(hex(await sharedKey(secret, party)), vector.shared_key);
  }
  assert.ok(all.filter(({ expect }) => expect !== "success").length > 5);
});

test("both key schedules", async () => {
  const all = vectors("schedule");
  for (const vector of all) {
    const hash = transcript(vector.transcript_hash.label, ...vector.transcript_hash.fields.map(fromHex));
    assert.equal(hex(sha256(hash)), vector.transcript_hash.value);
    const contributions = vector.contributions.map(fromHex);
    const shared = [vector.K1, vector.K2, vector.Z].map(fromHex) as unknown as Shared;
    const keys = derive(shared, contributions, sha256(hash), vector.roles);
    const [opener, answerer] = vector.roles;
    assert.equal(hex(keys.forward.key), vector.keys[`k_${opener}>${answerer}`]);
    assert.equal(hex(keys.backward.key), vector.keys[`k_${answerer}>${opener}`]);
    assert.equal(hex(keys.forward.iv), vector.keys[`iv_${opener}>${answerer}`]);
    assert.equal(hex(keys.backward.iv), vector.keys[`iv_${answerer}>${opener}`]);
    assert.equal(hex(keys.keyConfirmation), vector.keys[`kc_${answerer}`]);
    const ephemeral = new SoftwareAgreement(fromHex(vector.opener_ephemeral_scalar));
    assert.equal(hex(xOf(ephemeral.publicKey)), vector.opener_ephemeral_point);
    assert.equal(hex(await ephemeral.exchange(pointOver(fromHex(vector.answerer_ephemeral_point)))), vector.Z);
  }
  assert.equal(all.length, 2);
});

test("HPKE: opening, what does not open, and what is sealed opens", async () => {
  const all = vectors("hpke");
  for (const vector of all) {
    const half = new SoftwareAgreement(fromHex(vector.p256_private_key));
    const key = new DecryptionKey(fromHex(vector.mlkem_seed), half);
    assert.equal(hex(key.encryptionKey), vector.encryption_key);
    assert.equal(hex(key.keyId), vector.key_id);
    const info = fromHex(vector.info);
    const opened = key.open(fromHex(vector.sealed), info);
    assert.equal(await opened.then(() => "success", preciseReason), vector.expect, vector.name);
    if (vector.expect !== "success") continue;
    assert.equal(hex(await opened), vector.plaintext);
    const again = await seal(key.encryptionKey, fromHex(vector.plaintext), info);
    assert.equal(hex(await key.open(again, info)), vector.plaintext);
    await assert.rejects(key.open(again, concat(info, info)), { reason: "SEAL_INVALID" });
  }
  assert.ok(all.filter(({ expect }) => expect !== "success").length > 10);
});

test("what is sealed opens by noble's own MLKEM768-P256 and RFC 9180's text", async () => {
  const seed = new Uint8Array(32).fill(5);
  const expanded = shake256(seed, { dkLen: 96 });
  const key = new DecryptionKey(expanded.subarray(0, 64), new SoftwareAgreement(expanded.subarray(64)));
  const { publicKey, secretKey } = ml_kem768_p256.keygen(seed);
  assert.deepEqual(publicKey, key.encryptionKey);
  const sealed = await seal(publicKey, text("plaintext"), text("info"));
  const { cipherText: size } = ml_kem768_p256.lengths;
  const secret = ml_kem768_p256.decapsulate(sealed.subarray(0, size), secretKey);
  const [aead, nonce] = scheduled(secret, text("info"));
  const opening = createDecipheriv("aes-256-gcm", aead, nonce).setAuthTag(sealed.subarray(-16));
  const plaintext = concat(opening.update(sealed.subarray(size, -16)), opening.final());
  assert.deepEqual(plaintext, text("plaintext"));
});

/** Key and nonce of base mode (RFC 9180, 5.1). */
function scheduled(secret: Uint8Array, info: Uint8Array): [Uint8Array, Uint8Array] {
  const suite = concat(text("HPKE"), Uint8Array.of(0, 0x50, 0, 1, 0, 2));
  const extract = (salt: Uint8Array, label: string, material: Uint8Array) =>
    hmacSha256(salt, concat(text("HPKE-v1"), suite, text(label), material));
  const context = concat(Uint8Array.of(0), extract(EMPTY, "psk_id_hash", EMPTY), extract(EMPTY, "info_hash", info));
  const key = extract(secret, "secret", EMPTY);
  const expand = (label: string, size: number) =>
    hmacSha256(key, concat(Uint8Array.of(0, size), text("HPKE-v1"), suite, text(label), context, Uint8Array.of(1)));
  return [expand("key", 32), expand("base_nonce", 12).subarray(0, 12)];
}

test("nothing is sealed to a P-256 half that is not an uncompressed point, nor to an ML-KEM half that is none", () => {
  const key = fromHex(vectors("hpke")[0].encryption_key);
  requireEncryptionKey(key);
  const bent = (change: (key: Uint8Array) => void) => {
    const copy = key.slice();
    change(copy);
    return copy;
  };
  const wrong = [
    bent((copy) => (copy[copy.length - 1]! ^= 1)),
    bent((copy) => (copy[1184] = 6 + (copy.at(-1)! & 1))),
    bent((copy) => copy.fill(0, 1184)),
    bent((copy) => copy.fill(255, 0, 3)),
    concat(key.subarray(0, 1184), compressed(key.subarray(1184))),
  ];
  for (const one of wrong) assert.throws(() => requireEncryptionKey(one), { reason: "CREDENTIAL_INVALID" });
});

test("seals at rest", () => {
  const all = vectors("sealing");
  for (const vector of all) {
    const [key, place, sealed] = [vector.key, vector.associated_data, vector.sealed].map(fromHex);
    const prf: Prf = vector.kind === "agree" ? agreed(key!) : (message) => hmacSha256(key!, message);
    const open = () => unsealAtRest(prf, vector.purpose, sealed!, place!);
    assert.equal(outcome(open), vector.expect, vector.name);
    if (vector.expect !== "success") continue;
    assert.equal(hex(open()), vector.plaintext);
    const [plaintext, fresh] = [vector.plaintext, vector.batch + vector.salt].map(fromHex);
    const made = sealAtRest(prf, vector.purpose, vector.generation, plaintext!, place!, fresh!);
    assert.equal(hex(made), vector.sealed, vector.name);
  }
  assert.ok(all.filter(({ expect }) => expect !== "success").length > 10);
});

/** PRF of a person's key in memory. */
function agreed(scalar: Uint8Array): Prf {
  const ecdh = createECDH(CURVE);
  ecdh.setPrivateKey(scalar);
  return (message) => prfOf(new Uint8Array(ecdh.computeSecret(hashToCurve(message))), message);
}

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

test("tickets and codes as they are typed, and what is mistyped", () => {
  const all = vectors("typed");
  for (const vector of all) {
    const said = outcome(() => {
      if (vector.kind === "ticket") assert.equal(hex(parseTicket(vector.text)), vector.ticket, vector.name);
      else {
        const code = parseCode(vector.text);
        assert.equal(formatCode(code), vector.text.trim());
        assert.deepEqual(
          [code.address, code.hospitalId, hex(code.roomId), hex(code.digest)],
          [vector.address, vector.hospital_id, vector.room_id, vector.digest],
        );
      }
    });
    assert.equal(said, vector.expect, vector.name);
  }
  for (const reason of ["TICKET_INVALID", "CODE_INVALID"])
    assert.ok(all.filter((vector) => vector.expect === reason).length > 10, reason);
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
    const lists = { crls: vector.crls.map(fromHex).map(readCrl), head: { crls } } as unknown as Lists;
    const owner = { identity: vector.doctor_id, verifyingKey: fromHex(vector.verifying_key) };
    const verified = verifyCertificate(fromHex(vector.certificate), [authority], lists, owner, BigInt(vector.now));
    assert.equal(await verified.then(() => "success", preciseReason), vector.expect, vector.name);
  }
  assert.ok(all.filter((vector) => vector.expect !== "success").length > 10);
});

test("shards of the revocation list, and what is none of the head's", () => {
  const all = vectors("revocations").filter(({ kind }) => kind === "shard"); // a hospital follows changes
  for (const vector of all) {
    const { prefix } = vector;
    const sweeps = vector.sweeps.map((one: Vector) =>
      create(SweepSchema, { patientDigest: fromHex(one.patient_digest), before: BigInt(one.before) }),
    );
    const [entries, path] = [vector.entries, vector.path].map((list: string[]) => list.map(fromHex));
    const shard = create(RevocationShardSchema, { prefix, entries, sweeps, path });
    assert.equal(
      outcome(() => requireProven(shard, fromHex(vector.root))),
      vector.expect,
      vector.name,
    );
  }
  assert.ok(all.filter(({ expect }) => expect === "REVOCATION_SHARD_INVALID").length > 10);
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
