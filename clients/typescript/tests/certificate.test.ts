/** Cert_D and the CRLs of its authority: what stands for all that an authority has revoked, and whom it may certify. */

import assert from "node:assert/strict";
import type { webcrypto } from "node:crypto";
import { before, test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { certificateIn } from "../src/client/enrolment.js";
import { MedicalAuthoritySchema } from "../src/gen/federation/v1/directory_pb.js";
import { CrlPinSchema, RevocationListSchema } from "../src/gen/federation/v1/statement_pb.js";
import { concat, fromHex, sha256 } from "../src/protocol/bytes.js";
import { verifyCertificate } from "../src/protocol/certificate.js";
import { readCrl } from "../src/protocol/crl.js";
import type { Lists } from "../src/protocol/lists.js";
import * as x509 from "../src/protocol/x509.js";

type CryptoKeyPair = webcrypto.CryptoKeyPair;

const HOUR = 3_600_000;
const NOW = Date.UTC(2026, 0, 1);
const NUMBER = "2.5.29.20";
const DELTA_INDICATOR = "2.5.29.27";
const DISTRIBUTION_POINT = "2.5.29.28";
const SERIAL = "77";
const EVERYBODY = ["D:*"];

let authority: x509.X509Certificate;
let authorityKeys: CryptoKeyPair;
let doctorKeys: CryptoKeyPair;
let verifyingKey: Uint8Array;

function keyPair(): Promise<CryptoKeyPair> {
  return crypto.subtle.generateKey("Ed25519", true, ["sign", "verify"]) as Promise<CryptoKeyPair>;
}

function validity(begin = -HOUR, end = HOUR) {
  return { notBefore: new Date(NOW + begin), notAfter: new Date(NOW + end) };
}

async function madeAuthority(keys: CryptoKeyPair, end = HOUR): Promise<x509.X509Certificate> {
  return x509.X509CertificateGenerator.createSelfSigned({
    name: "CN=M:chamber",
    ...validity(-HOUR, end),
    keys,
    signingAlgorithm: { name: "Ed25519" },
    extensions: [new x509.BasicConstraintsExtension(true, undefined, true)],
  });
}

before(async () => {
  [authorityKeys, doctorKeys] = [await keyPair(), await keyPair()];
  authority = await madeAuthority(authorityKeys);
  verifyingKey = new Uint8Array(await crypto.subtle.exportKey("raw", doctorKeys.publicKey));
});

async function doctor(...more: x509.Extension[]): Promise<Uint8Array> {
  const certificate = await x509.X509CertificateGenerator.create({
    subject: "CN=D:rossi",
    issuer: authority.subject,
    serialNumber: SERIAL,
    ...validity(),
    publicKey: doctorKeys.publicKey,
    signingKey: authorityKeys.privateKey,
    signingAlgorithm: { name: "Ed25519" },
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.SubjectAlternativeNameExtension([{ type: "url", value: "urn:medunion:D:rossi" }]),
      ...more,
    ],
  });
  return new Uint8Array(certificate.rawData);
}

interface Made {
  readonly number?: string | undefined;
  readonly entries?: x509.X509CrlCreateParams["entries"];
  readonly extensions?: x509.Extension[];
  readonly keys?: CryptoKeyPair;
  readonly thisUpdate?: number;
  readonly nextUpdate?: number;
}

/** A CRL; `number` is the DER of its CRLNumber, hex. */
async function crl(made: Made): Promise<Uint8Array> {
  const { number, entries = [], extensions = [], keys = authorityKeys, thisUpdate = -1_000, nextUpdate = HOUR } = made;
  const numbered = number === undefined ? [] : [new x509.Extension(NUMBER, false, fromHex(number))];
  const list = await x509.X509CrlGenerator.create({
    issuer: authority.subject,
    thisUpdate: new Date(NOW + thisUpdate),
    nextUpdate: new Date(NOW + nextUpdate),
    entries,
    extensions: [...numbered, ...extensions],
    signingKey: keys.privateKey,
    signingAlgorithm: { name: "Ed25519" },
  });
  return new Uint8Array(list.rawData);
}

function pinOf(number: string, der: Uint8Array, certificate = authority) {
  const certificateDigest = sha256(new Uint8Array(certificate.rawData));
  return create(CrlPinSchema, { certificateDigest, number: fromHex(number), digest: sha256(der) });
}

interface Trust {
  readonly crls: readonly Uint8Array[];
  readonly pins: ReturnType<typeof pinOf>[];
  readonly scope?: string[];
  readonly by?: x509.X509Certificate;
}

async function verified(der: Uint8Array, { crls, pins, scope = EVERYBODY, by = authority }: Trust): Promise<void> {
  const certificate = new Uint8Array(by.rawData);
  const trusted = create(MedicalAuthoritySchema, { authorityId: "M:chamber", certificate, doctorIds: scope });
  const revocations = create(RevocationListSchema, { crls: pins });
  const lists = { crls: crls.map(readCrl), revocations } as unknown as Lists;
  await verifyCertificate(der, [trusted], lists, { identity: "D:rossi", verifyingKey }, BigInt(NOW));
}

const FIVE = "020105";
const STALE = { reason: "REVOCATION_LIST_STALE" };
const REVOKED = { reason: "CERTIFICATE_REVOKED" };

test("a CRL that speaks of a part, or in words that are not understood, stands for nothing", async () => {
  const der = await doctor();
  const unknown = [new x509.Extension("1.2.3.4", true, fromHex("0500"))];
  const ofEntry = await crl({ number: FIVE });
  const parts: [string, Made][] = [
    ["a delta", { number: FIVE, extensions: [new x509.Extension(DELTA_INDICATOR, true, fromHex("020101"))] }],
    [
      "a delta's sign that is not critical",
      { number: FIVE, extensions: [new x509.Extension(DELTA_INDICATOR, false, fromHex("020101"))] },
    ],
    [
      "an IssuingDistributionPoint",
      { number: FIVE, extensions: [new x509.Extension(DISTRIBUTION_POINT, true, fromHex("3000"))] },
    ],
    [
      "one that is not critical",
      { number: FIVE, extensions: [new x509.Extension(DISTRIBUTION_POINT, false, fromHex("3000"))] },
    ],
    ["an unknown critical extension", { number: FIVE, extensions: unknown }],
    ["no number", {}],
    ["a negative number", { number: "0201ff" }],
    ["a number of 21 octets", { number: `0215${"01".repeat(21)}` }],
    ["a number that is none", { number: "0500" }],
    ["another key", { number: FIVE, keys: await keyPair() }],
    ["not yet", { number: FIVE, thisUpdate: 1_000 }],
    ["no longer", { number: FIVE, thisUpdate: -HOUR, nextUpdate: 0 }],
  ];
  for (const [name, made] of parts) {
    const list = await crl(made);
    await assert.rejects(verified(der, { crls: [list], pins: [pinOf("05", list)] }), STALE, name);
  }
  await verified(der, { crls: [ofEntry], pins: [pinOf("05", ofEntry)] });
  const known = await crl({ number: FIVE, extensions: [new x509.Extension("1.2.3.4", false, fromHex("0500"))] });
  await verified(der, { crls: [known], pins: [pinOf("05", known)] });
});

test("a CRL with an entry in words that are not understood stands for nothing", async () => {
  const der = await doctor();
  const entries = [{ serialNumber: "99", revocationDate: new Date(NOW - HOUR), extensions: [] }];
  const plain = await crl({ number: FIVE, entries });
  await verified(der, { crls: [plain], pins: [pinOf("05", plain)] });
  const issuer = new x509.Extension("2.5.29.29", true, fromHex("3000"));
  const indirect = await crl({ number: FIVE, entries: [{ ...entries[0]!, extensions: [issuer] }] });
  await assert.rejects(verified(der, { crls: [indirect], pins: [pinOf("05", indirect)] }), STALE);
});

test("yesterday's CRL counts for nothing beside its pin, and the highest number counts", async () => {
  const der = await doctor();
  const revoked = [{ serialNumber: SERIAL, revocationDate: new Date(NOW - HOUR) }];
  const yesterday = await crl({ number: FIVE });
  const today = await crl({ number: "020106", entries: revoked });
  const otherToday = await crl({ number: "020106", thisUpdate: -2_000 });
  const pins = [pinOf("06", today)];
  await assert.rejects(verified(der, { crls: [yesterday], pins }), STALE);
  await assert.rejects(verified(der, { crls: [otherToday], pins }), STALE);
  await assert.rejects(verified(der, { crls: [], pins }), STALE);
  for (const crls of [
    [yesterday, today],
    [today, yesterday],
    [otherToday, today],
  ])
    await assert.rejects(verified(der, { crls, pins }), REVOKED);
  const older = [pinOf("05", yesterday)];
  for (const crls of [
    [yesterday, today],
    [today, yesterday],
  ])
    await assert.rejects(verified(der, { crls, pins: older }), REVOKED);
  await verified(der, { crls: [yesterday], pins: older });
});

test("numbers are compared as numbers, however long; none pinned is 0", async () => {
  const der = await doctor();
  const long = await crl({ number: `0214${"7f".repeat(20)}` });
  await verified(der, { crls: [long], pins: [pinOf("ff", long)] });
  await assert.rejects(
    verified(der, { crls: [await crl({ number: "0201" + "7f" })], pins: [pinOf("0100", long)] }),
    STALE,
  );
  const zero = await crl({ number: "020100" });
  await verified(der, { crls: [zero], pins: [pinOf("", zero)] });
});

test("an authority whose CRL the list does not pin, or pins for another certificate, certifies nobody now", async () => {
  const der = await doctor();
  const list = await crl({ number: FIVE });
  await assert.rejects(verified(der, { crls: [list], pins: [] }), STALE);
  const other = await madeAuthority(await keyPair());
  await assert.rejects(verified(der, { crls: [list], pins: [pinOf("05", list, other)] }), STALE);
});

test("an authority certifies only whom its scope names; none names nobody", async () => {
  const der = await doctor();
  const list = await crl({ number: FIVE });
  const trust = { crls: [list], pins: [pinOf("05", list)] };
  for (const scope of [["D:rossi"], ["D:ro*"], ["D:li", "D:*"]]) await verified(der, { ...trust, scope });
  for (const scope of [[], ["D:ross"], ["D:rossi2"], ["D:rosso*"], ["D:rossi2*"]])
    await assert.rejects(verified(der, { ...trust, scope }), { reason: "CERTIFICATE_OUT_OF_SCOPE" }, scope.join());
});

test("an ExtendedKeyUsage that forbids is heeded, critical or not", async () => {
  const list = await crl({ number: FIVE });
  const trust = { crls: [list], pins: [pinOf("05", list)] };
  for (const critical of [true, false]) {
    for (const usage of ["2.5.29.37.0", "1.3.6.1.5.5.7.3.2", "1.3.6.1.5.5.7.3.36"])
      await verified(await doctor(new x509.ExtendedKeyUsageExtension([usage], critical)), trust);
    const server = await doctor(new x509.ExtendedKeyUsageExtension(["1.3.6.1.5.5.7.3.1"], critical));
    await assert.rejects(verified(server, trust), { reason: "CERTIFICATE_ILLEGAL" });
  }
});

test("an authority whose own certificate has ended certifies nobody", async () => {
  const ended = await madeAuthority(authorityKeys, -1);
  const list = await crl({ number: FIVE });
  const trust = { crls: [list], pins: [pinOf("05", list, ended)], by: ended };
  await assert.rejects(verified(await doctor(), trust), { reason: "CERTIFICATE_EXPIRED" });
});

test("a certificate or CRL on the wire is DER and nothing behind it", async () => {
  const [der, list] = [await doctor(), await crl({ number: FIVE })];
  const trust = { crls: [list], pins: [pinOf("05", list)] };
  const pem = new Uint8Array(Buffer.from(new x509.X509Certificate(der as never).toString("pem")));
  for (const other of [pem, concat(der, Uint8Array.of(0)), der.subarray(0, -1), new Uint8Array()])
    await assert.rejects(verified(other, trust), { reason: "CERTIFICATE_ILLEGAL" });
  assert.throws(() => readCrl(concat(list, Uint8Array.of(0))), { reason: "MALFORMED_MESSAGE" });
});

test("a file holds a certificate as DER or as PEM, whatever text stands before it", async () => {
  const der = await doctor();
  const pem = new x509.X509Certificate(der as never).toString("pem");
  const subject = "subject=CN = D:rossi\nBag Attributes: <No Attributes>\n";
  for (const text of [pem, subject + pem, `${subject}${pem.replaceAll("\n", "\r\n")}\r\n`, `\ufeff${pem}\nmore text\n`])
    assert.deepEqual(certificateIn(new Uint8Array(Buffer.from(text))), der);
  assert.deepEqual(certificateIn(der), der);
  const key = pem.replaceAll("CERTIFICATE", "PRIVATE KEY");
  for (const text of ["", "no certificate", key, pem.slice(0, 200), pem.replace("MI", "AB")])
    assert.throws(() => certificateIn(new Uint8Array(Buffer.from(text))), { reason: "CERTIFICATE_ILLEGAL" }, text);
});
