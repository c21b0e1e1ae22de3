/**
 * A party's home directory: who it is, its keys, what it trusts and knows.
 *
 *     keys.sealed    its keys, sealed under the PIN, or what of them is not in its token, sealed by that (src/keys/file.ts)
 *     state.json     what is not secret: identity, credential, which epoch is announced, newest trust bundle, head and CRLs
 *     replay.json    of a doctor: replay keys of the P1 that were taken
 *     device.secret  of a patient: 32 random bytes behind B_P
 *     grants.json    of a patient: the grants that it gave from here
 */

import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Transport } from "@connectrpc/connect";
import { type DescMessage, fromBinary, fromJson, toBinary } from "@bufbuild/protobuf";
import {
  KeyStatementSchema,
  type RevocationExcerpt,
  Role,
  type SignedStatement,
  SignedStatementSchema,
} from "../gen/federation/v1/statement_pb.js";
import { type Announcement, type Epoch, hasEnded, isDue, isOver, nameOf } from "../keys/epoch.js";
import { KeyFile, type SentRegistration } from "../keys/file.js";
import { readPrivate, replaceFile, writeNew } from "../keys/files.js";
import type { KeyStore } from "../keys/keys.js";
import { Pkcs11Keys } from "../keys/pkcs11.js";
import { SoftwareKeys } from "../keys/software.js";
import { BundleLease, pin, type TrustedBundle } from "../protocol/bundle.js";
import { readCertificate } from "../protocol/certificate.js";
import { newestCrls } from "../protocol/crl.js";
import { type Entropy, equal, hkdf, type Instant, text, u64, concat, hex, sha256 } from "../protocol/bytes.js";
import { isLate, NO_GRACE } from "../protocol/grace.js";
import { Lists } from "../protocol/lists.js";
import { peekHead } from "../protocol/log.js";
import type { Party } from "../protocol/party.js";
import { preciseReason, Refusal, require } from "../protocol/refusal.js";
import { type Renewed, restatementDue } from "../protocol/renewal.js";
import { peekStatement } from "../protocol/statements.js";
import {
  DOES_NOT_FOLLOW,
  type LogPage,
  requireFurther,
  requireTold,
  type ToldLog,
  witnessed,
} from "../protocol/told.js";
import { transcript } from "../protocol/transcript.js";
import { type VerifiedParty, Verifier } from "../protocol/verifier.js";
import { transportTo } from "./calls.js";
import type { Networks } from "./networks.js";
import { askingOf, ShardKeeper, withShards } from "./shards.js";

const STATE = "state.json";
const REPLAY = "replay.json";
const GRANTS = "grants.json";

/** Until when each replay key, hex, is kept: in milliseconds, as JSON holds them. */
type ReplayKeys = Readonly<Record<string, number>>;

/** A grant that was given from here, and its number: the first is 1. */
export interface KeptGrant {
  readonly number: number;
  readonly signed: SignedStatement;
}

/** Where a party's keys are, and the file whose line opens them: in the home's own file, or in the token of a URI. */
export interface KeyPlace {
  readonly pinFile: string;
  readonly token?: string | undefined;
}

/** The number of a list, and a moment. */
interface LateList {
  readonly sequence: string;
  readonly usedAt: string;
}

/** For how long after the end of the newest list a client goes on by what stood before it, unless more or less is said. */
export const USUAL_GRACE = 3_600_000n;

/** What a home directory keeps in the clear, byte strings in base64. */
interface State {
  identity: string;
  /** RFC 7512 URI, where the keys are in a token. */
  token?: string;
  bundle: string;
  bundleConfirmedAt: string;
  /** The key id, hex, of the epoch that others are told of. */
  announced: string;
  keyStatement?: string;
  certificate?: string;
  revocationHead?: string;
  crls?: string[];
  /** The latest moment at which a list was used though it was over, and its number. */
  lateList?: LateList;
  /** The newest heads of logs that were checked, by whose they are. */
  knownLogs?: Record<string, string>;
  /** Pairs of heads of which the second does not follow the first: evidence. */
  logForks?: [string, string][];
}

export class Home {
  readonly bundle: TrustedBundle;
  keys: KeyFile;
  #state: State;
  /** The lists as they were read out of that state. */
  #read: { readonly state: State; readonly lists: Lists | undefined } | undefined;

  private constructor(
    readonly directory: string,
    state: State,
    keys: KeyFile,
    readonly networks?: Networks,
    readonly shards: ShardKeeper = new ShardKeeper(),
    readonly graceMs: Instant = USUAL_GRACE,
  ) {
    this.#state = state;
    this.keys = keys;
    this.bundle = sound(state.bundle);
  }

  /** Make a home: fresh keys, in a file or in a token, and the trust bundle that was handed over. */
  static async create(
    directory: string,
    identity: string,
    trustFile: string,
    { pinFile, token }: KeyPlace,
    entropy: Entropy,
    now: Instant,
    networks?: Networks,
  ): Promise<Home> {
    const bundle = readTrust(trustFile);
    require(!existsSync(directory), "PROFILE_UNUSABLE", `${directory} is there already`);
    const store = storeAt({ pinFile, token });
    mkdirSync(directory, { mode: 0o700 });
    const keys = await KeyFile.create(join(directory, "keys.sealed"), store, identity, now).catch((error: unknown) => {
      store.close();
      rmSync(directory, { recursive: true });
      throw error;
    });
    writeNew(join(directory, "device.secret"), entropy(32));
    const state = {
      identity,
      ...(token === undefined ? {} : { token }),
      bundle: encode(SignedStatementSchema, bundle.signed),
      bundleConfirmedAt: String(bundle.content.issuedAt),
      announced: nameOf(keys.epochs[0]!),
    };
    writeState(directory, state);
    return new Home(directory, state, keys, networks);
  }

  /** Whether somebody is at home in a directory. */
  static exists(directory: string): boolean {
    return existsSync(join(directory, STATE));
  }

  /** Open a home. Whoever acts from it dials in these networks only, if there are any, and goes on for so long by a list that is over. */
  static open(directory: string, pinFile: string, networks?: Networks, graceMs = USUAL_GRACE): Home {
    require(Home.exists(directory), "PROFILE_UNUSABLE", `nobody is at home in ${directory}`);
    const state = readState(directory);
    const keys = KeyFile.open(join(directory, "keys.sealed"), storeAt({ pinFile, token: state.token }));
    return new Home(directory, state, keys, networks, new ShardKeeper(), graceMs);
  }

  /** Let go of the party's keys. */
  close(): void {
    this.keys.store.close();
  }

  /** A transport to `host:port` that answers to that identity. */
  transportTo(address: string, identity: string): Transport {
    return transportTo(address, identity, this.bundle, this.networks);
  }

  /** A transport to a hospital, which is asked from now on for what is looked up where the cloud does not answer. */
  transportToHospital(address: string, hospitalId: string): Transport {
    const transport = this.transportTo(address, hospitalId);
    this.shards.dealWith(hospitalId, askingOf(transport));
    return transport;
  }

  /** A transport to the public cloud. */
  get cloudTransport(): Transport {
    return this.transportTo(this.bundle.content.cloudAddress!, this.bundle.content.cloudId!);
  }

  get identity(): string {
    return this.#state.identity;
  }

  get isRegistered(): boolean {
    return this.#state.keyStatement !== undefined;
  }

  /** KS_X, as it is kept. */
  get keyStatement(): SignedStatement {
    const { keyStatement } = this.#state;
    require(keyStatement !== undefined, "NOT_REGISTERED", `${this.identity} is not registered yet`);
    return decode(keyStatement);
  }

  /** The epoch that is announced; none once its keys are destroyed. Two commands at a time may lose one: then it is the newest. */
  get epoch(): Epoch | undefined {
    const { epochs } = this.keys;
    return epochs.find((epoch) => nameOf(epoch) === this.#state.announced) ?? epochs.at(-1);
  }

  /** Whether there is an epoch that others may seal to. */
  holdsEpoch(now: Instant): boolean {
    return this.epoch !== undefined && !hasEnded(this.epoch, now);
  }

  /** Whether the next epoch should begin. */
  isEpochDue(now: Instant): boolean {
    return this.epoch === undefined || isDue(this.epoch, now);
  }

  /** Whether KS_X needs to be signed anew: the PRK_C behind it is tainted or revoked. */
  get isRestatementDue(): boolean {
    return restatementDue(this.keyStatement, this.bundle);
  }

  /**
   * Make the next epoch and keep its keys, before anybody hears of it; nothing announces it yet. One that was begun and never
   * acknowledged, for the cloud was away or this program ended, is taken up again: the cloud may have it already.
   */
  async beginEpoch(now: Instant): Promise<Epoch> {
    const newest = this.keys.epochs.at(-1);
    if (newest !== undefined && newest !== this.epoch && !isDue(newest, now)) return newest;
    this.keys = await this.keys.beginEpoch(this.identity, now);
    return this.keys.epochs.at(-1)!;
  }

  /** The epoch to register with. One that is due gives way at once: nobody has heard of it. */
  async epochToRegister(now: Instant): Promise<Epoch> {
    if (this.isEpochDue(now)) this.#write({ announced: nameOf(await this.beginEpoch(now)) });
    return this.epoch!;
  }

  /** Announce an epoch from now on, for the cloud has acknowledged it; keep KS_X if it came stated later. */
  renewed(epoch: Epoch, { keyStatement }: Renewed): void {
    const announced = nameOf(epoch);
    const isNewer = keyStatement !== undefined && statedAt(keyStatement) > statedAt(this.keyStatement);
    this.#write(isNewer ? { announced, keyStatement: encode(SignedStatementSchema, keyStatement) } : { announced });
  }

  /** Destroy the keys of epochs that ended 5 minutes ago or more. */
  sweep(now: Instant): void {
    const over = (epoch: Announcement) => isOver(epoch, now);
    if (this.keys.epochs.some(over)) this.keys = this.keys.forget(over);
  }

  /** B_P (32 bytes) of the fuzzy key that a reading of the body gave: HKDF(fuzzy key || device secret, info = T("bp-derive", realm, 1)). */
  biometricPassword(fuzzyKey: Uint8Array): Uint8Array {
    const info = transcript("bp-derive", text(this.bundle.content.realm!), u64(1));
    return hkdf(concat(fuzzyKey, readPrivate(join(this.directory, "device.secret"))), info, 32);
  }

  /** Keep a reg1 before it is sent: were its answer lost, S_X would be, too. */
  keepRegistration(sent: SentRegistration): void {
    this.keys = this.keys.keepRegistration(sent);
  }

  /** Forget the reg1 that was kept. */
  dropRegistration(): void {
    this.keys = this.keys.dropRegistration();
  }

  /** Keep the credential that registration gave: S_X among the keys, the rest in the state. Only then its reg1 is over. */
  async install(party: VerifiedParty, secret: Uint8Array, certificate: Uint8Array): Promise<void> {
    this.keys = await this.keys.keepRegistrationSecret(secret, party);
    this.#write({
      keyStatement: encode(SignedStatementSchema, party.keyStatement),
      certificate: Buffer.from(certificate).toString("base64"),
    });
    this.dropRegistration();
  }

  /** Keep a newer bundle, and the head and CRLs that came with it. Give this home as it then is. */
  learned(lease: BundleLease, head: SignedStatement, crls: readonly Uint8Array[]): Home {
    this.#write({
      bundle: encode(SignedStatementSchema, lease.bundle.signed),
      bundleConfirmedAt: String(lease.confirmedAt),
      revocationHead: encode(SignedStatementSchema, head),
      crls: crls.map((crl) => Buffer.from(crl).toString("base64")),
    });
    return new Home(this.directory, this.#state, this.keys, this.networks, this.shards, this.graceMs);
  }

  /**
   * Keep a newer bundle, and a head with the CRLs that came with it, beside those at hand: of each authority the newest that counts. Give this
   * home as it then is.
   */
  async heard(lease: BundleLease, signed: SignedStatement, came: readonly Uint8Array[]): Promise<Home> {
    const { head, crls: handed } = Lists.read(lease.bundle, signed, came);
    const all = [...handed, ...(this.lists?.crls ?? [])];
    const authorities = lease.bundle.content.medicalAuthorities.map(({ certificate }) => readCertificate(certificate!));
    return this.learned(lease.heard(head), signed, await newestCrls(authorities, all, head.crls));
  }

  /** Take the newer list of a hospital that is dealt with: the cloud does not answer. */
  async hearBeside(): Promise<void> {
    for (const excerpt of await this.shards.heads(this.heldCrls)) await this.hear(excerpt);
  }

  /** Take what a peer shows of the list. What is wrong with it, or older, does not count: then it is asked for. */
  async hear(excerpt: RevocationExcerpt): Promise<void> {
    try {
      await this.takeShards(excerpt);
    } catch (error) {
      preciseReason(error);
    }
  }

  /**
   * Take a head if it is newer, with the CRLs that came with it, and the shards that it proves. Refuses with REVOCATION_HEAD_OLDER, and as
   * `Lists.excerpt`.
   */
  async takeShards(excerpt: RevocationExcerpt): Promise<void> {
    const { head: signed, certificateRevocationLists: came } = excerpt;
    const { lists, shards } = Lists.excerpt(this.bundle, excerpt, []);
    const [head, kept] = [lists.head, this.lists?.head];
    const isOlder = kept !== undefined && head.sequence! <= kept.sequence! && !equal(head.root!, kept.root!);
    require(!isOlder, "REVOCATION_HEAD_OLDER", "these shards are of an older head than the one at hand"); // shards.2
    const atHand = kept?.sequence ?? 0n;
    const completes = head.sequence! === atHand && came.length > 0;
    if (head.sequence! > atHand || completes) await this.heard(this.lease, signed!, came);
    this.shards.keep(shards);
  }

  get lease(): BundleLease {
    return new BundleLease(this.bundle, BigInt(this.#state.bundleConfirmedAt));
  }

  /** The lists as last received. */
  get lists(): Lists | undefined {
    const state = this.#state;
    if (this.#read?.state !== state) this.#read = { state, lists: this.#readLists(state) };
    return this.#read.lists;
  }

  #readLists({ revocationHead }: State): Lists | undefined {
    if (revocationHead === undefined) return undefined;
    return Lists.read(this.bundle, decode(revocationHead), this.crls).by(this.shards);
  }

  /** Whether the list at hand is not over. */
  holdsCurrentList(now: Instant): boolean {
    const head = this.lists?.head;
    return head !== undefined && now < head.nextUpdate!;
  }

  /** The authorities' CRLs as last received, DER. */
  get crls(): Uint8Array[] {
    return (this.#state.crls ?? []).map((crl) => new Uint8Array(Buffer.from(crl, "base64")));
  }

  /** The digests of the CRLs at hand: those that are not to be sent again. */
  get heldCrls(): Uint8Array[] {
    return this.crls.map(sha256);
  }

  verifier(now: Instant): Verifier {
    const lists = this.lists;
    require(lists !== undefined, "REVOCATION_LIST_STALE", "no revocation list is at hand");
    const grace = { length: this.graceMs, seen: this.#usedLate(lists) };
    return new Verifier(this.lease.usable(now), lists, grace);
  }

  /** When this list was used last though it was over. Another begins anew: a clock that once ran ahead bars no grace for ever. */
  #usedLate({ head }: Lists): Instant {
    const { lateList: late } = this.#state;
    return late?.sequence === String(head.sequence!) ? BigInt(late.usedAt) : 0n;
  }

  /** Take note that it is now, where the list at hand is over, so that a clock that is set back stretches no grace. */
  noteLate(now: Instant): void {
    const { lists } = this;
    if (lists === undefined || !isLate(lists.head, NO_GRACE, now) || now <= this.#usedLate(lists)) return;
    this.#write({ lateList: { sequence: String(lists.head.sequence!), usedAt: String(now) } });
  }

  /** The party to act as, its own CRED checked: one that was revoked stops acting. */
  party(now: Instant): Promise<Party> {
    return withShards(this, () => this.#party(now));
  }

  async #party(now: Instant): Promise<Party> {
    const { keyStatement, epoch } = this;
    require(epoch !== undefined, "CREDENTIAL_EXPIRED", "the encryption key has ended, and must be renewed first");
    const der = new Uint8Array(Buffer.from(this.#state.certificate ?? "", "base64"));
    const verifier = this.verifier(now);
    this.noteLate(now);
    const isDoctor = this.identity.startsWith("D:");
    const self = isDoctor
      ? await verifier.doctor(keyStatement, der, now)
      : verifier.party(keyStatement, Role.PATIENT, now);
    verifier.encryptionKey(epoch.statement, self, now);
    return {
      self,
      signingKey: this.keys.signingKey,
      decryptionKey: epoch.decryptionKey,
      keyring: this.keys.epochs.filter((held) => !isOver(held, now)).map((held) => held.decryptionKey),
      registrationSecret: this.keys.registrationSecret,
      encryptionKeyStatement: epoch.statement,
      certificate: der,
    };
  }

  /**
   * Keep a message's replay key before the message is answered; say whether it was new. The epoch's key serves all rooms, and outlives each.
   */
  admit(replayKey: Uint8Array, now: Instant, until: Instant): boolean {
    const path = join(this.directory, REPLAY);
    const kept = existsSync(path) ? (JSON.parse(readFileSync(path, "utf8")) as ReplayKeys) : {};
    const name = hex(replayKey);
    if (name in kept) return false;
    const current = Object.entries(kept).filter(([, over]) => over >= now);
    replaceFile(path, Buffer.from(JSON.stringify({ ...Object.fromEntries(current), [name]: Number(until) })));
    return true;
  }

  /** Keep a grant before it is given: it can be taken back whatever becomes of the visit. Gives its number. */
  keepGrant(grant: SignedStatement): number {
    const kept = [...this.grants.map(({ signed }) => signed), grant];
    const encoded = kept.map((signed) => encode(SignedStatementSchema, signed));
    replaceFile(join(this.directory, GRANTS), Buffer.from(JSON.stringify(encoded)));
    return kept.length;
  }

  /** The grants that were given from here, the oldest first. */
  get grants(): KeptGrant[] {
    const path = join(this.directory, GRANTS);
    const kept = existsSync(path) ? (JSON.parse(readFileSync(path, "utf8")) as string[]) : [];
    return kept.map((encoded, index) => ({ number: index + 1, signed: decode(encoded) }));
  }

  /**
   * Of which size the head of a party's log is that a page is to follow: the one remembered, nothing for none; or that of the pages before,
   * whose it is to be.
   */
  knownSize(partyId: string, before: ToldLog | undefined): bigint | undefined {
    if (before !== undefined) return before.head.size;
    const known = this.#knownNote(partyId);
    return known === undefined ? undefined : peekHead(known).size;
  }

  /**
   * Check what a log told of a patient, and remember its head; a further page is put to those before. Where a head does not follow the one
   * remembered, or is not that of the page before, both are kept as evidence. Refuses as requireTold, requireFurther.
   */
  async checked(
    said: LogPage,
    patientId: string,
    { partyId, key }: { partyId: string; key: Uint8Array },
    before: ToldLog | undefined,
    now: Instant,
  ): Promise<ToldLog> {
    const known = before === undefined ? this.#knownNote(partyId) : before.note;
    const { knownLogs = {}, logForks = [] } = readState(this.directory);
    try {
      const author = { realm: this.bundle.content.realm!, partyId, key };
      if (before !== undefined) return requireFurther(said, patientId, author, before);
      const told = requireTold(said, patientId, author, known);
      this.#write({ knownLogs: { ...knownLogs, [partyId]: Buffer.from(told.note).toString("base64") } });
      const hospital = (signed: SignedStatement) =>
        withShards(this, () => this.verifier(now).party(signed, Role.HOSPITAL, now));
      return await witnessed(told, said.proved!, this.verifier(now).bundle, hospital, now);
    } catch (error) {
      if (known !== undefined && error instanceof Refusal && DOES_NOT_FOLLOW.includes(error.reason)) {
        const pair = [known, said.proved!.note!].map((note) => Buffer.from(note).toString("base64")) as [
          string,
          string,
        ];
        this.#write({ logForks: [...logForks, pair] });
      }
      throw error;
    }
  }

  #knownNote(partyId: string): Uint8Array | undefined {
    const known = readState(this.directory).knownLogs?.[partyId];
    return known === undefined ? undefined : new Uint8Array(Buffer.from(known, "base64"));
  }

  /** Change the state as it is on disk, so that what another command of this party wrote stays. */
  #write(changes: Partial<State>): void {
    writeState(this.directory, { ...readState(this.directory), ...changes });
    this.#state = { ...this.#state, ...changes };
  }
}

/** Read the fuzzy key that a reading of the body gave. */
export function readSensor(path: string): Uint8Array {
  const fuzzyKey = readPrivate(path);
  require(fuzzyKey.length === 32, "BIOMETRIC_MISMATCH", "a fuzzy key has 32 bytes");
  return fuzzyKey;
}

/** Read a trust bundle that was handed over as a file. */
export function readTrust(path: string): TrustedBundle {
  const written = readFileSync(path, "utf8");
  try {
    const { statement, signature } = JSON.parse(written) as Record<string, string>;
    require(statement !== undefined && signature !== undefined, "BUNDLE_INVALID", `${path} is no trust bundle`);
    return pin(fromJson(SignedStatementSchema, { statement, signature }));
  } catch (error) {
    if (error instanceof Refusal) throw error;
    throw new Refusal("BUNDLE_INVALID", `${path} is no trust bundle`, { cause: error });
  }
}

function storeAt({ pinFile, token }: KeyPlace): KeyStore {
  return token === undefined ? new SoftwareKeys(pinFile) : Pkcs11Keys.open(token, pinFile);
}

function readState(directory: string): State {
  return JSON.parse(readFileSync(join(directory, STATE), "utf8")) as State;
}

function writeState(directory: string, state: State): void {
  replaceFile(join(directory, STATE), Buffer.from(JSON.stringify(state, null, 2) + "\n"));
}

function statedAt(keyStatement: SignedStatement): Instant {
  return peekStatement(KeyStatementSchema, keyStatement).statedAt!;
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
