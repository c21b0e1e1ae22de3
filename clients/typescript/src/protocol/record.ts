/** The session of a doctor, or of a patient in its place, with a hospital: D3, D4 or STO, and the checks of H1, H2, STOACK (eq. 33-35, 42-45, 48). */

import { create } from "@bufbuild/protobuf";
import { type SealedOpening, type SessionFrame, SessionFrameSchema } from "../gen/federation/v1/envelope_pb.js";
import {
  type Deposit,
  DepositEndSchema,
  type DepositReceipt,
  DepositReceiptSchema,
  DepositSchema,
  OwnDocumentSchema,
  Purpose,
  type RecordEnd,
  RecordEndSchema,
  RecordOpeningSchema,
  type RecordOpening,
  RecordQuerySchema,
  RecordReplySchema,
  type RecordReply,
  type Scope,
  SessionOutcome,
} from "../gen/federation/v1/record_pb.js";
import { Role, type SignedStatement } from "../gen/federation/v1/statement_pb.js";
import { concat, type Entropy, equal, type Instant, sha256, text, u64 } from "./bytes.js";
import { Direction, type Layout, layoutOf, requireWithin, resumable, sealContent, Slices } from "./frames.js";
import { requireFresh, requireSameTime } from "./freshness.js";
import { carriedCertificate, type Party } from "./party.js";
import * as handshake from "./handshake.js";
import type { AwaitingReply, Kind, Peer, Session } from "./handshake.js";
import { ofSession, refusalIn } from "./outcomes.js";
import type { SignedDocument } from "./documents.js";
import { afterOpening, require } from "./refusal.js";
import { check, parse } from "./rules.js";
import { serialised } from "./sealing.js";
import type { Shown } from "./shown.js";
import { verifySignature } from "./signatures.js";
import { openStatement } from "./statements.js";
import { certificateDigest, listing, transcript } from "./transcript.js";
import type { Verifier } from "./verifier.js";

const PURPOSES: Partial<Record<Purpose, string>> = {
  [Purpose.READ]: "read",
  [Purpose.STORE]: "store",
  [Purpose.LOG]: "log",
  [Purpose.ADD]: "add",
};

/**
 * What the session is for: c_P commits to it. `blind` is rho, 32 bytes; keep the intent to repeat a deposit. `knownSize` is that of the head
 * that is remembered of a log, where that is asked for; c_P does not commit to it.
 */
export interface Intent {
  readonly shown: Shown;
  readonly scope: Scope;
  readonly blind: Uint8Array;
  readonly knownSize?: bigint | undefined;
  /** The leaf before which a further page of the log is. */
  readonly before?: bigint | undefined;
}

/** c_P = H(T("cp", ID_P, H(access), H(scope), rho)). */
export function commitment(intent: Intent): Uint8Array {
  const { shown, scope, blind } = intent;
  const encoded = transcript(
    "scope",
    text(PURPOSES[scope.purpose!]!),
    text(scope.departmentClass!),
    listing(scope.handles),
  );
  return sha256(transcript("cp", text(shown.patientId), shown.digest, sha256(encoded), blind));
}

/** The handshake of who asks with a hospital: D3 and H1 (eq. 33-44), which give SEK_2. */
export const RECORD: Kind<RecordOpening, RecordReply> = {
  openingLabel: "D3",
  replyLabel: "H1",
  openingSchema: RecordOpeningSchema,
  replySchema: RecordReplySchema,
  initiators: [Role.DOCTOR, Role.PATIENT],
  responder: Role.HOSPITAL,
  keyRoles: "DH",
  initiatorId: ({ askerId }) => askerId!,
  responderId: ({ hospitalId }) => hospitalId!,
  replyOf: ({ self }) => create(RecordReplySchema, { hospitalId: self.identity }),
  openingTranscript,
  transcriptHash,
  replyTranscript,
  requireOpening: () => undefined,
};

/** Send D3: commit to the patient, for this hospital. */
export function begin(
  asker: Party,
  hospital: Peer,
  intent: Intent,
  now: Instant,
  entropy: Entropy,
): Promise<{ awaiting: AwaitingReply<Established>; opening: SealedOpening }> {
  const opening = create(RecordOpeningSchema, {
    askerId: asker.self.identity,
    doctorCertificate: carriedCertificate(asker),
    patientCommitment: commitment(intent),
  });
  const established = (session: Session) => new Established(session, intent);
  return handshake.begin(RECORD, asker, hospital, opening, established, now, entropy);
}

/** The hospital has proved itself and the key. */
export class Established {
  constructor(
    readonly session: Session,
    readonly intent: Intent,
  ) {}

  /**
   * Send D4 (eq. 45): open c_P and show why it may. A record of more bytes than `most` is not taken. Where some of it came before its session
   * broke, the hospital sends what follows, and signs the whole.
   */
  query(now: Instant, most: number, broken?: BrokenRecord): { awaiting: AwaitingRecord; frame: SessionFrame } {
    const { shown, scope, blind, knownSize, before } = this.intent;
    const { own, sending } = this.session;
    const certificate = carriedCertificate(own);
    const payload = create(RecordQuerySchema, {
      patientId: shown.patientId,
      askerId: own.self.identity,
      sentAt: now,
      doctorCertificateDigest: certificate && sha256(certificate),
      blind,
      scope,
      access: shown.access,
      knownSize,
      before,
      resumption: broken && { manifestDigest: broken.layout.digest, offset: BigInt(broken.slices.size) },
    });
    const { frame } = sending.seal("d4", serialised(RecordQuerySchema, payload), true, now);
    const { receiving } = this.session;
    return { awaiting: new AwaitingRecord(this, most, receiving, broken?.slices, broken?.layout), frame };
  }

  /** Send STO: M_SD and M_DINF in slices, then the deposit. The same deposit may be sent again in a new session. */
  deposit(
    biosignal: Uint8Array,
    diagnosis: Uint8Array,
    deposit: Deposit,
  ): { awaiting: AwaitingDepositReceipt; frames: SessionFrame[] } {
    const message = serialised(DepositSchema, deposit);
    const { frames } = sealContent(this.session.sending, "sto", concat(biosignal, diagnosis), message, deposit.sentAt!);
    return { awaiting: new AwaitingDepositReceipt(this.session, sha256(message)), frames };
  }

  /** Send OWN: the document in slices, then what its author signed. The same may be sent again in a new session. */
  add({ own, content }: SignedDocument): { awaiting: AwaitingDepositReceipt; frames: SessionFrame[] } {
    const message = serialised(OwnDocumentSchema, own);
    const { frames } = sealContent(this.session.sending, "own", content, message, own.sentAt!);
    return { awaiting: new AwaitingDepositReceipt(this.session, sha256(message)), frames };
  }
}

/** M_EMR, whole and verified (C8). */
export interface ReceivedRecord {
  readonly layout: Layout;
  readonly content: Uint8Array;
  readonly digest: Uint8Array;
  readonly end: RecordEnd;
}

/** What came of M_EMR before its session broke, up to where another one goes on. Nothing of it is proved. */
export interface BrokenRecord {
  readonly slices: Slices;
  readonly layout: Layout;
}

/** D4 is sent; M_EMR comes in. Nothing of it is proved before the last frame: show nothing. */
export class AwaitingRecord {
  constructor(
    readonly established: Established,
    readonly mostBytes: number,
    readonly receiving = established.session.receiving,
    readonly slices = new Slices(),
    readonly layout?: Layout,
  ) {}

  /** What another session can go on behind, should this one break; undefined where it has to begin at 0. */
  get broken(): BrokenRecord | undefined {
    const { layout, slices } = this;
    const offset = layout === undefined ? 0 : resumable(layout, slices);
    return layout === undefined || offset === 0 ? undefined : { slices: slices.first(offset), layout };
  }

  /** Take one frame of H2 (eq. 48). T is checked on the first. */
  receive(frame: SessionFrame, verifier: Verifier, now: Instant): AwaitingRecord | ReceivedRecord {
    check(SessionFrameSchema, frame);
    if (frame.sequence === 0n) requireFresh(frame.sentAt!, now);
    const taken = afterOpening(() => this.#open(frame, verifier, now));
    if ("refused" in taken) throw refusalIn(ofSession(taken.refused), "the hospital");
    return taken;
  }

  #open(
    frame: SessionFrame,
    verifier: Verifier,
    now: Instant,
  ): AwaitingRecord | ReceivedRecord | { refused: SessionOutcome } {
    const { next, content } = this.receiving.open("h2", frame);
    if (!frame.last!) return this.#with(next, content);
    const end = parse(RecordEndSchema, content);
    requireSameTime(end.sentAt, frame.sentAt!);
    if (end.outcome !== SessionOutcome.SERVED) return { refused: end.outcome! };
    verifier.party(this.established.session.peer.party.keyStatement, Role.HOSPITAL, now); // it may have been revoked since H1
    return this.#complete(end);
  }

  #with(next: Direction, slice: Uint8Array): AwaitingRecord {
    const slices = this.slices.with(slice);
    const layout = this.layout ?? layoutOf(slices, this.mostBytes);
    if (layout !== undefined) requireWithin(layout, slices, slice);
    return new AwaitingRecord(this.established, this.mostBytes, next, slices, layout);
  }

  /** Sig_HPC2 = S_PRK_HPC(T("H2", TH2, c_P, H(M_EMR), H(access), version, T_HPC2)) (C8). */
  #complete(end: RecordEnd): ReceivedRecord {
    const { layout, slices } = this;
    require(end.signature !== undefined && end.version !== undefined, "MISSING_FIELD", "a served record is signed");
    const isWhole = layout !== undefined && slices.size >= layout.size;
    require(isWhole, "RECORD_CUT_SHORT", "the record ends before its manifest says");
    const content = slices.content(layout.size);
    const digest = sha256(content);
    const { session, intent } = this.established;
    const { digest: shown } = intent.shown;
    const fields = [session.transcriptHash, commitment(intent), digest, shown, u64(end.version), u64(end.sentAt!)];
    verifySignature(session.peer.party.verifyingKey, end.signature, transcript("H2", ...fields));
    return { layout, content, digest, end };
  }
}

/** STO is sent. */
export class AwaitingDepositReceipt {
  constructor(
    readonly session: Session,
    readonly depositDigest: Uint8Array,
  ) {}

  /** Take STOACK: the hospital's signed receipt. The receipt of a deposit that was made before is as old as that deposit. */
  receive(frame: SessionFrame): DepositReceipt {
    const { end, receipt } = afterOpening(() => {
      const { content } = this.session.receiving.open("stoack", frame);
      require(frame.last!, "OUT_OF_ORDER", "a receipt is one frame");
      const opened = parse(DepositEndSchema, content);
      requireSameTime(opened.sentAt, frame.sentAt!);
      return {
        end: opened,
        receipt: opened.outcome === SessionOutcome.SERVED ? this.#receipt(opened.receipt) : undefined,
      };
    });
    if (receipt === undefined) throw refusalIn(ofSession(end.outcome!), "the hospital");
    return receipt;
  }

  #receipt(signed: SignedStatement | undefined): DepositReceipt {
    require(signed !== undefined, "MISSING_FIELD", "a served deposit has a receipt");
    const receipt = openStatement("stoack", DepositReceiptSchema, signed, this.session.peer.party.verifyingKey);
    require(equal(receipt.depositDigest!, this.depositDigest), "ANSWER_MISMATCH", "the receipt is for another deposit");
    return receipt;
  }
}

/** What Sig_D3 covers: eq. 35 with c_P for ID_P, and the hospital (C3). */
function openingTranscript(
  opening: RecordOpening,
  issuer: Uint8Array,
  hospitalId: string,
  keyId: Uint8Array,
  sessionId: Uint8Array,
): Uint8Array {
  return transcript(
    "D3",
    issuer,
    u64(opening.sentAt!),
    opening.patientCommitment!,
    opening.agreementPoint!,
    opening.ephemeralPoint!,
    opening.registrationPoint!,
    text(hospitalId),
    opening.responderSerial!,
    keyId,
    sessionId,
    sha256(opening.contribution!),
    certificateDigest(opening.doctorCertificate),
  );
}

/** TH2 = H(T("th2", H(d3 plaintext), ID_HPC, M_HPC, R_HPC1, R_HPC2, E_HPC, T_HPC1, session id)). */
function transcriptHash(
  openingPlaintext: Uint8Array,
  h1: RecordReply,
  credential: Uint8Array,
  sessionId: Uint8Array,
): Uint8Array {
  const who = [text(h1.hospitalId!), credential, h1.registrationPoint!];
  const points = [h1.agreementPoint!, h1.ephemeralPoint!];
  return sha256(transcript("th2", sha256(openingPlaintext), ...who, ...points, u64(h1.sentAt!), sessionId));
}

/** What Sig_HPC1 covers: eq. 41, and the session (C4). */
function replyTranscript(h1: RecordReply, issuer: Uint8Array, hash: Uint8Array): Uint8Array {
  const ephemeral = h1.ephemeralPoint!;
  return transcript("H1", issuer, u64(h1.sentAt!), ephemeral, text(h1.hospitalId!), h1.keyConfirmation!, hash);
}
