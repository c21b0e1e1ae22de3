/** A doctor's or patient's session with a hospital: one stream, D3 and H1, then D4 and H2, or STO and STOACK (eq. 33-48). */

import type { MessageInitShape } from "@bufbuild/protobuf";
import { createClient, type Transport } from "@connectrpc/connect";
import type { SessionFrame } from "../gen/federation/v1/envelope_pb.js";
import {
  GetHospitalResponseSchema,
  type OpenSessionRequestSchema,
  type OpenSessionResponse,
  OpenSessionResponseSchema,
  RecordService,
} from "../gen/federation/v1/record_pb.js";
import { Role } from "../gen/federation/v1/statement_pb.js";
import { EMPTY, type Entropy } from "../protocol/bytes.js";
import type { Peer } from "../protocol/handshake.js";
import { begin, type Established, type Intent } from "../protocol/record.js";
import { Refusal, require } from "../protocol/refusal.js";
import { checkOuter } from "../protocol/rules.js";
import { refusalOf, repeated } from "./calls.js";
import { clock } from "./cloud.js";
import type { Home } from "./home.js";
import { withShards } from "./shards.js";

const LONGEST_SESSION_MS = 3_600_000;
const SILENCE_MS = 60_000;

type Request = MessageInitShape<typeof OpenSessionRequestSchema>;

/** The stream, which *is* the session: a lost one is a new session. Close it, whatever happened. */
export class SessionStream {
  readonly #outbox = new Outbox<Request>();
  readonly #abort = new AbortController();
  readonly #responses: AsyncIterator<OpenSessionResponse>;

  constructor(
    transport: Transport,
    readonly silenceMs: number = SILENCE_MS,
  ) {
    const options = { timeoutMs: LONGEST_SESSION_MS, signal: this.#abort.signal };
    this.#responses = createClient(RecordService, transport).openSession(this.#outbox, options)[Symbol.asyncIterator]();
  }

  /** Open a stream for as long as `use` takes. */
  static async during<T>(transport: Transport, use: (stream: SessionStream) => Promise<T>): Promise<T> {
    const stream = new SessionStream(transport);
    try {
      return await use(stream);
    } finally {
      stream.close();
    }
  }

  /** Open the session: D3, H1. */
  async open(home: Home, hospital: Peer, intent: Intent, entropy: Entropy): Promise<Established> {
    const now = clock();
    const { awaiting, opening } = await begin(await home.party(now), hospital, intent, now, entropy);
    this.#outbox.put({ content: { case: "opening", value: opening } });
    const { content } = await this.#receive();
    require(content.case === "reply", "OUT_OF_ORDER", "the hospital does not begin with its reply");
    return withShards(home, () => awaiting.receive(content.value, home.verifier(clock()), clock()));
  }

  send(frame: SessionFrame): void {
    this.#outbox.put({ content: { case: "frame", value: frame } });
  }

  async receive(): Promise<SessionFrame> {
    const { content } = await this.#receive();
    require(content.case === "frame", "OUT_OF_ORDER", "the hospital sends something else than a frame");
    return content.value;
  }

  close(): void {
    this.#outbox.end();
    this.#abort.abort();
  }

  async #receive(): Promise<OpenSessionResponse> {
    const watch = () => setTimeout(() => this.#abort.abort(), this.silenceMs);
    let watchdog = watch();
    // While this side is still sending, for minutes perhaps, the hospital has nothing to say: every frame that goes out is a sign of life.
    this.#outbox.taken = () => {
      clearTimeout(watchdog);
      watchdog = watch();
    };
    try {
      const { value, done } = await this.#responses.next();
      if (done) throw new Refusal("RECORD_CUT_SHORT", "the hospital ended the session before its last message");
      checkOuter(OpenSessionResponseSchema, value);
      return value;
    } catch (error) {
      throw refusalOf(error);
    } finally {
      this.#outbox.taken = () => undefined;
      clearTimeout(watchdog);
    }
  }
}

/** Whether a session ended by something that passes, or before its last message: the same may be done in another. */
export function isLost({ passes, reason }: Refusal): boolean {
  return passes || reason === "RECORD_CUT_SHORT";
}

/** Ask a hospital for its own statements, and verify them. */
export async function addressHospital(transport: Transport, hospitalId: string, home: Home): Promise<Peer> {
  const answer = await repeated(() => createClient(RecordService, transport).getHospital({}));
  checkOuter(GetHospitalResponseSchema, answer);
  if (answer.revocations !== undefined) await home.hear(answer.revocations);
  return withShards(home, () => {
    const now = clock();
    const verifier = home.verifier(now);
    const party = verifier.party(answer.keyStatement!, Role.HOSPITAL, now);
    require(party.identity === hospitalId, "IDENTITY_MISMATCH", "another hospital answers than the one addressed");
    const encryptionKey = verifier.encryptionKey(answer.encryptionKeyStatement!, party, now);
    return { party, encryptionKey, certificate: EMPTY };
  });
}

/** What is still to be sent, in order. */
class Outbox<T> implements AsyncIterable<T> {
  /** Called whenever the connection takes an item: it does as fast as the peer reads. */
  taken: () => void = () => undefined;
  readonly #waiting: T[] = [];
  #ended = false;
  #wake: () => void = () => undefined;

  put(item: T): void {
    this.#waiting.push(item);
    this.#wake();
  }

  end(): void {
    this.#ended = true;
    this.#wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T> {
    for (;;) {
      while (this.#waiting.length > 0) {
        this.taken();
        yield this.#waiting.shift()!;
      }
      if (this.#ended) return;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}
