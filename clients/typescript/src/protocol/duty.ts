/** A doctor's duty, as its hospital states it: asked for by GetDuty, and checked before anybody relies on it. Nothing of it is secret. */

import { create } from "@bufbuild/protobuf";
import type { ShownDuty } from "../gen/federation/v1/access_pb.js";
import { type GetDutyRequest, GetDutyRequestSchema } from "../gen/federation/v1/record_pb.js";
import { Role } from "../gen/federation/v1/statement_pb.js";
import type { Duty } from "./access.js";
import { type Entropy, type Instant, text, u64 } from "./bytes.js";
import { openDuty } from "./consent.js";
import type { Party } from "./party.js";
import { check } from "./rules.js";
import { requireShownDuty } from "./shown.js";
import { transcript } from "./transcript.js";
import type { VerifiedParty, Verifier } from "./verifier.js";

/** Ask a hospital to state that one is on duty there. */
export async function askForDuty(
  doctor: Party,
  hospitalId: string,
  now: Instant,
  entropy: Entropy,
): Promise<GetDutyRequest> {
  const { self, certificate: doctorCertificate, signingKey } = doctor;
  const nonce = entropy(16);
  const signed = transcript("duty-ask", text(self.identity), text(hospitalId), nonce, u64(now));
  const signature = await signingKey.sign(signed);
  const fields = { keyStatement: self.keyStatement, doctorCertificate, nonce, sentAt: now, signature };
  const request = create(GetDutyRequestSchema, fields);
  check(GetDutyRequestSchema, request);
  return request;
}

/** What a duty says, if this hospital stated it for this doctor, and it holds now. Refuses with DUTY_INVALID, DUTY_EXPIRED, DUTY_REVOKED. */
export function verifyDuty(
  shown: ShownDuty,
  doctor: VerifiedParty,
  hospitalId: string,
  verifier: Verifier,
  now: Instant,
): Duty {
  const hospital = verifier.party(shown.keyStatement!, Role.HOSPITAL, now); // code.5
  const duty = openDuty(shown, hospital, doctor); // code.6
  requireShownDuty(duty, hospitalId, doctor.identity, verifier, now); // code.7
  return duty;
}
