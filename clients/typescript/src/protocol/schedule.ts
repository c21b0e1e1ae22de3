/** The key schedule of both sessions, SEK_1 and SEK_2 (eq. 17, 22, 39, 44; B5, B13). */

import { concat, hmacSha256, text } from "./bytes.js";
import { add, multiply } from "./group.js";
import { field, transcript } from "./transcript.js";
import type { VerifiedParty } from "./verifier.js";

/** Key (32 bytes) and iv (12 bytes) of one direction. */
export interface DirectionKeys {
  readonly key: Uint8Array;
  readonly iv: Uint8Array;
}

/** The keys of a session: opener to answerer, answerer to opener, and kc (32 bytes). */
export interface SessionKeys {
  readonly forward: DirectionKeys;
  readonly backward: DirectionKeys;
  readonly keyConfirmation: Uint8Array;
}

/** S_X, where it may be in a token: gives the full point S_X R for a received R. */
export interface RegistrationSecret {
  agree(point: Uint8Array): Promise<Uint8Array>;
}

/** K = S_own R_peer + r_own U_peer and Z = r_own R_peer, eq. 17's two inputs; the first product is the token's. */
export async function agree(
  own: RegistrationSecret,
  peerEphemeral: Uint8Array,
  ownScalar: bigint,
  peer: VerifiedParty,
): Promise<readonly [Uint8Array, Uint8Array]> {
  const product = await own.agree(peerEphemeral);
  return [add(product, multiply(ownScalar, peer.publicPoint)), multiply(ownScalar, peerEphemeral)];
}

/** Derive the session's keys. `roles` is the opener's letter and the answerer's: "PD" for SEK_1, "DH" for SEK_2. */
export function derive(
  shared: readonly [Uint8Array, Uint8Array],
  contributions: readonly [Uint8Array, Uint8Array],
  transcriptHash: Uint8Array,
  roles: "PD" | "DH",
): SessionKeys {
  const [opener, answerer] = [roles[0], roles[1]];
  const extracted = hmacSha256(transcriptHash, concat(...[...shared, ...contributions].map(field)));
  // HKDF-Expand of at most one block (RFC 5869, 2.3); Node offers extract and expand only together.
  const expand = (name: string, size: number) => {
    const info = transcript("key", text(name), transcriptHash);
    return hmacSha256(extracted, concat(info, Uint8Array.of(1))).subarray(0, size);
  };
  return {
    forward: { key: expand(`k_${opener}>${answerer}`, 32), iv: expand(`iv_${opener}>${answerer}`, 12) },
    backward: { key: expand(`k_${answerer}>${opener}`, 32), iv: expand(`iv_${answerer}>${opener}`, 12) },
    keyConfirmation: expand(`kc_${answerer}`, 32),
  };
}
