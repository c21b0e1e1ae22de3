/**
 * A party's keys in a PKCS#11 token. PRK_X, the P-256 half of each epoch and the key that seals the key file are made there,
 * S_X is imported; none can be read, changed or copied. ML-KEM seeds stand in the key file, for tokens don't hold ML-KEM yet.
 *
 * The token has to give x of an ECDH (CKD_NULL): it leaves the token for one message, and agree's KDF and HMAC are made here.
 */

import { randomBytes } from "node:crypto";
import { type AgreementKey, prfOf } from "../protocol/agreement.js";
import { hex, sha256 } from "../protocol/bytes.js";
import { compressed, hashToCurve, requireUncompressed, uncompressed } from "../protocol/curve.js";
import type { KemHalf } from "../protocol/hpke.js";
import { Refusal, require } from "../protocol/refusal.js";
import { SigningKey } from "../protocol/signatures.js";
import { transcript } from "../protocol/transcript.js";
import {
  type Attribute,
  CKA,
  CKD_NULL,
  CKF,
  CKK,
  CKM,
  CKO,
  CKR,
  CKU,
  type Handle,
  loadModule,
  type Module,
  type TokenInfo,
} from "./cryptoki.js";
import { readPin } from "./files.js";
import type { KeyStore } from "./keys.js";
import { sealAtRest, unsealAtRest } from "./sealing.js";
import { type Location, parseTokenUri } from "./uri.js";

// Labels, the only names of keys; the other clients have the same.
const IDENTITY = "identity";
const SEALING = "sealing";
const EPOCH_PREFIX = "kem-";
const SECRET_PREFIX = "registration-secret-";

const ID_BYTES = 16;
const SIGNATURE_BYTES = 64;
const SECRET_BYTES = 32;
const MOST_OBJECTS = 8;
const FIRST_GENERATION = 1;

/** The DER of the curve's name (RFC 5480), and before the 65 bytes of a point. */
const P256 = Buffer.from("06082a8648ce3d030107", "hex");
const OCTET_STRING = Buffer.from("0441", "hex");

/** Where a seal of the store's own belongs. */
const PLACE = transcript("key-file");

/** A key's reference is its label. */
export class Pkcs11Keys implements KeyStore {
  readonly #module: Module;
  readonly #session: Handle;

  private constructor(module: Module, session: Handle) {
    this.#module = module;
    this.#session = session;
  }

  /** Open the token that a URI names with the PIN of that file, which is presented once. */
  static open(uri: string, pinFile: string): Pkcs11Keys {
    const location = parseTokenUri(uri);
    const pin = readPin(pinFile);
    const module = loadModule(location.modulePath);
    asked(() => module.cryptoki.C_Initialize());
    try {
      return new Pkcs11Keys(module, entered(module, location, pin));
    } catch (error) {
      module.cryptoki.C_Finalize();
      throw error;
    }
  }

  /** End the session, and let go of the module. */
  close(): void {
    const { cryptoki } = this.#module;
    asked(() => cryptoki.C_Logout(this.#session));
    asked(() => cryptoki.C_CloseSession(this.#session));
    asked(() => cryptoki.C_Finalize());
  }

  makeIdentity(): string {
    for (const label of [IDENTITY, SEALING])
      require(this.#find(label).length === 0, "KEY_INVALID", `the token holds a key ${label} already`);
    this.#generate(IDENTITY, CKA.VERIFY, CKA.SIGN);
    this.#generate(SEALING, CKA.DERIVE, CKA.DERIVE);
    return IDENTITY;
  }

  signingKey(reference: string): SigningKey {
    const handle = this.#private(reference);
    return new SigningKey({
      publicKey: compressed(this.#public(reference)),
      sign: async (data) => this.#sign(handle, data),
    });
  }

  makeKemHalf(): string {
    const label = EPOCH_PREFIX + randomBytes(ID_BYTES).toString("hex");
    this.#generate(label, CKA.DERIVE, CKA.DERIVE);
    return label;
  }

  kemHalf(reference: string): KemHalf {
    return { ...this.#agreementKey(reference), publicKey: this.#public(reference) };
  }

  /** Its public half stands nowhere: no public object is made. */
  importRegistrationSecret(secret: Uint8Array, serial: Uint8Array): string {
    const label = SECRET_PREFIX + hex(serial);
    this.destroy(label);
    const value = Buffer.from(secret);
    const template = [
      ...named(label),
      ...guarded(CKA.DERIVE),
      { type: CKA.CLASS, value: CKO.PRIVATE_KEY },
      { type: CKA.KEY_TYPE, value: CKK.EC },
      { type: CKA.EC_PARAMS, value: P256 },
      { type: CKA.VALUE, value },
    ];
    try {
      asked(() => this.#module.cryptoki.C_CreateObject(this.#session, template));
    } finally {
      value.fill(0);
    }
    return label;
  }

  registrationSecret(reference: string): AgreementKey {
    return this.#agreementKey(reference);
  }

  destroy(reference: string): void {
    for (const handle of this.#find(reference))
      asked(() => this.#module.cryptoki.C_DestroyObject(this.#session, handle));
  }

  seal(plaintext: Uint8Array): Uint8Array {
    return sealAtRest((message) => this.#prf(message), SEALING, FIRST_GENERATION, plaintext, PLACE);
  }

  unseal(sealed: Uint8Array): Uint8Array {
    return unsealAtRest((message) => this.#prf(message), SEALING, sealed, PLACE);
  }

  /** PRF of a person, whose card may have no HMAC keys: agree on a point that the message gives (docs/protocol.md, 1). */
  #prf(message: Uint8Array): Uint8Array {
    return prfOf(this.#multiply(this.#private(SEALING), hashToCurve(message)), message);
  }

  #agreementKey(reference: string): AgreementKey {
    const handle = this.#private(reference);
    return {
      exchange: async (peer) => this.#multiply(handle, peer),
      prf: async (peer, message) => prfOf(this.#multiply(handle, peer), message),
    };
  }

  #sign(handle: Handle, data: Uint8Array): Uint8Array {
    const { cryptoki } = this.#module;
    const signature = asked(() => {
      cryptoki.C_SignInit(this.#session, { mechanism: CKM.ECDSA }, handle);
      return cryptoki.C_Sign(this.#session, Buffer.from(sha256(data)), Buffer.alloc(2 * SIGNATURE_BYTES));
    });
    return new Uint8Array(signature);
  }

  /** x(d Q), 32 bytes: derived as an object of the session, read and destroyed, whatever happens. */
  #multiply(handle: Handle, peer: Uint8Array): Uint8Array {
    const { cryptoki, ecdhParameters } = this.#module;
    // A point that is none is refused here: not every token looks, and what fails after this is the token's fault.
    const publicData = Buffer.from(uncompressed(peer));
    const parameter = { type: ecdhParameters, kdf: CKD_NULL, publicData };
    const derived = asked(() =>
      cryptoki.C_DeriveKey(this.#session, { mechanism: CKM.ECDH1_DERIVE, parameter }, handle, DERIVED),
    );
    try {
      const x = new Uint8Array(this.#read(derived, CKA.VALUE));
      require(x.length === SECRET_BYTES, "TOKEN_UNAVAILABLE", "the token gave no secret of 32 bytes");
      return x;
    } finally {
      asked(() => cryptoki.C_DestroyObject(this.#session, derived));
    }
  }

  #generate(label: string, publicUsage: number, privateUsage: number): void {
    const names = named(label);
    const outer = [
      ...names,
      { type: CKA.TOKEN, value: true },
      { type: CKA.PRIVATE, value: false },
      { type: publicUsage, value: true },
      { type: CKA.EC_PARAMS, value: P256 },
    ];
    const inner = [...names, ...guarded(privateUsage)];
    asked(() =>
      this.#module.cryptoki.C_GenerateKeyPair(this.#session, { mechanism: CKM.EC_KEY_PAIR_GEN }, outer, inner),
    );
  }

  /** The one private key of a label, once the token says that it can't be read. */
  #private(label: string): Handle {
    const handle = this.#one(label, { type: CKA.CLASS, value: CKO.PRIVATE_KEY });
    const guards = [CKA.SENSITIVE, CKA.EXTRACTABLE].map((type) => this.#read(handle, type)[0] === 1);
    require(guards[0] === true && guards[1] === false, "KEY_INVALID", `the key ${label} can be read out of the token`);
    return handle;
  }

  /** The public half of a label, 65 bytes: tokens give it as DER, some raw. */
  #public(label: string): Uint8Array {
    const encoded = this.#read(this.#one(label, { type: CKA.CLASS, value: CKO.PUBLIC_KEY }), CKA.EC_POINT);
    const isDer = encoded.subarray(0, OCTET_STRING.length).equals(OCTET_STRING);
    const point = new Uint8Array(isDer ? encoded.subarray(OCTET_STRING.length) : encoded);
    requireUncompressed(point);
    return point;
  }

  #one(label: string, kind: Attribute): Handle {
    const [handle, another] = this.#find(label, kind);
    require(handle !== undefined &&
      another === undefined, "KEY_NOT_FOUND", `the token holds no, or no single key ${label}`);
    return handle;
  }

  #find(label: string, ...more: readonly Attribute[]): Handle[] {
    const { cryptoki } = this.#module;
    return asked(() => {
      cryptoki.C_FindObjectsInit(this.#session, [{ type: CKA.LABEL, value: label }, ...more]);
      try {
        return cryptoki.C_FindObjects(this.#session, MOST_OBJECTS);
      } finally {
        cryptoki.C_FindObjectsFinal(this.#session);
      }
    });
  }

  #read(handle: Handle, type: number): Buffer {
    const told = asked(() => this.#module.cryptoki.C_GetAttributeValue(this.#session, handle, [{ type }]));
    return told[0]!.value;
  }
}

/** What is derived: an object of the session that can be read. */
const DERIVED: readonly Attribute[] = [
  { type: CKA.CLASS, value: CKO.SECRET_KEY },
  { type: CKA.KEY_TYPE, value: CKK.GENERIC_SECRET },
  { type: CKA.VALUE_LEN, value: SECRET_BYTES },
  { type: CKA.TOKEN, value: false },
  { type: CKA.PRIVATE, value: true },
  { type: CKA.SENSITIVE, value: false },
  { type: CKA.EXTRACTABLE, value: true },
];

/** What every private key has: it stays in the token, and can't be read, changed or copied. */
function guarded(usage: number): Attribute[] {
  return [
    { type: CKA.TOKEN, value: true },
    { type: CKA.PRIVATE, value: true },
    { type: CKA.SENSITIVE, value: true },
    { type: CKA.EXTRACTABLE, value: false },
    { type: CKA.MODIFIABLE, value: false },
    { type: CKA.COPYABLE, value: false },
    { type: usage, value: true },
  ];
}

function named(label: string): Attribute[] {
  return [
    { type: CKA.LABEL, value: label },
    { type: CKA.ID, value: randomBytes(ID_BYTES) },
  ];
}

function entered({ cryptoki }: Module, location: Location, pin: string): Handle {
  const fitting = asked(() => cryptoki.C_GetSlotList(true))
    .map((slot) => ({ slot, info: asked(() => cryptoki.C_GetTokenInfo(slot)) }))
    .filter(({ info }) => fits(info, location));
  const [found, another] = fitting;
  require(found !== undefined &&
    another === undefined, "TOKEN_NOT_FOUND", `${fitting.length} tokens are what the URI names`);
  requireTries(found.info.flags);
  const session = asked(() => cryptoki.C_OpenSession(found.slot, CKF.SERIAL_SESSION | CKF.RW_SESSION));
  try {
    cryptoki.C_Login(session, CKU.USER, pin);
  } catch (error) {
    throw refusedLogin(error);
  }
  return session;
}

function fits(info: TokenInfo, location: Location): boolean {
  const names = ["label", "serialNumber", "manufacturerID", "model"] as const;
  // What a token says is padded with blanks.
  return names.every((name) => location[name] === undefined || location[name] === info[name].trimEnd());
}

/** Refuse a login that is no use, or may be the last: a program does not spend a person's last try. */
export function requireTries(flags: number): void {
  require((flags & CKF.USER_PIN_LOCKED) === 0, "PIN_LOCKED", "the PIN of the token is locked");
  require((flags & CKF.USER_PIN_FINAL_TRY) ===
    0, "PIN_FINAL_TRY", "the token allows one more try: log in by its maker's tool first");
}

/** What a refused login says. */
export function refusedLogin(cause: unknown): Refusal {
  const { code } = cause as { code?: number };
  if (code === CKR.PIN_LOCKED) return new Refusal("PIN_LOCKED", "the token has locked its PIN", { cause });
  const isWrong = [CKR.PIN_INCORRECT, CKR.PIN_INVALID, CKR.PIN_LEN_RANGE].some((one) => one === code);
  return isWrong ? new Refusal("PIN_INCORRECT", "the token does not take the PIN", { cause }) : unavailable(cause);
}

/** What the token does, if it does it. */
function asked<T>(step: () => T): T {
  try {
    return step();
  } catch (error) {
    throw unavailable(error);
  }
}

function unavailable(cause: unknown): Refusal {
  return new Refusal("TOKEN_UNAVAILABLE", "the token does not do what it was asked", { cause });
}
