/**
 * A party's encryption keys over time (B5): an epoch is announced at a time, those before it can still open until they end,
 * and are destroyed 5 minutes later. So a first flight that is recorded today stays sealed to who takes the keys next week.
 */

import { randomBytes } from "node:crypto";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  EncryptionKeyStatementSchema,
  type SignedStatement,
  SignedStatementSchema,
} from "../gen/federation/v1/statement_pb.js";
import { fromHex, hex, type Instant, sha256 } from "../protocol/bytes.js";
import { DecryptionKey, KEM_ID, type KemHalf } from "../protocol/hpke.js";
import { Refusal } from "../protocol/refusal.js";
import type { SigningKey } from "../protocol/signatures.js";
import { peekStatement, signStatement } from "../protocol/statements.js";
import type { KeyStore } from "./keys.js";

const MINUTE = 60_000n;
const DAY = 24n * 60n * MINUTE;
const LIFE = 7n * DAY;
const RENEWED_BEFORE_END = DAY;
const KEPT_AFTER_END = 5n * MINUTE;

/** The cloud takes no EK_X that begins in its future, and its clock may be behind. */
const BEGUN_BEFORE = MINUTE;

/** What others are told of an epoch: EK_X. */
export interface Announcement {
  readonly keyId: Uint8Array;
  readonly notAfter: Instant;
  readonly statement: SignedStatement;
}

/** An epoch: its EK_X and the keys that open what is sealed to it. */
export interface Epoch extends Announcement {
  readonly decryptionKey: DecryptionKey;
}

/**
 * An epoch as the key file keeps it: the KEM key's ML-KEM seed in hex, since tokens don't hold ML-KEM yet; its P-256 half's
 * reference; EK_X in base64.
 */
export interface KeptEpoch {
  readonly mlkemSeed: string;
  readonly p256: string;
  readonly statement: string;
}

/** Make the keys of an epoch that begins now, and its EK_X. */
export async function makeEpoch(
  identity: string,
  signingKey: SigningKey,
  store: Pick<KeyStore, "makeKemHalf" | "kemHalf">,
  now: Instant,
): Promise<KeptEpoch> {
  const halves = { mlkemSeed: randomBytes(64).toString("hex"), p256: store.makeKemHalf() };
  const { keyId, encryptionKey } = decryptionKeyOf(halves.mlkemSeed, store.kemHalf(halves.p256));
  const content = create(EncryptionKeyStatementSchema, {
    identity,
    verifyingKeyDigest: sha256(signingKey.publicKey),
    keyId,
    kem: KEM_ID,
    encryptionKey,
    notBefore: now - BEGUN_BEFORE,
    notAfter: now + LIFE,
  });
  const signed = await signStatement("ek", EncryptionKeyStatementSchema, content, signingKey);
  return { ...halves, statement: Buffer.from(toBinary(SignedStatementSchema, signed)).toString("base64") };
}

/** What is said of an epoch that was kept. */
export function announcementOf(kept: KeptEpoch): Announcement {
  const statement = fromBinary(SignedStatementSchema, Buffer.from(kept.statement, "base64"));
  const { keyId, notAfter } = peekStatement(EncryptionKeyStatementSchema, statement);
  return { keyId: keyId!, notAfter: notAfter!, statement };
}

/** Open an epoch that was kept; nothing where a token has destroyed its half already, and a crash has left the rest. */
export function openEpoch(kept: KeptEpoch, store: Pick<KeyStore, "kemHalf">): Epoch | undefined {
  try {
    return { ...announcementOf(kept), decryptionKey: decryptionKeyOf(kept.mlkemSeed, store.kemHalf(kept.p256)) };
  } catch (error) {
    if (error instanceof Refusal && error.reason === "KEY_NOT_FOUND") return undefined;
    throw error;
  }
}

/** Whether the next epoch should begin: a day before this one ends. */
export function isDue(epoch: Announcement, now: Instant): boolean {
  return epoch.notAfter - RENEWED_BEFORE_END <= now;
}

/** Whether nobody may seal to an epoch any more. */
export function hasEnded(epoch: Announcement, now: Instant): boolean {
  return epoch.notAfter <= now;
}

/** Whether the keys of an epoch are to be destroyed. */
export function isOver(epoch: Announcement, now: Instant): boolean {
  return epoch.notAfter + KEPT_AFTER_END <= now;
}

/** The name of an epoch in a state file. */
export function nameOf(epoch: Announcement): string {
  return hex(epoch.keyId);
}

function decryptionKeyOf(mlkemSeed: string, p256: KemHalf): DecryptionKey {
  return new DecryptionKey(fromHex(mlkemSeed), p256);
}
