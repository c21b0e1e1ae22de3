/** Calls to the federation's servers: authenticated by who the server is (its TLS name), and typed refusals in place of gRPC's. */

import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import { Code, ConnectError, type Transport } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import type { TrustedBundle } from "../protocol/bundle.js";
import { Refusal, require } from "../protocol/refusal.js";
import { addressOf } from "../protocol/rules.js";
import { REASON_OF_CODE, wordsOf } from "../protocol/words.js";
import type { Networks } from "./networks.js";

/** How long a call may take that states nothing else. */
export const CALL_MS = 15_000;
const LARGEST_MESSAGE = 2 * 1024 * 1024;

/** A peer that vanished without a word is found out by PINGs; the servers allow one every 20 seconds. */
const KEEPALIVE = { pingIntervalMs: 30_000, pingTimeoutMs: 40_000 };

/** What a server says of itself, or nobody at all: it passes. */
const BUSY = [Code.Unavailable, Code.ResourceExhausted, Code.DeadlineExceeded];

/** What a broken connection looks like, where no server says otherwise. */
const BROKEN = [Code.Canceled, Code.Aborted];

/** Between two tries while somebody is awaited: it doubles from the one to the other. */
export const FIRST_PAUSE_MS = 200;
export const LONGEST_PAUSE_MS = 5_000;

/** The longest that a peer has this side pause. */
const LONGEST_ASKED_MS = 60_000;

/** How often a call that may be made again is made. */
export const PATIENT = 6;

/** How often while somebody waits for the visit. */
export const BRIEFLY = 3;

/**
 * A transport to `host:port` that answers to that identity: `H:alpha` is alpha.hospital.medunion.internal (ADR 10). It is dialled as it
 * stands, whatever proxy the environment names, and only in these networks, if there are any.
 */
export function transportTo(address: string, identity: string, bundle: TrustedBundle, networks?: Networks): Transport {
  require(addressOf(address) !== undefined, "FIELD_INVALID", "an address reads host:port");
  networks?.requireAllowed(address);
  const servername = tlsName(identity);
  const resolved = networks === undefined ? {} : { lookup: networks.lookup };
  const transport = createGrpcTransport({
    baseUrl: `https://${address}`,
    nodeOptions: { ca: bundle.content.tlsCaCertificates.map(pem), servername, minVersion: "TLSv1.3", ...resolved },
    readMaxBytes: LARGEST_MESSAGE,
    defaultTimeoutMs: CALL_MS,
    ...KEEPALIVE,
  });
  return addressed(transport, address);
}

/** A transport whose failures name the address: where nobody answers, it is what somebody has to look at. */
function addressed(transport: Transport, address: string): Transport {
  return {
    unary: (...call) => transport.unary(...call).catch((error: unknown) => Promise.reject(refusalOf(error, address))),
    stream: (...call) =>
      transport.stream(...call).then(
        (response) => ({ ...response, message: eachOf(response.message, address) }),
        (error: unknown) => Promise.reject(refusalOf(error, address)),
      ),
  };
}

async function* eachOf<T>(messages: AsyncIterable<T>, address: string): AsyncGenerator<T> {
  try {
    yield* messages;
  } catch (error) {
    throw refusalOf(error, address);
  }
}

/** Make a call, and say what is wrong by the peer's reason. */
export async function called<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw refusalOf(error);
  }
}

/** A call that may safely be made again: it is, while the server is away or asks for patience, for as long as it asks. */
export async function repeated<T>(
  call: () => Promise<T>,
  attempts: number = PATIENT,
  time: Time = REAL_TIME,
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await call();
    } catch (error) {
      const refusal = refusalOf(error);
      if (!refusal.passes || attempt === attempts) throw refusal;
      await time.pause(refusal.retryAfterMs ?? FIRST_PAUSE_MS * 2 ** attempt);
    }
  }
}

/** Whether something went wrong that passes. */
export function passes(error: unknown): boolean {
  return error instanceof Refusal && error.passes;
}

/**
 * A server's refusal by its ErrorInfo; what has none is the network's, and names the address that was dialled. Whether it passes, gRPC's code
 * says: servers have many reasons for it.
 */
export function refusalOf(error: unknown, dialled?: string): Refusal {
  const causes = causesOf(error);
  const own = causes.find((cause) => cause instanceof Refusal);
  if (own !== undefined) return own;
  const failure = ConnectError.from(error);
  const busy = BUSY.includes(failure.code);
  const retryAfterMs = retryDelay(failure);
  const named = namedReason(failure);
  const isKnown = named !== undefined && wordsOf(named)?.isTold === true;
  const isBroken = named === undefined && (BROKEN.includes(failure.code) || isOfNetwork(causes.at(-1)));
  const passes = busy || isBroken;
  const reason = isKnown ? named : isBroken ? "UNAVAILABLE" : (REASON_OF_CODE[failure.code] ?? "INTERNAL");
  const unknownReason = isKnown || named === undefined ? undefined : FORM_OF_REASON.test(named) ? named : "unreadable";
  const requestId = requestOf(failure);
  const address = reason === "UNAVAILABLE" && requestId === undefined ? dialled : undefined;
  const circumstances = { cause: error, passes, retryAfterMs, unknownReason, address, requestId };
  return new Refusal(reason, wordsOf(reason)!.happened, circumstances);
}

/** How the server calls the call: by that its operator finds the cause. Nothing where it says something of another form. */
function requestOf(failure: ConnectError): string | undefined {
  const named = failure.metadata.get("medunion-request-id") ?? "";
  return /^[0-9a-f]{16}$/.test(named) ? named : undefined;
}

const DOMAIN = "medunion";
const FORM_OF_REASON = /^[A-Z][A-Z0-9_]{0,62}$/;

/** The reason of the federation's ErrorInfo, whatever it is: a peer's own sentence is shown to nobody, for it could ask people to do things. */
function namedReason(failure: ConnectError): string | undefined {
  const info = details(failure, "google.rpc.ErrorInfo").find((value) => textOf(value, 2) === DOMAIN);
  return info && textOf(info, 1);
}

function textOf(message: Uint8Array, wanted: number): string {
  return new TextDecoder().decode(readable(() => field(message, wanted)));
}

/** A clock that nobody sets, in whole milliseconds, and pauses by it. */
export interface Time {
  now(): number;
  pause(milliseconds: number): Promise<void>;
}

export const REAL_TIME: Time = { now: () => Math.round(performance.now()), pause };

export function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

function tlsName(identity: string): string {
  const [kind, label] = identity.split(":", 2);
  return `${label}.${kind === "C" ? "cloud" : "hospital"}.medunion.internal`;
}

function pem(certificate: Uint8Array): string {
  const lines = Buffer.from(certificate)
    .toString("base64")
    .match(/.{1,64}/g)!;
  return ["-----BEGIN CERTIFICATE-----", ...lines, "-----END CERTIFICATE-----", ""].join("\n");
}

/** An error and what lies behind it, the innermost last. */
function causesOf(error: unknown): unknown[] {
  const { cause } = Object(error) as { cause?: unknown };
  return cause instanceof Error ? [error, ...causesOf(cause)] : [error];
}

/** Whether an error is the operating system's, of a socket, or of TLS or HTTP/2 in it: connect-node knows some, and calls the others internal. */
function isOfNetwork(error: unknown): boolean {
  // Where a name has several addresses, each has an error of its own.
  if (error instanceof AggregateError) return error.errors.some(isOfNetwork);
  const { syscall, code } = Object(error) as { syscall?: unknown; code?: unknown };
  if (syscall !== undefined) return true;
  // What OpenSSL finds wrong with a certificate has names of its own; Node's other errors are ERR_, and faults of this program.
  return typeof code === "string" && /^(?!ERR_)|^ERR_(TLS|SSL|HTTP2)_/.test(code);
}

/** RetryInfo's delay in milliseconds, if the server states one: within reason, for it is the peer that asks. */
function retryDelay(failure: ConnectError): number | undefined {
  const [duration] = details(failure, "google.rpc.RetryInfo").map((value) => readable(() => field(value, 1)));
  const asked = duration && readable(() => milliseconds(duration));
  return asked === undefined ? undefined : Math.min(Math.max(asked, 0), LONGEST_ASKED_MS);
}

/** Of a google.protobuf.Duration. */
function milliseconds(duration: Uint8Array): number {
  let sum = 0;
  const reader = new BinaryReader(duration);
  while (reader.pos < reader.len) {
    const [number] = reader.tag();
    sum += number === 1 ? Number(reader.int64()) * 1000 : reader.int32() / 1e6;
  }
  return sum;
}

/** google.rpc's details of a type (AIP-193), which travel as messages of a known shape. */
function details(failure: ConnectError, type: string): Uint8Array[] {
  return failure.details.flatMap((entry) =>
    "type" in entry && entry.type === type ? [entry.value as Uint8Array] : [],
  );
}

/** A length-delimited field of one. */
function field(message: Uint8Array, wanted: number): Uint8Array | undefined {
  const reader = new BinaryReader(message);
  while (reader.pos < reader.len) {
    const [number, wireType] = reader.tag();
    if (number === wanted && wireType === WireType.LengthDelimited) return reader.bytes();
    reader.skip(wireType, number);
  }
  return undefined;
}

/** Details that can't be read say nothing: the code alone counts. */
function readable<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
