/**
 * A party's home directory: who it is, its keys, what it trusts and knows.
 *
 *     keys.sealed    its keys, sealed under the PIN (src/keys/file.ts)
 *     state.json     what is not secret: identity, credential, newest trust bundle and lists
 *     device.secret  of a patient: 32 random bytes behind B_P
 */

import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { create, type DescMessage, fromBinary, fromJson, toBinary } from "@bufbuild/protobuf";
import {
  type EncryptionKeyStatement,
  EncryptionKeyStatementSchema,
  Role,
  type SignedStatement,
  SignedStatementSchema,
} from "../gen/federation/v1/statement_pb.js";
import { KeyFile, readPrivate, replaceFile, writeNew } from "../keys/file.js";
import { BundleLease, pin, type TrustedBundle } from "../protocol/bundle.js";
import { type Entropy, hkdf, type Instant, sha256, text, u64, concat } from "../protocol/bytes.js";
import { KEM_ID } from "../protocol/hpke.js";
import { Lists } from "../protocol/lists.js";
import type { Party } from "../protocol/party.js";
import { Refusal, require } from "../protocol/refusal.js";
import { signStatement } from "../protocol/statements.js";
import { transcript } from "../protocol/transcript.js";
import { Verifier } from "../protocol/verifier.js";

const EPOCH = 7n * 24n * 3_600_000n;

/** What a home directory keeps in the clear, byte strings in base64. */
interface State {
  identity: string;
  bundle: string;
  bundleConfirmedAt: string;
  encryptionKeyStatement: string;
  keyStatement?: string;
  certificate?: string;
  revocationList?: string;
  crls?: string[];
}

export class Home {
  readonly bundle: TrustedBundle;
  keys: KeyFile;
  #state: State;

  private constructor(
    readonly directory: string,
    state: State,
    keys: KeyFile,
  ) {
    this.#state = state;
    this.keys = keys;
    this.bundle = sound(state.bundle);
  }

  /** Make a home: fresh keys, and the trust bundle that was handed over. */
  static async create(
    directory: string,
    identity: string,
    trustFile: string,
    pinFile: string,
    entropy: Entropy,
    now: Instant,
  ): Promise<Home> {
    const bundle = readTrust(trustFile);
    mkdirSync(directory, { mode: 0o700 });
    const keys = KeyFile.create(join(directory, "keys.sealed"), pinFile);
    writeNew(join(directory, "device.secret"), entropy(32));
    const { decryptionKey, signingKey } = keys;
    const epoch: EncryptionKeyStatement = create(EncryptionKeyStatementSchema, {
      identity,
      verifyingKeyDigest: sha256(signingKey.publicKey),
      keyId: decryptionKey.keyId,
      kem: KEM_ID,
      encryptionKey: decryptionKey.encryptionKey,
      notBefore: now,
      notAfter: now + EPOCH,
    });
    const statement = await signStatement("ek", EncryptionKeyStatementSchema, epoch, signingKey);
    const state = {
      identity,
      bundle: encode(SignedStatementSchema, bundle.signed),
      bundleConfirmedAt: String(bundle.content.issuedAt),
      encryptionKeyStatement: encode(SignedStatementSchema, statement),
    };
    const home = new Home(directory, state, keys);
    home.#write(state);
    return home;
  }

  static open(directory: string, pinFile: string): Home {
    const state = JSON.parse(readFileSync(join(directory, "state.json"), "utf8")) as State;
    return new Home(directory, state, KeyFile.open(join(directory, "keys.sealed"), pinFile));
  }

  get identity(): string {
    return this.#state.identity;
  }

  get encryptionKeyStatement(): SignedStatement {
    return decode(this.#state.encryptionKeyStatement);
  }

  /** B_P (32 bytes) of the fuzzy key that a reading of the body gave: HKDF(fuzzy key || device secret, info = T("bp-derive", realm, 1)). */
  biometricPassword(sensorFile: string): Uint8Array {
    const fuzzyKey = readPrivate(sensorFile);
    require(fuzzyKey.length === 32, "BIOMETRIC_MISMATCH", "a fuzzy key has 32 bytes");
    const info = transcript("bp-derive", text(this.bundle.content.realm!), u64(1));
    return hkdf(concat(fuzzyKey, readPrivate(join(this.directory, "device.secret"))), info, 32);
  }

  /** Keep the credential that registration gave: S_X among the keys, the rest in the state. */
  install(keyStatement: SignedStatement, secret: Uint8Array, certificate: Uint8Array): void {
    this.keys = this.keys.keepRegistrationSecret(secret);
    this.#write({
      ...this.#state,
      keyStatement: encode(SignedStatementSchema, keyStatement),
      certificate: Buffer.from(certificate).toString("base64"),
    });
  }

  /** Keep a newer bundle, and the lists that came with it. Give this home as it then is. */
  learned(lease: BundleLease, list: SignedStatement, crls: readonly Uint8Array[]): Home {
    const state = {
      ...this.#state,
      bundle: encode(SignedStatementSchema, lease.bundle.signed),
      bundleConfirmedAt: String(lease.confirmedAt),
      revocationList: encode(SignedStatementSchema, list),
      crls: crls.map((crl) => Buffer.from(crl).toString("base64")),
    };
    this.#write(state);
    return new Home(this.directory, state, this.keys);
  }

  get lease(): BundleLease {
    return new BundleLease(this.bundle, BigInt(this.#state.bundleConfirmedAt));
  }

  /** The lists as last received. */
  get lists(): Lists | undefined {
    const { revocationList, crls } = this.#state;
    if (revocationList === undefined) return undefined;
    return Lists.read(
      this.bundle,
      decode(revocationList),
      (crls ?? []).map((crl) => Buffer.from(crl, "base64")),
    );
  }

  verifier(now: Instant): Verifier {
    const lists = this.lists;
    require(lists !== undefined, "REVOCATION_LIST_STALE", "no revocation list is at hand");
    return new Verifier(this.lease.usable(now), lists);
  }

  /** The party to act as, its own CRED checked: one that was revoked stops acting. */
  async party(now: Instant): Promise<Party> {
    const { keyStatement, certificate } = this.#state;
    require(keyStatement !== undefined, "NOT_REGISTERED", `${this.identity} is not registered yet`);
    const der = new Uint8Array(Buffer.from(certificate ?? "", "base64"));
    const verifier = this.verifier(now);
    const isDoctor = this.identity.startsWith("D:");
    const self = isDoctor
      ? await verifier.doctor(decode(keyStatement), der, now)
      : verifier.party(decode(keyStatement), Role.PATIENT, now);
    verifier.encryptionKey(this.encryptionKeyStatement, self, now);
    return {
      self,
      signingKey: this.keys.signingKey,
      decryptionKey: this.keys.decryptionKey,
      registrationSecret: this.keys.registrationSecret(self.publicPoint),
      encryptionKeyStatement: this.encryptionKeyStatement,
      certificate: der,
    };
  }

  #write(state: State): void {
    replaceFile(join(this.directory, "state.json"), Buffer.from(JSON.stringify(state, null, 2) + "\n"));
    this.#state = state;
  }
}

/** Read a trust bundle that was handed over as a file. */
export function readTrust(path: string): TrustedBundle {
  const document = JSON.parse(readFileSync(path, "utf8")) as Record<string, string>;
  const { statement, signature } = document;
  require(statement !== undefined && signature !== undefined, "BUNDLE_INVALID", `${path} is no trust bundle`);
  try {
    return pin(fromJson(SignedStatementSchema, { statement, signature }));
  } catch (error) {
    if (error instanceof Refusal) throw error;
    throw new Refusal("BUNDLE_INVALID", `${path} is no trust bundle`, { cause: error });
  }
}

/** A bundle of this home's own: it was pinned or followed before it was written. */
function sound(encoded: string): TrustedBundle {
  return pin(decode(encoded));
}

function encode(schema: DescMessage, message: SignedStatement): string {
  return Buffer.from(toBinary(schema, message)).toString("base64");
}

function decode(encoded: string): SignedStatement {
  return fromBinary(SignedStatementSchema, Buffer.from(encoded, "base64"));
}
