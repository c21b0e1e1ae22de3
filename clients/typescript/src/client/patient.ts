/** The patient's client: a visit to the doctor of a code, and its diagnosis. */

import { randomBytes } from "node:crypto";
import { Direction, type RelayFrame } from "../gen/federation/v1/consultation_pb.js";
import { hex } from "../protocol/bytes.js";
import { EVERYTHING, makeGrant, type Terms } from "../protocol/grant.js";
import {
  type AwaitingDiagnosis,
  type AwaitingReply,
  begin,
  checkRoom,
  type Diagnosed,
  type Established,
} from "../protocol/patient.js";
import { Refusal } from "../protocol/refusal.js";
import { peekStatement } from "../protocol/statements.js";
import { GrantSchema } from "../gen/federation/v1/statement_pb.js";
import { transportTo } from "./calls.js";
import { clock } from "./cloud.js";
import type { DoctorCode } from "./code.js";
import type { Home } from "./home.js";
import { Mailbox } from "./relay.js";
import { refreshed } from "./upkeep.js";

/** How long a doctor has to answer P1: the message is stale after 30 seconds, and clocks differ. */
const REPLY_MS = 45_000;

/** What a visit gave. */
export interface Visit {
  readonly doctorId: string;
  readonly grantId: string;
  /** The FHIR DiagnosticReport that the doctor signed. */
  readonly diagnosis: Uint8Array;
}

const entropy = (size: number) => new Uint8Array(randomBytes(size));

/** Visit the doctor of a code: P1, D1, P2 with a grant on these terms, D5, P6. The home has been kept up (`keepUp`). */
export async function visit(
  home: Home,
  code: DoctorCode,
  biometricPassword: Uint8Array,
  biosignal: Uint8Array,
  terms: Terms = EVERYTHING,
  waitMs = 600_000,
): Promise<Visit> {
  const mailbox = new Mailbox(
    transportTo(code.address, code.hospitalId, home.bundle),
    code.roomId,
    Direction.TO_DOCTOR,
  );
  const room = await mailbox.room();
  const now = clock();
  const doctor = await checkRoom(room, code.digest, home.verifier(now), now);
  const { awaiting, opening } = await begin(await home.party(now), doctor, biometricPassword, now, entropy);
  await mailbox.put({ content: { case: "opening", value: opening } });
  const established = await replyOf(mailbox, awaiting, home);
  const addressed = { identity: doctor.party.identity, certificate: doctor.certificate };
  const grant = await makeGrant(established.patient, addressed, terms, clock(), entropy);
  const { awaiting: waiting, frames } = await established.deliver(biosignal, grant, clock());
  for (const frame of frames) await mailbox.put({ content: { case: "frame", value: frame } });
  const diagnosed = await diagnosisOf(mailbox, waiting, home, waitMs);
  await mailbox.put({ content: { case: "frame", value: await diagnosed.receipt(clock()) } });
  const { grantId } = peekStatement(GrantSchema, grant);
  return { doctorId: doctor.party.identity, grantId: hex(grantId!), diagnosis: diagnosed.delivery.diagnosis! };
}

async function replyOf(mailbox: Mailbox, awaiting: AwaitingReply, home: Home): Promise<Established> {
  return firstAccepted(mailbox, awaiting.sessionId, REPLY_MS, "the doctor did not answer", ({ content }) =>
    content.case === "reply" ? awaiting.receive(content.value, home.verifier(clock()), clock()) : undefined,
  );
}

async function diagnosisOf(
  mailbox: Mailbox,
  awaiting: AwaitingDiagnosis,
  home: Home,
  waitMs: number,
): Promise<Diagnosed> {
  return firstAccepted(
    mailbox,
    awaiting.session.sessionId,
    waitMs,
    "there is no diagnosis yet",
    async ({ content }) => {
      if (content.case !== "frame") return undefined;
      home = await refreshed(home);
      return awaiting.receive(content.value, home.verifier(clock()), clock());
    },
  );
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
