/** One side of a room at the relay: frames put under the next number, frames followed through lost connections. */

import type { MessageInitShape } from "@bufbuild/protobuf";
import { type Client, createClient, type Transport } from "@connectrpc/connect";
import {
  type CloseRoomRequest,
  Direction,
  type GetRoomResponse,
  type OpenRoomRequest,
  type OpenRoomResponse,
  OpenRoomResponseSchema,
  type RelayFrame,
  type RelayFrameSchema,
  RelayService,
} from "../gen/federation/v1/consultation_pb.js";
import { Refusal, require } from "../protocol/refusal.js";
import { check } from "../protocol/rules.js";
import { called, passes, pause, refusalOf, repeated } from "./calls.js";

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
    const { roomId, puts: direction } = this;
    for (let passed = 0; passed < MOST_NUMBERS_PASSED; passed++) {
      const number = this.#nextPut++;
      try {
        await repeated(() => this.#client.putFrame({ roomId, direction, number, frame }));
        return;
      } catch (error) {
        if (!(error instanceof Refusal) || error.reason !== "ALREADY_EXISTS") throw error;
      }
    }
    throw new Refusal("LIMIT_REACHED", "the room is full of other messages");
  }

  /** Give the other side's frames as they come, for so long. A lost connection is opened again from the next number on. */
  async *follow(milliseconds: number): AsyncGenerator<RelayFrame> {
    const deadline = Date.now() + milliseconds;
    for (let left = milliseconds; left > 0; left = deadline - Date.now()) {
      try {
        yield* this.#stream(Math.min(left, LONGEST_STREAM_MS));
      } catch (error) {
        const refusal = refusalOf(error);
        if (!passes(refusal)) throw refusal;
      }
      await pause(Math.min(200, Math.max(0, deadline - Date.now())));
    }
  }

  async *#stream(timeoutMs: number): AsyncGenerator<RelayFrame> {
    const request = { roomId: this.roomId, direction: this.#reads, fromNumber: this.#nextRead };
    for await (const { number, frame } of this.#client.followFrames(request, { timeoutMs })) {
      require(number === this.#nextRead, "OUT_OF_ORDER", "the relay left a message out");
      this.#nextRead += 1n;
      yield frame!;
    }
  }
}

/** Open a room at the relay of a hospital. */
export async function openRoom(transport: Transport, request: OpenRoomRequest): Promise<OpenRoomResponse> {
  const answer = await called(() => createClient(RelayService, transport).openRoom(request));
  check(OpenRoomResponseSchema, answer);
  return answer;
}

/** Close a room: it is gone with its frames. */
export async function closeRoom(transport: Transport, request: CloseRoomRequest): Promise<void> {
  await called(() => createClient(RelayService, transport).closeRoom(request));
}
