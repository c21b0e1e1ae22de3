/** A patient's own document, OWN: what its author, the patient or a deputy, signs for one hospital (docs/protocol.md, section 6). */

import { create } from "@bufbuild/protobuf";

import { type OwnDocument, OwnDocumentSchema, Purpose, ScopeSchema } from "../gen/federation/v1/record_pb.js";
import { Sensitivity } from "../gen/federation/v1/statement_pb.js";
import { type Instant, sha256, text, u64 } from "./bytes.js";
import { MOST_BIOSIGNAL_BYTES } from "./consultation.js";
import type { Party } from "./party.js";
import { require } from "./refusal.js";
import type { Shown } from "./shown.js";
import { transcript } from "./transcript.js";

/** What a patient, or a deputy, adds to the patient's record. The media type is as its author says. */
export interface NewDocument {
  readonly title: string;
  readonly mediaType: string;
  readonly content: Uint8Array;
  readonly sensitivity?: Sensitivity;
}

/** A document as its author signed it. The same message again gets the same receipt. */
export interface SignedDocument {
  readonly own: OwnDocument;
  readonly content: Uint8Array;
}

/** Sign a document for this hospital. `blind` is rho, 32 random bytes. */
export async function signDocument(
  author: Party,
  written: NewDocument,
  shown: Shown,
  hospitalId: string,
  departmentClass: string,
  blind: Uint8Array,
  now: Instant,
): Promise<SignedDocument> {
  const { content } = written;
  require(content.length <= MOST_BIOSIGNAL_BYTES, "LIMIT_REACHED", "the document is too long");
  const own = create(OwnDocumentSchema, {
    patientId: shown.patientId,
    authorId: author.self.identity,
    sentAt: now,
    blind,
    scope: create(ScopeSchema, { purpose: Purpose.ADD, departmentClass }),
    access: shown.access,
    title: new TextEncoder().encode(written.title),
    mediaType: written.mediaType,
    sensitivity: written.sensitivity ?? Sensitivity.NORMAL,
    sizeBytes: BigInt(content.length),
    contentDigest: sha256(content),
    writtenAt: now,
  });
  own.signature = await author.signingKey.sign(documentTranscript(own, shown, hospitalId));
  return { own, content };
}

/** T("own", ID_HPC, ID_P, ID_A, class, H(access), title, media type, sensitivity, size, H(content), written at). */
function documentTranscript(own: OwnDocument, shown: Shown, hospitalId: string): Uint8Array {
  return transcript(
    "own",
    text(hospitalId),
    text(own.patientId!),
    text(own.authorId!),
    text(own.scope!.departmentClass!),
    shown.digest,
    own.title!,
    text(own.mediaType!),
    text(SENSITIVITIES[own.sensitivity!]!),
    u64(own.sizeBytes!),
    own.contentDigest!,
    u64(own.writtenAt!),
  );
}

const SENSITIVITIES: Partial<Record<Sensitivity, string>> = {
  [Sensitivity.NORMAL]: "normal",
  [Sensitivity.RESTRICTED]: "restricted",
  [Sensitivity.SECRET]: "secret",
};
