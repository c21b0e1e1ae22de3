/** The patient's client: a visit to the doctor of a code, and its diagnosis. */

import { create } from "@bufbuild/protobuf";
import { ConsentSchema } from "../gen/federation/v1/access_pb.js";
import {
  Direction,
  type GetRoomResponse,
  GetRoomResponseSchema,
  type RelayFrame,
} from "../gen/federation/v1/consultation_pb.js";
import type { Duty } from "../protocol/access.js";
import { makeGrant } from "../protocol/consent.js";
import { CONSULTATION_LIFE } from "../protocol/consultation.js";
import {
  type AwaitingDiagnosis,
  begin,
  checkDuty,
  checkRoom,
  type Diagnosed,
  type Established,
} from "../protocol/patient.js";
import type { AwaitingReply, Peer } from "../protocol/handshake.js";
import type { Party } from "../protocol/party.js";
import { preciseReason, Refusal, require } from "../protocol/refusal.js";
import { checkOuter } from "../protocol/rules.js";
import { Shown } from "../protocol/shown.js";
import { peekStatement } from "../protocol/statements.js";
import { RevocationHeadSchema } from "../gen/federation/v1/statement_pb.js";
import { FIRST_PAUSE_MS, LONGEST_PAUSE_MS, pause } from "./calls.js";
import { clock, entropy } from "./cloud.js";
import type { DoctorCode } from "./code.js";
import type { Offer } from "./consents.js";
import type { Home, KeptGrant } from "./home.js";
import { Mailbox } from "./relay.js";
import { CurrentHome, currentOrKept, RUN_OUT } from "./maintenance.js";
import { withShards } from "./shards.js";

/** How long a doctor has to answer P1: the message is stale after 30 seconds, and clocks differ. */
const REPLY_MS = 45_000;

/** Whom a code leads to, and where that doctor is on duty, both checked. */
export interface Looked {
  readonly home: Home;
  readonly code: DoctorCode;
  readonly mailbox: Mailbox;
  readonly doctor: Peer;
  readonly duty: Duty;
}

/** Look at the room of a code, before anything of the patient goes out. The home has been kept up (`maintain`). */
export async function look(home: Home, code: DoctorCode): Promise<Looked> {
  const { address, hospitalId, roomId, digest } = code;
  const mailbox = new Mailbox(home.transportToHospital(address, hospitalId), roomId, Direction.TO_DOCTOR);
  const room = await mailbox.room();
  home = await heardFrom(room, home);
  await home.hear(room.revocations!);
  return withShards(home, async () => {
    const now = clock();
    const verifier = home.verifier(now);
    const doctor = await checkRoom(room, digest, verifier, now);
    return { home, code, mailbox, doctor, duty: checkDuty(room, doctor, hospitalId, verifier, now) };
  });
}

/** Look again, once somebody has read for a while what `looked` says: the code holds the doctor's statements, but not where it works. */
export async function lookAgain(looked: Looked): Promise<Looked> {
  const again = await look(looked.home, looked.code);
  const [before, now] = [looked, again].map(({ duty }) => duty.departmentClasses.join(" "));
  require(before ===
    now, "ROOM_CHANGED", "the doctor is on duty in other departments now: look again before you go in");
  return again;
}

/** What a visit gave. */
export interface Visit {
  readonly grant: KeptGrant | undefined;
  /** The FHIR DiagnosticReport that the doctor signed, and each that amended the one before it; the newest is the last. */
  readonly diagnoses: readonly Uint8Array[];
}

/** Visit the doctor who was looked at: P1, D1, P2 with a consent to what is offered, D5, P6; and stay so long for what amends the diagnosis. */
export async function visit(
  { home, mailbox, doctor }: Looked,
  biometricPassword: Uint8Array,
  biosignal: Uint8Array,
  offer: Offer | undefined,
  tell: (sentence: string) => void,
  stayMs = 0,
  waitMs = Number(CONSULTATION_LIFE),
): Promise<Visit> {
  const now = clock();
  const { awaiting, opening } = await begin(await home.party(now), doctor, biometricPassword, now, entropy);
  await mailbox.put({ content: { case: "opening", value: opening } });
  const established = await replyOf(mailbox, awaiting, home);
  const grant = offer && (await granted(home, established.session.own, offer));
  const shown = shownBy(established.session.own, grant);
  const { awaiting: waiting, frames } = await established.deliver(biosignal, shown, clock());
  for (const frame of frames) await mailbox.put({ content: { case: "frame", value: frame } });
  const diagnosed = await diagnosisOf(mailbox, waiting, home, waitMs);
  const amendment = (state: AwaitingDiagnosis) => diagnosisOf(mailbox, state, home, stayMs);
  return { grant, diagnoses: await acknowledgeAll(mailbox, diagnosed, tell, stayMs > 0 ? amendment : undefined) };
}

/** Answer a diagnosis, and each that amends the one before it as long as `next` has one. None has to come. */
export async function acknowledgeAll(
  mailbox: Pick<Mailbox, "put">,
  first: Pick<Diagnosed, "receipt" | "delivery">,
  tell: (sentence: string) => void,
  next?: (state: AwaitingDiagnosis) => Promise<Pick<Diagnosed, "receipt" | "delivery">>,
): Promise<Uint8Array[]> {
  const diagnoses = [first.delivery.diagnosis!];
  let following = await acknowledge(mailbox, first, tell);
  while (next !== undefined && following !== undefined) {
    try {
      const diagnosed = await next(following);
      diagnoses.push(diagnosed.delivery.diagnosis!);
      following = await acknowledge(mailbox, diagnosed, tell);
    } catch (error) {
      const reason = preciseReason(error);
      if (!["NO_ANSWER", "NO_SUCH_ROOM"].includes(reason)) tell(`What may have amended it was not taken (${reason}).`);
      break;
    }
  }
  return diagnoses;
}

async function granted(home: Home, patient: Party, { grantee, terms }: Offer): Promise<KeptGrant> {
  const signed = await makeGrant(patient, grantee, terms, clock(), entropy);
  return { number: home.keepGrant(signed), signed };
}

function shownBy({ self: { identity, keyStatement } }: Party, grant: KeptGrant | undefined): Shown {
  return Shown.byConsent(identity, grant && create(ConsentSchema, { grant: grant.signed, keyStatement }));
}

/** The home with the lists that the relay hands over, where they are newer: the cloud may be away, and both are signed by it. */
export async function heardFrom(room: GetRoomResponse, home: Home): Promise<Home> {
  checkOuter(GetRoomResponseSchema, room);
  const signed = room.revocations!.head!;
  const known = home.lists?.head.sequence ?? 0n;
  if (peekStatement(RevocationHeadSchema, signed).sequence! <= known) return home;
  try {
    return await home.heard(home.lease, signed, [room.certificateRevocationList!]);
  } catch (error) {
    preciseReason(error); // a bundle that is behind can't verify them: the kept ones do as long as they are current
    return home;
  }
}

/**
 * Send P6, once, and give the state that takes an amendment; none if P6 could not be made. It is a courtesy: the room may be gone by now, and
 * the diagnosis holds without it.
 */
export async function acknowledge(
  mailbox: Pick<Mailbox, "put">,
  diagnosed: Pick<Diagnosed, "receipt">,
  tell: (sentence: string) => void,
): Promise<AwaitingDiagnosis | undefined> {
  let state: AwaitingDiagnosis | undefined;
  try {
    const { following, frame } = await diagnosed.receipt(clock());
    state = following;
    await mailbox.put({ content: { case: "frame", value: frame } });
  } catch (error) {
    tell(`The receipt could not be sent (${preciseReason(error)}).`);
  }
  return state;
}

async function replyOf(mailbox: Mailbox, awaiting: AwaitingReply<Established>, home: Home): Promise<Established> {
  return firstAccepted(mailbox, awaiting.sessionId, REPLY_MS, "the doctor did not answer", ({ content }) =>
    content.case === "reply"
      ? withShards(home, () => awaiting.receive(content.value, home.verifier(clock()), clock()))
      : undefined,
  );
}

async function diagnosisOf(
  mailbox: Mailbox,
  awaiting: AwaitingDiagnosis,
  home: Home,
  waitMs: number,
): Promise<Diagnosed> {
  const currentHome = new CurrentHome(home);
  const deadline = Date.now() + waitMs;
  const { id: sessionId } = awaiting.session;
  return firstAccepted(mailbox, sessionId, waitMs, "there is no diagnosis yet", ({ content }) => {
    if (content.case !== "frame") return undefined;
    const { value } = content;
    return byCurrentLists(currentHome, deadline, (at) =>
      withShards(at, () => awaiting.receive(value, at.verifier(clock()), clock())),
    );
  });
}

/**
 * Take D5 by the newest lists, for the doctor may have been revoked meanwhile. A frame is read once: where no current list is at hand, the
 * doctor's own is held on to until the cloud has one. Strangers' frames are refused first, so the cloud is not asked for them.
 */
export async function byCurrentLists<T>(
  currentHome: CurrentHome,
  deadline: number,
  take: (home: Home) => Promise<T>,
): Promise<T> {
  try {
    await take(currentHome.last);
  } catch (error) {
    if (!lacksLists(error)) throw error;
  }
  for (let wait = FIRST_PAUSE_MS; ; wait = Math.min(2 * wait, LONGEST_PAUSE_MS)) {
    const home = await currentOrKept(currentHome);
    try {
      return await take(home);
    } catch (error) {
      if (!lacksLists(error) || Date.now() + wait > deadline) throw error;
    }
    await pause(wait);
  }
}

function lacksLists(error: unknown): boolean {
  return RUN_OUT.includes(preciseReason(error));
}

/**
 * The first frame of this session that `take` accepts. What it refuses is passed over: anybody with the code may put frames. The doctor's
 * own refusal ends the wait.
 */
async function firstAccepted<T>(
  mailbox: Mailbox,
  sessionId: Uint8Array,
  milliseconds: number,
  nothing: string,
  take: (frame: RelayFrame) => Promise<T | undefined> | undefined,
): Promise<T> {
  let failure = new Refusal("NO_ANSWER", nothing);
  for await (const frame of mailbox.follow(milliseconds)) {
    const { content } = frame;
    if (content.case === undefined || !Buffer.from(content.value.sessionId ?? []).equals(sessionId)) continue;
    if (content.case === "refusal")
      throw new Refusal("REFUSED_BY_PEER", "the doctor's side refused, and does not say why");
    try {
      const accepted = await take(frame);
      if (accepted !== undefined) return accepted;
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      failure = error;
    }
  }
  throw failure;
}
