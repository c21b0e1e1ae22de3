/** A public cloud with the keys of the vectors, as far as clients' own calls to it are tried. */

import { create, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError, createRouterTransport } from "@connectrpc/connect";
import { Cloud } from "../src/client/cloud.js";
import { DirectoryService } from "../src/gen/federation/v1/directory_pb.js";
import type { SealedOpening, SealedReply } from "../src/gen/federation/v1/envelope_pb.js";
import {
  RegistrationAnswerSchema,
  type RegistrationRequest,
  RegistrationRequestSchema,
  RegistrationService,
} from "../src/gen/federation/v1/registration_pb.js";
import {
  CredentialSchema,
  EncryptionKeyStatementSchema,
  KeyStatementSchema,
  type RevocationExcerpt,
  type SignedStatement,
} from "../src/gen/federation/v1/statement_pb.js";
import { equal, fromHex, sha256, u64 } from "../src/protocol/bytes.js";
import { credentialTranscript, publicPoint, xOf } from "../src/protocol/curve.js";
import { attributeOf } from "../src/protocol/registration.js";
import { openPayload, sealReply, UNNAMED } from "../src/protocol/sealing.js";
import { prefixOf } from "../src/protocol/shards.js";
import { peekStatement, signStatement } from "../src/protocol/statements.js";
import { transcript } from "../src/protocol/transcript.js";
import { cast, cloud, decryptionKey, excerptOf, head, now, revoked, signed } from "./cast.js";
import { signingKey } from "./vectors.js";

const HOUR = 3_600_000n;
/** Of whoever registers. */
const SERIAL = new Uint8Array(16).fill(9);
const prkC = signingKey(cast.cloud.signing_key);
const issuer = signingKey(cast.cloud.issuing_key);

export class StubCloud {
  /** The trust bundle of its directory. */
  trustBundle: SignedStatement = signed(cast.trust_bundles.at(-1));
  /** Whether answers to reg1 are lost, and what is said then. */
  lost: ConnectError | undefined;
  readonly registrations: SealedOpening[] = [];
  /** The prefixes of the shards that it was asked for, and what it answers. */
  readonly asked: number[] = [];
  /** The authorities' CRLs, and how many of them it sent with each answer. */
  crls: Uint8Array[] = [fromHex(cast.authority.crl)];
  readonly sent: number[] = [];
  shards = (prefixes: number[]): Promise<RevocationExcerpt> => excerptOf(revoked, prefixes);
  #answers = new Map<string, SealedReply>();

  /** The calling side, which asks so many times. */
  caller(attempts = 1): Cloud {
    const transport = createRouterTransport(({ service }) => {
      service(DirectoryService, {
        getDirectory: ({ heldCrls }) => this.#directory(heldCrls),
        getTrustBundles: ({ afterSequence }) => ({
          trustBundles: cast.trust_bundles.slice(Number(afterSequence)).map(signed),
        }),
        getRevocationShards: async ({ prefixes, heldCrls }) => {
          this.asked.push(...prefixes);
          const revocations = await this.shards(prefixes);
          return { revocations: { ...revocations, certificateRevocationLists: this.#crlsBeside(heldCrls) } };
        },
      });
      service(RegistrationService, {
        openRegistration: () => ({
          challenge: new Uint8Array(16).fill(7),
          cloudEncryptionKeyStatement: cloud.statement,
        }),
        register: async ({ opening }) => ({ reply: await this.#register(opening!) }),
      });
    });
    return new Cloud(transport, attempts);
  }

  #crlsBeside(held: Uint8Array[]): Uint8Array[] {
    const beside = this.crls.filter((crl) => !held.some((one) => equal(one, sha256(crl))));
    this.sent.push(beside.length);
    return beside;
  }

  #directory(heldCrls: Uint8Array[]) {
    return {
      trustBundle: this.trustBundle,
      revocationHead: head,
      certificateRevocationLists: this.#crlsBeside(heldCrls),
      cloudEncryptionKeyStatement: cloud.statement,
    };
  }

  async #register(opening: SealedOpening): Promise<SealedReply> {
    this.registrations.push(opening);
    const name = Buffer.from(opening.sealed!).toString("hex");
    const reply = this.#answers.get(name) ?? (await registered(opening));
    this.#answers.set(name, reply);
    if (this.lost !== undefined) throw this.lost;
    return reply;
  }
}

export const lostAnswer = new ConnectError("the answer was lost", Code.Unavailable);

/** reg2 (eq. 2-10): (R_X1, S_X) is the issuer's ECDSA signature of T("cred", PK, M_X). */
async function registered(opening: SealedOpening): Promise<SealedReply> {
  const { keyId, sessionId, sentAt } = opening;
  const context = {
    name: "reg1",
    sender: UNNAMED,
    receiver: cloud.owner,
    keyId: keyId!,
    sessionId: sessionId!,
    sentAt: sentAt!,
  };
  const key = decryptionKey(cast.cloud);
  const { payload: request, plaintext } = await openPayload(RegistrationRequestSchema, opening.sealed!, key, context);
  const { credential, registrationPoint, registrationSecret, keyStatement } = await issued(request);
  const point = publicPoint(registrationPoint, issuer.publicKey, credential);
  const covered = transcript("reg2", sha256(plaintext), credential, registrationPoint, xOf(point), u64(now));
  const answer = create(RegistrationAnswerSchema, {
    credential,
    registrationPoint,
    registrationSecret,
    keyStatement,
    revocations: await excerptOf(revoked, [prefixOf(sha256(transcript("serial", SERIAL)))]),
    sentAt: now,
    signature: await prkC.sign(covered),
  });
  const sealedTo = peekStatement(EncryptionKeyStatementSchema, request.encryptionKeyStatement!);
  return sealReply(RegistrationAnswerSchema, answer, sealedTo.encryptionKey!, {
    ...context,
    name: "reg2",
    sender: cloud.owner,
    receiver: request.identity!,
    keyId: sealedTo.keyId!,
    sentAt: now,
  });
}

async function issued({ role, identity, evidence, verifyingKey }: RegistrationRequest) {
  const validity = { notBefore: now, notAfter: now + HOUR };
  const content = create(CredentialSchema, {
    role,
    serial: SERIAL,
    identity,
    attribute: attributeOf(role!, evidence!),
    verifyingKeyDigest: sha256(verifyingKey!),
    ...validity,
  });
  const credential = toBinary(CredentialSchema, content);
  const signature = await issuer.signX509(credentialTranscript(issuer.publicKey, credential));
  const [registrationPoint, registrationSecret] = [signature.slice(0, 32), signature.slice(32)];
  const said = { role, identity, credential, registrationPoint, verifyingKey, ...validity, statedAt: now };
  const keyStatement = await signStatement("ks", KeyStatementSchema, create(KeyStatementSchema, said), prkC);
  return { credential, registrationPoint, registrationSecret, keyStatement };
}
