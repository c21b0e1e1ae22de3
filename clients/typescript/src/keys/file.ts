/**
 * What a home directory keeps of its party's keys: one file, sealed, mode 0600, put in place whole. The keys themselves are
 * in it, or in a token.
 */

import { fromHex, hex, type Instant } from "../protocol/bytes.js";
import type { Agreeing } from "../protocol/agreement.js";
import { require } from "../protocol/refusal.js";
import type { SigningKey } from "../protocol/signatures.js";
import type { VerifiedParty } from "../protocol/verifier.js";
import { type Announcement, announcementOf, type Epoch, type KeptEpoch, makeEpoch, openEpoch } from "./epoch.js";
import { readPrivate, replaceFile, writeNew } from "./files.js";
import { type KeyStore, requireConsistent } from "./keys.js";

/** A reg1 that is under way: as it was sent, and what is sealed in it. */
export interface SentRegistration {
  readonly opening: Uint8Array;
  readonly plaintext: Uint8Array;
}

/** References of PRK_X and, once there is one, S_X; the epochs, the newest last; and a reg1 without an answer yet, hex. */
interface Kept {
  readonly signingKey: string;
  readonly epochs: readonly KeptEpoch[];
  readonly registrationSecret?: string;
  readonly registration?: { readonly opening: string; readonly plaintext: string } | undefined;
}

/** The keys of a home directory, open. */
export class KeyFile {
  readonly #kept: Kept;
  readonly signingKey: SigningKey;
  /** The epochs whose keys are here, the newest last. */
  readonly epochs: readonly Epoch[];

  private constructor(
    readonly path: string,
    readonly store: KeyStore,
    kept: Kept,
  ) {
    this.#kept = kept;
    this.signingKey = store.signingKey(kept.signingKey);
    this.epochs = kept.epochs.map((epoch) => openEpoch(epoch, store)).filter((epoch) => epoch !== undefined);
  }

  /** Make fresh keys, the first epoch's among them, and a new file for them: it never takes the place of another. */
  static async create(path: string, store: KeyStore, identity: string, now: Instant): Promise<KeyFile> {
    const signingKey = store.makeIdentity();
    const first = await makeEpoch(identity, store.signingKey(signingKey), store, now);
    const kept = { signingKey, epochs: [first] };
    writeNew(path, sealed(kept, store));
    return new KeyFile(path, store, kept);
  }

  /** Open the file. */
  static open(path: string, store: KeyStore): KeyFile {
    return new KeyFile(path, store, unsealed(path, store));
  }

  /** S_X. */
  get registrationSecret(): Agreeing {
    const kept = this.#kept.registrationSecret;
    require(kept !== undefined, "NOT_REGISTERED", "this party is not registered yet");
    return this.store.registrationSecret(kept);
  }

  /** The reg1 that was sent and has no answer yet. */
  get registration(): SentRegistration | undefined {
    const kept = this.#kept.registration;
    return kept && { opening: fromHex(kept.opening), plaintext: fromHex(kept.plaintext) };
  }

  /** Keep a reg1 before it is sent. B_P is in it. */
  keepRegistration({ opening, plaintext }: SentRegistration): KeyFile {
    return this.#changed((kept) => ({ ...kept, registration: { opening: hex(opening), plaintext: hex(plaintext) } }));
  }

  /** Forget the reg1 that was kept. */
  dropRegistration(): KeyFile {
    return this.#changed((kept) => ({ ...kept, registration: undefined }));
  }

  /** Keep S_X (32 bytes), wipe the caller's copy, and test it where it now is. */
  async keepRegistrationSecret(secret: Uint8Array, party: VerifiedParty): Promise<KeyFile> {
    const registrationSecret = this.store.importRegistrationSecret(secret, party.serial);
    secret.fill(0);
    try {
      await requireConsistent(this.store.registrationSecret(registrationSecret), party);
    } catch (error) {
      this.store.destroy(registrationSecret);
      throw error;
    }
    return this.#changed((kept) => ({ ...kept, registrationSecret }));
  }

  /** Make and keep the keys of another epoch; the others stay. */
  async beginEpoch(identity: string, now: Instant): Promise<KeyFile> {
    const begun = await makeEpoch(identity, this.signingKey, this.store, now);
    return this.#changed((kept) => ({ ...kept, epochs: [...kept.epochs, begun] }));
  }

  /** Destroy the keys of the epochs of which that holds: in the token first, so that a crash leaves none behind there. */
  forget(over: (epoch: Announcement) => boolean): KeyFile {
    return this.#changed((kept) => {
      const gone = kept.epochs.filter((epoch) => over(announcementOf(epoch)));
      gone.forEach(({ p256 }) => this.store.destroy(p256));
      return { ...kept, epochs: kept.epochs.filter((epoch) => !gone.includes(epoch)) };
    });
  }

  /**
   * The file with a change made to what is in it now, which another command of this party may have written since it was
   * opened.
   */
  #changed(change: (kept: Kept) => Kept): KeyFile {
    const kept = change(unsealed(this.path, this.store));
    replaceFile(this.path, sealed(kept, this.store));
    return new KeyFile(this.path, this.store, kept);
  }
}

function sealed(kept: Kept, store: KeyStore): Uint8Array {
  const plaintext = Buffer.from(JSON.stringify(kept));
  try {
    return store.seal(plaintext);
  } finally {
    plaintext.fill(0);
  }
}

function unsealed(path: string, store: KeyStore): Kept {
  const plaintext = store.unseal(readPrivate(path));
  try {
    return JSON.parse(Buffer.from(plaintext).toString()) as Kept;
  } finally {
    plaintext.fill(0);
  }
}
