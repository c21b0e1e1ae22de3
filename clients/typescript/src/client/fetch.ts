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
import { BRIEFLY, refusalOf, repeated } from "./calls.js";
import { clock, entropy, MOST_PAGES } from "./cloud.js";
import { type FetchedRecord, fetchRecord } from "./records.js";
import { addressHospital, SessionStream } from "./session.js";
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
): Promise<FetchedRecord[]> {
  let left = mostBytes;
  const one = async (order: Order) => {
    const record = await fetchOrder(currentHome, await shown(), order, left);
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

async function fetchOrder(
  currentHome: CurrentHome,
  shown: Shown,
  order: Order,
  mostBytes: number,
): Promise<FetchedRecord> {
  const { departmentClass, handles } = order;
  const scope = create(ScopeSchema, { purpose: Purpose.READ, departmentClass, handles: [...handles] });
  return fetchIntent(currentHome, intentOf(shown, scope), order.location, mostBytes);
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
  const intent = { ...intentOf(shown, scope), knownSize, before: before?.older };
  const { manifest } = await fetchIntent(currentHome, intent, location, MOST_BYTES);
  const said = { entries: manifest.accesses, proved: manifest.logHead, older: manifest.next };
  return currentHome.last.checked(said, shown.patientId, { partyId: identity, key: verifyingKey }, before, clock());
}

async function fetchIntent(
  currentHome: CurrentHome,
  intent: Intent,
  { hospital, address }: RecordLocation,
  mostBytes: number,
): Promise<FetchedRecord> {
  const home = await currentOrKept(currentHome);
  const { identity } = hospital.party;
  const transport = home.transportToHospital(address, identity);
  const fetchBy = (peer: Peer) =>
    SessionStream.during(transport, async (stream) =>
      fetchRecord(stream, await stream.open(home, peer, intent, entropy), mostBytes, currentHome),
    );
  try {
    return await repeated(() => fetchBy(hospital), BRIEFLY);
  } catch (error) {
    if (!(error instanceof Refusal) || error.reason !== "UNKNOWN_KEY_ID") throw error;
    // The hospital has begun a new epoch since the public cloud was asked.
    return fetchBy(await addressHospital(transport, identity, home));
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
