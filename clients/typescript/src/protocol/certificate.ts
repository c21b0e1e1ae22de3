/** Cert_D: is it legal, is it this doctor's, does it still hold (B16; RFC 5280). */

import { ECParameters, id_ecPublicKey, id_secp256r1 } from "@peculiar/asn1-ecc";
import { AsnConvert } from "@peculiar/asn1-schema";
import { SubjectPublicKeyInfo } from "@peculiar/asn1-x509";
import type { MedicalAuthority } from "../gen/federation/v1/directory_pb.js";
import {
  BasicConstraintsExtension,
  ExtendedKeyUsageExtension,
  isOfSuite,
  isSequence,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  X509Certificate,
} from "./x509.js";
import { equal, type Instant } from "./bytes.js";
import { currentCrl } from "./crl.js";
import { compressed } from "./curve.js";
import { Refusal, require } from "./refusal.js";
import type { Lists } from "./lists.js";

const EXTENDED_KEY_USAGE = "2.5.29.37";
const UNDERSTOOD = new Set(["2.5.29.19", "2.5.29.15", "2.5.29.17", "2.5.29.35", EXTENDED_KEY_USAGE]);

/** anyExtendedKeyUsage, clientAuth, documentSigning (RFC 9336): what a doctor's key is for. */
const PURPOSES = ["2.5.29.37.0", "1.3.6.1.5.5.7.3.2", "1.3.6.1.5.5.7.3.36"];

/** Whose certificate it is to be. */
export interface Owner {
  readonly identity: string;
  readonly verifyingKey: Uint8Array;
}

/** The ID of the authority of a Cert_D that is legal: the federation's, within its scope, valid, not revoked, this doctor's and this key's. */
export async function verifyCertificate(
  der: Uint8Array,
  authorities: readonly MedicalAuthority[],
  lists: Lists,
  owner: Owner,
  now: Instant,
): Promise<string> {
  const certificate = readCertificate(der);
  const { authorityId, authority, scope } = await authorityOf(certificate, authorities);
  requireEndEntity(certificate);
  requirePurpose(certificate);
  const moment = new Date(Number(now));
  requireValid(certificate, moment);
  requireValid(authority, moment);
  const crl = await currentCrl(authority, lists.crls, lists.head.crls, moment);
  require(crl.findRevoked(certificate.serialNumber) === null, "CERTIFICATE_REVOKED", "Cert_D is revoked");
  requireOwner(certificate, owner);
  const named = scope.some((entry) => covers(entry, owner.identity));
  require(named, "CERTIFICATE_OUT_OF_SCOPE", "the authority of Cert_D may not certify this doctor");
  return authorityId;
}

/** Whether an entry of an authority's scope, an ID or the begin of IDs and `*`, names a doctor. */
function covers(entry: string, identity: string): boolean {
  return entry.endsWith("*") ? identity.startsWith(entry.slice(0, -1)) : identity === entry;
}

/** Read a certificate in DER. */
export function readCertificate(der: Uint8Array): X509Certificate {
  require(isSequence(der), "CERTIFICATE_ILLEGAL", "Cert_D is no DER");
  try {
    const certificate = new X509Certificate(der as never);
    void certificate.extensions; // read here: one that can't be read makes it none
    return certificate;
  } catch (error) {
    throw new Refusal("CERTIFICATE_ILLEGAL", "Cert_D is no X.509 certificate", { cause: error });
  }
}

/** The authority whose key signed Cert_D: while it changes keys, it stands twice under its name. */
async function authorityOf(
  certificate: X509Certificate,
  authorities: readonly MedicalAuthority[],
): Promise<{ authorityId: string; authority: X509Certificate; scope: readonly string[] }> {
  const named = authorities
    .map(({ authorityId, certificate: der, doctorIds: scope }) => ({
      authorityId: authorityId!,
      authority: readCertificate(der!),
      scope,
    }))
    .filter(({ authority }) => authority.subject === certificate.issuer);
  require(named.length > 0, "CERTIFICATE_ILLEGAL", "Cert_D comes from no medical authority of this federation");
  for (const one of named) {
    if (await isSignedBy(certificate, one.authority)) return one;
  }
  throw new Refusal("CERTIFICATE_ILLEGAL", "Cert_D is not signed by the authority that it names");
}

function requireEndEntity(certificate: X509Certificate): void {
  const constraints = certificate.getExtension(BasicConstraintsExtension);
  const usage = certificate.getExtension(KeyUsagesExtension);
  require(constraints !== null && usage !== null, "CERTIFICATE_ILLEGAL", "Cert_D lacks BasicConstraints or KeyUsage");
  const signs = !constraints.ca && (usage.usages & KeyUsageFlags.digitalSignature) !== 0;
  require(signs, "CERTIFICATE_ILLEGAL", "Cert_D is not a certificate for signatures");
  // What is critical and not understood must not be passed over (RFC 5280, 4.2).
  const understood = certificate.extensions.every((extension) => !extension.critical || UNDERSTOOD.has(extension.type));
  require(understood, "CERTIFICATE_ILLEGAL", "Cert_D has a critical extension that is not understood here");
}

/** An ExtendedKeyUsage that is there is heeded, critical or not (RFC 5280, 4.2.1.12). */
function requirePurpose(certificate: X509Certificate): void {
  if (!certificate.extensions.some(({ type }) => type === EXTENDED_KEY_USAGE)) return;
  const usages = certificate.getExtension(ExtendedKeyUsageExtension)?.usages ?? [];
  const fits = usages.some((usage) => PURPOSES.includes(String(usage)));
  require(fits, "CERTIFICATE_ILLEGAL", "Cert_D's ExtendedKeyUsage is for something else");
}

function requireValid(certificate: X509Certificate, moment: Date): void {
  const valid = certificate.notBefore <= moment && moment < certificate.notAfter;
  require(valid, "CERTIFICATE_EXPIRED", "Cert_D or its authority is outside its validity");
}

function requireOwner(certificate: X509Certificate, owner: Owner): void {
  const names = certificate.getExtension(SubjectAlternativeNameExtension)?.names.items ?? [];
  const uris = names.filter((name) => name.type === "url").map((name) => name.value);
  const named = uris.length === 1 && uris[0] === `urn:medunion:${owner.identity}`;
  require(named, "CERTIFICATE_FOREIGN", "Cert_D is another doctor's");
  const key = keyIn(certificate);
  require(key !== undefined && equal(key, owner.verifyingKey), "CERTIFICATE_FOREIGN", "Cert_D is for another key");
}

/** The key of a certificate, compressed, if it is one of P-256. */
function keyIn(certificate: X509Certificate): Uint8Array | undefined {
  try {
    const { algorithm, subjectPublicKey } = AsnConvert.parse(certificate.publicKey.rawData, SubjectPublicKeyInfo);
    const { namedCurve } = AsnConvert.parse(algorithm.parameters!, ECParameters);
    const isP256 = algorithm.algorithm === id_ecPublicKey && namedCurve === id_secp256r1;
    return isP256 ? compressed(new Uint8Array(subjectPublicKey)) : undefined;
  } catch {
    return undefined;
  }
}

async function isSignedBy(certificate: X509Certificate, authority: X509Certificate): Promise<boolean> {
  try {
    const { publicKey } = authority;
    return isOfSuite(certificate, publicKey) && (await certificate.verify({ publicKey, signatureOnly: true }));
  } catch {
    return false;
  }
}
