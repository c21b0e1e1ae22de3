/** An Ed25519 key in software. */

import { createPrivateKey, createPublicKey, sign } from "node:crypto";
import type { SigningKey } from "../protocol/statements.js";

// RFC 8410: the DER before the 32 bytes of an Ed25519 seed.
const PKCS8_ED25519 = Buffer.from("302e020100300506032b657004220420", "hex");

/** PRK_X of a 32-byte seed (RFC 8032, 5.1.5). */
export function softwareSigningKey(seed: Uint8Array): SigningKey {
  const key = createPrivateKey({ key: Buffer.concat([PKCS8_ED25519, seed]), format: "der", type: "pkcs8" });
  const publicKey = new Uint8Array(createPublicKey(key).export({ format: "der", type: "spki" }).subarray(-32));
  return { publicKey, sign: (message) => Promise.resolve(new Uint8Array(sign(null, message, key))) };
}
