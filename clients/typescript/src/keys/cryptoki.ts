/**
 * As much of PKCS#11 (2.40) as is asked of a token here, in the form that the package pkcs11js gives it. That is an optional
 * dependency, for it has to be compiled: its types stand here, so that the client builds without it.
 */

import { createRequire } from "node:module";
import { Refusal } from "../protocol/refusal.js";

export type Handle = Buffer;

export interface Attribute {
  readonly type: number;
  readonly value?: number | boolean | string | Buffer;
}

export interface Mechanism {
  readonly mechanism: number;
  readonly parameter?: { readonly type: number; readonly kdf: number; readonly publicData: Buffer };
}

export interface TokenInfo {
  readonly label: string;
  readonly manufacturerID: string;
  readonly model: string;
  readonly serialNumber: string;
  readonly flags: number;
}

export interface Cryptoki {
  load(path: string): void;
  C_Initialize(): void;
  C_Finalize(): void;
  C_GetSlotList(tokenPresent: boolean): Handle[];
  C_GetTokenInfo(slot: Handle): TokenInfo;
  C_InitToken(slot: Handle, pin: string, label: string): unknown;
  C_InitPIN(session: Handle, pin: string): void;
  C_OpenSession(slot: Handle, flags: number): Handle;
  C_CloseSession(session: Handle): void;
  C_Login(session: Handle, user: number, pin: string): void;
  C_Logout(session: Handle): void;
  C_CreateObject(session: Handle, template: readonly Attribute[]): Handle;
  C_DestroyObject(session: Handle, object: Handle): void;
  C_FindObjectsInit(session: Handle, template: readonly Attribute[]): void;
  C_FindObjects(session: Handle, most: number): Handle[];
  C_FindObjectsFinal(session: Handle): void;
  C_GetAttributeValue(session: Handle, object: Handle, template: readonly Attribute[]): { readonly value: Buffer }[];
  C_GenerateKeyPair(
    session: Handle,
    mechanism: Mechanism,
    publicKey: readonly Attribute[],
    privateKey: readonly Attribute[],
  ): unknown;
  C_SignInit(session: Handle, mechanism: Mechanism, key: Handle): void;
  C_Sign(session: Handle, data: Buffer, output: Buffer): Buffer;
  C_DeriveKey(session: Handle, mechanism: Mechanism, key: Handle, template: readonly Attribute[]): Handle;
}

interface Library {
  readonly PKCS11: new () => Cryptoki;
  readonly CK_PARAMS_EC_DH: number;
}

export const CKO = { PUBLIC_KEY: 2, PRIVATE_KEY: 3, SECRET_KEY: 4 } as const;
export const CKK = { EC: 3, GENERIC_SECRET: 0x10 } as const;
export const CKM = { EC_KEY_PAIR_GEN: 0x1040, ECDSA: 0x1041, ECDH1_DERIVE: 0x1050 } as const;
export const CKD_NULL = 1;
export const CKA = {
  CLASS: 0,
  TOKEN: 1,
  PRIVATE: 2,
  LABEL: 3,
  VALUE: 0x11,
  KEY_TYPE: 0x100,
  ID: 0x102,
  SENSITIVE: 0x103,
  SIGN: 0x108,
  VERIFY: 0x10a,
  DERIVE: 0x10c,
  VALUE_LEN: 0x161,
  EXTRACTABLE: 0x162,
  MODIFIABLE: 0x170,
  COPYABLE: 0x171,
  EC_PARAMS: 0x180,
  EC_POINT: 0x181,
} as const;
export const CKU = { OFFICER: 0, USER: 1 } as const;
export const CKF = { RW_SESSION: 2, SERIAL_SESSION: 4, USER_PIN_FINAL_TRY: 0x20000, USER_PIN_LOCKED: 0x40000 } as const;
export const CKR = { PIN_INCORRECT: 0xa0, PIN_INVALID: 0xa1, PIN_LEN_RANGE: 0xa2, PIN_LOCKED: 0xa4 } as const;

/** A module that is loaded, and the name that pkcs11js has for the parameters of ECDH. */
export interface Module {
  readonly cryptoki: Cryptoki;
  readonly ecdhParameters: number;
}

/** Load a token's module. */
export function loadModule(path: string): Module {
  const { PKCS11, CK_PARAMS_EC_DH: ecdhParameters } = library();
  const cryptoki = new PKCS11();
  try {
    cryptoki.load(path);
    return { cryptoki, ecdhParameters };
  } catch (error) {
    throw new Refusal("TOKEN_UNAVAILABLE", "the PKCS#11 module can't be loaded", { cause: error });
  }
}

function library(): Library {
  try {
    return createRequire(import.meta.url)("pkcs11js") as Library;
  } catch (error) {
    const sentence = "tokens need the package pkcs11js: install it again where there is a C++ compiler";
    throw new Refusal("TOKEN_UNAVAILABLE", sentence, { cause: error });
  }
}
