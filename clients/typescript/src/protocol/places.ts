/** Where a patient has records, as it brings it to a doctor: pages of the public cloud's answers to its own search (docs/protocol.md, P2). */

import type { IndexDepartment, KeptPlace, KeptPlaces, PlacesPage } from "../gen/federation/v1/search_pb.js";
import { EMPTY, type Instant, sha256 } from "./bytes.js";
import { requireNotFuture } from "./freshness.js";
import { require } from "./refusal.js";
import { departmentDigest, pageTranscript, placeDigest } from "./search.js";
import { verifySignature } from "./signatures.js";
import { listing } from "./transcript.js";
import type { Verifier } from "./verifier.js";

/** How long after the cloud's answer they are of use. */
export const PLACES_LIFE = 90n * 24n * 3_600_000n;

/** A hospital where the patient has records, by the cloud's word of then. */
export interface KnownHospital {
  readonly hospitalId: string;
  readonly address: string;
  readonly departments: readonly IndexDepartment[];
}

/** What is shown of a search, and when its oldest page was answered. */
export interface KnownPlaces {
  readonly asOf: Instant;
  readonly hospitals: readonly KnownHospital[];
}

/**
 * Verify what a patient brings, and give what is shown of it. Refuses with FIELD_INVALID, FUTURE_DATED, PLACES_OUTDATED, CLOUD_KEY_UNKNOWN,
 * CLOUD_KEY_REVOKED, SIGNATURE_INVALID, DEPARTMENT_FOREIGN.
 */
export function readPlaces({ pages }: KeptPlaces, patientId: string, { bundle }: Verifier, now: Instant): KnownPlaces {
  require(pages.length > 0, "FIELD_INVALID", "nothing is kept of a search"); // places.1
  for (const page of pages) {
    requireNotFuture(page.sentAt!, now); // places.2
    const isOfUse = now - page.sentAt! <= PLACES_LIFE;
    require(isOfUse, "PLACES_OUTDATED", "where the patient has records was looked up too long ago"); // places.3
    const key = bundle.cloudKeyAt(page.sentAt!); // places.4
    verifySignature(key, page.signature!, covered(page, patientId)); // places.5
  }
  const asOf = pages.map(({ sentAt }) => sentAt!).reduce((one, other) => (one < other ? one : other));
  return { asOf, hospitals: pages.flatMap(({ places }) => places.flatMap(shownAt)) };
}

/** What Sig_C of a page covers: that this patient's records were found there. */
function covered(page: PlacesPage, patientId: string): Uint8Array {
  return pageTranscript(page, "found", patientId, page.places.map(digestOf), sha256(listing([])), EMPTY);
}

function shownAt(place: KeptPlace): KnownHospital[] {
  const { hospitalId, address, departments } = place;
  if (hospitalId === undefined) return [];
  const shown = departments.flatMap((one) => (one.shown === undefined ? [] : [one.shown]));
  const isOwn = shown.every(({ departmentId }) => departmentId!.startsWith(`${hospitalId}/`));
  require(isOwn, "DEPARTMENT_FOREIGN", "a place names a department of another hospital"); // places.6
  return [{ hospitalId, address: address!, departments: shown }];
}

/** H(place), of one that is shown or not. What is shown is what is signed, whatever digest stands beside it. */
function digestOf({ digest, hospitalId, address, departments }: KeptPlace): Uint8Array {
  if (hospitalId === undefined) return digest!;
  const digests = departments.map((one) => (one.shown === undefined ? one.digest! : departmentDigest(one.shown)));
  return placeDigest(hospitalId, address ?? "", digest!, digests);
}
