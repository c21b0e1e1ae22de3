/** What a patient's or a doctor's client does for itself whenever it is used. */

import type { Epoch } from "../keys/epoch.js";
import { preciseReason, Refusal, require } from "../protocol/refusal.js";
import { BRIEFLY, passes, REAL_TIME } from "./calls.js";
import { Cloud, clock } from "./cloud.js";
import type { Home } from "./home.js";

/** Refusals of what is at hand, and not of the one who is looked at: the cloud, once it answers, has newer ones. */
export const RUN_OUT = ["REVOCATION_LIST_STALE", "REVOCATION_SHARD_MISSING", "BUNDLE_STALE"];

/** How long lists are used before the cloud is asked for newer ones. A list is good for an hour. */
const LISTS_KEPT_MS = 60_000;

/** Bring lists and trust bundle up to date, renew the encryption key if that is due, and destroy the keys that are over. */
export async function maintain(home: Home, tell: (sentence: string) => void): Promise<Home> {
  home.sweep(clock());
  const cloud = new Cloud(home.cloudTransport, BRIEFLY);
  try {
    home = await cloud.refresh(home);
    await renewIfDue(home, cloud, tell);
  } catch (error) {
    // What is at hand does as long as it is good: whoever uses it checks that.
    if (!waits(error) || !home.holdsEpoch(clock())) throw error;
    tell(`The cloud could not be asked (${preciseReason(error)}); going on with what is at hand.`);
  }
  return home;
}

/** Bring lists and trust bundle up to date; without the cloud the kept ones do, as long as they are current. */
export async function refreshed(home: Home): Promise<Home> {
  try {
    return await new Cloud(home.cloudTransport, BRIEFLY).refresh(home);
  } catch (error) {
    if (!waits(error)) throw error;
    await home.hearBeside();
    return home;
  }
}

/** The home of a client that works for hours: its lists are brought up to date when they are needed, once a minute at most. */
export class CurrentHome {
  #home: Home;
  #readAt = -Infinity;

  /** `refresh` gives another home if the cloud answered; `now` is a clock in milliseconds that nobody sets. */
  constructor(
    home: Home,
    readonly refresh: (home: Home) => Promise<Home> = refreshed,
    readonly now: () => number = () => REAL_TIME.now(),
  ) {
    this.#home = home;
  }

  /** The home as it was last brought up to date. */
  get last(): Home {
    return this.#home;
  }

  /** Ask the cloud if that was a minute ago. While it doesn't answer, the next who needs the lists asks again. */
  async current(): Promise<Home> {
    const now = this.now();
    if (now - this.#readAt < LISTS_KEPT_MS) return this.#home;
    const fresh = await this.refresh(this.#home);
    if (fresh !== this.#home) this.#readAt = now;
    this.#home = fresh;
    return fresh;
  }
}

/** The home brought up to date, or as it was: whatever the cloud answers, the lists at hand decide. */
export async function currentOrKept(currentHome: CurrentHome): Promise<Home> {
  try {
    return await currentHome.current();
  } catch (error) {
    preciseReason(error);
    return currentHome.last;
  }
}

/** Begin the next epoch now, and give it once the cloud has acknowledged it. */
export async function renewNow(home: Home): Promise<Epoch> {
  home.sweep(clock());
  const cloud = new Cloud(home.cloudTransport);
  return renewed(await cloud.refresh(home), cloud);
}

async function renewIfDue(home: Home, cloud: Cloud, tell: (sentence: string) => void): Promise<void> {
  if (!home.isRegistered) return;
  if (home.isEpochDue(clock())) {
    const { notAfter } = await renewed(home, cloud);
    tell(`The encryption key was renewed; the new one ends on ${new Date(Number(notAfter)).toISOString()}.`);
  } else if (home.isRestatementDue) {
    await cloud.putEncryptionKey(home, home.epoch!);
    tell("The cloud signed the key statement anew.");
  }
}

async function renewed(home: Home, cloud: Cloud): Promise<Epoch> {
  require(home.isRegistered, "NOT_REGISTERED", `${home.identity} is not registered yet`);
  const epoch = await home.beginEpoch(clock());
  await cloud.putEncryptionKey(home, epoch);
  return epoch;
}

/** Whether a refusal is of the cloud that is away or behind, not of what was asked. */
export function waits(error: unknown): boolean {
  return passes(error) || (error instanceof Refusal && RUN_OUT.includes(error.reason));
}
