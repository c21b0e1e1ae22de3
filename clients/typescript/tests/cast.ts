/** The cast of tests/vectors, parties.json: everybody's keys, the clock, and the trust that all share. */

import { create } from "@bufbuild/protobuf";
import {
  type RevocationExcerpt,
  RevocationExcerptSchema,
  type RevocationHead,
  RevocationHeadSchema,
  type SignedStatement,
  SignedStatementSchema,
} from "../src/gen/federation/v1/statement_pb.js";
import { SoftwareAgreement } from "../src/protocol/agreement.js";
import { follow, pin } from "../src/protocol/bundle.js";
import { fromHex, sha256 } from "../src/protocol/bytes.js";
import { DecryptionKey } from "../src/protocol/hpke.js";
import { Lists } from "../src/protocol/lists.js";
import type { Listed } from "../src/protocol/shards.js";
import { peekStatement, signStatement } from "../src/protocol/statements.js";
import { transcript } from "../src/protocol/transcript.js";
import { Verifier } from "../src/protocol/verifier.js";
import { Revoked } from "./revoked.js";
import { load, signingKey, type Vector, vectors } from "./vectors.js";

export const cast = load("parties");
export const now = BigInt(cast.now);

export function signed(entry: Vector): SignedStatement {
  return create(SignedStatementSchema, { statement: fromHex(entry.statement), signature: fromHex(entry.signature) });
}

const [first, ...later] = cast.trust_bundles.map(signed);
export const bundle = later.reduce(follow, pin(first));
/** What the cloud of the vectors has revoked, under its head. */
export const revoked = Revoked.read(cast.revoked);
export const head = signed(cast.revocation_head);
export const verifier = verifierWith(revoked);
export const cloud = verifier.cloudEncryptionKey(signed(cast.cloud.encryption_key_statement), now);

/** What everybody trusts once the cloud has revoked that credential. */
export function verifierWithout(serial: Uint8Array): Verifier {
  return verifierWith(revoked.with(sha256(transcript("serial", serial))));
}

/** What everybody trusts once that is revoked. */
export function verifierWith(listed: Listed): Verifier {
  return new Verifier(bundle, Lists.read(bundle, head, [fromHex(cast.authority.crl)]).by(listed));
}

/** The head of that set, and what a test wants of it otherwise. */
export function headOf(set: Revoked, changes: Partial<RevocationHead> = {}): Promise<SignedStatement> {
  const said = peekStatement(RevocationHeadSchema, head);
  const key = signingKey(cast.cloud.signing_key);
  return signStatement("rl", RevocationHeadSchema, { ...said, root: set.root, ...changes }, key);
}

/** Shards of that set, under its head. */
export async function excerptOf(
  set: Revoked,
  prefixes: readonly number[],
  changes: Partial<RevocationHead> = {},
): Promise<RevocationExcerpt> {
  const shards = set.shards(...prefixes);
  return create(RevocationExcerptSchema, { head: await headOf(set, changes), shards });
}

/** A statement of the vectors, by its name. */
export function statement(name: string): Vector {
  return vectors("statements").find((vector) => vector.name === name);
}

export function decryptionKey(own: Vector): DecryptionKey {
  return new DecryptionKey(fromHex(own.mlkem_seed), new SoftwareAgreement(fromHex(own.p256_private_key)));
}

/** What is inside a seal, opened under the info that a vector states (hex). */
export async function opened(sealed: Uint8Array, key: DecryptionKey, info: string): Promise<Uint8Array> {
  const padded = await key.open(sealed, fromHex(info));
  return padded.subarray(4, 4 + new DataView(padded.buffer, padded.byteOffset).getUint32(0));
}
