/** Which key signed when: the generations of s and PRK_C, as the trust bundle tells them (docs/protocol.md, 2; ADR 18). */

import type { KeyPeriod } from "../gen/federation/v1/directory_pb.js";
import { type Instant, sha256 } from "./bytes.js";
import { require } from "./refusal.js";

export function isRevoked(period: KeyPeriod): boolean {
  return period.revokedAt !== undefined;
}

export function keyHasBegun(period: KeyPeriod, moment: Instant): boolean {
  return period.notBefore !== undefined && period.notBefore <= moment;
}

export function keyHasEnded(period: KeyPeriod, moment: Instant): boolean {
  return period.notAfter !== undefined && period.notAfter <= moment;
}

/** The generations of one key in the order of their activation, prepared ones last. At most one holds any moment. */
export class KeyHistory {
  constructor(readonly periods: readonly KeyPeriod[]) {
    require(periods.length > 0, "BUNDLE_INVALID", "the trust bundle names no key");
    const keys = new Set(periods.map((period) => Buffer.from(period.verifyingKey!).toString("hex")));
    require(keys.size === periods.length, "BUNDLE_INVALID", "the trust bundle names a key twice");
    periods.forEach(requireSound);
    for (const [index, later] of periods.slice(1).entries()) {
      require(precedes(
        periods[index]!,
        later,
      ), "BUNDLE_INVALID", "the trust bundle names two keys for one time, or in the wrong order");
    }
  }

  /** The generation that signed at that moment, whatever became of it since. */
  at(moment: Instant): KeyPeriod | undefined {
    return this.periods.find((period) => keyHasBegun(period, moment) && !keyHasEnded(period, moment));
  }

  /** The generation with this H(verifying key). */
  ofDigest(digest: Uint8Array): KeyPeriod | undefined {
    return this.periods.find((period) => Buffer.from(sha256(period.verifyingKey!)).equals(digest));
  }

  /** The generation of this key. */
  ofKey(key: Uint8Array): KeyPeriod | undefined {
    return this.periods.find((period) => Buffer.from(period.verifyingKey!).equals(key));
  }

  /** Who may sign the bundle that follows one of that moment: the active key, and those that are prepared. */
  signers(moment: Instant): readonly KeyPeriod[] {
    return this.periods.filter((period) => !keyHasEnded(period, moment));
  }
}

function requireSound(period: KeyPeriod): void {
  const ends = period.notAfter !== undefined;
  require(!ends ||
    keyHasBegun(period, period.notAfter!), "BUNDLE_INVALID", "a key of the trust bundle ends before it begins");
  const fallen = isRevoked(period) || period.taintedAt !== undefined;
  require(!fallen || ends, "BUNDLE_INVALID", "a key of the trust bundle is tainted or revoked and has no successor");
}

function precedes(earlier: KeyPeriod, later: KeyPeriod): boolean {
  if (later.notBefore === undefined) return true;
  return earlier.notAfter !== undefined && earlier.notAfter <= later.notBefore;
}
