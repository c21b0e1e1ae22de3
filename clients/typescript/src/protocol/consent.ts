/**
 * The statements by which people say who may do what: grants and mandates, made and opened; guardianships and duties, opened.
 * `open...` verifies the signature by the key of the credential that the statement names, and gives what it says. What follows from it
 * is `access.ts`'s to decide.
 */

import { create, type DescMessage, type MessageShape } from "@bufbuild/protobuf";
import type { Consent, Deputyship, ShownDuty } from "../gen/federation/v1/access_pb.js";
import {
  DepartmentGranteeSchema,
  DoctorGranteeSchema,
  type Duty,
  DutySchema,
  type Grant,
  type Grantee,
  GranteeSchema,
  GrantSchema,
  type Guardianship,
  GuardianshipSchema,
  HospitalGranteeSchema,
  type Mandate,
  MandateSchema,
  type Power,
  type Right,
  type Sensitivity,
  type SignedStatement,
} from "../gen/federation/v1/statement_pb.js";
import type * as access from "./access.js";
import { DAY, isLife, LONGEST_GRANT, LONGEST_MANDATE } from "./access.js";
import { EMPTY, type Entropy, equal, type Instant, sha256 } from "./bytes.js";
import type { Party } from "./party.js";
import { Refusal, require } from "./refusal.js";
import { openStatement, peekStatement, signStatement } from "./statements.js";
import { statementDigest } from "./transcript.js";
import type { VerifiedParty } from "./verifier.js";

/** What a patient allows. Empty lists allow nothing; "*" allows every one. `life` is in milliseconds. */
export interface Terms {
  readonly hospitals: readonly string[];
  readonly departmentClasses: readonly string[];
  readonly rights: readonly Right[];
  readonly highestSensitivity: Sensitivity;
  readonly purpose: string;
  readonly life: bigint;
}

/** Sign a grant about the signer's own records, or by a deputyship about another's. */
export async function makeGrant(
  signer: Party,
  grantee: access.Grantee,
  terms: Terms,
  now: Instant,
  entropy: Entropy,
  deputyship?: Deputyship,
): Promise<SignedStatement> {
  const { identity, serial } = signer.self;
  const grant = create(GrantSchema, {
    grantId: entropy(16),
    patientId: deputyship === undefined ? identity : readDeputyship(deputyship, peeked).says.patientId,
    signerId: identity,
    signerSerial: serial,
    deputyshipDigest: deputyship && deputyshipDigest(deputyship),
    grantee: writtenGrantee(grantee),
    hospitals: [...terms.hospitals],
    departmentClasses: [...terms.departmentClasses],
    highestSensitivity: terms.highestSensitivity,
    rights: [...terms.rights],
    purpose: terms.purpose,
    statedAt: now,
    notBefore: now,
    notAfter: now + terms.life,
  });
  requireLife(validityOf(grant), LONGEST_GRANT, "GRANT_INVALID");
  return signStatement("grant", GrantSchema, grant, signer.signingKey);
}

/** Make another patient one's deputy, for so many milliseconds. */
export async function makeMandate(
  patient: Party,
  deputyId: string,
  powers: readonly Power[],
  life: bigint,
  now: Instant,
  entropy: Entropy,
): Promise<SignedStatement> {
  const mandate = create(MandateSchema, {
    mandateId: entropy(16),
    patientId: patient.self.identity,
    patientSerial: patient.self.serial,
    deputyId,
    powers: [...powers],
    statedAt: now,
    notBefore: now,
    notAfter: now + life,
  });
  requireLife(validityOf(mandate), LONGEST_MANDATE, "DEPUTY_INVALID");
  return signStatement("mandate", MandateSchema, mandate, patient.signingKey);
}

/** What a grant says, if this patient signed it, by the deputyship beside it if there is one. Refuses with GRANT_INVALID. */
export function openGrant({ grant: signed, deputyship }: Consent, signer: VerifiedParty): access.Grant {
  const grant = open("grant", GrantSchema, signed!, signer, "GRANT_INVALID"); // shown.2
  const isSigners = grant.signerId === signer.identity && equal(grant.signerSerial!, signer.serial);
  require(isSigners, "GRANT_INVALID", "the grant is another patient's, or of an earlier registration"); // shown.3
  const shown = deputyship === undefined ? EMPTY : deputyshipDigest(deputyship);
  const isByThis = equal(grant.deputyshipDigest ?? EMPTY, shown);
  require(isByThis, "GRANT_INVALID", "the grant was signed by another deputyship than the one shown"); // shown.4
  return readGrant(grant);
}

/** What a mandate or guardianship says, if this party signed it. Refuses with DEPUTY_INVALID. */
export function openDeputyship(shown: Deputyship, signer: VerifiedParty): access.Deputyship {
  const opened: Read = (label, schema, signed) => open(label, schema, signed, signer, "DEPUTY_INVALID"); // shown.6
  const { says, serial } = readDeputyship(shown, opened);
  const isSigners = says.statedBy === signer.identity && equal(serial, signer.serial);
  require(isSigners, "DEPUTY_INVALID", "the deputyship is somebody else's, or of an earlier registration"); // shown.7
  return says;
}

/** What a duty says, if this hospital stated it for the key of this doctor. Refuses with DUTY_INVALID. */
export function openDuty(shown: ShownDuty, hospital: VerifiedParty, doctor: VerifiedParty): access.Duty {
  const duty = open("duty", DutySchema, shown.duty!, hospital, "DUTY_INVALID"); // shown.9
  const isSigners = duty.hospitalId === hospital.identity && equal(duty.hospitalSerial!, hospital.serial);
  require(isSigners, "DUTY_INVALID", "the duty is another hospital's, or of an earlier registration"); // shown.10
  const isForKey = equal(duty.verifyingKeyDigest!, sha256(doctor.verifyingKey));
  require(isForKey, "DUTY_INVALID", "the duty is for another key than the doctor's"); // shown.11
  return readDuty(duty);
}

/** What a grant says, unverified: for who gave it. */
export function peekGrant(signed: SignedStatement): access.Grant {
  return readGrant(peekStatement(GrantSchema, signed));
}

/** What a duty says, unverified: for who shows it. */
export function peekDuty(shown: ShownDuty): access.Duty {
  return readDuty(peekStatement(DutySchema, shown.duty!));
}

/** The label and the statement. Refuses with DEPUTY_INVALID where there is none. */
export function deputyshipStatement({ by }: Deputyship): { label: access.Deputyship["kind"]; signed: SignedStatement } {
  if (by.case === undefined) throw new Refusal("DEPUTY_INVALID", "a deputyship without mandate or guardianship"); // shown.5
  return { label: by.case === "mandate" ? "mandate" : "guardian", signed: by.value };
}

function deputyshipDigest(shown: Deputyship): Uint8Array {
  const { label, signed } = deputyshipStatement(shown);
  return statementDigest(label, signed);
}

type Read = <D extends DescMessage>(label: string, schema: D, signed: SignedStatement) => MessageShape<D>;

const peeked: Read = (_label, schema, signed) => peekStatement(schema, signed);

/** What a deputyship says, and under which credential it was stated. */
function readDeputyship(shown: Deputyship, read: Read) {
  const { label: kind, signed } = deputyshipStatement(shown);
  if (kind === "mandate") {
    const mandate = read(kind, MandateSchema, signed);
    const { mandateId: id, patientId: statedBy, patientSerial } = mandate;
    return { says: { kind, id: id!, statedBy: statedBy!, ...common(mandate) }, serial: patientSerial! };
  }
  const guardianship = read(kind, GuardianshipSchema, signed);
  const { guardianshipId: id, hospitalId: statedBy, hospitalSerial } = guardianship;
  return { says: { kind, id: id!, statedBy: statedBy!, ...common(guardianship) }, serial: hospitalSerial! };
}

/** What mandates and guardianships have in common. */
function common(statement: Mandate | Guardianship) {
  const { patientId, deputyId, powers, statedAt } = statement;
  return {
    patientId: patientId!,
    deputyId: deputyId!,
    powers,
    statedAt: statedAt!,
    validity: validityOf(statement),
  };
}

function readGrant(grant: Grant): access.Grant {
  return {
    id: grant.grantId!,
    patientId: grant.patientId!,
    signerId: grant.signerId!,
    grantee: readGrantee(grant.grantee!),
    hospitals: grant.hospitals,
    departmentClasses: grant.departmentClasses,
    highestSensitivity: grant.highestSensitivity!,
    rights: grant.rights,
    statedAt: grant.statedAt!,
    validity: validityOf(grant),
  };
}

function readDuty(duty: Duty): access.Duty {
  const { dutyId, hospitalId, doctorId, departmentClasses } = duty;
  return { id: dutyId!, hospitalId: hospitalId!, doctorId: doctorId!, departmentClasses, validity: validityOf(duty) };
}

function readGrantee({ who }: Grantee): access.Grantee | undefined {
  switch (who.case) {
    case "doctor":
      return { who: who.case, doctorId: who.value.doctorId!, authorityId: who.value.authorityId! };
    case "department":
      return { who: who.case, hospitalId: who.value.hospitalId!, departmentClass: who.value.departmentClass! };
    case "hospital":
      return { who: who.case, hospitalId: who.value.hospitalId! };
    default:
      return undefined;
  }
}

function writtenGrantee(grantee: access.Grantee): Grantee {
  switch (grantee.who) {
    case "doctor":
      return create(GranteeSchema, { who: { case: "doctor", value: create(DoctorGranteeSchema, grantee) } });
    case "department":
      return create(GranteeSchema, { who: { case: "department", value: create(DepartmentGranteeSchema, grantee) } });
    case "hospital":
      return create(GranteeSchema, { who: { case: "hospital", value: create(HospitalGranteeSchema, grantee) } });
  }
}

function open<D extends DescMessage>(
  label: string,
  schema: D,
  signed: SignedStatement,
  signer: VerifiedParty,
  reason: string,
): MessageShape<D> {
  try {
    return openStatement(label, schema, signed, signer.verifyingKey);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    throw new Refusal(reason, `the ${label} does not bear its signer's signature`, { cause: error });
  }
}

function validityOf(statement: { notBefore?: Instant; notAfter?: Instant }): access.Validity {
  return { notBefore: statement.notBefore!, notAfter: statement.notAfter! };
}

function requireLife(validity: access.Validity, longest: bigint, reason: string): void {
  require(isLife(validity, longest), reason, `it begins before it ends, and ends after at most ${longest / DAY} days`);
}
