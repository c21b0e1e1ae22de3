/** @peculiar/x509, which wants the reflection polyfill to be there before it, and DER as it takes it. */

import "reflect-metadata";

import { type PublicKey, type X509Certificate, type X509Crl } from "@peculiar/x509";

export * from "@peculiar/x509";

/** Whether what is signed says ecdsa-with-SHA256, and the key that is to verify it is of P-256: the one suite there is. */
export function isOfSuite({ signatureAlgorithm }: X509Certificate | X509Crl, { algorithm }: PublicKey): boolean {
  const { name, hash } = signatureAlgorithm as { name: string; hash?: { name: string } };
  const { namedCurve } = algorithm as { namedCurve?: string };
  return name === "ECDSA" && hash?.name === "SHA-256" && namedCurve === "P-256";
}

/** Whether bytes are one DER sequence and nothing behind it. The library takes PEM, hex and base64, too, and leaves bytes at the end alone. */
export function isSequence(der: Uint8Array): boolean {
  const [tag, first = 0] = der;
  const isShort = first < 0x80;
  const lengthOctets = isShort ? 0 : first - 0x80;
  if (tag !== 0x30 || lengthOctets > 4 || der.length < 2 + lengthOctets) return false;
  const length = isShort ? first : Buffer.from(der).readUIntBE(2, lengthOctets || 1);
  return der.length === 2 + lengthOctets + length;
}
