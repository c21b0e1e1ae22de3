/** What a registration needs beside keys: a patient's ticket, a doctor's certificate request. */

import { Attributes, CertificationRequest, CertificationRequestInfo } from "@peculiar/asn1-csr";
import { ECParameters, ecdsaWithSHA256, id_ecPublicKey, id_secp256r1 } from "@peculiar/asn1-ecc";
import { AsnConvert, OctetString } from "@peculiar/asn1-schema";
import {
  AlgorithmIdentifier,
  Attribute,
  Extension,
  Extensions,
  GeneralName,
  id_ce_subjectAltName,
  Name as AsnName,
  SubjectAlternativeName,
  SubjectPublicKeyInfo,
} from "@peculiar/asn1-x509";
import { sha256 } from "../protocol/bytes.js";
import { Refusal } from "../protocol/refusal.js";
import { uncompressed } from "../protocol/curve.js";
import type { SigningKey } from "../protocol/signatures.js";
import { AsnEcSignatureFormatter, isSequence, Name, X509Certificate } from "../protocol/x509.js";

const P256 = new AlgorithmIdentifier({
  algorithm: id_ecPublicKey,
  parameters: AsnConvert.serialize(new ECParameters({ namedCurve: id_secp256r1 })),
});
const ID_EXTENSION_REQUEST = "1.2.840.113549.1.9.14";
const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/**
 * Read a ticket: 16 bytes and the first 12 bits of their SHA-256 in base32 (RFC 4648, 6); case, white space and dashes are no part of it.
 */
export function parseTicket(written: string): Uint8Array {
  const letters = written.toUpperCase().replace(/[\s-]/g, "");
  const values = [...letters].map((letter) => LETTERS.indexOf(letter));
  if (letters.length !== 28 || values.includes(-1))
    throw new Refusal("TICKET_INVALID", "a ticket has 28 letters and digits, in groups of four");
  const bits = bitsOf(values, 5);
  const ticket = Uint8Array.from({ length: 16 }, (_, index) => parseInt(bits.slice(8 * index, 8 * index + 8), 2));
  if (bitsOf(sha256(ticket), 8).slice(0, 12) !== bits.slice(128))
    throw new Refusal("TICKET_INVALID", "this ticket is mistyped: look at it again, all 28 letters and digits");
  return ticket;
}

function bitsOf(values: Iterable<number>, size: number): string {
  return [...values].map((value) => value.toString(2).padStart(size, "0")).join("");
}

const PEM = /-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----/;

/** The certificate in a file, DER: as DER, or as PEM (RFC 7468) with whatever text stands before it. */
export function certificateIn(content: Uint8Array): Uint8Array {
  const [, base64 = ""] = PEM.exec(Buffer.from(content).toString("latin1")) ?? [];
  const der = isSequence(content) ? content : new Uint8Array(Buffer.from(base64, "base64"));
  try {
    if (isSequence(der) && new X509Certificate(der as never).extensions.length > 0) return der;
  } catch (error) {
    throw new Refusal("CERTIFICATE_ILLEGAL", "what the file holds is no certificate", { cause: error });
  }
  throw new Refusal("CERTIFICATE_ILLEGAL", "the file holds no certificate");
}

/**
 * A certificate request (PKCS#10, RFC 2986) for Cert_D: ecdsa-with-SHA256 (RFC 5758), common name ID_D, SAN URI
 * `urn:medunion:D:name`.
 */
export async function certificateRequest(identity: string, key: SigningKey): Promise<Uint8Array> {
  const names = new SubjectAlternativeName([
    new GeneralName({ uniformResourceIdentifier: `urn:medunion:${identity}` }),
  ]);
  const extension = new Extension({
    extnID: id_ce_subjectAltName,
    extnValue: new OctetString(AsnConvert.serialize(names)),
  });
  const requested = new Attribute({
    type: ID_EXTENSION_REQUEST,
    values: [AsnConvert.serialize(new Extensions([extension]))],
  });
  const information = new CertificationRequestInfo({
    subject: AsnConvert.parse(new Name(`CN=${identity}`).toArrayBuffer(), AsnName),
    subjectPKInfo: new SubjectPublicKeyInfo({ algorithm: P256, subjectPublicKey: buffer(uncompressed(key.publicKey)) }),
    attributes: new Attributes([requested]),
  });
  const signature = await key.signX509(new Uint8Array(AsnConvert.serialize(information)));
  const request = new CertificationRequest({
    certificationRequestInfo: information,
    signatureAlgorithm: ecdsaWithSHA256,
    signature: new AsnEcSignatureFormatter().toAsnSignature({ name: "ECDSA", namedCurve: "P-256" }, signature)!,
  });
  return new Uint8Array(AsnConvert.serialize(request));
}

function buffer(data: Uint8Array): ArrayBuffer {
  return Uint8Array.from(data).buffer;
}
