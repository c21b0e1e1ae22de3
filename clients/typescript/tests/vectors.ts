/** tests/vectors, read; byte strings are hex there. */

import { readFileSync } from "node:fs";
import { p256 } from "@noble/curves/nist.js";
import { fromHex } from "../src/protocol/bytes.js";
import { SigningKey } from "../src/protocol/signatures.js";

/** A vector as it stands in its file: what it has beside its name differs from file to file. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any
export type Vector = any;

const DIRECTORY = new URL("../../../../tests/vectors/", import.meta.url);

export function load(name: string): Vector {
  return JSON.parse(readFileSync(new URL(`${name}.json`, DIRECTORY), "utf8"));
}

export function vectors(name: string): Vector[] {
  return load(name).vectors;
}

/** A key (hex) that signs as the vectors do: its nonces are RFC 6979's. */
export function signingKey(scalar: string): SigningKey {
  const secret = fromHex(scalar);
  return new SigningKey({
    publicKey: p256.getPublicKey(secret),
    sign: async (data) => p256.sign(data, secret, { prehash: true, lowS: false }),
  });
}
