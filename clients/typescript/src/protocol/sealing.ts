/** E_PUK around a payload: padding, the context that info binds, and the two outer forms (docs/protocol.md, 1). */

import { create, type DescMessage, type Message, type MessageShape, toBinary } from "@bufbuild/protobuf";
import {
  type SealedOpening,
  SealedOpeningSchema,
  type SealedReply,
  SealedReplySchema,
} from "../gen/federation/v1/envelope_pb.js";
import { type Instant, text, u64 } from "./bytes.js";
import { requireFresh, requireSameTime } from "./freshness.js";
import { type DecryptionKey, seal } from "./hpke.js";
import { require } from "./refusal.js";
import { check, parse, payloadRule } from "./rules.js";
import { field, transcript } from "./transcript.js";

export const VERSION = 1;
const PADDING_STEP = 256;

/** The sender, where the receiver can't know it yet: reg1, P1, D2, D3 and the single calls. */
export const UNNAMED = "";

/** What a seal is bound to beside its content. */
export interface Context {
  readonly name: string;
  readonly sender: string;
  readonly receiver: string;
  readonly keyId: Uint8Array;
  readonly sessionId: Uint8Array;
  readonly sentAt: Instant;
}

/** A payload that was under a seal, and its exact bytes: what H(p1 plaintext) and its like cover. */
export interface Opened<M> {
  readonly payload: M;
  readonly plaintext: Uint8Array;
}

/** HPKE's info: T("hpke", message name, sender, receiver, key id, session id, T in clear). */
export function info(context: Context): Uint8Array {
  const { name, sender, receiver, keyId, sessionId, sentAt } = context;
  return transcript("hpke", text(name), text(sender), text(receiver), keyId, sessionId, u64(sentAt));
}

/** Seal a payload as an opening; give it and the message's exact bytes. */
export async function sealOpening<D extends DescMessage>(
  schema: D,
  payload: MessageShape<D>,
  encryptionKey: Uint8Array,
  context: Context,
): Promise<{ opening: SealedOpening; plaintext: Uint8Array }> {
  const plaintext = serialised(schema, payload);
  const sealed = await seal(encryptionKey, pad(schema, plaintext), info(context));
  const { sessionId, keyId, sentAt } = context;
  return { opening: create(SealedOpeningSchema, { version: VERSION, sessionId, keyId, sealed, sentAt }), plaintext };
}

/** Seal a payload as a reply. */
export async function sealReply<D extends DescMessage>(
  schema: D,
  payload: MessageShape<D>,
  encryptionKey: Uint8Array,
  context: Context,
): Promise<SealedReply> {
  const sealed = await seal(encryptionKey, pad(schema, serialised(schema, payload)), info(context));
  return create(SealedReplySchema, { sessionId: context.sessionId, sealed, sentAt: context.sentAt });
}

/** Open, parse, and require the T inside to be the T outside (B2). */
export async function openPayload<D extends DescMessage>(
  schema: D,
  sealed: Uint8Array,
  key: DecryptionKey,
  context: Context,
): Promise<Opened<MessageShape<D>>> {
  const plaintext = unpad(schema, await key.open(sealed, info(context)));
  const payload = parse(schema, plaintext);
  requireSameTime((payload as { sentAt?: Instant }).sentAt, context.sentAt);
  return { payload, plaintext };
}

/** Decide what the clear fields of an opening decide, precisely: rules, version, T, key id, size of the session id. */
export function findKey(opening: SealedOpening, keys: readonly DecryptionKey[], now: Instant): DecryptionKey {
  check(SealedOpeningSchema, opening);
  require(opening.version === VERSION, "UNSUPPORTED_VERSION", `version ${opening.version} is not spoken here`);
  requireFresh(opening.sentAt!, now);
  const key = keys.find((held) => Buffer.from(held.keyId).equals(opening.keyId!));
  require(key !== undefined, "UNKNOWN_KEY_ID", "sealed to a key that is not held here, or no longer");
  require(opening.sessionId!.length === 16, "FIELD_INVALID", "the session id has not 16 bytes");
  return key;
}

/** A message's bytes, once it holds its own rules. Fields are written in the order of their numbers. */
export function serialised<D extends DescMessage>(schema: D, payload: MessageShape<D>): Uint8Array {
  check(schema, payload as Message);
  return toBinary(schema, payload);
}

/** F(message) || zeros: to the fixed size of its definition, or to a multiple of 256 bytes. */
function pad(schema: DescMessage, message: Uint8Array): Uint8Array {
  const framed = field(message);
  const size = payloadRule(schema)?.paddedSize || Math.ceil(framed.length / PADDING_STEP) * PADDING_STEP;
  require(framed.length <= size, "MESSAGE_TOO_LARGE", `${schema.name} has ${framed.length} bytes of ${size}`);
  const padded = new Uint8Array(size);
  padded.set(framed);
  return padded;
}

function unpad(schema: DescMessage, padded: Uint8Array): Uint8Array {
  const fixed = payloadRule(schema)?.paddedSize ?? 0;
  const size = padded.length < 4 ? Infinity : new DataView(padded.buffer, padded.byteOffset).getUint32(0);
  const sized = padded.length % PADDING_STEP === 0 && (!fixed || padded.length === fixed) && size <= padded.length - 4;
  require(sized, "PADDING_INVALID", "the sealed plaintext has not the size of its definition");
  const zeros = padded.subarray(4 + size);
  const padding = zeros.every((byte) => byte === 0) && (fixed !== 0 || zeros.length < PADDING_STEP);
  require(padding, "PADDING_INVALID", "the padding is not zeros to the next step");
  return padded.slice(4, 4 + size);
}
