/** The deposit of an encounter at the doctor's own hospital: STO, STOACK. */

import { create } from "@bufbuild/protobuf";
import {
  type Deposit,
  type DepositReceipt,
  DepositSchema,
  Purpose,
  ScopeSchema,
} from "../gen/federation/v1/record_pb.js";
import { sha256 } from "../protocol/bytes.js";
import type { AwaitingReceipt } from "../protocol/doctor.js";
import type { Intent } from "../protocol/record.js";
import { Refusal } from "../protocol/refusal.js";
import type { Shown } from "../protocol/shown.js";
import { pause } from "./calls.js";
import { clock, entropy } from "./cloud.js";
import { intentOf } from "./fetch.js";
import type { Home } from "./home.js";
import { addressHospital, isLost, SessionStream } from "./session.js";

const ATTEMPTS = 4;
const PAUSE_MS = 1_000;

/** Deposit the encounter, by the consent and duty that are shown. Gives the handle that the hospital signed for. */
export async function deposit(
  home: Home,
  diagnosed: AwaitingReceipt,
  shown: Shown,
  hospitalId: string,
  address: string,
  departmentClass: string,
): Promise<Uint8Array> {
  const scope = create(ScopeSchema, { purpose: Purpose.STORE, departmentClass });
  const intent = intentOf(shown, scope);
  const receipt = await untilKept(depositOf(diagnosed, intent), (prepared) =>
    depositOnce(home, diagnosed, hospitalId, address, intent, prepared),
  );
  return receipt.handle!;
}

/**
 * Send a deposit, again where the session is lost: the same deposit gets the same receipt. One that the hospital did not keep and that has
 * grown stale gets a new T.
 */
export async function untilKept<T>(
  prepared: Deposit,
  once: (deposit: Deposit) => Promise<T>,
  pauseMs: number = PAUSE_MS,
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await once(prepared);
    } catch (error) {
      if (!(error instanceof Refusal) || attempt === ATTEMPTS) throw error;
      if (error.reason === "STALE") prepared.sentAt = clock();
      else if (isLost(error)) await pause(error.retryAfterMs ?? attempt * pauseMs);
      else throw error;
    }
  }
}

async function depositOnce(
  home: Home,
  { consultation, diagnosis }: AwaitingReceipt,
  hospitalId: string,
  address: string,
  intent: Intent,
  prepared: Deposit,
): Promise<DepositReceipt> {
  const transport = home.transportToHospital(address, hospitalId);
  const hospital = await addressHospital(transport, hospitalId, home);
  return SessionStream.during(transport, async (stream) => {
    const session = await stream.open(home, hospital, intent, entropy);
    const { awaiting, frames } = session.deposit(consultation.biosignal, diagnosis.diagnosis!, prepared);
    frames.forEach((frame) => stream.send(frame));
    return awaiting.receive(await stream.receive());
  });
}

function depositOf({ consultation, diagnosis }: AwaitingReceipt, intent: Intent): Deposit {
  const { delivery, biosignal, session } = consultation;
  const { shown, blind, scope } = intent;
  return create(DepositSchema, {
    patientId: shown.patientId,
    doctorId: session.own.self.identity,
    sentAt: clock(),
    blind,
    scope,
    access: shown.access,
    consultationDigest: session.transcriptHash,
    biosignalSizeBytes: BigInt(biosignal.length),
    biosignalDigest: delivery.biosignalDigest!,
    biosignalSentAt: delivery.sentAt!,
    biosignalSignature: delivery.signature!,
    diagnosisSizeBytes: BigInt(diagnosis.diagnosis!.length),
    diagnosisDigest: sha256(diagnosis.diagnosis!),
    basedOn: diagnosis.basedOn,
    diagnosisSentAt: diagnosis.sentAt!,
    diagnosisSignature: diagnosis.signature!,
    amends: diagnosis.amends,
  });
}
