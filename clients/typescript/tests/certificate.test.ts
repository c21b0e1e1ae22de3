/** Cert_D and the CRLs of its authority, as far as the vectors don't try them; and a certificate in a file. */

import assert from "node:assert/strict";
import type { webcrypto } from "node:crypto";
import { before, test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { certificateIn, certificateRequest } from "../src/client/enrolment.js";
import { MedicalAuthoritySchema } from "../src/gen/federation/v1/directory_pb.js";
import { CrlPinSchema, RevocationHeadSchema } from "../src/gen/federation/v1/statement_pb.js";
import { concat, fromHex, sha256 } from "../src/protocol/bytes.js";
import { verifyCertificate } from "../src/protocol/certificate.js";
import { newestCrls, readCrl } from "../src/protocol/crl.js";
import { compressed } from "../src/protocol/curve.js";
import type { Lists } from "../src/protocol/lists.js";
import { softwareSigningKey } from "../src/keys/software.js";
import * as x509 from "../src/protocol/x509.js";

type CryptoKeyPair = webcrypto.CryptoKeyPair;

const HOUR = 3_600_000;
const NOW = Date.UTC(2026, 0, 1);
const NUMBER = "2.5.29.20";
const SERIAL = "77";
const ECDSA = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };

let authority: x509.X509Certificate;
let authorityKeys: CryptoKeyPair;
let doctorKeys: CryptoKeyPair;
let verifyingKey: Uint8Array;

function keyPair(): Promise<CryptoKeyPair> {
  return crypto.subtle.generateKey(ECDSA, true, ["sign", "verify"]) as Promise<CryptoKeyPair>;
}

function validity(begin = -HOUR, end = HOUR) {
  return { notBefore: new Date(NOW + begin), notAfter: new Date(NOW + end) };
}

async function madeAuthority(keys: CryptoKeyPair, end = HOUR): Promise<x509.X509Certificate> {
  return x509.X509CertificateGenerator.createSelfSigned({
    name: "CN=M:chamber",
    ...validity(-HOUR, end),
    keys,
    signingAlgorithm: ECDSA,
    extensions: [new x509.BasicConstraintsExtension(true, undefined, true)],
  });
}

before(async () => {
  [authorityKeys, doctorKeys] = [await keyPair(), await keyPair()];
  authority = await madeAuthority(authorityKeys);
  verifyingKey = compressed(new Uint8Array(await crypto.subtle.exportKey("raw", doctorKeys.publicKey)));
});

async function doctor(): Promise<Uint8Array> {
  const certificate = await x509.X509CertificateGenerator.create({
    subject: "CN=D:rossi",
    issuer: authority.subject,
    serialNumber: SERIAL,
    ...validity(),
    publicKey: doctorKeys.publicKey,
    signingKey: authorityKeys.privateKey,
    signingAlgorithm: ECDSA,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.SubjectAlternativeNameExtension([{ type: "url", value: "urn:medunion:D:rossi" }]),
    ],
  });
  return new Uint8Array(certificate.rawData);
}

interface Made {
  readonly number?: string | undefined;
  readonly extensions?: x509.Extension[];
}

/** A CRL; `number` is the DER of its CRLNumber, hex. */
async function crl(made: Made, keys = authorityKeys): Promise<Uint8Array> {
  const { number, extensions = [] } = made;
  const numbered = number === undefined ? [] : [new x509.Extension(NUMBER, false, fromHex(number))];
  const list = await x509.X509CrlGenerator.create({
    issuer: authority.subject,
    thisUpdate: new Date(NOW - HOUR),
    nextUpdate: new Date(NOW + HOUR),
    extensions: [...numbered, ...extensions],
    signingKey: keys.privateKey,
    signingAlgorithm: ECDSA,
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
  readonly by?: x509.X509Certificate;
}

async function verified(der: Uint8Array, { crls, pins, by = authority }: Trust): Promise<void> {
  const certificate = new Uint8Array(by.rawData);
  const trusted = create(MedicalAuthoritySchema, { authorityId: "M:chamber", certificate, doctorIds: ["D:*"] });
  const head = create(RevocationHeadSchema, { crls: pins });
  const lists = { crls: crls.map(readCrl), head } as unknown as Lists;
  await verifyCertificate(der, [trusted], lists, { identity: "D:rossi", verifyingKey }, BigInt(NOW));
}

const FIVE = "020105";
const STALE = { reason: "REVOCATION_LIST_STALE" };

test("a CRLNumber is one integer that is not negative, of 20 octets at most, and compared as such", async () => {
  const der = await doctor();
  for (const number of ["0201ff", `0215${"01".repeat(21)}`, "0500", "0200", "02020005ff"]) {
    const list = await crl({ number });
    await assert.rejects(verified(der, { crls: [list], pins: [pinOf("", list)] }), STALE, number);
  }
  const twice = await crl({ number: FIVE, extensions: [new x509.Extension(NUMBER, false, fromHex(FIVE))] });
  await assert.rejects(verified(der, { crls: [twice], pins: [pinOf("05", twice)] }), STALE);
  const long = await crl({ number: `0214${"7f".repeat(20)}` });
  await verified(der, { crls: [long], pins: [pinOf("ff", long)] });
  await assert.rejects(verified(der, { crls: [await crl({ number: "02017f" })], pins: [pinOf("0100", long)] }), STALE);
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

test("a relay's CRL leaves those of the other authorities at hand, and one that was made up displaces none", async () => {
  const [elsewhere, nobody] = [await keyPair(), await keyPair()];
  const authorities = [authority, await madeAuthority(elsewhere)];
  const kept = [await crl({ number: FIVE }), await crl({ number: FIVE }, elsewhere)];
  const pins = kept.map((der, index) => pinOf("05", der, authorities[index]));
  const [newer, forged] = [await crl({ number: "020106" }), await crl({ number: "020109" }, nobody)];
  assert.deepEqual(await newestCrls(authorities, [newer, ...kept].map(readCrl), pins), [newer, kept[1]]);
  assert.deepEqual(await newestCrls(authorities, [forged, ...kept].map(readCrl), pins), kept);
});

test("a certificate request names its doctor and key, and is signed as X.509 says", async () => {
  const key = softwareSigningKey(new Uint8Array(32).fill(7));
  const request = new x509.Pkcs10CertificateRequest((await certificateRequest("D:rossi", key)) as never);
  assert.ok(await request.verify());
  assert.equal(request.subject, "CN=D:rossi");
  const names = new x509.SubjectAlternativeNameExtension(request.getExtension("2.5.29.17")!.rawData).names.items;
  assert.deepEqual(
    names.map(({ type, value }) => [type, value]),
    [["url", "urn:medunion:D:rossi"]],
  );
  const { rawData } = request.publicKey;
  assert.deepEqual(compressed(new Uint8Array(rawData.slice(-65))), key.publicKey);
});
