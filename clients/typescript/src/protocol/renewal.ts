/** Renewal of the encryption key, the member's side (docs/protocol.md, 2): ekput is sent, ekack is checked. */

import { create } from "@bufbuild/protobuf";
import type { SealedOpening } from "../gen/federation/v1/envelope_pb.js";
import {
  type EncryptionKeyRenewal,
  EncryptionKeyRenewalSchema,
  type PutEncryptionKeyResponse,
  PutEncryptionKeyResponseSchema,
  type RenewalReceipt,
  RenewalReceiptSchema,
} from "../gen/federation/v1/membership_pb.js";
import {
  EncryptionKeyStatementSchema,
  KeyStatementSchema,
  type SignedStatement,
} from "../gen/federation/v1/statement_pb.js";
import type { TrustedBundle } from "./bundle.js";
import { EMPTY, equal, type Instant, text, u64 } from "./bytes.js";
import { isRevoked } from "./periods.js";
import { require } from "./refusal.js";
import { checkOuter } from "./rules.js";
import { sealOpening, UNNAMED } from "./sealing.js";
import type { SigningKey } from "./signatures.js";
import { openStatement, peekStatement } from "./statements.js";
import { transcript } from "./transcript.js";
import type { EncryptionKey, Verifier } from "./verifier.js";

/** What the cloud said to a renewal. */
export interface Renewed {
  readonly receipt: RenewalReceipt;
  /** The newest KS_X, which a rotated PRK_C may have signed anew, verified; absent where the cloud sent none. */
  readonly keyStatement?: SignedStatement;
}

/** Send ekput: EK_X, signed again by PRK_X. Only a hospital has an `address`. */
export async function renew(
  encryptionKeyStatement: SignedStatement,
  signingKey: SigningKey,
  cloud: EncryptionKey,
  now: Instant,
  address?: string,
): Promise<{ awaiting: AwaitingReceipt; opening: SealedOpening }> {
  const renewal = create(EncryptionKeyRenewalSchema, { encryptionKeyStatement, address, sentAt: now });
  renewal.signature = await signingKey.sign(renewalTranscript(renewal, cloud.owner));
  const { owner: receiver, keyId } = cloud;
  const context = { name: "ekput", sender: UNNAMED, receiver, keyId, sessionId: EMPTY, sentAt: now };
  const { opening } = await sealOpening(EncryptionKeyRenewalSchema, renewal, cloud.encryptionKey, context);
  const { keyId: put } = peekStatement(EncryptionKeyStatementSchema, encryptionKeyStatement);
  return { awaiting: new AwaitingReceipt(put!), opening };
}

/** ekput is sent. */
export class AwaitingReceipt {
  constructor(readonly keyId: Uint8Array) {}

  /** Take ekack, and the newest KS beside it. `kept` is the KS that this member has. */
  receive(answer: PutEncryptionKeyResponse, kept: SignedStatement, verifier: Verifier, now: Instant): Renewed {
    checkOuter(PutEncryptionKeyResponseSchema, answer);
    const signed = answer.receipt!;
    const key = verifier.bundle.cloudKeyAt(peekStatement(RenewalReceiptSchema, signed).doneAt!);
    const receipt = openStatement("ekack", RenewalReceiptSchema, signed, key);
    require(equal(receipt.keyId!, this.keyId), "ANSWER_MISMATCH", "the receipt is for another encryption key");
    const { keyStatement } = answer;
    if (keyStatement === undefined) return { receipt };
    verifier.restated(keyStatement, kept, now);
    return { receipt, keyStatement };
  }
}

/** What the signature in ekput covers. */
export function renewalTranscript(renewal: EncryptionKeyRenewal, cloudId: string): Uint8Array {
  const { encryptionKeyStatement, address, sentAt } = renewal;
  const statement = encryptionKeyStatement!.statement!;
  return transcript("ekput", statement, text(address ?? ""), u64(sentAt!), text(cloudId));
}

/** Whether the PRK_C behind a KS can't be relied on any more: then one signed anew is needed at once. */
export function restatementDue(keyStatement: SignedStatement, bundle: TrustedBundle): boolean {
  const signer = bundle.cloudKeys.at(peekStatement(KeyStatementSchema, keyStatement).statedAt!);
  return signer !== undefined && (isRevoked(signer) || signer.taintedAt !== undefined);
}
