/**
 * edwards25519 as the paper's group: base point B (its P), prime order L. Points travel compressed, 32 bytes (RFC 8032, 5.1.2);
 * scalars are 32 bytes, little-endian, below L. Arithmetic is @noble/curves'.
 */

import { ed25519 } from "@noble/curves/ed25519.js";
import { Refusal, require } from "./refusal.js";
import { sha512 } from "./bytes.js";

const Point = ed25519.Point;
type Point = InstanceType<typeof Point>;

/** L. */
export const ORDER = Point.Fn.ORDER;

/** Read a point without asking whether a peer may send it. */
export function decode(point: Uint8Array): Point {
  try {
    // Strict: RFC 8032's canonical encodings alone, not those of ZIP 215.
    return Point.fromBytes(point, false);
  } catch (error) {
    throw new Refusal("INVALID_POINT", "not a canonical point of the curve", { cause: error });
  }
}

/**
 * Refuse a received point unless it is canonical, in the prime-order subgroup, and none of O, B, -B: with those the full-point
 * recovery of a token would divide by zero or could not tell the sign (B6).
 */
export function requireReceivedPoint(encoded: Uint8Array): void {
  require(encoded.length === 32, "INVALID_POINT", "a point has 32 bytes");
  const point = decode(encoded);
  require(point.isTorsionFree(), "INVALID_POINT", "a point outside the prime-order subgroup");
  const excluded = [Point.ZERO, Point.BASE, Point.BASE.negate()];
  require(!excluded.some((other) => point.equals(other)), "INVALID_POINT", "one of the points O, B, -B");
}

/** A little-endian number mod L: 64 uniform bytes become a uniform scalar, the paper's random numbers. */
export function scalar(data: Uint8Array): bigint {
  return littleEndian(data) % ORDER;
}

/** scalar * B. */
export function multiplyBase(value: bigint): Uint8Array {
  return Point.BASE.multiply(nonZero(value)).toBytes();
}

/** scalar * point, in constant time. */
export function multiply(value: bigint, point: Uint8Array): Uint8Array {
  return decode(point).multiply(nonZero(value)).toBytes();
}

export function add(left: Uint8Array, right: Uint8Array): Uint8Array {
  return decode(left).add(decode(right)).toBytes();
}

/** The Montgomery u-coordinate, 32 bytes, little-endian: u = (1 + y) / (1 - y) (RFC 7748, 4.1). */
export function uCoordinate(point: Uint8Array): Uint8Array {
  return ed25519.utils.toMontgomery(point);
}

/** U_X = R_X1 + h PK with h = SHA-512(R_X1 || PK || T("cred", M_X)) mod L: the right side of eq. 4, 7, 10. */
export function publicPoint(
  registrationPoint: Uint8Array,
  issuer: Uint8Array,
  credentialTranscript: Uint8Array,
): Uint8Array {
  const h = scalar(sha512(registrationPoint, issuer, credentialTranscript));
  const point = decode(registrationPoint).add(decode(issuer).multiply(nonZero(h)));
  require(!point.equals(Point.ZERO), "INVALID_POINT", "U_X is the neutral element");
  return point.toBytes();
}

/** The base point B, 32 bytes. */
export const BASE_POINT = Point.BASE.toBytes();

/**
 * The full point S R out of what an X25519 key in a token gives: u1 = u(S R) and u2 = u(S (R + B)), and the public point
 * U = S B. Of both points over u1, the right T has u(T + U) = u2 (docs/protocol.md, 1; tests/vectors/full_point.json).
 */
export function recoverPoint(u1: Uint8Array, u2: Uint8Array, publicPoint_: Uint8Array): Uint8Array {
  const u = littleEndian(u1);
  const y = Point.Fp.mul(Point.Fp.sub(u, 1n), Point.Fp.inv(Point.Fp.add(u, 1n)));
  const candidates = [y, y | (1n << 255n)].map((value) => encode(value));
  const fitting = candidates.filter((candidate) => Buffer.from(uCoordinate(add(candidate, publicPoint_))).equals(u2));
  const [point] = fitting;
  require(point !== undefined &&
    fitting.length === 1, "INVALID_POINT", "the token's answer is not a multiple of this point");
  return point;
}

/**
 * The form of S_X that an X25519 key can hold under clamping: k = +-S (mod L), k = 0 (mod 8), 2^254 <= k < 2^255. The sign does not
 * matter, because the recovered point is compared with U_X.
 */
export function tokenForm(secret: Uint8Array): Uint8Array {
  const eighth = Point.Fn.mul(littleEndian(secret) % ORDER, Point.Fn.inv(8n));
  const forms = [8n * eighth, 8n * ORDER - 8n * eighth];
  const k = forms.find((form) => form >= 2n ** 254n && form < 2n ** 255n);
  require(k !== undefined, "CREDENTIAL_INVALID", "this S_X has no form that an X25519 key can hold");
  return encode(k);
}

function littleEndian(data: Uint8Array): bigint {
  return BigInt("0x" + Buffer.from(data).reverse().toString("hex"));
}

function encode(value: bigint): Uint8Array {
  return new Uint8Array(Buffer.from(value.toString(16).padStart(64, "0"), "hex").reverse());
}

function nonZero(value: bigint): bigint {
  require(value % ORDER !== 0n, "INVALID_POINT", "the zero scalar");
  return value % ORDER;
}
