/** Registration, the applicant's side (eq. 2-10; docs/protocol.md, 3): reg1 is sent, reg2 is checked. */

import { create } from "@bufbuild/protobuf";
import { type SealedOpening, type SealedReply, SealedReplySchema } from "../gen/federation/v1/envelope_pb.js";
import {
  type RegistrationAnswer,
  RegistrationAnswerSchema,
  type RegistrationRequest,
  RegistrationRequestSchema,
} from "../gen/federation/v1/registration_pb.js";
import { type Credential, CredentialSchema, Role, type SignedStatement } from "../gen/federation/v1/statement_pb.js";
import type { TrustedBundle } from "./bundle.js";
import { concat, EMPTY, equal, type Instant, sha256, text, u64 } from "./bytes.js";
import { requireNotFuture } from "./freshness.js";
import { credentialTranscript, publicPoint, xOf } from "./curve.js";
import type { DecryptionKey } from "./hpke.js";
import { Lists } from "./lists.js";
import { afterOpeningAsync, require } from "./refusal.js";
import { check, parse } from "./rules.js";
import { openPayload, sealOpening, UNNAMED } from "./sealing.js";
import { isEcdsa, type SigningKey, verifySignature } from "./signatures.js";
import { transcript } from "./transcript.js";
import { type EncryptionKey, type VerifiedParty, Verifier } from "./verifier.js";

/** Who asks to be registered, and with what: B_P or Cert_D as `evidence`; a ticket unless a doctor. */
export interface Applicant {
  readonly role: Role.PATIENT | Role.DOCTOR;
  readonly identity: string;
  readonly evidence: Uint8Array;
  readonly ticket?: Uint8Array;
  readonly signingKey: SigningKey;
  readonly decryptionKey: DecryptionKey;
  readonly encryptionKeyStatement: SignedStatement;
}

/** reg2 held, eq. 4, 7, 10 among it. Keep S_X (32 bytes) where keys are kept, and wipe this copy. */
export interface Registered {
  readonly party: VerifiedParty;
  readonly registrationSecret: Uint8Array;
  readonly lists: Lists;
}

/** How long the cloud repeats its answer to the same reg1. */
const ANSWER_KEPT = 10n * 60_000n;

const ROLES: Record<Applicant["role"], string> = { [Role.PATIENT]: "patient", [Role.DOCTOR]: "doctor" };

/** Send reg1. */
export async function apply(
  applicant: Applicant,
  challenge: Uint8Array,
  cloud: EncryptionKey,
  now: Instant,
): Promise<{ awaiting: AwaitingCredential; opening: SealedOpening }> {
  const { role, identity, evidence, ticket, encryptionKeyStatement, signingKey } = applicant;
  const verifyingKey = signingKey.publicKey;
  const fields = { role, identity, evidence, verifyingKey, encryptionKeyStatement, challenge, sentAt: now };
  const request = create(RegistrationRequestSchema, ticket === undefined ? fields : { ...fields, ticket });
  request.signature = await signingKey.sign(requestTranscript(request, cloud.owner));
  const context = {
    name: "reg1",
    sender: UNNAMED,
    receiver: cloud.owner,
    keyId: cloud.keyId,
    sessionId: challenge,
    sentAt: now,
  };
  const { opening, plaintext } = await sealOpening(RegistrationRequestSchema, request, cloud.encryptionKey, context);
  return { awaiting: new AwaitingCredential(applicant, request, plaintext), opening };
}

/** Go on with a reg1 that was sent before; nothing where it is not this applicant's, or the cloud has forgotten its answer. */
export function resume(applicant: Applicant, plaintext: Uint8Array, now: Instant): AwaitingCredential | undefined {
  const request = parse(RegistrationRequestSchema, plaintext);
  const own =
    request.role === applicant.role &&
    request.identity === applicant.identity &&
    equal(request.verifyingKey!, applicant.signingKey.publicKey) &&
    equal(request.encryptionKeyStatement!.statement!, applicant.encryptionKeyStatement.statement!);
  if (!own || now >= request.sentAt! + ANSWER_KEPT) return undefined;
  return new AwaitingCredential(applicant, request, plaintext);
}

/** reg1 is sent. Keep its plaintext under a seal until reg2 held: `resume` goes on from it. */
export class AwaitingCredential {
  constructor(
    readonly applicant: Applicant,
    readonly request: RegistrationRequest,
    readonly plaintext: Uint8Array,
  ) {}

  /** Take reg2. */
  async receive(
    reply: SealedReply,
    bundle: TrustedBundle,
    crls: readonly Uint8Array[],
    now: Instant,
  ): Promise<Registered> {
    check(SealedReplySchema, reply);
    const own = equal(reply.sessionId!, this.request.challenge!);
    require(own, "SESSION_UNKNOWN", "the answer belongs to another registration");
    return afterOpeningAsync(() => this.#accept(reply, bundle, crls, now));
  }

  async #accept(
    reply: SealedReply,
    bundle: TrustedBundle,
    crls: readonly Uint8Array[],
    now: Instant,
  ): Promise<Registered> {
    const { identity, decryptionKey, role } = this.applicant;
    const context = {
      name: "reg2",
      sender: bundle.content.cloudId!,
      receiver: identity,
      keyId: decryptionKey.keyId,
      sessionId: reply.sessionId!,
      sentAt: reply.sentAt!,
    };
    const { payload: answer } = await openPayload(RegistrationAnswerSchema, reply.sealed!, decryptionKey, context);
    requireNotFuture(answer.sentAt!, now);
    const credential = parse(CredentialSchema, answer.credential!);
    this.#requireOwnData(credential);
    const point = requireEquation(answer, bundle.issuerAt(credential.notBefore!));
    const signed = answerTranscript(sha256(this.plaintext), answer, point);
    verifySignature(bundle.cloudKeyAt(answer.sentAt!), answer.signature!, signed);
    const { lists } = Lists.excerpt(bundle, answer.revocations!, crls);
    const party = new Verifier(bundle, lists).party(answer.keyStatement!, role, now);
    const same =
      equal(party.credential, answer.credential!) && equal(party.registrationPoint, answer.registrationPoint!);
    require(same, "IDENTITY_MISMATCH", "the key statement is of another credential");
    return { party, registrationSecret: answer.registrationSecret!, lists };
  }

  #requireOwnData(credential: Credential): void {
    const own = this.request;
    const holds =
      credential.role === own.role &&
      credential.identity === own.identity &&
      equal(credential.attribute!, attributeOf(own.role!, own.evidence!)) &&
      equal(credential.verifyingKeyDigest!, sha256(own.verifyingKey!));
    require(holds, "CREDENTIAL_INVALID", "the credential does not hold what was asked for");
  }
}

/** The credential's attribute: H(T("bp", B_P)) of a patient, H(Cert_D) of a doctor. */
export function attributeOf(role: Role, evidence: Uint8Array): Uint8Array {
  return sha256(role === Role.PATIENT ? transcript("bp", evidence) : evidence);
}

/** Eq. 4, 7, 10: (R_X1, S_X) is an ECDSA signature of T("cred", PK, M_X) by s, whichever s of the two. Gives U_X. */
function requireEquation(answer: RegistrationAnswer, issuer: Uint8Array): Uint8Array {
  const [registrationPoint, credential] = [answer.registrationPoint!, answer.credential!];
  const holds = isEcdsa(
    issuer,
    concat(registrationPoint, answer.registrationSecret!),
    credentialTranscript(issuer, credential),
  );
  require(holds, "CREDENTIAL_INVALID", "(R_X1, S_X) does not satisfy eq. 4, 7, 10");
  return publicPoint(registrationPoint, issuer, credential);
}

function requestTranscript(request: RegistrationRequest, cloudId: string): Uint8Array {
  return transcript(
    "reg1",
    text(ROLES[request.role as Applicant["role"]]),
    text(request.identity!),
    request.evidence!,
    request.verifyingKey!,
    request.encryptionKeyStatement!.statement!,
    request.ticket ?? EMPTY,
    request.challenge!,
    u64(request.sentAt!),
    text(cloudId),
  );
}

function answerTranscript(requestDigest: Uint8Array, answer: RegistrationAnswer, point: Uint8Array): Uint8Array {
  const [credential, registrationPoint] = [answer.credential!, answer.registrationPoint!];
  return transcript("reg2", requestDigest, credential, registrationPoint, xOf(point), u64(answer.sentAt!));
}
