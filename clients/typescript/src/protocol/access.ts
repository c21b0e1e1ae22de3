/** What a doctor shows to be allowed something of a patient's, and why it is allowed. */

import { type Grant, GrantSchema, type Right, type SignedStatement } from "../gen/federation/v1/statement_pb.js";
import { EMPTY } from "./bytes.js";
import { peekStatement } from "./statements.js";

/** What a doctor shows: nothing of it is decided here. */
export interface AccessClaim {
  readonly patientId: string;
  readonly grant: SignedStatement | undefined;
  /** By which others check the grant. */
  readonly patientKeyStatement: SignedStatement;
}

/** The grant's id, or nothing without one: in Sig_HPC2. */
export function claimedId({ grant }: AccessClaim): Uint8Array {
  return grant === undefined ? EMPTY : peekStatement(GrantSchema, grant).grantId!;
}

/** The claim as a message's `authorization`. */
export function authorizationOf({ grant }: AccessClaim) {
  return grant === undefined ? { case: undefined } : { case: "grant" as const, value: grant };
}

/** Why a doctor is allowed something, decided: the patient's grant held. Whoever has none is allowed nothing. */
export class Access {
  readonly departmentClasses: readonly string[];
  readonly rights: readonly Right[];

  constructor({ departmentClasses, rights }: Pick<Grant, "departmentClasses" | "rights">) {
    this.departmentClasses = departmentClasses;
    this.rights = rights;
  }

  /** Whether it holds a right; servers decide this for themselves. */
  allows(right: Right): boolean {
    return this.rights.includes(right);
  }
}
