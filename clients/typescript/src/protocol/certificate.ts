/** Cert_D: is it legal, is it this doctor's, does it still hold (B16; RFC 5280). */

import {
  BasicConstraintsExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  X509Certificate,
  type X509Crl,
} from "./x509.js";
import { equal, type Instant } from "./bytes.js";
import { Refusal, require } from "./refusal.js";
import type { Lists } from "./lists.js";

const UNDERSTOOD = new Set(["2.5.29.19", "2.5.29.15", "2.5.29.17", "2.5.29.35"]);
const ED25519_SPKI_PREFIX = Buffer.from("302a300506032b6570032100", "hex");

/** Whose certificate it is to be. */
export interface Owner {
  readonly identity: string;
  readonly verifyingKey: Uint8Array;
}

/** Refuse unless Cert_D is legal: from an authority of the federation, valid, not revoked, this doctor's and this key's. */
export async function verifyCertificate(
  der: Uint8Array,
  authorities: readonly Uint8Array[],
  lists: Lists,
  owner: Owner,
  now: Instant,
): Promise<void> {
  const certificate = read(der);
  const authority = await authorityOf(certificate, authorities.map(read));
  requireEndEntity(certificate);
  const moment = new Date(Number(now));
  requireValid(certificate, moment);
  requireValid(authority, moment);
  const crl = await currentCrl(authority, lists, moment);
  require(crl.findRevoked(certificate.serialNumber) === null, "CERTIFICATE_REVOKED", "Cert_D is revoked");
  requireOwner(certificate, owner);
}

function read(der: Uint8Array): X509Certificate {
  try {
    return new X509Certificate(der as never);
  } catch (error) {
    throw new Refusal("CERTIFICATE_ILLEGAL", "Cert_D is no X.509 certificate", { cause: error });
  }
}

/** The authority whose key signed Cert_D: while it changes keys, it stands twice under its name. */
async function authorityOf(
  certificate: X509Certificate,
  authorities: readonly X509Certificate[],
): Promise<X509Certificate> {
  const named = authorities.filter((authority) => authority.subject === certificate.issuer);
  require(named.length > 0, "CERTIFICATE_ILLEGAL", "Cert_D comes from no medical authority of this federation");
  for (const authority of named) {
    if (await isSignedBy(certificate, authority)) return authority;
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

function requireValid(certificate: X509Certificate, moment: Date): void {
  const valid = certificate.notBefore <= moment && moment < certificate.notAfter;
  require(valid, "CERTIFICATE_EXPIRED", "Cert_D or its authority is outside its validity");
}

/** The current CRL by the key that certified, its signature checked: without one, no. */
async function currentCrl(authority: X509Certificate, lists: Lists, moment: Date): Promise<X509Crl> {
  for (const crl of lists.crls) {
    if (crl.issuer !== authority.subject || !(await isSignedBy(crl, authority))) continue;
    if (crl.nextUpdate !== undefined && crl.thisUpdate <= moment && moment < crl.nextUpdate) return crl;
  }
  throw new Refusal("REVOCATION_LIST_STALE", "no current CRL of the medical authority is at hand");
}

function requireOwner(certificate: X509Certificate, owner: Owner): void {
  const names = certificate.getExtension(SubjectAlternativeNameExtension)?.names.items ?? [];
  const uris = names.filter((name) => name.type === "url").map((name) => name.value);
  const named = uris.length === 1 && uris[0] === `urn:medunion:${owner.identity}`;
  require(named, "CERTIFICATE_FOREIGN", "Cert_D is another doctor's");
  const key = Buffer.concat([ED25519_SPKI_PREFIX, owner.verifyingKey]);
  require(equal(
    new Uint8Array(certificate.publicKey.rawData),
    key,
  ), "CERTIFICATE_FOREIGN", "Cert_D is for another key");
}

async function isSignedBy(signed: X509Certificate | X509Crl, authority: X509Certificate): Promise<boolean> {
  try {
    return signed instanceof X509Certificate
      ? await signed.verify({ publicKey: authority.publicKey, signatureOnly: true })
      : await signed.verify({ publicKey: authority.publicKey });
  } catch {
    return false;
  }
}
