/** Refusals, in the one vocabulary of docs/errors.md. */

import { wordsOf } from "./words.js";

/** What is known of a refusal beside its reason. */
export interface Circumstances extends ErrorOptions {
  readonly passes?: boolean;
  readonly retryAfterMs?: number | undefined;
}

/** Why a message, a statement or a command was refused. `reason` is UPPER_SNAKE, as servers and the audit log say it. */
export class Refusal extends Error {
  override readonly name = "Refusal";
  /** Whether it passes by itself, for a peer is away or has too much to do: whoever asks again later may be answered. */
  readonly passes: boolean;
  /** How long the peer asks to wait. */
  readonly retryAfterMs: number | undefined;

  constructor(
    readonly reason: string,
    sentence: string,
    circumstances: Circumstances = {},
  ) {
    super(sentence, circumstances);
    this.passes = circumstances.passes ?? false;
    this.retryAfterMs = circumstances.retryAfterMs;
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

/** A refusal for a person: what happened, what else is known of it, what to do, and the reason for who helps. */
export function plain(refusal: Refusal): string {
  const { cause, message, reason } = refusal;
  if (reason === "REJECTED" && cause instanceof Refusal) return plain(cause);
  const words = wordsOf(reason) ?? { happened: "", toDo: "" };
  const sentence = words.happened === "" ? message.replace(/[^.]$/, "$&.") : `${words.happened} (${message})`;
  const said = words.happened !== "" && message.startsWith(words.happened) ? message : sentence;
  const advice = words.toDo === "" || said.includes(words.toDo) ? "" : ` ${words.toDo}`;
  return `${said}${advice} [${reason}]`;
}

function hidden(error: unknown): unknown {
  if (!(error instanceof Refusal) || error.reason === "REJECTED") return error;
  return new Refusal("REJECTED", "the message was not accepted", { cause: error });
}
