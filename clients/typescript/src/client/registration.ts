/** Registering with the public cloud: reg1 and reg2 (eq. 2-10), through lost answers and an end of the program. */

import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { type SealedOpening, SealedOpeningSchema, type SealedReply } from "../gen/federation/v1/envelope_pb.js";
import { Role } from "../gen/federation/v1/statement_pb.js";
import { EMPTY } from "../protocol/bytes.js";
import { require } from "../protocol/refusal.js";
import { type Applicant, apply, type AwaitingCredential, resume } from "../protocol/registration.js";
import { passes } from "./calls.js";
import { Cloud, clock } from "./cloud.js";
import type { Home } from "./home.js";
import { withShards } from "./shards.js";

/** A reg1 whose answer is awaited. */
interface Sent {
  readonly awaiting: AwaitingCredential;
  readonly opening: SealedOpening;
}

/**
 * Register who is at home: B_P of a patient or Cert_D of a doctor as evidence; a patient's ticket. What an earlier run sent goes on, as long
 * as the cloud repeats its answer. Gives the credential's serial.
 */
export async function register(
  home: Home,
  evidence: Uint8Array,
  ticket?: Uint8Array,
  cloud: Cloud = new Cloud(home.cloudTransport),
): Promise<Uint8Array> {
  require(!home.isRegistered, "PROFILE_UNUSABLE", `${home.identity} is registered already`);
  // reg2 is by the newest keys, which the bundle that was handed over may not know: judged by that, S_X would be lost.
  home = await cloud.refresh(home);
  const applicant = await applicantAt(home, evidence, ticket);
  const { awaiting, opening } = underWay(home, applicant) ?? (await applied(home, cloud, applicant));
  const reply = await answerTo(home, cloud, opening);
  const { party, registrationSecret } = await awaiting.receive(reply, home.bundle, home.crls, clock());
  const certificate = applicant.role === Role.DOCTOR ? awaiting.request.evidence! : EMPTY;
  await home.install(party, registrationSecret, certificate);
  return party.serial;
}

async function applicantAt(home: Home, evidence: Uint8Array, ticket: Uint8Array | undefined): Promise<Applicant> {
  const { decryptionKey, statement } = await home.epochToRegister(clock());
  const { identity, keys } = home;
  return {
    role: identity.startsWith("D:") ? Role.DOCTOR : Role.PATIENT,
    identity,
    evidence,
    ...(ticket === undefined ? {} : { ticket }),
    signingKey: keys.signingKey,
    decryptionKey,
    encryptionKeyStatement: statement,
  };
}

function underWay(home: Home, applicant: Applicant): Sent | undefined {
  const kept = home.keys.registration;
  const awaiting = kept && resume(applicant, kept.plaintext, clock());
  return awaiting && { awaiting, opening: fromBinary(SealedOpeningSchema, kept.opening) };
}

/** Make reg1, and keep it before it is sent: a crash after the cloud's commit would leave a party that is registered and can't act. */
async function applied(home: Home, cloud: Cloud, applicant: Applicant): Promise<Sent> {
  const { challenge, cloudEncryptionKeyStatement } = await cloud.openRegistration();
  const now = clock();
  const key = await withShards(home, () => home.verifier(now).cloudEncryptionKey(cloudEncryptionKeyStatement!, now));
  const sent = await apply(applicant, challenge!, key, now);
  const opening = toBinary(SealedOpeningSchema, sent.opening);
  home.keepRegistration({ opening, plaintext: sent.awaiting.plaintext });
  return sent;
}

async function answerTo(home: Home, cloud: Cloud, opening: SealedOpening): Promise<SealedReply> {
  try {
    return await cloud.register(opening);
  } catch (error) {
    if (!passes(error)) home.dropRegistration(); // refused: this reg1 is over
    throw error;
  }
}
