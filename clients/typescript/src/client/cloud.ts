/** The calling side towards the public cloud, for patients and doctors alike. */

import { randomBytes } from "node:crypto";
import { createClient, type Transport } from "@connectrpc/connect";
import {
  DirectoryService,
  type GetDirectoryResponse,
  GetDirectoryResponseSchema,
  GetTrustBundlesResponseSchema,
} from "../gen/federation/v1/directory_pb.js";
import { MembershipService } from "../gen/federation/v1/membership_pb.js";
import type { SealedOpening, SealedReply } from "../gen/federation/v1/envelope_pb.js";
import {
  type OpenRegistrationResponse,
  OpenRegistrationResponseSchema,
  RegisterResponseSchema,
  RegistrationService,
} from "../gen/federation/v1/registration_pb.js";
import { RevocationService } from "../gen/federation/v1/revocation_pb.js";
import { SearchResponseSchema, SearchService } from "../gen/federation/v1/search_pb.js";
import type { AccessEntry } from "../gen/federation/v1/access_pb.js";
import { Right } from "../gen/federation/v1/statement_pb.js";
import type { Epoch } from "../keys/epoch.js";
import { ANY } from "../protocol/access.js";
import { BundleLease, follow, sequenceOf, type TrustedBundle } from "../protocol/bundle.js";
import { type Entropy, equal, type Instant } from "../protocol/bytes.js";
import { Lists } from "../protocol/lists.js";
import { Refusal, require } from "../protocol/refusal.js";
import { renew } from "../protocol/renewal.js";
import { checkOuter } from "../protocol/rules.js";
import { revoke, type TakenBack } from "../protocol/revocation.js";
import type { Shown } from "../protocol/shown.js";
import * as search from "../protocol/search.js";
import { called, PATIENT, repeated } from "./calls.js";
import type { Home } from "./home.js";

/** Random bytes of this machine. */
export function entropy(size: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(randomBytes(size));
}

/** This machine's clock. */
export function clock(): Instant {
  return BigInt(Date.now());
}

export class Cloud {
  /** Calls that may be made again are, up to so many times, while the cloud is away. */
  constructor(
    readonly transport: Transport,
    readonly attempts: number = PATIENT,
  ) {}

  /** Bring a home's trust bundle and lists up to date. Neither goes back. */
  async refresh(home: Home): Promise<Home> {
    const directory = await this.#directory();
    const bundle = await this.#followed(home.bundle, directory);
    const lists = Lists.read(bundle, directory.revocationList!, directory.certificateRevocationLists);
    const kept = home.lists;
    const goesBack = kept !== undefined && lists.revocations.sequence! < kept.revocations.sequence!;
    if (goesBack)
      throw new Refusal("REVOCATION_LIST_STALE", "the cloud gave an older revocation list than the one at hand");
    const lease = bundle === home.bundle ? home.lease : new BundleLease(bundle);
    return home.learned(
      lease.heard(lists.revocations),
      directory.revocationList!,
      directory.certificateRevocationLists,
    );
  }

  /** Ask to register: a challenge, and the EK_C to seal reg1 to. */
  async openRegistration(): Promise<OpenRegistrationResponse> {
    const opened = await called(() => createClient(RegistrationService, this.transport).openRegistration({}));
    checkOuter(OpenRegistrationResponseSchema, opened);
    return opened;
  }

  /** Send reg1. The same one again gets the same answer: a lost connection costs no ticket. */
  async register(opening: SealedOpening): Promise<SealedReply> {
    const client = createClient(RegistrationService, this.transport);
    const answer = await repeated(() => client.register({ opening }), this.attempts);
    checkOuter(RegisterResponseSchema, answer);
    return answer.reply!;
  }

  /** Put an epoch's EK_X to the cloud: ekput, ekack. Once the receipt holds it is the one that the home announces. */
  async putEncryptionKey(home: Home, epoch: Epoch): Promise<void> {
    const { keyStatement, keys } = home;
    const directory = await this.#directory();
    const client = createClient(MembershipService, this.transport);
    // A new message at every attempt: the cloud may have taken the one before, and keeps its replay key.
    const { awaiting, answer } = await repeated(async () => {
      const now = clock();
      const cloud = home.verifier(now).cloudEncryptionKey(directory.cloudEncryptionKeyStatement!, now);
      const { awaiting, opening } = await renew(epoch.statement, keys.signingKey, cloud, now);
      return { awaiting, answer: await client.putEncryptionKey({ opening }) };
    }, this.attempts);
    const now = clock();
    home.renewed(epoch, awaiting.receive(answer, keyStatement, home.verifier(now), now));
  }

  /** Ask where a patient's records are, by what is shown: D2 and C, every page. */
  async search(home: Home, departmentClass: string, shown: Shown, entropy: Entropy): Promise<search.RecordLocation[]> {
    const locations: search.RecordLocation[] = [];
    for await (const answer of this.#answers(home, { departmentClass }, shown, entropy))
      locations.push(...answer.locations);
    return locations;
  }

  /** Ask who asked for a patient's records, by what is shown: the newest first, every page. */
  async log(home: Home, shown: Shown, entropy: Entropy): Promise<AccessEntry[]> {
    // What is written meanwhile pushes entries on to the next page, where they come again.
    const numbered = new Map<bigint, AccessEntry>();
    const question = { departmentClass: ANY, right: Right.LOG } as const;
    for await (const { accesses } of this.#answers(home, question, shown, entropy))
      for (const entry of accesses) numbered.set(entry.number!, entry);
    return [...numbered.values()].sort((one, other) => Number(other.number! - one.number!));
  }

  /** D2 and C, every page. */
  async *#answers(
    home: Home,
    question: Omit<search.Question, "page">,
    shown: Shown,
    entropy: Entropy,
  ): AsyncGenerator<search.Answer> {
    const directory = await this.#directory();
    for (let page = 0, pages = 1; page < pages; page++) {
      // A new message at every attempt, as above.
      const { awaiting, found } = await repeated(async () => {
        const now = clock();
        const cloud = home.verifier(now).cloudEncryptionKey(directory.cloudEncryptionKeyStatement!, now);
        const party = await home.party(now);
        const { awaiting, opening } = await search.ask(party, { ...question, page }, shown, cloud, now, entropy);
        return { awaiting, found: await createClient(SearchService, this.transport).search({ opening }) };
      }, this.attempts);
      checkOuter(SearchResponseSchema, found);
      const answer = await awaiting.receive(found.reply!, home.verifier(clock()), clock());
      yield answer;
      pages = answer.pages;
    }
  }

  /** Take back what was signed: rev, and the list that names it. */
  async revoke(home: Home, takenBack: TakenBack, entropy: Entropy): Promise<void> {
    const directory = await this.#directory();
    const client = createClient(RevocationService, this.transport);
    // A new message at every attempt, as above.
    const { awaiting, answer } = await repeated(async () => {
      const now = clock();
      const cloud = home.verifier(now).cloudEncryptionKey(directory.cloudEncryptionKeyStatement!, now);
      const { awaiting, opening } = await revoke(await home.party(now), takenBack, cloud, now, entropy);
      return { awaiting, answer: await client.revoke({ opening }) };
    }, this.attempts);
    awaiting.receive(answer, home.bundle);
  }

  async #directory(): Promise<GetDirectoryResponse> {
    const client = createClient(DirectoryService, this.transport);
    const directory = await repeated(() => client.getDirectory({}), this.attempts);
    checkOuter(GetDirectoryResponseSchema, directory);
    return directory;
  }

  /** The newest bundle: each between is taken, one after the other, and none is passed over. */
  async #followed(bundle: TrustedBundle, directory: GetDirectoryResponse): Promise<TrustedBundle> {
    const client = createClient(DirectoryService, this.transport);
    const signed = directory.trustBundle!;
    const newest = sequenceOf(signed);
    const same = newest !== bundle.sequence || equal(signed.statement!, bundle.signed.statement!);
    require(same, "BUNDLE_OUT_OF_SEQUENCE", `there are two trust bundles of the number ${newest}`);
    while (bundle.sequence < newest) {
      const after = { afterSequence: bundle.sequence };
      const between = await repeated(() => client.getTrustBundles(after), this.attempts);
      checkOuter(GetTrustBundlesResponseSchema, between);
      const { trustBundles } = between;
      if (trustBundles.length === 0) throw new Refusal("BUNDLE_OUT_OF_SEQUENCE", "the cloud leaves trust bundles out");
      bundle = trustBundles.reduce(follow, bundle);
    }
    return bundle;
  }
}
