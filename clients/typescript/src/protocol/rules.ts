/**
 * Strict parsing of messages by the rules in their own definitions (protos/federation/v1/rules.proto), read from the
 * descriptors: a missing field is refused unless its rule says that it may be absent, an unknown one at any depth, a size or form
 * that does not hold, and a point that no honest peer sends (B6).
 */

import { isIPv4, isIPv6 } from "node:net";
import {
  type DescField,
  type DescMessage,
  fromBinary,
  getOption,
  type Message,
  type MessageShape,
} from "@bufbuild/protobuf";
import { reflect, type ReflectMessage } from "@bufbuild/protobuf/reflect";
import { Kind, payload, type PayloadRule, rule as ruleOption } from "../gen/federation/v1/rules_pb.js";
import { requirePoint, requireRegistrationPoint, requireVerifyingKey } from "./curve.js";
import { Refusal, require } from "./refusal.js";

const NAME = "[A-Za-z0-9._-]{1,64}";
const LABEL = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?";
const CLASS = "[a-z][a-z0-9-]{0,31}";

const FORMS = new Map<Kind, RegExp>(
  (
    [
      [Kind.PATIENT_ID, `P:${NAME}`],
      [Kind.DOCTOR_ID, `D:${NAME}`],
      [Kind.HOSPITAL_ID, `H:${LABEL}`],
      [Kind.CLOUD_ID, `C:${LABEL}`],
      [Kind.AUTHORITY_ID, `M:${NAME}`],
      [Kind.PARTY_ID, `[PD]:${NAME}|[HC]:${LABEL}`],
      [Kind.DEPARTMENT_CLASS, CLASS],
      [Kind.DEPARTMENT_CLASS_OR_ANY, `${CLASS}|\\*`],
      [Kind.DEPARTMENT_ID, `H:${LABEL}/${CLASS}(\\.[a-z0-9-]{1,32})?`],
      [Kind.HOSPITAL_ID_OR_ANY, `H:${LABEL}|\\*`],
      [Kind.DOCTOR_SCOPE, `D:${NAME}|D:[A-Za-z0-9._-]{0,63}\\*`],
    ] as const
  ).map(([kind, form]) => [kind, new RegExp(`^(?:${form})$`)]),
);

const ADDRESS = /^(?:\[(.+)\]|([^:]+)):([1-9][0-9]{0,4})$/;
const HOST_NAME =
  /^(?=.{1,253}$)(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)*[A-Za-z](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/;

/** The last moment of the year 9999 (RFC 3339). */
const LAST_MOMENT = 253_402_300_799_999n;

const SIZES = new Map<Kind, readonly number[]>([
  [Kind.POINT, [32]],
  [Kind.REGISTRATION_POINT, [32]],
  [Kind.SIGNATURE, [64]],
  [Kind.DIGEST, [32]],
  [Kind.ID16, [16]],
  [Kind.SESSION_ID, [0, 16]],
  [Kind.BYTES32, [32]],
  [Kind.VERIFYING_KEY, [33]],
  [Kind.ENCAPSULATION_KEY, [1249]],
]);

const POINTS = new Map<Kind, (value: Uint8Array) => void>([
  [Kind.POINT, requirePoint],
  [Kind.REGISTRATION_POINT, requireRegistrationPoint],
  [Kind.VERIFYING_KEY, requireVerifyingKey],
]);

/** Parse a payload or statement and check it by its rules. */
export function parse<D extends DescMessage>(schema: D, data: Uint8Array): MessageShape<D> {
  const limit = payloadRule(schema)?.maxSize;
  require(!limit || data.length <= limit, "MESSAGE_TOO_LARGE", `${schema.name} has ${data.length} bytes of ${limit}`);
  const message = decode(schema, data);
  check(schema, message);
  return message;
}

/** Check a parsed message by its rules, at every depth. */
export function check(schema: DescMessage, message: Message): void {
  checkMessage(schema, message, false);
}

/** `check` for an RPC's own message, which may gain fields: one that is not known here is passed over. */
export function checkOuter(schema: DescMessage, message: Message): void {
  checkMessage(schema, message, true);
}

/** The rule of a sealed payload. */
export function payloadRule(schema: DescMessage): PayloadRule | undefined {
  return getOption(schema, payload);
}

/** Whether the text has the form of that kind. */
export function hasForm(kind: Kind, value: string): boolean {
  return kind === Kind.ADDRESS ? addressOf(value) !== undefined : (FORMS.get(kind)?.test(value) ?? false);
}

/** The host and port of an address, an IPv6 host without its brackets; nothing where it is none. */
export function addressOf(value: string): { host: string; port: number } | undefined {
  const [, bracketed, plain, digits] = ADDRESS.exec(value) ?? [];
  const isHost =
    bracketed === undefined
      ? plain !== undefined && (isIPv4(plain) || HOST_NAME.test(plain))
      : isIPv6(bracketed) && !bracketed.includes("%");
  const port = Number(digits);
  return isHost && port <= 65_535 ? { host: bracketed ?? plain!, port } : undefined;
}

function decode<D extends DescMessage>(schema: D, data: Uint8Array): MessageShape<D> {
  try {
    return fromBinary(schema, data);
  } catch (error) {
    throw new Refusal("MALFORMED_MESSAGE", `not a ${schema.name}`, { cause: error });
  }
}

function checkMessage(schema: DescMessage, message: Message, mayGain: boolean): void {
  const known = mayGain || !message.$unknown?.length;
  require(known, "UNKNOWN_FIELD", `${schema.name} has a field that its definition does not have`);
  const reflected = reflect(schema, message);
  for (const member of schema.fields) checkField(reflected, member, mayGain);
}

function checkField(message: ReflectMessage, member: DescField, mayGain: boolean): void {
  const rule = getOption(member, ruleOption);
  if (member.fieldKind === "list") {
    const list = message.get(member);
    require(list.size <=
      (rule.maxItems ?? 0), "FIELD_INVALID", `${member.toString()} has more than ${rule.maxItems} elements`);
    for (const element of list) checkValue(member, element, mayGain);
  } else if (message.isSet(member)) {
    checkValue(member, message.get(member), mayGain);
  } else if (!rule.mayBeAbsent && member.oneof === undefined) {
    throw new Refusal("MISSING_FIELD", `${member.toString()} is missing`);
  }
}

function checkValue(member: DescField, value: unknown, mayGain: boolean): void {
  if (member.message !== undefined) {
    checkMessage(member.message, (value as ReflectMessage).message, mayGain);
  } else if (member.enum !== undefined) {
    const known = member.enum.values.some((entry) => entry.number !== 0 && entry.number === value);
    require(known, "FIELD_INVALID", `${member.toString()} has a value that its definition does not have`);
  } else if (typeof value === "bigint") {
    const isTime = getOption(member, ruleOption).kind === Kind.TIME;
    require(!isTime || value <= LAST_MOMENT, "FIELD_INVALID", `${member.toString()} is a time after the year 9999`);
  } else if (typeof value === "string" || value instanceof Uint8Array) {
    checkSized(member, value);
  }
}

function checkSized(member: DescField, value: string | Uint8Array): void {
  const rule = getOption(member, ruleOption);
  const kind = rule.kind ?? Kind.UNSPECIFIED;
  // Outside printable text, too, ASCII is one byte a character: length is the size.
  require(typeof value !== "string" ||
    /^[\x00-\x7f]*$/.test(value), "FIELD_INVALID", `${member.toString()} is not ASCII`); // eslint-disable-line no-control-regex
  require(!rule.maxSize ||
    value.length <= rule.maxSize, "MESSAGE_TOO_LARGE", `${member.toString()} has ${value.length} bytes`);
  require(SIZES.get(kind)?.includes(value.length) ??
    true, "FIELD_INVALID", `${member.toString()} has ${value.length} bytes`);
  const isFormed = kind === Kind.ADDRESS || FORMS.has(kind);
  require(!isFormed ||
    (typeof value === "string" &&
      hasForm(kind, value)), "FIELD_INVALID", `${member.toString()} has not the form of its kind`);
  POINTS.get(kind)?.(value as Uint8Array);
}
