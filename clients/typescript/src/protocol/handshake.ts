/**
 * The handshake of Chen et al. 2020, eq. 11-22 (P1, D1) and eq. 33-44 (D3, H1), once for both kinds of session.
 *
 * The initiator, who knows the responder's statements, sends who it is, x(r R) on the base of the responder's R and x(e B),
 * sealed to it and signed for it. The responder does likewise on the initiator's R. Both compute SEK from K1, to which the
 * responder's S leads, K2, to which the initiator's does, and Z = x(e e B). The reply proves the key by kc, and who sends it
 * by its signature. What a session adds of its own begins with the state that the handshake leads to.
 *
 * r and e are independent scalars, and an r serves one base, once, and never B: else K1 falls. A message that is sent again
 * is the same bytes.
 */

import type { DescMessage, Message } from "@bufbuild/protobuf";
import { type SealedOpening, type SealedReply, SealedReplySchema } from "../gen/federation/v1/envelope_pb.js";
import type { Role, SignedStatement } from "../gen/federation/v1/statement_pb.js";
import { agree, type AgreementKey } from "./agreement.js";
import { concat, EMPTY, type Entropy, equal, hmacSha256, type Instant, sha256, text } from "./bytes.js";
import { pointOver } from "./curve.js";
import { Direction, type DirectionKeys } from "./frames.js";
import { requireFresh, SKEW, WINDOW } from "./freshness.js";
import type { DecryptionKey } from "./hpke.js";
import { type Draw, draw, type Party } from "./party.js";
import { afterOpeningAsync, Refusal, require } from "./refusal.js";
import { check } from "./rules.js";
import { findKey, openPayload, type Opened, sealOpening, sealReply, UNNAMED } from "./sealing.js";
import { verifySignature } from "./signatures.js";
import { field, transcript } from "./transcript.js";
import { type EncryptionKey, roleOf, type VerifiedParty, type Verifier } from "./verifier.js";

/** What the messages of a handshake have, whichever way they go. */
interface Share extends Message {
  registrationPoint?: Uint8Array;
  agreementPoint?: Uint8Array;
  ephemeralPoint?: Uint8Array;
  contribution?: Uint8Array;
  sentAt?: Instant;
  keyStatement?: SignedStatement;
  signature?: Uint8Array;
}

/** What the openings of all kinds have: P1, D3. */
export interface Opening extends Share {
  responderSerial?: Uint8Array;
  encryptionKeyStatement?: SignedStatement;
}

/** What the replies of all kinds have: D1, H1. */
export interface Reply extends Share {
  keyConfirmation?: Uint8Array;
}

/** What a kind of session has of its own in the handshake: a row. */
export interface Kind<O extends Opening = Opening, R extends Reply = Reply> {
  /** Of the signatures, and in lower case of the seals. */
  readonly openingLabel: string;
  readonly replyLabel: string;
  readonly openingSchema: DescMessage;
  readonly replySchema: DescMessage;
  readonly initiators: readonly Role[];
  readonly responder: Role;
  /** The initiator's letter and the responder's, in the names of the keys. */
  readonly keyRoles: "PD" | "DH";
  initiatorId(opening: O): string;
  responderId(reply: R): string;
  /** A reply with the kind's own fields. */
  replyOf(responder: Party): R;
  openingTranscript(
    opening: O,
    issuer: Uint8Array,
    responderId: string,
    keyId: Uint8Array,
    sessionId: Uint8Array,
  ): Uint8Array;
  transcriptHash(openingPlaintext: Uint8Array, reply: R, credential: Uint8Array, sessionId: Uint8Array): Uint8Array;
  replyTranscript(reply: R, issuer: Uint8Array, transcriptHash: Uint8Array): Uint8Array;
  /** The kind's own check of an opening. */
  requireOpening(opening: O, initiator: VerifiedParty): void;
}

/** Somebody else, verified: CRED, EK_X, and a doctor's Cert_D, else empty. */
export interface Peer {
  readonly party: VerifiedParty;
  readonly encryptionKey: EncryptionKey;
  readonly certificate: Uint8Array;
}

/** What either side holds once both can compute SEK. */
export interface Session {
  readonly own: Party;
  readonly peer: Peer;
  readonly id: Uint8Array;
  /** TH1 or TH2. */
  readonly transcriptHash: Uint8Array;
  readonly sending: Direction;
  readonly receiving: Direction;
  /** T of the opening. */
  readonly beganAt: Instant;
}

/** Send an opening (eq. 11-13, 33-35) that has the kind's own fields: pick r and e, sign for this responder, seal to it. */
export async function begin<S>(
  kind: Kind,
  own: Party,
  peer: Peer,
  opening: Opening,
  established: (session: Session) => S,
  now: Instant,
  entropy: Entropy,
): Promise<{ awaiting: AwaitingReply<S>; opening: SealedOpening }> {
  const drawn = await draw(peer.party, entropy);
  const sessionId = entropy(16);
  const contribution = entropy(32);
  const { encryptionKeyStatement } = own;
  const responderSerial = peer.party.serial;
  Object.assign(opening, { ...share(own, drawn, contribution, now), responderSerial, encryptionKeyStatement });
  const { keyId, encryptionKey } = peer.encryptionKey;
  const receiver = peer.party.identity;
  const signed = kind.openingTranscript(opening, own.self.issuer, receiver, keyId, sessionId);
  opening.signature = await own.signingKey.sign(signed);
  const context = { name: kind.openingLabel.toLowerCase(), sender: UNNAMED, receiver, keyId, sessionId, sentAt: now };
  const secrets = { k1: await ofDraw(drawn, "K1", peer.party), e: drawn.e, contribution };
  const sealed = await sealOpening(kind.openingSchema, opening, encryptionKey, context);
  return {
    awaiting: new AwaitingReply(kind, own, peer, established, sessionId, secrets, sealed.plaintext, now),
    opening: sealed.opening,
  };
}

/** What an initiator keeps until the reply comes: K1, e and kappa. */
interface Secrets {
  readonly k1: Uint8Array;
  readonly e: AgreementKey;
  readonly contribution: Uint8Array;
}

/** The opening is sent. e lives here and nowhere else. */
export class AwaitingReply<S> {
  readonly #secrets: Secrets;

  constructor(
    readonly kind: Kind,
    readonly own: Party,
    readonly peer: Peer,
    readonly established: (session: Session) => S,
    readonly sessionId: Uint8Array,
    secrets: Secrets,
    readonly openingPlaintext: Uint8Array,
    readonly sentAt: Instant,
  ) {
    this.#secrets = secrets;
  }

  /** Take the reply (eq. 20-22, 42-44). */
  async receive(sealed: SealedReply, verifier: Verifier, now: Instant): Promise<S> {
    requireReply(sealed, this.sessionId, now);
    return this.established(await afterOpeningAsync(() => this.#accept(sealed, verifier, now)));
  }

  async #accept(sealed: SealedReply, verifier: Verifier, now: Instant): Promise<Session> {
    const { kind, own, peer, sessionId } = this;
    const context = {
      name: kind.replyLabel.toLowerCase(),
      sender: peer.party.identity,
      receiver: own.self.identity,
      keyId: own.decryptionKey.keyId,
      sessionId,
      sentAt: sealed.sentAt!,
    };
    const opened = await openPayload(kind.replySchema, sealed.sealed!, own.decryptionKey, context);
    const reply = opened.payload as Reply;
    const party = await this.#responder(reply, verifier, now);
    const transcriptHash = kind.transcriptHash(this.openingPlaintext, reply, party.credential, sessionId);
    const { k1, e, contribution } = this.#secrets;
    const k2 = await ofSecret(own, "K2", reply.agreementPoint!);
    const shared = [k1, k2, await e.exchange(pointOver(reply.ephemeralPoint!))] as const;
    const keys = derive(shared, [contribution, reply.contribution!], transcriptHash, kind.keyRoles);
    const confirmed = equal(keys.keyConfirmation, reply.keyConfirmation!);
    require(confirmed, "KEY_CONFIRMATION_FAILED", "the peer does not hold the session key");
    verifySignature(party.verifyingKey, reply.signature!, kind.replyTranscript(reply, party.issuer, transcriptHash));
    return {
      own,
      peer: { ...peer, party },
      id: sessionId,
      transcriptHash,
      sending: new Direction(sessionId, keys.forward),
      receiving: new Direction(sessionId, keys.backward),
      beganAt: this.sentAt,
    };
  }

  /** Require the one who replies to be the one addressed, and make its CRED. */
  async #responder(reply: Reply, verifier: Verifier, now: Instant): Promise<VerifiedParty> {
    const { kind, peer } = this;
    const addressed = peer.party.identity;
    require(kind.responderId(reply) === addressed, "IDENTITY_MISMATCH", "somebody else answers than the one addressed");
    const certificate = certificateIn(reply);
    require(equal(certificate, peer.certificate), "CERTIFICATE_FOREIGN", "Cert_D is not the one that was checked");
    const party = await verifier.member(reply.keyStatement!, kind.responder, certificate, now);
    const same = party.identity === addressed && equal(party.registrationPoint, reply.registrationPoint!);
    require(same, "IDENTITY_MISMATCH", "the key statement is not of the one who answers");
    const { credential, registrationPoint } = peer.party;
    const rests = equal(party.credential, credential) && equal(party.registrationPoint, registrationPoint);
    require(rests, "IDENTITY_MISMATCH", "the answer is of another credential than the one addressed");
    return party;
  }
}

/** Decide what the clear fields of a reply decide, precisely: rules, session id, T. */
export function requireReply(sealed: SealedReply, sessionId: Uint8Array, now: Instant): void {
  check(SealedReplySchema, sealed);
  require(equal(sealed.sessionId!, sessionId), "SESSION_UNKNOWN", "the answer belongs to another session");
  requireFresh(sealed.sentAt!, now);
}

/** A state that a message leads to once its replay key is kept (B2): durable, and failing closed. */
export class Pending<S> {
  readonly #next: S;

  constructor(
    /** To be inserted where it is absent, 32 bytes, and kept until `keepUntil`. */
    readonly replayKey: Uint8Array,
    readonly keepUntil: Instant,
    next: S,
  ) {
    this.#next = next;
  }

  /** Give the state if the replay key was new. */
  admit(inserted: boolean): S {
    if (inserted) return this.#next;
    const cause = new Refusal("MESSAGE_REPLAYED", "this message was taken before");
    throw new Refusal("REJECTED", "the message was not accepted", { cause });
  }
}

/** Take an opening (eq. 14, 15). */
export async function receiveOpening<S>(
  kind: Kind,
  own: Party,
  sealed: SealedOpening,
  verifier: Verifier,
  replied: (session: Session) => S,
  now: Instant,
): Promise<Pending<ReceivedOpening<S>>> {
  const key = findKey(sealed, own.keyring, now);
  const received = await afterOpeningAsync(async () => {
    const { opened, peer } = await accept(kind, own, sealed, key, verifier, now);
    return new ReceivedOpening(kind, own, peer, replied, sealed.sessionId!, opened);
  });
  const { payload } = received.opened;
  const replayKey = sha256(transcript(kind.openingLabel, text(kind.initiatorId(payload)), payload.agreementPoint!));
  return new Pending(replayKey, now + WINDOW + 2n * SKEW, received);
}

async function accept(
  kind: Kind,
  own: Party,
  { sealed, sessionId, sentAt }: SealedOpening,
  key: DecryptionKey,
  verifier: Verifier,
  now: Instant,
): Promise<{ opened: Opened<Opening>; peer: Peer }> {
  const receiver = own.self.identity;
  const { keyId } = key;
  const name = kind.openingLabel.toLowerCase();
  const context = { name, sender: UNNAMED, receiver, keyId, sessionId: sessionId!, sentAt: sentAt! };
  const { payload, plaintext } = await openPayload(kind.openingSchema, sealed!, key, context);
  const opening = payload as Opening;
  const certificate = certificateIn(opening);
  const role = roleOf(kind.initiatorId(opening), kind.initiators);
  const party = await verifier.member(opening.keyStatement!, role, certificate, now);
  const same =
    kind.initiatorId(opening) === party.identity && equal(opening.registrationPoint!, party.registrationPoint);
  require(same, "IDENTITY_MISMATCH", "the key statement is somebody else's");
  kind.requireOpening(opening, party);
  const encryptionKey = verifier.encryptionKey(opening.encryptionKeyStatement!, party, now);
  const signed = kind.openingTranscript(opening, party.issuer, receiver, keyId, sessionId!);
  verifySignature(party.verifyingKey, opening.signature!, signed);
  const current = equal(opening.responderSerial!, own.self.serial);
  require(current, "CREDENTIAL_SUPERSEDED", "an earlier credential of this responder is addressed");
  return { opened: { payload: opening, plaintext }, peer: { party, encryptionKey, certificate } };
}

/** The opening held: somebody addresses this responder, and is present only once the first frame confirms the key. */
export class ReceivedOpening<S> {
  constructor(
    readonly kind: Kind,
    readonly own: Party,
    readonly peer: Peer,
    readonly replied: (session: Session) => S,
    readonly sessionId: Uint8Array,
    readonly opened: Opened<Opening>,
  ) {}

  /** Send the reply: pick r and e (eq. 16), derive SEK (eq. 17), confirm it (eq. 18, 19). */
  async reply(now: Instant, entropy: Entropy): Promise<{ awaiting: S; reply: SealedReply }> {
    const { kind, own, peer, sessionId } = this;
    const { payload: opening, plaintext } = this.opened;
    const drawn = await draw(peer.party, entropy);
    const contribution = entropy(32);
    const reply = Object.assign(kind.replyOf(own), share(own, drawn, contribution, now));
    const transcriptHash = kind.transcriptHash(plaintext, reply, own.self.credential, sessionId);
    const shared = await afterOpeningAsync(async () => {
      const k1 = await ofSecret(own, "K1", opening.agreementPoint!);
      const k2 = await ofDraw(drawn, "K2", peer.party);
      return [k1, k2, await drawn.e.exchange(pointOver(opening.ephemeralPoint!))] as const;
    });
    const keys = derive(shared, [opening.contribution!, contribution], transcriptHash, kind.keyRoles);
    reply.keyConfirmation = keys.keyConfirmation;
    reply.signature = await own.signingKey.sign(kind.replyTranscript(reply, own.self.issuer, transcriptHash));
    const { keyId, encryptionKey } = peer.encryptionKey;
    const [sender, receiver] = [own.self.identity, peer.party.identity];
    const context = { name: kind.replyLabel.toLowerCase(), sender, receiver, keyId, sessionId, sentAt: now };
    const sealed = await sealReply(kind.replySchema, reply, encryptionKey, context);
    const session = {
      own,
      peer,
      id: sessionId,
      transcriptHash,
      receiving: new Direction(sessionId, keys.forward),
      sending: new Direction(sessionId, keys.backward),
      beganAt: opening.sentAt!,
    };
    return { awaiting: this.replied(session), reply: sealed };
  }
}

/** What a side puts into its message, whichever way that goes. */
function share(
  { self }: Party,
  { agreementPoint, ephemeralPoint }: Draw,
  contribution: Uint8Array,
  sentAt: Instant,
): Partial<Share> {
  const { registrationPoint, keyStatement } = self;
  return { registrationPoint, agreementPoint, ephemeralPoint, contribution, sentAt, keyStatement };
}

/** The Cert_D that a doctor's message carries; others' carry none. */
function certificateIn(message: Message & { doctorCertificate?: Uint8Array }): Uint8Array {
  return message.doctorCertificate ?? EMPTY;
}

/** The keys of a session: initiator to responder, responder to initiator, and kc (32 bytes). */
export interface SessionKeys {
  readonly forward: DirectionKeys;
  readonly backward: DirectionKeys;
  readonly keyConfirmation: Uint8Array;
}

/** K1 on the responder's base, K2 on the initiator's, and Z (eq. 17). */
export type Shared = readonly [Uint8Array, Uint8Array, Uint8Array];

/** What a product of S with the peer's point gives. */
function ofSecret(own: Party, label: "K1" | "K2", received: Uint8Array): Promise<Uint8Array> {
  return agree(own.registrationSecret, pointOver(received), label, received);
}

/** What a product of the own r with U_peer gives: r is done with then. */
function ofDraw(drawn: Draw, label: "K1" | "K2", peer: VerifiedParty): Promise<Uint8Array> {
  return agree(drawn.r, peer.publicPoint, label, drawn.agreementPoint);
}

/** Derive the session's keys. `roles` is "PD" for SEK_1, "DH" for SEK_2 (B5, B13). */
export function derive(
  shared: Shared,
  contributions: readonly [Uint8Array, Uint8Array],
  transcriptHash: Uint8Array,
  roles: "PD" | "DH",
): SessionKeys {
  const [initiator, responder] = [roles[0], roles[1]];
  const extracted = hmacSha256(transcriptHash, concat(...[...shared, ...contributions].map(field)));
  // HKDF-Expand of at most one block (RFC 5869, 2.3); Node offers extract and expand only together.
  const expand = (name: string, size: number) => {
    const info = transcript("key", text(name), transcriptHash);
    return hmacSha256(extracted, concat(info, Uint8Array.of(1))).subarray(0, size);
  };
  return {
    forward: { key: expand(`k_${initiator}>${responder}`, 32), iv: expand(`iv_${initiator}>${responder}`, 12) },
    backward: { key: expand(`k_${responder}>${initiator}`, 32), iv: expand(`iv_${responder}>${initiator}`, 12) },
    keyConfirmation: expand(`kc_${responder}`, 32),
  };
}
