/** CRED(X) and its company: the checks that every receiver makes (docs/protocol.md, 2). */

import {
  CredentialSchema,
  type Credential,
  EncryptionKeyStatementSchema,
  type EncryptionKeyStatement,
  KeyStatementSchema,
  type KeyStatement,
  Role,
  type SignedStatement,
} from "../gen/federation/v1/statement_pb.js";
import type { TrustedBundle } from "./bundle.js";
import { equal, type Instant, sha256 } from "./bytes.js";
import { verifyCertificate } from "./certificate.js";
import { hasBegun, SKEW } from "./freshness.js";
import { publicPoint } from "./curve.js";
import { type Grace, NO_GRACE, requireCurrent, requireStood } from "./grace.js";
import { KEM_ID, keyIdOf, requireEncryptionKey } from "./hpke.js";
import type { Lists } from "./lists.js";
import { require } from "./refusal.js";
import { parse } from "./rules.js";
import { openStatement, peekStatement } from "./statements.js";

/** Somebody whose CRED held. `issuer` is the PK that signed its credential: "PK" in what it signs. */
export interface VerifiedParty {
  readonly role: Role;
  readonly identity: string;
  readonly serial: Uint8Array;
  readonly attribute: Uint8Array;
  readonly credential: Uint8Array;
  /** R_X1 = rho. */
  readonly registrationPoint: Uint8Array;
  /** U_X, compressed. */
  readonly publicPoint: Uint8Array;
  readonly verifyingKey: Uint8Array;
  readonly issuer: Uint8Array;
  readonly keyStatement: SignedStatement;
  /** Of a doctor whose Cert_D held, else empty. */
  readonly authorityId: string;
}

/** Somebody's encryption key of the epoch, verified. */
export interface EncryptionKey {
  readonly owner: string;
  readonly keyId: Uint8Array;
  readonly encryptionKey: Uint8Array;
  readonly statement: SignedStatement;
}

const PREFIXES: Partial<Record<Role, string>> = { [Role.PATIENT]: "P:", [Role.DOCTOR]: "D:", [Role.HOSPITAL]: "H:" };

/** A receiver's checks at one moment: what it trusts, the lists, and for how long one counts that is over. */
export class Verifier {
  constructor(
    readonly bundle: TrustedBundle,
    readonly lists: Lists,
    readonly grace: Grace = NO_GRACE,
  ) {}

  /** CRED(X) for a key statement. */
  party(signed: SignedStatement, role: Role, now: Instant): VerifiedParty {
    requireCurrent(this.lists.head, this.grace, now); // cred.1
    const key = this.bundle.cloudKeyAt(peekStatement(KeyStatementSchema, signed).statedAt!);
    const statement = openStatement("ks", KeyStatementSchema, signed, key);
    const credential = parse(CredentialSchema, statement.credential!);
    requireAgreement(statement, credential, role);
    // Else a PRK_C that waits for its stated time could speak already.
    requireValid(statement.statedAt!, statement.notAfter!, now);
    requireValid(statement.notBefore!, statement.notAfter!, now);
    requireValid(credential.notBefore!, credential.notAfter!, now);
    this.lists.requireSerialGood(credential.serial!);
    const issuer = this.bundle.issuerAt(credential.notBefore!);
    const point = publicPoint(statement.registrationPoint!, issuer, statement.credential!);
    requireStood(this.lists.head, statement.statedAt!, this.grace, now); // cred.14
    return {
      role,
      identity: statement.identity!,
      serial: credential.serial!,
      attribute: credential.attribute!,
      credential: statement.credential!,
      registrationPoint: statement.registrationPoint!,
      publicPoint: point,
      verifyingKey: statement.verifyingKey!,
      issuer,
      keyStatement: signed,
      authorityId: "",
    };
  }

  /** CRED(D), and Cert_D: legal, this doctor's, and the one in the credential. */
  async doctor(signed: SignedStatement, certificate: Uint8Array, now: Instant): Promise<VerifiedParty> {
    const party = this.party(signed, Role.DOCTOR, now);
    require(equal(
      party.attribute,
      sha256(certificate),
    ), "CREDENTIAL_INVALID", "the credential was issued for another Cert_D");
    const { medicalAuthorities } = this.bundle.content;
    const authorityId = await verifyCertificate(certificate, medicalAuthorities, this.lists, party, now);
    return { ...party, authorityId };
  }

  /** CRED(X) for a party's own KS, signed anew by a rotated PRK_C: it says what the kept one said, but for when it was stated. */
  restated(signed: SignedStatement, kept: SignedStatement, now: Instant): VerifiedParty {
    const before = peekStatement(KeyStatementSchema, kept);
    const party = this.party(signed, before.role!, now);
    const same =
      equal(party.credential, before.credential!) &&
      equal(party.registrationPoint, before.registrationPoint!) &&
      equal(party.verifyingKey, before.verifyingKey!);
    require(same, "CREDENTIAL_INVALID", "the key statement signed anew is not of this credential and key");
    return party;
  }

  /** CRED(X) of whatever role; of a doctor, and of nobody else, with Cert_D. */
  async member(signed: SignedStatement, role: Role, certificate: Uint8Array, now: Instant): Promise<VerifiedParty> {
    if (role === Role.DOCTOR) return this.doctor(signed, certificate, now);
    require(certificate.length === 0, "CERTIFICATE_FOREIGN", "only a doctor has a Cert_D");
    return this.party(signed, role, now);
  }

  /** EK_X by PUK_X. */
  encryptionKey(signed: SignedStatement, owner: VerifiedParty, now: Instant): EncryptionKey {
    return this.#encryptionKey(signed, owner.identity, owner.verifyingKey, now);
  }

  /** EK_C by the PUK_C that it names: its validity begins before it is signed, so no time of its own could say which. */
  cloudEncryptionKey(signed: SignedStatement, now: Instant): EncryptionKey {
    const named = peekStatement(EncryptionKeyStatementSchema, signed);
    const key = this.bundle.cloudKeyOfEpoch(named.verifyingKeyDigest!, named.notBefore!, now + SKEW);
    return this.#encryptionKey(signed, this.bundle.content.cloudId!, key, now);
  }

  #encryptionKey(signed: SignedStatement, owner: string, key: Uint8Array, now: Instant): EncryptionKey {
    const statement = openEncryptionKey(signed, key);
    require(statement.identity === owner, "IDENTITY_MISMATCH", "the encryption key is somebody else's");
    requireValid(statement.notBefore!, statement.notAfter!, now);
    this.lists.requireKeyGood(statement.keyId!);
    return { owner, keyId: statement.keyId!, encryptionKey: statement.encryptionKey!, statement: signed };
  }
}

function openEncryptionKey(signed: SignedStatement, key: Uint8Array): EncryptionKeyStatement {
  const statement = openStatement("ek", EncryptionKeyStatementSchema, signed, key);
  require(equal(
    statement.verifyingKeyDigest!,
    sha256(key),
  ), "CREDENTIAL_INVALID", "the encryption key names another verifying key");
  const fits = statement.kem === KEM_ID && equal(statement.keyId!, keyIdOf(statement.encryptionKey!));
  require(fits, "CREDENTIAL_INVALID", "the encryption key is not of its key id and KEM");
  requireEncryptionKey(statement.encryptionKey!);
  return statement;
}

function requireAgreement(statement: KeyStatement, credential: Credential, role: Role): void {
  require(statement.role === role &&
    credential.role === role, "CREDENTIAL_INVALID", "the credential is for another role");
  require(statement.identity === credential.identity, "CREDENTIAL_INVALID", "the credential is another identity's");
  const bound = equal(credential.verifyingKeyDigest!, sha256(statement.verifyingKey!));
  require(bound, "CREDENTIAL_INVALID", "the credential is for another key");
  require(statement.identity!.startsWith(PREFIXES[role]!), "CREDENTIAL_INVALID", "the identity is not of this role");
}

/** Which of these roles an identity is of. Refuses with CREDENTIAL_INVALID for none of them. */
export function roleOf(identity: string, roles: readonly Role[]): Role {
  const role = roles.find((one) => identity.startsWith(PREFIXES[one]!));
  require(role !== undefined, "CREDENTIAL_INVALID", "the identity is not of a role that may send this");
  return role;
}

/** Require validity; what was stated just now by a clock that is ahead within sigma is valid. */
function requireValid(notBefore: Instant, notAfter: Instant, now: Instant): void {
  require(hasBegun(notBefore, now) && now < notAfter, "CREDENTIAL_EXPIRED", "outside its validity");
}
