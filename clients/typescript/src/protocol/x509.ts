/** @peculiar/x509, which wants the reflection polyfill to be there before it, and DER as it takes it. */

import "reflect-metadata";

export * from "@peculiar/x509";

/** Whether bytes are one DER sequence and nothing behind it. The library takes PEM, hex and base64, too, and leaves bytes at the end alone. */
export function isSequence(der: Uint8Array): boolean {
  const [tag, first = 0] = der;
  const isShort = first < 0x80;
  const lengthOctets = isShort ? 0 : first - 0x80;
  if (tag !== 0x30 || lengthOctets > 4 || der.length < 2 + lengthOctets) return false;
  const length = isShort ? first : Buffer.from(der).readUIntBE(2, lengthOctets || 1);
  return der.length === 2 + lengthOctets + length;
}
