/** Records from where they lie: one session for each hospital and class. */

import { create } from "@bufbuild/protobuf";
import { Purpose, type Scope, ScopeSchema } from "../gen/federation/v1/record_pb.js";
import { ANY } from "../protocol/access.js";
import type { Peer } from "../protocol/handshake.js";
import type { Intent } from "../protocol/record.js";
import { preciseReason, Refusal, require } from "../protocol/refusal.js";
import type { RecordLocation } from "../protocol/search.js";
import type { Shown } from "../protocol/shown.js";
import type { ToldLog } from "../protocol/told.js";
import { BRIEFLY, FIRST_PAUSE_MS, REAL_TIME, refusalOf, type Time } from "./calls.js";
import { clock, entropy, MOST_PAGES } from "./cloud.js";
import { type FetchedRecord, fetchRecord, type Incoming } from "./records.js";
import { addressHospital, isLost, SessionStream } from "./session.js";
import { type CurrentHome, currentOrKept } from "./maintenance.js";

const MOST_HANDLES = 64;

/** So many records a diagnosis can name: what it could not rest on is not fetched. */
export const MOST_RECORDS = 64;

/** What may be wrong with one record of many: the others are fetched without it. */
const OF_ONE_RECORD = [
  "FIELD_INVALID",
  "LIMIT_REACHED",
  "MESSAGE_TOO_LARGE",
  "MISSING_FIELD",
  "NO_SUCH_RECORD",
  "RECORD_DIGEST_MISMATCH",
  "RECORD_TOO_LARGE",
  "UNKNOWN_FIELD",
];

/** Bytes, at the most, that all records of a visit have together, unless the doctor says otherwise: they are held in memory. */
export const MOST_BYTES = 1_000_000_000;

/** How much is fetched at the most. */
export interface Bounds {
  readonly mostBytes: number;
  readonly mostRecords: number;
}

/** What one session asks for: records of one class at one hospital. */
export interface Order {
  readonly location: RecordLocation;
  readonly departmentClass: string;
  readonly handles: readonly Uint8Array[];
}

/** Put locations together: one order for each hospital and class, of so many handles as a session takes. */
export function ordersOf(locations: readonly RecordLocation[]): Order[] {
  const together = new Map<string, RecordLocation[]>();
  for (const location of locations) {
    const name = `${location.hospital.party.identity}/${classOf(location.departmentId)}`;
    together.set(name, [...(together.get(name) ?? []), location]);
  }
  return [...together.values()].flatMap((group) => {
    const [location] = group as [RecordLocation];
    const handles = group.map(({ handle }) => handle);
    const order = { location, departmentClass: classOf(location.departmentId), handles };
    return slices(handles, MOST_HANDLES).map((some) => ({ ...order, handles: some }));
  });
}

/** Fetch what these locations hold, by what is `shown` then; `missing` hears of what can't be had now: one hospital that is away stops no other. */
export function fetch(
  currentHome: CurrentHome,
  shown: () => Promise<Shown>,
  locations: readonly RecordLocation[],
  missing: (hospital: string, refusal: Refusal) => void,
  { mostBytes, mostRecords }: Bounds,
  tell: (words: string) => void,
): Promise<FetchedRecord[]> {
  let left = mostBytes;
  const one = async (order: Order) => {
    const record = await fetchOrder(currentHome, shown, order, left, tell);
    left -= record.sizeBytes;
    return record;
  };
  return fetched(ordersOf(locations), one, missing, mostRecords);
}

/** Fetch each order by `one`. An order that a single record of it spoils is halved, until the others are here. */
export async function fetched<T>(
  orders: readonly Order[],
  one: (order: Order) => Promise<T>,
  missing: (hospital: string, refusal: Refusal) => void,
  mostRecords: number,
): Promise<T[]> {
  const records: T[] = [];
  const waiting = [...orders];
  for (let order = waiting.shift(); order !== undefined; order = waiting.shift()) {
    const hospital = order.location.hospital.party.identity;
    if (records.length === mostRecords) {
      missing(hospital, new Refusal("LIMIT_REACHED", `a diagnosis names at most ${mostRecords} records`));
      continue;
    }
    try {
      records.push(await one(order));
    } catch (error) {
      const refusal = refusalOf(error);
      if (isOfOneRecord(refusal, order)) waiting.unshift(...halves(order));
      else missing(hospital, refusal);
    }
  }
  return records;
}

function fetchOrder(
  currentHome: CurrentHome,
  shown: () => Promise<Shown>,
  { departmentClass, handles, location }: Order,
  mostBytes: number,
  tell: (words: string) => void,
): Promise<FetchedRecord> {
  const scope = create(ScopeSchema, { purpose: Purpose.READ, departmentClass, handles: [...handles] });
  const intent = async () => intentOf(await shown(), scope);
  return fetchIntent(currentHome, intent, location, mostBytes, tell);
}

/** What the log of a hospital that has records has of a patient, by what is shown: every page, checked, below the head of the first. */
export async function fetchLog(
  currentHome: CurrentHome,
  shown: Shown,
  location: RecordLocation,
  tell: (words: string) => void,
): Promise<ToldLog> {
  const { identity } = location.hospital.party;
  let told: ToldLog | undefined;
  for (let page = 0; page < MOST_PAGES; page++) {
    told = await fetchLogPage(currentHome, shown, location, told);
    if (told.older === undefined) return told;
    tell(`${told.entries.length} of the entries of ${identity} read; the older ones are next.`);
  }
  throw new Refusal("LIMIT_REACHED", `${identity} has more than ${MOST_PAGES} pages to give`);
}

async function fetchLogPage(
  currentHome: CurrentHome,
  shown: Shown,
  location: RecordLocation,
  before: ToldLog | undefined,
): Promise<ToldLog> {
  const scope = create(ScopeSchema, { purpose: Purpose.LOG, departmentClass: ANY });
  const { identity, verifyingKey } = location.hospital.party;
  const knownSize = currentHome.last.knownSize(identity, before);
  const intent = () => Promise.resolve({ ...intentOf(shown, scope), knownSize, before: before?.older });
  const { manifest } = await fetchIntent(currentHome, intent, location, MOST_BYTES, () => undefined);
  const said = { entries: manifest.accesses, proved: manifest.logHead, older: manifest.next };
  return currentHome.last.checked(said, shown.patientId, { partyId: identity, key: verifyingKey }, before, clock());
}

/** Fetch what is asked for, in as many sessions as it takes: each has an intent of its own, by what is shown then. */
async function fetchIntent(
  currentHome: CurrentHome,
  intended: () => Promise<Intent>,
  { hospital, address }: RecordLocation,
  mostBytes: number,
  tell: (words: string) => void,
): Promise<FetchedRecord> {
  const { identity } = hospital.party;
  const session = async (incoming: Incoming) => {
    const home = await currentOrKept(currentHome);
    const transport = home.transportToHospital(address, identity);
    const intent = await intended();
    const fetchBy = (peer: Peer) =>
      SessionStream.during(transport, async (stream) => {
        const established = await stream.open(home, peer, intent, entropy);
        return fetchRecord(stream, established, mostBytes, currentHome, incoming);
      });
    try {
      return await fetchBy(hospital);
    } catch (error) {
      if (!(error instanceof Refusal) || error.reason !== "UNKNOWN_KEY_ID") throw error;
      // The hospital has begun a new epoch since the public cloud was asked.
      return fetchBy(await addressHospital(transport, identity, home));
    }
  };
  return inSessions(session, identity, tell);
}

/** Pauses before a record that broke goes on: from the first again whenever more of it came, and after the last it is given up. */
export const BROKEN_PAUSES_MS: readonly number[] = [1_000, 2_000, 4_000, 8_000, 15_000, 30_000];

/**
 * Take a record in as many sessions as it takes while more of it comes (docs/adr/0041-transfers.md). One that was changed meanwhile comes from its
 * beginning; whatever else a hospital says ends it. Where nothing came, a session is tried a few times while somebody waits.
 */
export async function inSessions<T>(
  session: (incoming: Incoming) => Promise<T>,
  hospitalId: string,
  tell: (words: string) => void,
  time: Time = REAL_TIME,
): Promise<T> {
  const incoming: Incoming = {};
  let [pauses, came, tries] = [BROKEN_PAUSES_MS, 0, 0];
  for (;;) {
    const wasBroken = incoming.broken !== undefined;
    try {
      return await session(incoming);
    } catch (error) {
      const refusal = refusalOf(error);
      if (!isLost(refusal)) incoming.broken = undefined;
      if (wasBroken && refusal.reason === "RECORD_CHANGED") {
        tell(`The record from ${hospitalId} was changed meanwhile: it comes from its beginning.`);
        continue;
      }
      const { broken } = incoming;
      if (broken === undefined) {
        tries += 1;
        if (!refusal.passes || tries === BRIEFLY) throw refusal;
        await time.pause(refusal.retryAfterMs ?? FIRST_PAUSE_MS * 2 ** tries);
        continue;
      }
      const { size } = broken.slices;
      if (size > came) [pauses, came] = [BROKEN_PAUSES_MS, size];
      const [pause, ...later] = pauses;
      if (pause === undefined) throw refusal;
      pauses = later;
      const megabytes = [came, broken.layout.size].map((bytes) => (bytes / 1e6).toFixed(1)).join(" of ");
      tell(
        `The record from ${hospitalId} broke off: ${megabytes} MB came. It goes on behind that in ${pause / 1000} s.`,
      );
      await time.pause(Math.max(pause, refusal.retryAfterMs ?? 0));
    }
  }
}

/** What a session by this is for. */
export function intentOf(shown: Shown, scope: Scope): Intent {
  require(shown.access !== undefined, "GRANT_MISSING", "the patient gave no consent");
  return { shown, scope, blind: entropy(32) };
}

function isOfOneRecord(refusal: Refusal, { handles }: Order): boolean {
  return handles.length > 1 && !refusal.passes && OF_ONE_RECORD.includes(preciseReason(refusal));
}

function halves(order: Order): Order[] {
  return slices(order.handles, Math.ceil(order.handles.length / 2)).map((handles) => ({ ...order, handles }));
}

function slices<T>(all: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(all.length / size) }, (_, index) =>
    all.slice(index * size, (index + 1) * size),
  );
}

export function classOf(departmentId: string): string {
  return departmentId.split("/")[1]!.split(".")[0]!;
}
