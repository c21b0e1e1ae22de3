/**
 * Why somebody may do something with a patient's records: one decision, at the public cloud and at every hospital.
 *
 * `decide` is pure: facts in, `Allowed` or `Refused` out. Whoever calls it has verified the signatures behind the facts
 * (`shown.ts`), and calls it before anything is looked for. What no rule allows is refused. tests/decisions holds its known answers,
 * for every language.
 */

import { Power, Right, Role, Sensitivity } from "../gen/federation/v1/statement_pb.js";
import type { Instant } from "./bytes.js";
import { Refusal, require } from "./refusal.js";

export const ANY = "*";

export const HOUR = 3_600_000n;
export const DAY = 24n * HOUR;

/** How long, at most, in milliseconds. */
export const LONGEST_GRANT = 366n * DAY;
export const LONGEST_MANDATE = 1827n * DAY;
const LONGEST_GUARDIANSHIP = 18n * 366n * DAY;
const LONGEST_DUTY = 24n * HOUR;
const LONGEST_EMERGENCY = HOUR;

/** From when to when something holds, its end not included. */
export interface Validity {
  readonly notBefore: Instant;
  readonly notAfter: Instant;
}

/** Who a grant is for: a doctor under whichever certificate of that authority, or those on duty in a department's class or at a hospital. */
export type Grantee =
  | { readonly who: "doctor"; readonly doctorId: string; readonly authorityId: string }
  | { readonly who: "department"; readonly hospitalId: string; readonly departmentClass: string }
  | { readonly who: "hospital"; readonly hospitalId: string };

/** What a grant says. */
export interface Grant {
  readonly id: Uint8Array;
  readonly patientId: string;
  readonly signerId: string;
  /** None where it names nobody that is known here. */
  readonly grantee: Grantee | undefined;
  readonly hospitals: readonly string[];
  readonly departmentClasses: readonly string[];
  readonly highestSensitivity: Sensitivity;
  readonly rights: readonly Right[];
  readonly statedAt: Instant;
  readonly validity: Validity;
}

/** What a mandate or a guardianship says. */
export interface Deputyship {
  /** Its label. */
  readonly kind: "mandate" | "guardian";
  readonly id: Uint8Array;
  /** Who signed it. */
  readonly statedBy: string;
  readonly patientId: string;
  readonly deputyId: string;
  readonly powers: readonly Power[];
  readonly statedAt: Instant;
  readonly validity: Validity;
}

/** What a duty says. */
export interface Duty {
  readonly id: Uint8Array;
  readonly hospitalId: string;
  readonly doctorId: string;
  readonly departmentClasses: readonly string[];
  readonly validity: Validity;
}

/** By a grant, of the patient or of a deputy; for those on duty, or to deposit, with a duty. */
export interface Consent {
  readonly ground: "consent";
  readonly grant: Grant;
  readonly deputyship?: Deputyship | undefined;
  readonly duty?: Duty | undefined;
}

/** The patient itself, or a deputy. */
export interface OwnAccess {
  readonly ground: "own";
  readonly deputyship?: Deputyship | undefined;
}

/** What a declared emergency says, and the duty of the doctor. */
export interface Emergency {
  readonly ground: "emergency";
  readonly id: Uint8Array;
  readonly patientId: string;
  readonly doctorId: string;
  readonly hospital: string;
  readonly reasonCode: string;
  /** One whose signature held. */
  readonly secondDoctorId?: string | undefined;
  readonly validity: Validity;
  readonly duty: Duty;
}

export type Access = Consent | OwnAccess | Emergency;

/** Who asks, proved. */
export interface Asker {
  readonly role: Role;
  readonly identity: string;
  /** Of a doctor's certificate; empty of a patient. */
  readonly authorityId: string;
}

/** What somebody wants to do with whose records. What is absent is not of this decision. */
export interface Question {
  readonly asker: Asker;
  readonly right?: Right | undefined;
  readonly patientId: string;
  readonly hospitalId?: string | undefined;
  readonly departmentClass?: string | undefined;
}

/** What a patient hides: at a hospital, of a class, one record (hex); ANY is every one. */
export interface Hidden {
  readonly hospital: string;
  readonly departmentClass: string;
  readonly handle: string;
}

/** What became of what is shown, and of who asks, as far as it is known here. */
export interface Standing {
  /** Of "grant", "deputyship", "duty". */
  readonly revoked?: ReadonlySet<string>;
  readonly hidden?: readonly Hidden[];
  readonly emergencyOverrides?: boolean;
  /** Of "accesses", "emergencies": the budgets that are used up. */
  readonly exhausted?: ReadonlySet<string>;
}

/** When an emergency is let in: for which reasons, of doctors on duty in which classes (ANY: in any, or none), by how many. */
export interface EmergencyPolicy {
  readonly reasons: readonly string[];
  readonly dutyClasses: readonly string[];
  readonly secondClinician: boolean;
}

/** What this receiver allows: how far clocks may differ, in milliseconds, and emergencies, if at all. */
export interface Policy {
  readonly skew: bigint;
  readonly emergency?: EmergencyPolicy | undefined;
}

/**
 * It may be done, as far as this goes. What lies beyond is not on file for who asks: other hospitals, other classes, records of a
 * higher sensitivity, hidden ones.
 */
export class Allowed {
  constructor(
    readonly ground: "consent" | "own" | "deputy" | "emergency",
    readonly hospitals: readonly string[],
    readonly departmentClasses: readonly string[],
    readonly highestSensitivity: Sensitivity,
    readonly hidden: readonly Hidden[] = [],
  ) {}

  /** The classes that the question and the access both cover, of those that are published. Refuses with GRANT_SCOPE for none. */
  classes(asked: string, published: readonly string[]): string[] {
    const wanted = asked === ANY ? [...published].sort() : [asked];
    const covered = wanted.filter((name) => covers(this.departmentClasses, name));
    require(covered.length > 0, "GRANT_SCOPE", "the grant is not for this department class");
    return covered;
  }

  /** Whether a record, whose handle is given in hex, is on file for who asks. */
  shows(hospitalId: string, departmentClass: string, handle: string, sensitivity: Sensitivity): boolean {
    return (
      covers(this.hospitals, hospitalId) &&
      covers(this.departmentClasses, departmentClass) &&
      Sensitivity.UNSPECIFIED < sensitivity &&
      sensitivity <= this.highestSensitivity &&
      !this.hidden.some((one) => hides(one, hospitalId, departmentClass, handle))
    );
  }
}

/** It may not be done, and why. */
export class Refused {
  constructor(readonly refusal: Refusal) {}

  get reason(): string {
    return this.refusal.reason;
  }
}

/** Decide. `access` is absent where nothing was shown. */
export function decide(
  access: Access | undefined,
  question: Question,
  standing: Standing,
  policy: Policy,
  now: Instant,
): Allowed | Refused {
  try {
    return new Rule(question, standing, policy, now).allowedBy(access);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return new Refused(error);
  }
}

/** The rules over one question, each a check that refuses. */
class Rule {
  constructor(
    readonly question: Question,
    readonly standing: Standing,
    readonly policy: Policy,
    readonly now: Instant,
  ) {}

  allowedBy(access: Access | undefined): Allowed {
    switch (access?.ground) {
      case "consent":
        return this.#byConsent(access);
      case "own":
        return this.#byOwnRight(access);
      case "emergency":
        return this.#byEmergency(access);
      default:
        throw new Refusal("GRANT_MISSING", "no grant, no record"); // access.1
    }
  }

  #byConsent(consent: Consent): Allowed {
    const { grant } = consent;
    require(grant.patientId === this.question.patientId, "GRANT_INVALID", "the grant is about another patient"); // grant.1
    this.#requireSigner(consent);
    this.#requireStanding(grant);
    this.#requireGrantee(consent);
    this.#requireScope(grant);
    const { right } = this.question;
    if (right !== undefined && BUDGETED.has(right)) {
      this.#requireBudget("accesses");
    }
    const { hospitals, departmentClasses, highestSensitivity } = grant;
    return new Allowed("consent", hospitals, departmentClasses, highestSensitivity, this.standing.hidden);
  }

  #byOwnRight({ deputyship }: OwnAccess): Allowed {
    const { asker, patientId, right } = this.question;
    require(asker.role === Role.PATIENT, "NOT_OWN_RECORD", "only a patient has records of its own"); // own.1
    const power = right === undefined ? undefined : OWN.get(right);
    const allowed = "a patient finds, reads, sees who did and adds; it deposits no encounter";
    require(power !== undefined, "NOT_OWN_RECORD", allowed); // own.2
    if (deputyship === undefined) {
      require(asker.identity === patientId, "NOT_OWN_RECORD", "these are another patient's records"); // own.3
      return new Allowed("own", [ANY], [ANY], Sensitivity.SECRET);
    }
    this.#requireDeputy(deputyship, asker.identity, power);
    // Whoever may hide a record may see it; another deputy is restricted as a doctor is.
    const hidden = deputyship.powers.includes(Power.RESTRICT) ? [] : this.standing.hidden;
    return new Allowed("deputy", [ANY], [ANY], Sensitivity.RESTRICTED, hidden);
  }

  #byEmergency(emergency: Emergency): Allowed {
    const { asker, patientId, hospitalId, right } = this.question;
    const policy = this.policy.emergency;
    require(policy !== undefined, "EMERGENCY_REFUSED", "no emergency is let in here"); // bg.1
    const isOwn = asker.role === Role.DOCTOR && emergency.doctorId === asker.identity;
    require(isOwn, "EMERGENCY_INVALID", "the emergency is another doctor's"); // bg.2
    require(emergency.patientId === patientId, "EMERGENCY_INVALID", "the emergency is about another patient"); // bg.3
    const isHere = hospitalId === undefined || [ANY, hospitalId].includes(emergency.hospital);
    require(isHere, "EMERGENCY_INVALID", "the emergency is for another hospital"); // bg.4
    require(isLife(emergency.validity, LONGEST_EMERGENCY), "EMERGENCY_INVALID", "an emergency lives at most an hour"); // bg.5
    require(this.#holds(emergency.validity), "EMERGENCY_EXPIRED", "the emergency is not yet, or no longer, valid"); // bg.6
    const isRead = right !== undefined && IN_EMERGENCY.has(right);
    require(isRead, "EMERGENCY_REFUSED", "in an emergency records are found and read, nothing else"); // bg.7
    this.#requireLetIn(emergency, policy);
    this.#requireBudget("emergencies");
    const hidden = this.standing.emergencyOverrides ? [] : this.standing.hidden;
    return new Allowed("emergency", [emergency.hospital], [ANY], Sensitivity.RESTRICTED, hidden);
  }

  #requireLetIn({ duty, reasonCode, doctorId, secondDoctorId }: Emergency, policy: EmergencyPolicy): void {
    this.#requireDuty(duty, duty.hospitalId); // bg.8
    const { dutyClasses, reasons, secondClinician } = policy;
    const isFromThere =
      dutyClasses.includes(ANY) ||
      duty.departmentClasses.some((departmentClass) => dutyClasses.includes(departmentClass));
    require(isFromThere, "EMERGENCY_REFUSED", "the doctor is not on duty where emergencies are let in from"); // bg.9
    require(reasons.includes(reasonCode), "EMERGENCY_REFUSED", "this is no reason that is let in here"); // bg.10
    const isSeconded = secondDoctorId !== undefined && secondDoctorId !== doctorId;
    require(!secondClinician || isSeconded, "EMERGENCY_REFUSED", "an emergency takes a second clinician here"); // bg.11
  }

  #requireStanding({ validity, statedAt }: Grant): void {
    const sentence = "a grant begins before it ends, and ends after at most 366 days";
    require(isLife(validity, LONGEST_GRANT), "GRANT_INVALID", sentence); // grant.3
    // Dated ahead it would outlive "everything that I signed before".
    require(statedAt <= validity.notBefore, "GRANT_INVALID", "a grant is signed before it begins, not after"); // grant.3
    require(this.#holds(validity), "GRANT_EXPIRED", "the grant is not yet, or no longer, valid"); // grant.4
    require(!this.#isRevoked("grant"), "GRANT_REVOKED", "the grant was taken back"); // grant.5
  }

  #requireScope(grant: Grant): void {
    const { right, hospitalId, departmentClass } = this.question;
    require(GRANTED.has(grant.highestSensitivity), "GRANT_INVALID", "no grant opens what is secret"); // grant.10
    const isGiven = right === undefined || (GIVEN.has(right) && grant.rights.includes(right));
    require(isGiven, "GRANT_SCOPE", "the grant does not give this right"); // grant.11
    const isThere = hospitalId === undefined || covers(grant.hospitals, hospitalId);
    require(isThere, "GRANT_SCOPE", "the grant is not for this hospital"); // grant.12
    const isOfClass = departmentClass === undefined || covers(grant.departmentClasses, departmentClass);
    require(isOfClass, "GRANT_SCOPE", "the grant is not for this department class"); // grant.13
  }

  #requireBudget(name: "accesses" | "emergencies"): void {
    const isLeft = !this.standing.exhausted?.has(name);
    require(isLeft, "BUDGET_EXHAUSTED", `no more ${name} are given in this time`); // access.2
  }

  #requireSigner({ grant, deputyship }: Consent): void {
    if (grant.signerId === grant.patientId) {
      const isAlone = deputyship === undefined;
      require(isAlone, "DEPUTY_INVALID", "the patient itself signed the grant, and a deputyship is shown"); // grant.2
      return;
    }
    const isShown = deputyship !== undefined;
    require(isShown, "DEPUTY_INVALID", "another than the patient signed the grant, and no deputyship is shown"); // grant.2
    this.#requireDeputy(deputyship, grant.signerId, Power.GRANT);
  }

  #requireDeputy(deputyship: Deputyship, deputyId: string, power: Power): void {
    const { kind, validity } = deputyship;
    const isOfThese = deputyship.patientId === this.question.patientId && deputyship.deputyId === deputyId;
    require(isOfThese, "DEPUTY_INVALID", "the deputyship is of another patient, or for another deputy"); // deputy.1
    require(deputyship.patientId !== deputyId, "DEPUTY_INVALID", "nobody is its own deputy"); // deputy.2
    const longest = LONGEST_DEPUTYSHIP.get(kind) ?? 0n;
    require(isLife(validity, longest), "DEPUTY_INVALID", `a ${kind} lives at most ${longest / DAY} days`); // deputy.3
    const isSignedFirst = deputyship.statedAt <= validity.notBefore;
    require(isSignedFirst, "DEPUTY_INVALID", "a deputyship is signed before it begins, not after"); // deputy.3
    require(this.#holds(validity), "DEPUTY_EXPIRED", "the deputyship is not yet, or no longer, valid"); // deputy.4
    require(!this.#isRevoked("deputyship"), "DEPUTY_REVOKED", "the deputyship was taken back"); // deputy.5
    require(deputyship.powers.includes(power), "DEPUTY_POWERS", "the deputyship does not give this power"); // deputy.6
  }

  #requireGrantee({ grant, duty }: Consent): void {
    const { asker, right, hospitalId } = this.question;
    require(asker.role === Role.DOCTOR, "GRANT_INVALID", "a grant is for doctors"); // grant.6
    const { grantee } = grant;
    switch (grantee?.who) {
      case "doctor": {
        const isOwn = grantee.doctorId === asker.identity && grantee.authorityId === asker.authorityId;
        require(isOwn, "GRANT_INVALID", "the grant is for another doctor, or one of another authority"); // grant.7
        break;
      }
      case "department": {
        this.#requireDuty(duty, grantee.hospitalId);
        const isThere = duty?.departmentClasses.includes(grantee.departmentClass) ?? false;
        require(isThere, "DUTY_INVALID", "the duty is not in the department that the grant is for"); // grant.8
        break;
      }
      case "hospital":
        this.#requireDuty(duty, grantee.hospitalId);
        break;
      default:
        throw new Refusal("GRANT_INVALID", "the grant is for nobody that is known here"); // grant.7
    }
    if (right === Right.WRITE) this.#requireDuty(duty, hospitalId); // grant.9
  }

  #requireDuty(duty: Duty | undefined, hospitalId: string | undefined): void {
    requireDuty(duty, hospitalId, this.question.asker.identity, this.standing, this.policy, this.now);
  }

  #isRevoked(what: "grant" | "deputyship"): boolean {
    return this.standing.revoked?.has(what) ?? false;
  }

  #holds(validity: Validity): boolean {
    return holds(validity, this.now, this.policy.skew);
  }
}

/** Require this doctor to be on duty at this hospital now. Refuses with DUTY_MISSING, DUTY_INVALID, DUTY_EXPIRED, DUTY_REVOKED. */
export function requireDuty(
  duty: Duty | undefined,
  hospitalId: string | undefined,
  doctorId: string,
  standing: Standing,
  policy: Policy,
  now: Instant,
): void {
  require(duty !== undefined, "DUTY_MISSING", "no duty is shown, and the grant, or a deposit, asks for one"); // duty.1
  require(duty.hospitalId === hospitalId, "DUTY_INVALID", "the duty is at another hospital"); // duty.2
  require(duty.doctorId === doctorId, "DUTY_INVALID", "the duty is another doctor's"); // duty.3
  require(isLife(duty.validity, LONGEST_DUTY), "DUTY_INVALID", "a duty lives at most 24 hours"); // duty.4
  require(holds(duty.validity, now, policy.skew), "DUTY_EXPIRED", "the duty is not yet, or no longer, valid"); // duty.5
  require(!standing.revoked?.has("duty"), "DUTY_REVOKED", "the hospital took the duty back"); // duty.6
}

const LONGEST_DEPUTYSHIP = new Map([
  ["mandate", LONGEST_MANDATE],
  ["guardian", LONGEST_GUARDIANSHIP],
]);
const GRANTED = new Set([Sensitivity.NORMAL, Sensitivity.RESTRICTED]);
const GIVEN = new Set([Right.INDEX, Right.READ, Right.WRITE]);
/** What a patient may do, and the power that a deputy needs for it. */
const OWN = new Map([
  [Right.INDEX, Power.READ],
  [Right.READ, Power.READ],
  [Right.LOG, Power.LOG],
  [Right.ADD, Power.ADD],
]);
const IN_EMERGENCY = new Set([Right.INDEX, Right.READ]);
/** A deposit gives nothing out, and a visit that was begun is finished. */
const BUDGETED = new Set([Right.INDEX, Right.READ]);

/** Whether it is valid now; what began by a clock that is ahead within `skew` has begun. */
function holds({ notBefore, notAfter }: Validity, now: Instant, skew: bigint): boolean {
  return notBefore <= now + skew && now < notAfter;
}

/** Whether it begins before it ends, and is no longer than that. */
export function isLife({ notBefore, notAfter }: Validity, longest: bigint): boolean {
  const life = notAfter - notBefore;
  return 0n < life && life <= longest;
}

/** Whether a list of an access covers a value; asking for ANY needs ANY. */
export function covers(allowed: readonly string[], value: string): boolean {
  return allowed.includes(ANY) || allowed.includes(value);
}

function hides(one: Hidden, hospitalId: string, departmentClass: string, handle: string): boolean {
  const named: [string, string][] = [
    [one.hospital, hospitalId],
    [one.departmentClass, departmentClass],
    [one.handle, handle],
  ];
  return named.every(([hidden, value]) => hidden === ANY || hidden === value);
}
