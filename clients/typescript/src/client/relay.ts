/** One side of a room at the relay: frames put under the next number, frames followed through lost connections. */

import type { MessageInitShape } from "@bufbuild/protobuf";
import { type Client, createClient, type Transport } from "@connectrpc/connect";
import {
  type CloseRoomRequest,
  Direction,
  FollowFramesResponseSchema,
  type GetRoomResponse,
  type OpenRoomRequest,
  type OpenRoomResponse,
  OpenRoomResponseSchema,
  type RelayFrame,
  type RelayFrameSchema,
  RelayService,
} from "../gen/federation/v1/consultation_pb.js";
import { Refusal, require } from "../protocol/refusal.js";
import { checkOuter } from "../protocol/rules.js";
import { called, FIRST_PAUSE_MS, LONGEST_PAUSE_MS, REAL_TIME, refusalOf, repeated, type Time } from "./calls.js";

const LONGEST_STREAM_MS = 300_000;
const MOST_NUMBERS_PASSED = 4096;

export class Mailbox {
  readonly #client: Client<typeof RelayService>;
  readonly #reads: Direction;
  #nextPut = 0n;
  #nextRead = 0n;

  constructor(
    transport: Transport,
    readonly roomId: Uint8Array,
    readonly puts: Direction,
    readonly time: Time = REAL_TIME,
  ) {
    this.#client = createClient(RelayService, transport);
    this.#reads = puts === Direction.TO_DOCTOR ? Direction.TO_PATIENT : Direction.TO_DOCTOR;
  }

  /** Fetch whose room it is; nothing of it is verified yet. */
  room(): Promise<GetRoomResponse> {
    return repeated(() => this.#client.getRoom({ roomId: this.roomId }));
  }

  /** Put a frame once, however often the connection fails; a number that somebody else's frame has is passed over. */
  async put(frame: MessageInitShape<typeof RelayFrameSchema>): Promise<void> {
    for (let passed = 0; passed < MOST_NUMBERS_PASSED; passed++) {
      const isPut = await this.#putUnder(this.#nextPut, frame);
      this.#nextPut++;
      if (isPut) return;
    }
    throw new Refusal("LIMIT_REACHED", "the room is full of other messages");
  }

  /**
   * Give the other side's frames as they come, for so long. A lost connection is opened again from the next number on; a relay that stays
   * away is asked less and less often.
   */
  async *follow(milliseconds: number): AsyncGenerator<RelayFrame> {
    const deadline = this.time.now() + milliseconds;
    let wait = FIRST_PAUSE_MS;
    for (let left = milliseconds; left > 0; left = deadline - this.time.now()) {
      let asked = 0;
      try {
        for await (const frame of this.#stream(Math.min(left, LONGEST_STREAM_MS))) {
          wait = FIRST_PAUSE_MS;
          yield frame;
        }
      } catch (error) {
        const refusal = refusalOf(error);
        if (!refusal.passes) throw refusal;
        asked = refusal.retryAfterMs ?? 0;
      }
      await this.time.pause(Math.min(Math.max(wait, asked), Math.max(0, deadline - this.time.now())));
      wait = Math.min(2 * wait, LONGEST_PAUSE_MS);
    }
  }

  /** Put a frame under a number, again while the relay is away: it takes the same one twice. False where another frame has the number. */
  async #putUnder(number: bigint, frame: MessageInitShape<typeof RelayFrameSchema>): Promise<boolean> {
    const { roomId, puts: direction } = this;
    try {
      await repeated(() => this.#client.putFrame({ roomId, direction, number, frame }));
      return true;
    } catch (error) {
      if (error instanceof Refusal && error.reason === "ALREADY_EXISTS") return false;
      throw error;
    }
  }

  async *#stream(timeoutMs: number): AsyncGenerator<RelayFrame> {
    const request = { roomId: this.roomId, direction: this.#reads, fromNumber: this.#nextRead };
    const abort = new AbortController();
    try {
      for await (const response of this.#client.followFrames(request, { timeoutMs, signal: abort.signal })) {
        checkOuter(FollowFramesResponseSchema, response);
        require(response.number === this.#nextRead, "OUT_OF_ORDER", "the relay left a message out");
        this.#nextRead += 1n;
        yield response.frame!;
      }
    } finally {
      abort.abort(); // the relay would go on counting a follower who has left
    }
  }
}

/** Open a room at the relay of a hospital. */
export async function openRoom(transport: Transport, request: OpenRoomRequest): Promise<OpenRoomResponse> {
  const answer = await called(() => createClient(RelayService, transport).openRoom(request));
  checkOuter(OpenRoomResponseSchema, answer);
  return answer;
}

/** Close a room: it is gone with its frames. */
export async function closeRoom(transport: Transport, request: CloseRoomRequest): Promise<void> {
  await called(() => createClient(RelayService, transport).closeRoom(request));
}
