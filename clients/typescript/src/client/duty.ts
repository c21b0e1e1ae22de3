/** That a doctor is on duty, as its hospital states it: kept while it holds, and then asked for anew. */

import { createClient, type Transport } from "@connectrpc/connect";
import type { ShownDuty } from "../gen/federation/v1/access_pb.js";
import { GetDutyResponseSchema, RecordService } from "../gen/federation/v1/record_pb.js";
import type { Duty } from "../protocol/access.js";
import { peekDuty } from "../protocol/consent.js";
import { askForDuty, verifyDuty } from "../protocol/duty.js";
import { preciseReason } from "../protocol/refusal.js";
import { checkOuter } from "../protocol/rules.js";
import { Shown } from "../protocol/shown.js";
import { BRIEFLY, repeated } from "./calls.js";
import { clock, entropy } from "./cloud.js";
import { type CurrentHome, currentOrKept } from "./maintenance.js";
import { withShards } from "./shards.js";

/** How long a duty has to hold yet to be shown: what it is shown for takes its time. */
const LEFT_MS = 60_000n;

/** The duty of one doctor at one hospital. */
export class StatedDuty {
  #stated: ShownDuty | undefined;

  constructor(
    readonly currentHome: CurrentHome,
    readonly transport: Transport,
    readonly hospitalId: string,
  ) {}

  /** Verify a duty that the hospital states for this doctor, and keep it. */
  async take(stated: ShownDuty): Promise<Duty> {
    const now = clock();
    const { last: home } = this.currentHome;
    const { self } = await home.party(now);
    const duty = await withShards(home, () => verifyDuty(stated, self, this.hospitalId, home.verifier(now), now));
    this.#stated = stated;
    return duty;
  }

  /**
   * The duty to show: the kept one while it holds, or the hospital's of now. Where the hospital states none, it is the last one: whether
   * one is needed is for who decides.
   */
  async current(): Promise<ShownDuty | undefined> {
    if (await this.#holds()) return this.#stated;
    try {
      await this.take(await this.#asked());
    } catch (error) {
      preciseReason(error);
    }
    return this.#stated;
  }

  /** What is shown, with the duty of now. */
  async on({ patientId, consent }: Shown): Promise<Shown> {
    return Shown.byConsent(patientId, consent, await this.current());
  }

  async #asked(): Promise<ShownDuty> {
    const home = await currentOrKept(this.currentHome);
    const client = createClient(RecordService, this.transport);
    const answer = await repeated(async () => {
      const now = clock();
      return client.getDuty(await askForDuty(await home.party(now), this.hospitalId, now, entropy));
    }, BRIEFLY);
    checkOuter(GetDutyResponseSchema, answer);
    await home.hear(answer.revocations!);
    return answer.duty!;
  }

  async #holds(): Promise<boolean> {
    if (this.#stated === undefined) return false;
    const { hospitalId, id, validity } = peekDuty(this.#stated);
    if (clock() + LEFT_MS >= validity.notAfter) return false;
    const { last: home } = this.currentHome;
    try {
      return !(await withShards(home, () => home.lists?.isRevoked("duty", hospitalId, id)));
    } catch (error) {
      preciseReason(error); // it can't be told: the hospital may state another
      return false;
    }
  }
}
