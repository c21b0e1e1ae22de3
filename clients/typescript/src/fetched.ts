/** Records as a command fetches, saves and describes them. What can't be had is said, and the rest goes on. */

import { type Said, tell } from "./arguments.js";
import { refusalOf } from "./client/calls.js";
import { type Bounds, fetch } from "./client/fetch.js";
import type { CurrentHome } from "./client/maintenance.js";
import { type FetchedRecord, saveRecord } from "./client/records.js";
import { hex } from "./protocol/bytes.js";
import { plain, preciseReason, type Refusal } from "./protocol/refusal.js";
import type { RecordLocation } from "./protocol/search.js";
import type { Shown } from "./protocol/shown.js";

/** Fetch what these locations hold, by what is `shown` then, and save it, if a directory is named. Whose records did not come, and why, is said, too. */
export async function fetchAll(
  currentHome: CurrentHome,
  shown: () => Promise<Shown>,
  locations: readonly RecordLocation[],
  bounds: Bounds,
  directory: string | undefined,
): Promise<{ records: FetchedRecord[]; missing: Record<string, string> }> {
  const missing: Record<string, string> = {};
  const lacks = (hospital: string, refusal: Refusal) => {
    missing[hospital] = preciseReason(refusal);
    tell(`RECORDS AT ${hospital} ARE MISSING: ${plain(refusal)}`);
  };
  const records = await fetch(currentHome, shown, locations, lacks, bounds, tell);
  if (directory !== undefined) for (const record of records) save(record, directory);
  return { records, missing };
}

/** What a command says of a record. */
export function described({ manifest }: FetchedRecord): Said[] {
  return manifest.records.map(({ handle, departmentId, parts }) => ({
    hospital: manifest.hospitalId,
    handle: hex(handle!),
    department: departmentId,
    parts: parts.map(({ name, mediaType, sizeBytes, digest }) => ({
      name,
      media_type: mediaType,
      size: Number(sizeBytes),
      sha256: hex(digest!),
    })),
  }));
}

function save(record: FetchedRecord, directory: string): void {
  try {
    saveRecord(record, directory);
  } catch (error) {
    tell(`THE RECORD FROM ${record.manifest.hospitalId} IS NOT SAVED WHOLE: ${plain(refusalOf(error))}`);
  }
}
