/** Signatures over transcripts, and statements: exact bytes, signed under a label, parsed only after the signature holds. */

import { createPublicKey, verify } from "node:crypto";
import { create, type DescMessage, type MessageShape } from "@bufbuild/protobuf";
import { type SignedStatement, SignedStatementSchema } from "../gen/federation/v1/statement_pb.js";
import { require } from "./refusal.js";
import { parse } from "./rules.js";
import { serialised } from "./sealing.js";
import { transcript } from "./transcript.js";

/** PRK_X, where it may be in a token: signs pure Ed25519 (RFC 8032, 5.1.6). */
export interface SigningKey {
  /** PUK_X, 32 bytes. */
  readonly publicKey: Uint8Array;
  sign(message: Uint8Array): Promise<Uint8Array>;
}

const SPKI_ED25519 = Buffer.from("302a300506032b6570032100", "hex");

export function isSignature(verifyingKey: Uint8Array, signature: Uint8Array, signed: Uint8Array): boolean {
  const key = createPublicKey({ key: Buffer.concat([SPKI_ED25519, verifyingKey]), format: "der", type: "spki" });
  return verify(null, signed, key, signature);
}

export function verifySignature(verifyingKey: Uint8Array, signature: Uint8Array, signed: Uint8Array): void {
  require(isSignature(verifyingKey, signature, signed), "SIGNATURE_INVALID", "a signature does not hold");
}

/** Sign a statement over T(label, its bytes). */
export async function signStatement<D extends DescMessage>(
  label: string,
  schema: D,
  message: MessageShape<D>,
  key: SigningKey,
): Promise<SignedStatement> {
  const statement = serialised(schema, message);
  return create(SignedStatementSchema, { statement, signature: await key.sign(transcript(label, statement)) });
}

/** Verify a statement, then parse it. */
export function openStatement<D extends DescMessage>(
  label: string,
  schema: D,
  signed: SignedStatement,
  verifyingKey: Uint8Array,
): MessageShape<D> {
  verifySignature(verifyingKey, signed.signature!, transcript(label, signed.statement!));
  return parse(schema, signed.statement!);
}

/** Parse a statement whose signer is named inside. Nothing in it may be used before its signature is verified. */
export function peekStatement<D extends DescMessage>(schema: D, signed: SignedStatement): MessageShape<D> {
  return parse(schema, signed.statement!);
}
