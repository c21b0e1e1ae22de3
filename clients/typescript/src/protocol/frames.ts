/** E_SEK: the frames of a session. Sequence starts at 0 in each direction and must be exactly the next (B12). */

import { createCipheriv, createDecipheriv } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { type SessionFrame, SessionFrameSchema } from "../gen/federation/v1/envelope_pb.js";
import { concat, type Instant, u64 } from "./bytes.js";
import { Refusal, require } from "./refusal.js";
import { check } from "./rules.js";
import type { DirectionKeys } from "./schedule.js";
import { transcript } from "./transcript.js";

const SLICE_BYTES = 512 * 1024;
const TAG_BYTES = 16;

/** Frames of content that a receiver holds in memory until it is whole: work and memory are bounded by them, too. */
const MOST_SLICES = 1024;

/** One direction of a session, and the sequence of its next frame. */
export class Direction {
  constructor(
    readonly sessionId: Uint8Array,
    readonly keys: DirectionKeys,
    readonly sequence = 0n,
  ) {}

  /** Seal the next frame. */
  seal(name: string, plaintext: Uint8Array, last: boolean, sentAt: Instant): { next: Direction; frame: SessionFrame } {
    const cipher = createCipheriv("aes-256-gcm", this.keys.key, this.#nonce());
    cipher.setAAD(this.#associatedData(name, last, sentAt));
    const sealed = concat(cipher.update(plaintext), cipher.final(), cipher.getAuthTag());
    const { sessionId, sequence } = this;
    return { next: this.#after(), frame: create(SessionFrameSchema, { sessionId, sequence, last, sealed, sentAt }) };
  }

  /** Open the next frame. */
  open(name: string, frame: SessionFrame): { next: Direction; plaintext: Uint8Array } {
    check(SessionFrameSchema, frame);
    require(Buffer.from(frame.sessionId!).equals(
      this.sessionId,
    ), "SESSION_UNKNOWN", "the frame belongs to another session");
    require(frame.sequence ===
      this.sequence, "OUT_OF_ORDER", `frame ${frame.sequence} came where ${this.sequence} is next`);
    require(frame.sealed!.length >= TAG_BYTES, "SEAL_INVALID", "the frame does not open");
    const decipher = createDecipheriv("aes-256-gcm", this.keys.key, this.#nonce());
    decipher.setAAD(this.#associatedData(name, frame.last!, frame.sentAt!));
    decipher.setAuthTag(frame.sealed!.subarray(-TAG_BYTES));
    try {
      const plaintext = concat(decipher.update(frame.sealed!.subarray(0, -TAG_BYTES)), decipher.final());
      return { next: this.#after(), plaintext };
    } catch (error) {
      throw new Refusal("SEAL_INVALID", "the frame does not open", { cause: error });
    }
  }

  #after(): Direction {
    return new Direction(this.sessionId, this.keys, this.sequence + 1n);
  }

  /** iv xor the 12-byte big-endian sequence. */
  #nonce(): Uint8Array {
    const sequence = concat(new Uint8Array(4), u64(this.sequence));
    return this.keys.iv.map((byte, index) => byte ^ sequence[index]!);
  }

  /** T(name, session id, sequence, T, last). */
  #associatedData(name: string, last: boolean, sentAt: Instant): Uint8Array {
    return transcript(name, this.sessionId, u64(this.sequence), u64(sentAt), u64(last ? 1 : 0));
  }
}

/** Seal content in slices, none empty, then the message that signs it, in the frame that says `last`. */
export function sealContent(
  direction: Direction,
  name: string,
  content: Uint8Array,
  message: Uint8Array,
  sentAt: Instant,
): { next: Direction; frames: SessionFrame[] } {
  const frames: SessionFrame[] = [];
  let next = direction;
  const put = (plaintext: Uint8Array, last: boolean) => {
    const sealed = next.seal(name, plaintext, last, sentAt);
    frames.push(sealed.frame);
    next = sealed.next;
  };
  for (let offset = 0; offset < content.length; offset += SLICE_BYTES)
    put(content.subarray(offset, offset + SLICE_BYTES), false);
  put(message, true);
  return { next, frames };
}

/** The slices with the next one, of content that is held in memory until it is whole. */
export function withSlice(pieces: readonly Uint8Array[], piece: Uint8Array, mostBytes: number): readonly Uint8Array[] {
  require(piece.length > 0, "FIELD_INVALID", "a slice is empty");
  const size = pieces.reduce((sum, one) => sum + one.length, piece.length);
  require(pieces.length < MOST_SLICES && size <= mostBytes, "LIMIT_REACHED", `this may have ${mostBytes} bytes`);
  return [...pieces, piece];
}
