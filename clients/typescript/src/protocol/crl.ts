/** A medical authority's CRL (RFC 5280, section 5), as far as it may stand for all that the authority has revoked. */

import { AsnConvert } from "@peculiar/asn1-schema";
import { CertificateList, type Extension } from "@peculiar/asn1-x509";
import type { CrlPin } from "../gen/federation/v1/statement_pb.js";
import { equal, hex, sha256 } from "./bytes.js";
import { Refusal, require } from "./refusal.js";
import { isOfSuite, isSequence, type X509Certificate, X509Crl } from "./x509.js";

const AUTHORITY_KEY_IDENTIFIER = "2.5.29.35";
const CRL_NUMBER = "2.5.29.20";
const UNDERSTOOD = [AUTHORITY_KEY_IDENTIFIER, CRL_NUMBER];

/** Of an entry: why, and since when. A revoked certificate is one whatever they say. */
const UNDERSTOOD_OF_ENTRIES = ["2.5.29.21", "2.5.29.24"];

/** A DeltaCRLIndicator says that the CRL is a part, an IssuingDistributionPoint that it is about a part. */
const OF_A_PART = ["2.5.29.27", "2.5.29.28"];
const MOST_NUMBER_OCTETS = 20;

/** A CRL, not verified yet. `number` is its CRLNumber, if it has one that is sound. */
export interface Crl {
  readonly content: X509Crl;
  readonly digest: Uint8Array;
  readonly number: bigint | undefined;
  readonly isWhole: boolean;
}

export function readCrl(der: Uint8Array): Crl {
  require(isSequence(der), "MALFORMED_MESSAGE", "an authority's revocation list is no DER");
  try {
    const { tbsCertList } = AsnConvert.parse(der, CertificateList);
    const extensions = [...(tbsCertList.crlExtensions ?? [])];
    const ofEntries = (tbsCertList.revokedCertificates ?? []).flatMap((entry) => entry.crlEntryExtensions ?? []);
    const understood = areUnderstood(extensions, UNDERSTOOD) && areUnderstood(ofEntries, UNDERSTOOD_OF_ENTRIES);
    return {
      content: new X509Crl(der as never),
      digest: sha256(der),
      number: numberIn(extensions),
      isWhole: understood && !extensions.some(({ extnID }) => OF_A_PART.includes(extnID)),
    };
  } catch (error) {
    throw new Refusal("MALFORMED_MESSAGE", "an authority's revocation list is none", { cause: error });
  }
}

/**
 * The newest current and whole CRL that this authority's key signed, not older than the one that the cloud's list pins. Without one, no:
 * whoever hands CRLs on may leave the newest out.
 */
export async function currentCrl(
  authority: X509Certificate,
  crls: readonly Crl[],
  pins: readonly CrlPin[],
  moment: Date,
): Promise<X509Crl> {
  const current = crls.filter(({ content }) => isCurrent(content, moment));
  const newest = await newestCrl(authority, current, pins);
  require(newest !== undefined, "REVOCATION_LIST_STALE", "no current CRL of the medical authority is at hand");
  return newest.content;
}

/**
 * Of each authority the newest CRL that counts, DER: of those that a relay hands on, which are one authority's, and of those at hand. One that
 * was made up displaces none.
 */
export async function newestCrls(
  authorities: readonly X509Certificate[],
  crls: readonly Crl[],
  pins: readonly CrlPin[],
): Promise<Uint8Array[]> {
  const newest = await Promise.all(authorities.map((authority) => newestCrl(authority, crls, pins)));
  return newest.filter((crl) => crl !== undefined).map(({ content }) => new Uint8Array(content.rawData));
}

async function newestCrl(
  authority: X509Certificate,
  crls: readonly Crl[],
  pins: readonly CrlPin[],
): Promise<Crl | undefined> {
  const own = sha256(new Uint8Array(authority.rawData));
  const pin = pins.find((one) => equal(one.certificateDigest!, own));
  if (pin === undefined) return undefined;
  let newest: Crl | undefined;
  for (const crl of crls) {
    const counts = crl.isWhole && isFrom(pin, crl) && crl.number! > (newest?.number ?? -1n);
    if (counts && (await isSignedBy(crl.content, authority))) newest = crl;
  }
  return newest;
}

/** Whether a CRL is the pinned one, or has a higher number. */
function isFrom(pin: CrlPin, { number, digest }: Crl): boolean {
  const pinned = BigInt(`0x0${hex(pin.number!)}`);
  return number !== undefined && (number > pinned || (number === pinned && equal(digest, pin.digest!)));
}

function areUnderstood(extensions: readonly Extension[], understood: readonly string[]): boolean {
  return extensions.every(({ critical, extnID }) => !critical || understood.includes(extnID));
}

function isCurrent({ thisUpdate, nextUpdate }: X509Crl, moment: Date): boolean {
  return nextUpdate !== undefined && thisUpdate <= moment && moment < nextUpdate;
}

async function isSignedBy(crl: X509Crl, authority: X509Certificate): Promise<boolean> {
  try {
    const { subject, publicKey } = authority;
    return crl.issuer === subject && isOfSuite(crl, publicKey) && (await crl.verify({ publicKey }));
  } catch {
    return false;
  }
}

/** CRLNumber: a DER integer that is not negative, of at most 20 octets. */
function numberIn(extensions: readonly Extension[]): bigint | undefined {
  const [extension, another] = extensions.filter(({ extnID }) => extnID === CRL_NUMBER);
  if (extension === undefined || another !== undefined) return undefined;
  const [tag, length, ...octets] = new Uint8Array(extension.extnValue.buffer);
  const sized = tag === 2 && length === octets.length && octets.length > 0 && octets.length <= MOST_NUMBER_OCTETS;
  return sized && octets[0]! < 0x80 ? BigInt(`0x${hex(Uint8Array.from(octets))}`) : undefined;
}
