/** The cast of tests/vectors, parties.json: everybody's keys, the clock, and the trust that all share. */

import { create } from "@bufbuild/protobuf";
import {
  type RevocationList,
  RevocationListSchema,
  type SignedStatement,
  SignedStatementSchema,
} from "../src/gen/federation/v1/statement_pb.js";
import { SoftwareAgreement } from "../src/protocol/agreement.js";
import { follow, pin } from "../src/protocol/bundle.js";
import { fromHex, sha256 } from "../src/protocol/bytes.js";
import { DecryptionKey } from "../src/protocol/hpke.js";
import { Lists } from "../src/protocol/lists.js";
import { peekStatement, signStatement } from "../src/protocol/statements.js";
import { transcript } from "../src/protocol/transcript.js";
import { Verifier } from "../src/protocol/verifier.js";
import { load, signingKey, type Vector, vectors } from "./vectors.js";

export const cast = load("parties");
export const now = BigInt(cast.now);

export function signed(entry: Vector): SignedStatement {
  return create(SignedStatementSchema, { statement: fromHex(entry.statement), signature: fromHex(entry.signature) });
}

const [first, ...later] = cast.trust_bundles.map(signed);
export const bundle = later.reduce(follow, pin(first));
export const verifier = new Verifier(
  bundle,
  Lists.read(bundle, signed(cast.revocation_list), [fromHex(cast.authority.crl)]),
);
export const cloud = verifier.cloudEncryptionKey(signed(cast.cloud.encryption_key_statement), now);

/** What everybody trusts once the cloud has revoked that credential. */
export async function verifierWithout(serial: Uint8Array): Promise<Verifier> {
  return verifierWith({ serials: [sha256(transcript("serial", serial))] });
}

/** What everybody trusts once the revocation list says that. */
export async function verifierWith(changes: Partial<RevocationList>): Promise<Verifier> {
  return new Verifier(bundle, Lists.read(bundle, await listWith(changes), [fromHex(cast.authority.crl)]));
}

/** The cloud's revocation list with changes. */
export function listWith(changes: Partial<RevocationList>): Promise<SignedStatement> {
  const list = peekStatement(RevocationListSchema, signed(cast.revocation_list));
  const key = signingKey(cast.cloud.signing_key);
  return signStatement("rl", RevocationListSchema, { ...list, ...changes }, key);
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
