/** What somebody shows for access to a patient's records: its digests, and the way from a consent to a decision. Nobody's right yet. */

import { create } from "@bufbuild/protobuf";
import {
  type Access,
  AccessSchema,
  type Consent,
  ConsentSchema,
  type Deputyship,
  OwnAccessSchema,
  type SecondClinician,
  type ShownDuty,
} from "../gen/federation/v1/access_pb.js";
import { type Right, Role, type SignedStatement } from "../gen/federation/v1/statement_pb.js";
import * as access from "./access.js";
import { EMPTY, type Instant, sha256, text } from "./bytes.js";
import { deputyshipStatement, openDeputyship, openDuty, openGrant } from "./consent.js";
import { SKEW } from "./freshness.js";
import type { Lists } from "./lists.js";
import { afterOpening } from "./refusal.js";
import { certificateDigest, signedDigest, statementDigest, transcript } from "./transcript.js";
import type { VerifiedParty, Verifier } from "./verifier.js";

/** How this client decides: no emergency is shown to it. */
const POLICY: access.Policy = { skew: SKEW };

/** What is shown about a patient, or nothing. None of it is decided yet. */
export class Shown {
  constructor(
    readonly patientId: string,
    readonly access?: Access,
  ) {}

  /** Show a consent, or none, and that one is on duty. */
  static byConsent(patientId: string, consent: Consent | undefined, duty?: ShownDuty): Shown {
    if (consent === undefined) return new Shown(patientId);
    const value = create(ConsentSchema, { ...consent, duty: duty ?? consent.duty });
    return new Shown(patientId, create(AccessSchema, { ground: { case: "consent", value } }));
  }

  /** Show that these are one's own records, or of whom one stands for. */
  static byOwnRight(patientId: string, deputyship?: Deputyship): Shown {
    const value = create(OwnAccessSchema, { deputyship });
    return new Shown(patientId, create(AccessSchema, { ground: { case: "own", value } }));
  }

  /** The consent that is shown, if it is one. */
  get consent(): Consent | undefined {
    const ground = this.access?.ground;
    return ground?.case === "consent" ? ground.value : undefined;
  }

  /** H(access), or nothing where nothing is shown: in c_P and Sig_HPC2. */
  get digest(): Uint8Array {
    const { access } = this;
    return access === undefined ? EMPTY : sha256(transcript("access", ...fieldsOf(access, statementDigest)));
  }

  /** Hs(access): nothing that is decided by can be exchanged under Sig_D2. Empty where nothing is shown. */
  get signedDigest(): Uint8Array {
    const { access } = this;
    if (access === undefined) return EMPTY;
    return sha256(transcript("access-signed", ...fieldsOf(access, signedDigest), ...shownBeside(access)));
  }

  /** H(grant), or nothing without one: in Sig_P2, when no duty is known yet. */
  get grantDigest(): Uint8Array {
    return statementDigest("grant", this.consent?.grant);
  }

  /**
   * Verify the consent, and decide on it for a doctor who asks for this right, or for any. Refuses with what is wrong with it, or REJECTED
   * for a false party behind it.
   */
  decide(asker: VerifiedParty, right: Right | undefined, verifier: Verifier, now: Instant): access.Consent {
    const { consent, patientId } = this;
    const opened = consent && openConsent(consent, asker, verifier, now);
    const decision = access.decide(
      opened,
      { asker, right, patientId },
      standingOf(opened, verifier.lists),
      POLICY,
      now,
    );
    if (decision instanceof access.Refused) throw decision.refusal;
    return opened!;
  }
}

/** Require a verified duty to be this doctor's at this hospital, and to hold now. */
export function requireShownDuty(
  duty: access.Duty,
  hospitalId: string,
  doctorId: string,
  { lists }: Verifier,
  now: Instant,
): void {
  const revoked = new Set(lists.isRevoked("duty", duty.hospitalId, duty.id) ? ["duty"] : []);
  access.requireDuty(duty, hospitalId, doctorId, { revoked }, POLICY, now);
}

function openConsent(consent: Consent, asker: VerifiedParty, verifier: Verifier, now: Instant): access.Consent {
  const { keyStatement, deputyship, duty } = consent;
  const signer = afterOpening(() => verifier.party(keyStatement!, Role.PATIENT, now)); // shown.1
  return {
    ground: "consent",
    grant: openGrant(consent, signer),
    deputyship: deputyship && openShownDeputyship(deputyship, verifier, now),
    duty: duty && openShownDuty(duty, asker, verifier, now),
  };
}

function openShownDeputyship(shown: Deputyship, verifier: Verifier, now: Instant): access.Deputyship {
  const role = deputyshipStatement(shown).label === "mandate" ? Role.PATIENT : Role.HOSPITAL;
  return openDeputyship(
    shown,
    afterOpening(() => verifier.party(shown.keyStatement!, role, now)), // shown.5
  );
}

function openShownDuty(shown: ShownDuty, doctor: VerifiedParty, verifier: Verifier, now: Instant): access.Duty {
  const hospital = afterOpening(() => verifier.party(shown.keyStatement!, Role.HOSPITAL, now)); // shown.8
  return openDuty(shown, hospital, doctor);
}

/** Which of the statements were taken back, each by itself or with all that its patient signed. */
function standingOf(opened: access.Consent | undefined, lists: Lists): access.Standing {
  const revoked = new Set<string>();
  if (opened === undefined) return { revoked };
  const { grant, deputyship, duty } = opened;
  if (lists.isTakenBack("grant", grant)) revoked.add("grant");
  if (deputyship !== undefined && isEnded(deputyship, lists)) revoked.add("deputyship");
  if (duty !== undefined && lists.isRevoked("duty", duty.hospitalId, duty.id)) revoked.add("duty");
  return { revoked };
}

function isEnded(deputyship: access.Deputyship, lists: Lists): boolean {
  const { kind, statedBy, id } = deputyship;
  // A guardian's not under the patient: another hospital could state one of the same id, and take that back.
  return kind === "mandate" ? lists.isTakenBack(kind, deputyship) : lists.isRevoked(kind, statedBy, id);
}

type Digest = (label: string, signed: SignedStatement | undefined) => Uint8Array;

/** The ground and the statements that are shown, each by this digest, or nothing where there is none. */
function fieldsOf({ ground }: Access, digestOf: Digest): Uint8Array[] {
  const { grant, emergency, deputyship, duty }: Held = ground.value ?? {};
  return [
    text(ground.case ?? ""),
    emergency === undefined ? digestOf("grant", grant) : digestOf("bg", emergency),
    deputyship === undefined ? EMPTY : digestOf(...labelled(deputyship)),
    digestOf("duty", duty?.duty),
  ];
}

/** Hs of the key statements beside the statements, and what the second clinician shows. */
function shownBeside({ ground }: Access): Uint8Array[] {
  const { keyStatement, deputyship, duty, second }: Held = ground.value ?? {};
  return [
    signedDigest("ks", keyStatement),
    signedDigest("ks", deputyship?.keyStatement),
    signedDigest("ks", duty?.keyStatement),
    second?.signature ?? EMPTY,
    signedDigest("ks", second?.keyStatement),
    certificateDigest(second?.doctorCertificate),
  ];
}

/** What a ground may hold, whichever it is. */
interface Held {
  readonly grant?: SignedStatement;
  readonly keyStatement?: SignedStatement;
  readonly emergency?: SignedStatement;
  readonly second?: SecondClinician;
  readonly deputyship?: Deputyship;
  readonly duty?: ShownDuty;
}

function labelled(deputyship: Deputyship): [string, SignedStatement] {
  const { label, signed } = deputyshipStatement(deputyship);
  return [label, signed];
}
