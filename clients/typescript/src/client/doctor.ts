/** The doctor's client: a room for a patient, a search, a diagnosis. */

import { create } from "@bufbuild/protobuf";
import type { Transport } from "@connectrpc/connect";
import { Direction } from "../gen/federation/v1/consultation_pb.js";
import { SessionRefusalSchema } from "../gen/federation/v1/envelope_pb.js";
import { hex } from "../protocol/bytes.js";
import { codeDigest } from "../protocol/consultation.js";
import {
  askForRoom,
  askToClose,
  type AwaitingBiosignal,
  type AwaitingReceipt,
  InConsultation,
  receiveOpening,
} from "../protocol/doctor.js";
import type { Grant } from "../protocol/access.js";
import { preciseReason, Refusal } from "../protocol/refusal.js";
import type { Party } from "../protocol/party.js";
import type { RecordLocation } from "../protocol/search.js";
import type { Shown } from "../protocol/shown.js";
import { BRIEFLY, pause, repeated } from "./calls.js";
import { clock, Cloud, entropy } from "./cloud.js";
import { type DoctorCode, formatCode } from "./code.js";
import { StatedDuty } from "./duty.js";
import type { Home } from "./home.js";
import type { FetchedRecord } from "./records.js";
import { closeRoom, Mailbox, openRoom } from "./relay.js";
import { CurrentHome, currentOrKept } from "./maintenance.js";
import { withShards } from "./shards.js";

const ROOM_MS = 12 * 3_600_000;
const REFUSAL_FLOOR_MS = 50;
/** When D1 leaves, from P1 on: how long a signature took must not tell how long its nonce was. */
const ANSWER_STEP_MS = 20;
const MOST_SESSIONS = 8;

async function untilNextStep(heard: number): Promise<void> {
  const end = heard + Math.ceil((performance.now() - heard) / ANSWER_STEP_MS) * ANSWER_STEP_MS;
  while (performance.now() < end) await pause(end - performance.now());
}

function signaturesOf(records: readonly FetchedRecord[]): Uint8Array[] {
  return records.map(({ end }) => end.signature!);
}

/** A doctor at work, with one room open. */
export class DoctorRoom {
  readonly #sessions = new Map<string, AwaitingBiosignal>();
  /** The newest D5 lies in it, and no P6 has answered that. */
  #isNeeded = false;

  /** A room that is open already; `open` opens one. */
  constructor(
    readonly currentHome: CurrentHome,
    /** Who opened the room, and may close it whatever has become of the lists. */
    readonly party: Party,
    readonly transport: Transport,
    readonly code: DoctorCode,
    readonly mailbox: Mailbox,
    readonly duty: StatedDuty,
  ) {}

  /** Open a room at the relay of the doctor's hospital. The home has been kept up (`maintain`). */
  static async open(home: Home, hospitalId: string, address: string): Promise<DoctorRoom> {
    const transport = home.transportToHospital(address, hospitalId);
    if (!home.holdsCurrentList(clock())) await home.hearBeside();
    const party = await home.party(clock());
    const { roomId, duty, revocations } = await repeated(async () =>
      openRoom(transport, await askForRoom(party, hospitalId, clock(), entropy)),
    );
    const { statement, signature } = party.self.keyStatement;
    const code = {
      address,
      hospitalId,
      roomId: roomId!,
      digest: codeDigest(statement!, signature!, party.certificate),
    };
    const mailbox = new Mailbox(transport, roomId!, Direction.TO_PATIENT);
    const currentHome = new CurrentHome(home);
    const stated = new StatedDuty(currentHome, transport, hospitalId);
    await home.hear(revocations!);
    await stated.take(duty!);
    return new DoctorRoom(currentHome, party, transport, code, mailbox, stated);
  }

  /** The doctor's home, with the lists that were last needed. */
  get home(): Home {
    return this.currentHome.last;
  }

  /** The code, for the patient. */
  get text(): string {
    return formatCode(this.code);
  }

  /** Close the room, unless a diagnosis lies in it that the patient has not signed for: that one goes by itself, hours later. */
  async close(): Promise<void> {
    if (this.#isNeeded) return;
    const { hospitalId, roomId } = this.code;
    await closeRoom(this.transport, await askToClose(this.party, hospitalId, roomId));
  }

  /** Answer who asks in the room until one patient is present: P1, D1, P2. Who is refused hears that, and nothing else. */
  async awaitPatient(refused: (reason: string) => void): Promise<InConsultation> {
    for await (const { content } of this.mailbox.follow(ROOM_MS)) {
      const began = Date.now();
      try {
        if (content.case === "opening") await this.#answer(content.value);
        if (content.case !== "frame") continue;
        const present = await this.#take(content.value);
        if (present !== undefined) return present;
      } catch (error) {
        refused(preciseReason(error));
        await this.#refuse(content.value?.sessionId, began);
      }
    }
    throw new Refusal("NO_ANSWER", "no patient came to the room in time");
  }

  /** Sign and send the diagnosis, which rests on these records: D5. */
  async diagnose(
    consultation: InConsultation,
    report: Uint8Array,
    records: readonly FetchedRecord[],
  ): Promise<AwaitingReceipt> {
    return this.#sent(await consultation.diagnose(report, signaturesOf(records), clock()));
  }

  /** Sign and send what takes the place of a diagnosis, the newest of its consultation: a further D5. */
  async amend(
    diagnosed: AwaitingReceipt,
    report: Uint8Array,
    records: readonly FetchedRecord[],
  ): Promise<AwaitingReceipt> {
    return this.#sent(await diagnosed.amend(report, signaturesOf(records), clock()));
  }

  async #sent({ awaiting, frame }: Awaited<ReturnType<AwaitingReceipt["amend"]>>): Promise<AwaitingReceipt> {
    this.#isNeeded = true;
    await this.mailbox.put({ content: { case: "frame", value: frame } });
    return awaiting;
  }

  /** Wait so long for the patient's receipt, P6: it is the patient's to give, and the diagnosis is sent without it. */
  async awaitReceipt(
    awaiting: AwaitingReceipt,
    milliseconds: number,
    tell: (sentence: string) => void,
  ): Promise<boolean> {
    try {
      return await this.#receives(awaiting, milliseconds);
    } catch (error) {
      tell(`No receipt came (${preciseReason(error)}).`);
      return false;
    }
  }

  async #receives(awaiting: AwaitingReceipt, milliseconds: number): Promise<boolean> {
    for await (const { content } of this.mailbox.follow(milliseconds)) {
      if (content.case !== "frame") continue;
      try {
        awaiting.receive(content.value, clock());
        this.#isNeeded = false;
        return true;
      } catch (error) {
        preciseReason(error); // not the patient's: anybody with the code may put frames
      }
    }
    return false;
  }

  async #answer(opening: Parameters<typeof receiveOpening>[1]): Promise<void> {
    const name = hex(opening.sessionId ?? new Uint8Array());
    if (this.#sessions.has(name)) return;
    const heard = performance.now();
    const home = await this.currentHome.current();
    const now = clock();
    const party = await home.party(now);
    const pending = await withShards(home, () => receiveOpening(party, opening, home.verifier(now), now));
    const received = pending.admit(home.admit(pending.replayKey, now, pending.keepUntil));
    const { awaiting, reply } = await received.reply(clock(), entropy);
    const [oldest] = this.#sessions.keys();
    if (oldest !== undefined && this.#sessions.size >= MOST_SESSIONS) this.#sessions.delete(oldest);
    this.#sessions.set(name, awaiting);
    await untilNextStep(heard);
    await this.mailbox.put({ content: { case: "reply", value: reply } });
  }

  /** Take a frame of P2; the last one makes the patient present. One that does not open is somebody else's: passed over. */
  async #take(frame: Parameters<AwaitingBiosignal["receive"]>[0]): Promise<InConsultation | undefined> {
    const name = hex(frame.sessionId ?? new Uint8Array());
    const session = this.#sessions.get(name);
    if (session === undefined) return undefined;
    const home = frame.last ? await currentOrKept(this.currentHome) : this.home;
    const duty = frame.last ? await this.duty.current() : undefined;
    this.#sessions.delete(name);
    try {
      const outcome = await withShards(home, () => session.receive(frame, home.verifier(clock()), clock(), duty));
      if (outcome instanceof InConsultation) return outcome;
      this.#sessions.set(name, outcome);
    } catch (error) {
      if (!["SEAL_INVALID", "OUT_OF_ORDER"].includes(preciseReason(error))) throw error;
      this.#sessions.set(name, session);
    }
    return undefined;
  }

  /** Say no, not before a fixed floor (B9). */
  async #refuse(sessionId: Uint8Array | undefined, began: number): Promise<void> {
    if (sessionId?.length !== 16) return;
    await pause(Math.max(0, REFUSAL_FLOOR_MS - (Date.now() - began)));
    const value = create(SessionRefusalSchema, { sessionId, sentAt: clock() });
    await this.mailbox.put({ content: { case: "refusal", value } });
  }
}

/** Ask the public cloud where the patient's records are, in all classes that the grant covers. */
export async function search(home: Home, { departmentClasses }: Grant, shown: Shown): Promise<RecordLocation[]> {
  const cloud = new Cloud(home.cloudTransport, BRIEFLY);
  const locations: RecordLocation[] = [];
  for (const departmentClass of departmentClasses.includes("*") ? ["*"] : departmentClasses) {
    locations.push(...(await cloud.search(home, departmentClass, shown, entropy)));
  }
  return locations;
}
