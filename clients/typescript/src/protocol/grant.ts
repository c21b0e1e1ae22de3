/** The patient's grant (C1): made by the patient, and judged by the doctor who is given it. */

import { create } from "@bufbuild/protobuf";
import { type Grant, GrantSchema, Right, type SignedStatement } from "../gen/federation/v1/statement_pb.js";
import { type Entropy, equal, type Instant, sha256 } from "./bytes.js";
import { hasBegun } from "./freshness.js";
import type { Peer } from "./handshake.js";
import type { Party } from "./party.js";
import { Refusal, require } from "./refusal.js";
import { openStatement, signStatement } from "./statements.js";
import type { VerifiedParty } from "./verifier.js";

const HOUR = 3_600_000n;

/** What a patient allows a doctor. Empty lists allow nothing; "*" allows every one. */
export interface Terms {
  readonly hospitals: readonly string[];
  readonly departmentClasses: readonly string[];
  readonly rights: readonly Right[];
  readonly purpose: string;
  readonly hours: number;
}

/** How long a grant may last. */
export const LONGEST_GRANT_HOURS = 366 * 24;

export const EVERYTHING: Terms = {
  hospitals: ["*"],
  departmentClasses: ["*"],
  rights: [Right.INDEX, Right.READ, Right.WRITE],
  purpose: "consultation",
  hours: 24,
};

/** Sign a grant for one doctor: a copy is of no use to another. */
export async function makeGrant(
  patient: Party,
  doctor: Peer,
  terms: Terms,
  now: Instant,
  entropy: Entropy,
): Promise<SignedStatement> {
  const grant = create(GrantSchema, {
    grantId: entropy(16),
    patientId: patient.self.identity,
    patientSerial: patient.self.serial,
    doctorId: doctor.party.identity,
    doctorCertificateDigest: sha256(doctor.certificate),
    hospitals: [...terms.hospitals],
    departmentClasses: [...terms.departmentClasses],
    rights: [...terms.rights],
    purpose: terms.purpose,
    notBefore: now,
    notAfter: now + BigInt(Math.round(terms.hours * Number(HOUR))),
  });
  requireLife(grant);
  return signStatement("grant", GrantSchema, grant, patient.signingKey);
}

/** The grant if its patient signed it for this doctor with this Cert_D, and now is its time (eq. 24). */
export function openGrantFor(signed: SignedStatement, patient: VerifiedParty, doctor: Party, now: Instant): Grant {
  const grant = open(signed, patient);
  const own = grant.patientId === patient.identity && equal(grant.patientSerial!, patient.serial);
  require(own, "GRANT_INVALID", "the grant is another patient's, or of an earlier registration");
  const addressed =
    grant.doctorId === doctor.self.identity && equal(grant.doctorCertificateDigest!, sha256(doctor.certificate));
  require(addressed, "GRANT_INVALID", "the grant is for another doctor");
  requireLife(grant);
  const valid = hasBegun(grant.notBefore!, now) && now < grant.notAfter!;
  require(valid, "GRANT_EXPIRED", "the grant is not yet, or no longer, valid");
  return grant;
}

/** Require a grant to begin before it ends, and to end within 366 days. */
function requireLife({ notBefore, notAfter }: Grant): void {
  const life = notAfter! - notBefore!;
  const sound = 0n < life && life <= BigInt(LONGEST_GRANT_HOURS) * HOUR;
  require(sound, "GRANT_INVALID", "a grant begins before it ends, and lasts at most 366 days");
}

function open(signed: SignedStatement, patient: VerifiedParty): Grant {
  try {
    return openStatement("grant", GrantSchema, signed, patient.verifyingKey);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    throw new Refusal("GRANT_INVALID", "the grant does not bear this patient's signature", { cause: error });
  }
}
