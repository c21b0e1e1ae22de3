/**
 * P-256 as the paper's group (FIPS 186-5; SEC 2, secp256r1): base point B (its P), prime order n, field prime p. A point of
 * key agreement travels as its x-coordinate, 32 bytes, and stands for either point over it; a verifying key travels
 * compressed, 33 bytes (SEC 1, 2.3.3). In memory a point is compressed.
 *
 * The arithmetic here is @noble/curves', on public points alone: JavaScript's bigint is no place for secrets. A secret scalar
 * meets a point in OpenSSL or in a token (agreement.ts).
 */

import { p256, p256_hasher } from "@noble/curves/nist.js";
import { concat, sha256, text } from "./bytes.js";
import { Refusal, require } from "./refusal.js";
import { transcript } from "./transcript.js";

const Point = p256.Point;
type Point = InstanceType<typeof Point>;

/** n. */
export const ORDER = Point.Fn.ORDER;

/** The curve's name in OpenSSL. */
export const CURVE = "prime256v1";

export const UNCOMPRESSED_BYTES = 65;
export const SCALAR_SEED_BYTES = 48;

const POINT_BYTES = 32;
const VERIFYING_KEY_BYTES = 33;
const EVEN = Uint8Array.of(2);
const TAG = text("medunion/v1 P256_XMD:SHA-256_SSWU_RO_");

/** Refuse a received x-coordinate unless it is below p and a point lies over it: the curve's twist has small factors (B6). */
export function requirePoint(x: Uint8Array): void {
  require(x.length === POINT_BYTES, "INVALID_POINT", "an x-coordinate has 32 bytes");
  decode(pointOver(x));
}

/** Refuse an R_X1 that is no point, is 0, or is not below n: rho of a signature by s. */
export function requireRegistrationPoint(rho: Uint8Array): void {
  requirePoint(rho);
  const value = Point.Fn.fromBytes(rho, true);
  require(Point.Fn.isValidNot0(value), "INVALID_POINT", "R_X1 is 0, or not below the order");
}

/** Refuse a verifying key that is not on the curve. */
export function requireVerifyingKey(key: Uint8Array): void {
  require(key.length === VERIFYING_KEY_BYTES, "INVALID_POINT", "a verifying key has 33 bytes");
  decode(key);
}

/** Refuse what is not an uncompressed point of the curve. */
export function requireUncompressed(point: Uint8Array): void {
  require(point.length === UNCOMPRESSED_BYTES, "INVALID_POINT", "an uncompressed point has 65 bytes");
  decode(point);
}

/** The point with an even y over an x-coordinate. */
export function pointOver(x: Uint8Array): Uint8Array {
  return concat(EVEN, x);
}

/** x of a point, 32 bytes, whether the point is compressed or not. */
export function xOf(point: Uint8Array): Uint8Array {
  return point.subarray(1, 1 + POINT_BYTES);
}

/** A point in its long form, 65 bytes. */
export function uncompressed(point: Uint8Array): Uint8Array {
  return decode(point).toBytes(false);
}

/** A point in its short form, 33 bytes. */
export function compressed(point: Uint8Array): Uint8Array {
  return decode(point).toBytes();
}

/**
 * A scalar from 1 to n - 1, 32 bytes, of 48 uniform ones: 1 + (their number mod n - 1) (FIPS 186-5, A.4.1). One reduction, of
 * a number used once.
 */
export function scalarFromSeed(seed: Uint8Array): Uint8Array {
  return p256.utils.randomSecretKey(seed);
}

/** Q(m): a public message hashed to the curve (RFC 9380, P256_XMD:SHA-256_SSWU_RO_). */
export function hashToCurve(message: Uint8Array, tag: Uint8Array = TAG): Uint8Array {
  return p256_hasher.hashToCurve(message, { DST: tag }).toBytes();
}

/** T("cred", PK, M_X): what s signs. */
export function credentialTranscript(issuer: Uint8Array, credential: Uint8Array): Uint8Array {
  return transcript("cred", issuer, credential);
}

/** U_X = z B + rho PK with z = SHA-256(T("cred", PK, M_X)) mod n, both numbers public: S_X R = +-U_X (eq. 4, 7, 10). */
export function publicPoint(registrationPoint: Uint8Array, issuer: Uint8Array, credential: Uint8Array): Uint8Array {
  const z = Point.Fn.create(numberOf(sha256(credentialTranscript(issuer, credential))));
  const rho = Point.Fn.create(numberOf(registrationPoint));
  const point = Point.BASE.multiplyUnsafe(z).add(decode(issuer).multiplyUnsafe(rho));
  require(!point.equals(Point.ZERO), "INVALID_POINT", "U_X is the neutral element");
  return point.toBytes();
}

function decode(point: Uint8Array): Point {
  try {
    return Point.fromBytes(point);
  } catch (error) {
    throw new Refusal("INVALID_POINT", "not a point of the curve", { cause: error });
  }
}

function numberOf(data: Uint8Array): bigint {
  return BigInt("0x" + Buffer.from(data).toString("hex"));
}
