/** The calling side towards the public cloud, for patients and doctors alike. */

import { randomBytes } from "node:crypto";
import { createClient, type Transport } from "@connectrpc/connect";
import {
  DirectoryService,
  type GetDirectoryResponse,
  GetDirectoryResponseSchema,
  GetRevocationShardsResponseSchema,
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
import { type RevocationExcerpt, Right, type SignedStatement } from "../gen/federation/v1/statement_pb.js";
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
import type { ToldLog } from "../protocol/told.js";
import * as search from "../protocol/search.js";
import type { EncryptionKey } from "../protocol/verifier.js";
import { called, PATIENT, repeated } from "./calls.js";
import type { Home } from "./home.js";
import { SHARDS_MS, withShards } from "./shards.js";

/** Of a search. */
export const MOST_PAGES = 128;

/** Ask for one page after the other, each behind the one before. Refuses with LIMIT_REACHED more of them than are read. */
export async function* eachPage(
  ask: (after: Uint8Array | undefined) => Promise<search.Answer>,
): AsyncGenerator<search.Answer> {
  let after: Uint8Array | undefined;
  for (let page = 0; page < MOST_PAGES; page++) {
    const answer = await ask(after);
    yield answer;
    after = answer.next;
    if (after === undefined) return;
  }
  throw new Refusal("LIMIT_REACHED", `the public cloud has more than ${MOST_PAGES} pages to give`);
}

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
    this.#serves(home);
    const { trustBundle, revocationHead, certificateRevocationLists } = await this.#directory(home);
    const bundle = await this.#followed(home.bundle, trustBundle!);
    const { head } = Lists.read(bundle, revocationHead!, certificateRevocationLists);
    const kept = home.lists;
    if (kept !== undefined && head.sequence! < kept.head.sequence!)
      throw new Refusal("REVOCATION_LIST_STALE", "the cloud gave an older revocation list than the one at hand");
    const lease = bundle === home.bundle ? home.lease : new BundleLease(bundle);
    return home.heard(lease, revocationHead!, certificateRevocationLists);
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
    this.#serves(home);
    const directory = await this.#directory(home);
    const client = createClient(MembershipService, this.transport);
    // A new message at every attempt: the cloud may have taken the one before, and keeps its replay key.
    const { awaiting, answer } = await repeated(async () => {
      const now = clock();
      const cloud = await cloudKey(home, directory, now);
      const { awaiting, opening } = await renew(epoch.statement, keys.signingKey, cloud, now);
      return { awaiting, answer: await client.putEncryptionKey({ opening }) };
    }, this.attempts);
    const now = clock();
    const receipt = await withShards(home, () => awaiting.receive(answer, keyStatement, home.verifier(now), now));
    home.renewed(epoch, receipt);
  }

  /** Ask where a patient's records are, by what is shown: D2 and C, every page. */
  async search(home: Home, departmentClass: string, shown: Shown, entropy: Entropy): Promise<search.RecordLocation[]> {
    const locations: search.RecordLocation[] = [];
    for await (const answer of this.#answers(home, { departmentClass }, shown, entropy))
      locations.push(...answer.locations);
    return locations;
  }

  /** Ask who asked for a patient's records, by what is shown: every page, each checked, below the head of the first. */
  async log(home: Home, shown: Shown, entropy: Entropy): Promise<ToldLog> {
    const cloudId = home.bundle.content.cloudId!;
    const question = { departmentClass: ANY, right: Right.LOG } as const;
    let told: ToldLog | undefined;
    const knownSize = () => home.knownSize(cloudId, told);
    for await (const answer of this.#answers(home, question, shown, entropy, knownSize)) {
      const said = { entries: answer.accesses, proved: answer.logHead };
      told = await home.checked(said, shown.patientId, { partyId: cloudId, key: answer.cloudKey }, told, clock());
    }
    return told!;
  }

  /** D2 and C, every page, but not without end. */
  async *#answers(
    home: Home,
    question: Omit<search.Question, "after">,
    shown: Shown,
    entropy: Entropy,
    knownSize: () => bigint | undefined = () => undefined,
  ): AsyncGenerator<search.Answer> {
    this.#serves(home);
    const directory = await this.#directory(home);
    yield* eachPage(async (after) => {
      // A new message at every attempt, as above.
      const { awaiting, found } = await repeated(async () => {
        const now = clock();
        const cloud = await cloudKey(home, directory, now);
        const party = await home.party(now);
        const asked = { ...question, after, knownSize: knownSize() };
        const { awaiting, opening } = await search.ask(party, asked, shown, cloud, now, entropy);
        return { awaiting, found: await createClient(SearchService, this.transport).search({ opening }) };
      }, this.attempts);
      checkOuter(SearchResponseSchema, found);
      return await withShards(home, () => awaiting.receive(found.reply!, home.verifier(clock()), clock()));
    });
  }

  /** Take back what was signed: rev, and the shards that name it. */
  async revoke(home: Home, takenBack: TakenBack, entropy: Entropy): Promise<void> {
    this.#serves(home);
    const directory = await this.#directory(home);
    const client = createClient(RevocationService, this.transport);
    // A new message at every attempt, as above.
    const { awaiting, answer } = await repeated(async () => {
      const now = clock();
      const cloud = await cloudKey(home, directory, now);
      const { awaiting, opening } = await revoke(await home.party(now), takenBack, cloud, now, entropy);
      return { awaiting, answer: await client.revoke({ opening }) };
    }, this.attempts);
    awaiting.receive(answer, home.bundle);
  }

  /** Fetch shards of the revocation list; nothing of them is verified yet. */
  async shards(prefixes: number[], heldCrls: Uint8Array[]): Promise<RevocationExcerpt> {
    const client = createClient(DirectoryService, this.transport);
    const answer = await called(() => client.getRevocationShards({ prefixes, heldCrls }, { timeoutMs: SHARDS_MS }));
    checkOuter(GetRevocationShardsResponseSchema, answer);
    return answer.revocations!;
  }

  /** From now on that home asks this cloud for shards. */
  #serves(home: Home): void {
    home.shards.askCloud = (prefixes, heldCrls) => this.shards(prefixes, heldCrls);
  }

  async #directory({ heldCrls }: Home): Promise<GetDirectoryResponse> {
    const client = createClient(DirectoryService, this.transport);
    const directory = await repeated(() => client.getDirectory({ heldCrls }), this.attempts);
    checkOuter(GetDirectoryResponseSchema, directory);
    return directory;
  }

  /** The newest bundle: each between is taken, one after the other, and none is passed over. */
  async #followed(bundle: TrustedBundle, signed: SignedStatement): Promise<TrustedBundle> {
    const client = createClient(DirectoryService, this.transport);
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

/** EK_C of a directory, verified. */
function cloudKey(home: Home, directory: GetDirectoryResponse, now: Instant): Promise<EncryptionKey> {
  const statement = directory.cloudEncryptionKeyStatement!;
  return withShards(home, () => home.verifier(now).cloudEncryptionKey(statement, now));
}
