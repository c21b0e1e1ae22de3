/** Signatures over transcripts, and statements: exact bytes, signed under a label, parsed only after the signature holds. */

import { create, type DescMessage, type MessageShape } from "@bufbuild/protobuf";
import { type SignedStatement, SignedStatementSchema } from "../gen/federation/v1/statement_pb.js";
import { parse } from "./rules.js";
import { serialised } from "./sealing.js";
import { type SigningKey, verifySignature } from "./signatures.js";
import { transcript } from "./transcript.js";

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
