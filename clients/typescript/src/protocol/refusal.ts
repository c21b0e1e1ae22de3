/** Refusals, in the one vocabulary of docs/errors.md. */

import { ANSWERED, type Words, wordsOf } from "./words.js";

/** What is known of a refusal beside its reason. */
export interface Circumstances extends ErrorOptions {
  readonly passes?: boolean;
  readonly retryAfterMs?: number | undefined;
  readonly unknownReason?: string | undefined;
  readonly address?: string | undefined;
  readonly requestId?: string | undefined;
}

/** Why a message, a statement or a command was refused. `reason` is UPPER_SNAKE, as servers and the audit log say it. */
export class Refusal extends Error {
  override readonly name = "Refusal";
  /** Whether it passes by itself, for a peer is away or has too much to do: whoever asks again later may be answered. */
  readonly passes: boolean;
  /** How long the peer asks to wait. */
  readonly retryAfterMs: number | undefined;
  /** What a peer gave as its reason, where this version knows none of that name. */
  readonly unknownReason: string | undefined;
  /** Where a peer was dialled that does not answer. */
  readonly address: string | undefined;
  /** How a peer that refused calls the call: by that its operator finds the cause. */
  readonly requestId: string | undefined;

  constructor(
    readonly reason: string,
    sentence: string,
    circumstances: Circumstances = {},
  ) {
    super(sentence, circumstances);
    this.passes = circumstances.passes ?? false;
    this.retryAfterMs = circumstances.retryAfterMs;
    this.unknownReason = circumstances.unknownReason;
    this.address = circumstances.address;
    this.requestId = circumstances.requestId;
  }
}

/** Refuse unless the condition holds. */
export function require(condition: boolean, reason: string, sentence: string): asserts condition {
  if (!condition) throw new Refusal(reason, sentence);
}

/**
 * Turn whatever is found after a seal was opened into the one answer REJECTED (docs/protocol.md, 1, Refusals): whoever sent the
 * message learns nothing of the cause, which stays attached for the log.
 */
export function afterOpening<T>(step: () => T): T {
  try {
    return step();
  } catch (error) {
    throw hidden(error);
  }
}

/** `afterOpening` for steps that wait. */
export async function afterOpeningAsync<T>(step: () => Promise<T>): Promise<T> {
  try {
    return await step();
  } catch (error) {
    throw hidden(error);
  }
}

/** The precise reason of a refusal, for one's own log. */
export function preciseReason(error: unknown): string {
  if (!(error instanceof Refusal)) throw error;
  return error.reason === "REJECTED" && error.cause instanceof Refusal ? preciseReason(error.cause) : error.reason;
}

/** A refusal for a person: what happened, what else is known of it, what to do, and for who helps the reason and the request. */
export function plain(refusal: Refusal): string {
  const { cause, reason, requestId } = refusal;
  if (reason === "REJECTED" && cause instanceof Refusal) return plain(cause);
  const words = reason === "UNAVAILABLE" && requestId !== undefined ? ANSWERED : (wordsOf(reason) ?? WORDLESS);
  const advice = words.toDo === "" ? "" : ` ${words.toDo}`;
  const request = requestId === undefined ? "" : ` (request ${requestId})`;
  return `${happened(refusal, words)}${advice} [${reason}]${request}`;
}

/** Of a reason that is none of the vocabulary. */
const WORDLESS: Words = { happened: "", toDo: "", tellsMore: true, isTold: false };

/** What happened, and where nobody answered. */
function happened({ message, unknownReason, address }: Refusal, words: Words): string {
  if (words.happened === "") return /[.?!]$/.test(message) ? message : `${message}.`;
  const own = words.tellsMore && message !== "" && message !== words.happened ? ` (${message})` : "";
  const unknown = ` It refused for a reason that this version does not know (${unknownReason}).`;
  const where = address === undefined ? "" : ` It was dialled at ${address}.`;
  return `${words.happened}${unknownReason === undefined ? own : unknown}${where}`;
}

function hidden(error: unknown): unknown {
  if (!(error instanceof Refusal) || error.reason === "REJECTED") return error;
  return new Refusal("REJECTED", "the message was not accepted", { cause: error });
}
