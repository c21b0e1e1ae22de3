/** The trust bundle as a chain: the first is pinned, each later one follows its predecessor (docs/protocol.md, 2; ADR 18). */

import { type TrustBundle, TrustBundleSchema } from "../gen/federation/v1/directory_pb.js";
import type { RevocationHead, SignedStatement } from "../gen/federation/v1/statement_pb.js";
import { equal, type Instant } from "./bytes.js";
import { isRevoked, KeyHistory, keyHasBegun, keyHasEnded } from "./periods.js";
import { require } from "./refusal.js";
import { isSignature } from "./signatures.js";
import { peekStatement } from "./statements.js";
import { statementDigest, transcript } from "./transcript.js";
import { readPolicies, requirePoliciesFollow, type WitnessPolicy } from "./witnesses.js";

const LABEL = "tb";

/** A trust bundle that was pinned, or followed one that was. Only `pin` and `follow` make it. */
export class TrustedBundle {
  readonly issuers: KeyHistory;
  readonly cloudKeys: KeyHistory;
  readonly witnessPolicies: readonly WitnessPolicy[];

  /** @internal */
  constructor(
    readonly signed: SignedStatement,
    readonly content: TrustBundle,
  ) {
    this.issuers = new KeyHistory(content.issuers);
    this.cloudKeys = new KeyHistory(content.cloudKeys);
    this.witnessPolicies = readPolicies(content);
  }

  get sequence(): bigint {
    return this.content.sequence!;
  }

  /** H(tb), 32 bytes: what is read aloud or printed beside the file, and pins it. */
  get digest(): Uint8Array {
    return statementDigest(LABEL, this.signed);
  }

  /** The witness policy of now. */
  get witnessPolicy(): WitnessPolicy {
    return this.witnessPolicies.at(-1)!;
  }

  /** The PK that signed a credential of that begin. */
  issuerAt(notBefore: Instant): Uint8Array {
    const period = this.issuers.at(notBefore);
    require(period !==
      undefined, "ISSUER_UNKNOWN", "the trust bundle at hand names no PK for the time of the credential");
    require(!isRevoked(period), "ISSUER_REVOKED", "the PK of the credential is revoked");
    return period.verifyingKey!;
  }

  /** The PUK_C of what the cloud signed at that moment. */
  cloudKeyAt(moment: Instant): Uint8Array {
    const period = this.cloudKeys.at(moment);
    require(period !==
      undefined, "CLOUD_KEY_UNKNOWN", "the trust bundle at hand names no PUK_C for the time of the statement");
    require(!isRevoked(period), "CLOUD_KEY_REVOKED", "the PUK_C of the statement is revoked");
    return period.verifyingKey!;
  }

  /** The PUK_C that EK_C names: begun by now, and not ended when the epoch begins. */
  cloudKeyOfEpoch(digest: Uint8Array, epochBegin: Instant, now: Instant): Uint8Array {
    const period = this.cloudKeys.ofDigest(digest);
    const holds = period !== undefined && keyHasBegun(period, now) && !keyHasEnded(period, epochBegin);
    require(holds, "CLOUD_KEY_UNKNOWN", "the trust bundle at hand names no such PUK_C for the epoch");
    require(!isRevoked(period), "CLOUD_KEY_REVOKED", "the PUK_C of the epoch is revoked");
    return period.verifyingKey!;
  }
}

/** Take a bundle that was handed over: whoever did so vouches for it, and better by its digest, too. */
export function pin(signed: SignedStatement, digest?: Uint8Array): TrustedBundle {
  const pinned = digest === undefined || equal(digest, statementDigest(LABEL, signed));
  require(pinned, "BUNDLE_UNPINNED", "the trust bundle has not the digest that was handed over");
  return sound(signed);
}

/** Take the next bundle. Nothing in it is read before a key that its predecessor lets sign vouches for it. */
export function follow(current: TrustedBundle, signed: SignedStatement): TrustedBundle {
  requireSigner(signed, current.cloudKeys, current.content.issuedAt!);
  const following = sound(signed);
  const [after, before] = [following.content, current.content];
  const same = after.realm === before.realm && after.cloudId === before.cloudId;
  require(same, "BUNDLE_FOREIGN", "the trust bundle is another federation's");
  require(after.sequence ===
    before.sequence! +
      1n, "BUNDLE_OUT_OF_SEQUENCE", `trust bundle ${after.sequence} doesn't follow ${before.sequence}`);
  require(after.issuedAt! >=
    before.issuedAt!, "BUNDLE_BACKDATED", "the trust bundle was made before the one that it follows");
  requireContinued(current.issuers, following.issuers, before.issuedAt!);
  requireContinued(current.cloudKeys, following.cloudKeys, before.issuedAt!);
  requirePoliciesFollow(current.witnessPolicies, following.witnessPolicies, before.issuedAt!);
  return following;
}

/** The number that a bundle claims: says what to ask for, and nothing else. */
export function sequenceOf(signed: SignedStatement): bigint {
  return peekStatement(TrustBundleSchema, signed).sequence!;
}

/**
 * A bundle, and when a revocation list last named it as the newest: it may be used until its grace is over. The list's own time counts,
 * not the moment at which it came: an old list played again confirms nothing anew.
 */
export class BundleLease {
  constructor(
    readonly bundle: TrustedBundle,
    readonly confirmedAt: Instant = bundle.content.issuedAt!,
  ) {}

  /** The lease after a verified list: it goes on unless the list names a newer bundle. */
  heard(head: RevocationHead): BundleLease {
    if (head.bundleSequence! > this.bundle.sequence) return this;
    return new BundleLease(this.bundle, this.confirmedAt > head.thisUpdate! ? this.confirmedAt : head.thisUpdate!);
  }

  /** The bundle to verify by. */
  usable(now: Instant): TrustedBundle {
    const endsAt = this.confirmedAt + 1000n * BigInt(this.bundle.content.offlineGraceSeconds!);
    require(now <
      endsAt, "BUNDLE_STALE", "no list has named this trust bundle as the newest for longer than its grace");
    return this.bundle;
  }
}

/** Read a bundle and require it to be signed by a cloud key that it names itself, and that had not ended before it. */
function sound(signed: SignedStatement): TrustedBundle {
  const bundle = new TrustedBundle(signed, peekStatement(TrustBundleSchema, signed));
  const complete = bundle.content.tlsCaCertificates.length > 0 && bundle.sequence > 0n;
  require(complete, "BUNDLE_INVALID", "the trust bundle has no TLS CA, or no number");
  // The moment before: a key that is retired by this very bundle may sign it.
  requireSigner(signed, bundle.cloudKeys, bundle.content.issuedAt! - 1n);
  return bundle;
}

function requireSigner(signed: SignedStatement, keys: KeyHistory, moment: Instant): void {
  const covered = transcript(LABEL, signed.statement!);
  const signs = keys.signers(moment).some((period) => isSignature(period.verifyingKey!, signed.signature!, covered));
  require(signs, "BUNDLE_SIGNER_UNKNOWN", "no cloud key that may sign this trust bundle did");
}

/** Require what was said of keys that had signed by then: none is dropped, moved in time, or taken back into grace. */
function requireContinued(before: KeyHistory, after: KeyHistory, issuedAt: Instant): void {
  for (const old of before.periods.filter((period) => keyHasBegun(period, issuedAt))) {
    const now = after.ofKey(old.verifyingKey!);
    require(now !== undefined &&
      now.notBefore ===
        old.notBefore, "BUNDLE_REWRITES_HISTORY", "a key that has signed is gone, or begins at another time");
    require(!keyHasEnded(old, issuedAt) ||
      now.notAfter === old.notAfter, "BUNDLE_REWRITES_HISTORY", "the end of a retired key is another");
    for (const mark of ["taintedAt", "revokedAt"] as const) {
      require(old[mark] === undefined ||
        now[mark] === old[mark], "BUNDLE_REWRITES_HISTORY", "a taint or a revocation was taken back or moved");
    }
  }
}
