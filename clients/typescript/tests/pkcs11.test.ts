/** A party's keys in a PKCS#11 token: what every key store has to do, and what a token has besides. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { Home } from "../src/client/home.js";
import { register } from "../src/client/registration.js";
import { isOver } from "../src/keys/epoch.js";
import { CKA, CKF, CKR, type Cryptoki, type Handle, loadModule } from "../src/keys/cryptoki.js";
import { KeyFile } from "../src/keys/file.js";
import { type KeyStore, requireConsistent } from "../src/keys/keys.js";
import { Pkcs11Keys, refusedLogin, requireTries } from "../src/keys/pkcs11.js";
import { SoftwareKeys } from "../src/keys/software.js";
import { parseTokenUri } from "../src/keys/uri.js";
import { agree } from "../src/protocol/agreement.js";
import { fromHex, hex, text } from "../src/protocol/bytes.js";
import { compressed, pointOver } from "../src/protocol/curve.js";
import { DecryptionKey, seal } from "../src/protocol/hpke.js";
import { sharedKey } from "../src/protocol/party.js";
import { isEcdsa, isSignature } from "../src/protocol/signatures.js";
import type { VerifiedParty } from "../src/protocol/verifier.js";
import { Pkcs10CertificateRequest } from "../src/protocol/x509.js";
import { now } from "./cast.js";
import { StubCloud } from "./clouds.js";
import { madeHome, trustIn } from "./homes.js";
import { madeToken, modulePath, type TestToken } from "./softhsm.js";
import { vectors } from "./vectors.js";

const PROGRAM = new URL("../src/main.js", import.meta.url).pathname;
const NOW = 1_800_000_000_000n;
const DAY = 24n * 3_600_000n;
const serialOf = (number: number) => new Uint8Array(16).fill(number);

function opened(context: TestContext, token: TestToken): Pkcs11Keys {
  const store = Pkcs11Keys.open(token.uri, token.pinFile);
  context.after(() => store.close());
  return store;
}

/** Both kinds of store, the token's with an identity in it. */
function stores(context: TestContext): [string, KeyStore, string][] {
  const token = madeToken("both");
  const kinds: [string, KeyStore][] = [
    ["software", new SoftwareKeys(token.pinFile)],
    ["token", opened(context, token)],
  ];
  return kinds.map(([name, store]) => [name, store, store.makeIdentity()]);
}

test("a store signs", async (context) => {
  for (const [name, store, identity] of stores(context)) {
    const key = store.signingKey(identity);
    for (let round = 0; round < 8; round++) {
      const message = randomBytes(40);
      assert.ok(isSignature(key.publicKey, await key.sign(message), message), name);
      assert.ok(isEcdsa(key.publicKey, await key.signX509(message), message), name);
    }
  }
});

test("a store agrees by the vectors, leading zeros kept, and refuses what is no point", async (context) => {
  for (const [name, store] of stores(context)) {
    for (const [number, vector] of vectors("agreement").entries()) {
      const key = store.registrationSecret(
        store.importRegistrationSecret(fromHex(vector.private_key), serialOf(number)),
      );
      const made = await agree(key, pointOver(fromHex(vector.point)), vector.label, ...vector.fields.map(fromHex));
      assert.equal(hex(made), vector.value, `${name}: ${vector.name}`);
    }
    const key = store.registrationSecret(store.importRegistrationSecret(new Uint8Array(32).fill(7), serialOf(99)));
    const none = vectors("points").find(({ name }) => name === "an x of no point").point;
    await assert.rejects(key.prf(pointOver(fromHex(none)), text("m")), { reason: "INVALID_POINT" }, name);
  }
});

test("a store takes S_X of a credential, and K_X comes from it", async (context) => {
  const issued = vectors("issuing").filter(({ expect }) => expect === "success");
  for (const [name, store] of stores(context)) {
    for (const [number, vector] of issued.entries()) {
      const reference = store.importRegistrationSecret(fromHex(vector.registration_secret), serialOf(number));
      const secret = store.registrationSecret(reference);
      await requireConsistent(secret, partyOf(vector));
      assert.equal(hex(await sharedKey(secret, partyOf(vector))), vector.shared_key, name);
      const other = partyOf(issued.find(({ public_point: point }) => point !== vector.public_point));
      await assert.rejects(requireConsistent(secret, other), { reason: "CREDENTIAL_MISMATCH" }, name);
    }
  }
});

function partyOf(vector: Record<string, string>): VerifiedParty {
  const { identity, serial, registration_point: rho, public_point: point } = vector;
  const said = { identity: identity!, serial: fromHex(serial!) };
  return { ...said, registrationPoint: fromHex(rho!), publicPoint: fromHex(point!) } as VerifiedParty;
}

test("a store opens what is sealed to its half of a KEM key, and only while it holds it", async (context) => {
  for (const [name, store] of stores(context)) {
    const reference = store.makeKemHalf();
    const key = new DecryptionKey(randomBytes(64), store.kemHalf(reference));
    const sealed = await seal(key.encryptionKey, text("plaintext"), text("info"));
    assert.deepEqual(await key.open(sealed, text("info")), text("plaintext"), name);
    await assert.rejects(key.open(sealed, text("other")), { reason: "SEAL_INVALID" }, name);
    store.destroy(reference);
    store.destroy(reference);
    if (name === "token") assert.throws(() => store.kemHalf(reference), { reason: "KEY_NOT_FOUND" });
  }
});

test("a store seals the key file", (context) => {
  for (const [name, store] of stores(context)) {
    const sealed = store.seal(text("kept"));
    assert.deepEqual(new Uint8Array(store.unseal(sealed)), text("kept"), name);
    sealed[sealed.length - 1]! ^= 1;
    const reason = name === "token" ? "SEAL_BROKEN" : "PIN_INCORRECT";
    assert.throws(() => store.unseal(sealed), { reason }, name);
  }
});

test("a key file finds its keys in the token again, destroys them there, and does without what a crash left", async (context) => {
  const token = madeToken("kept");
  const [path, store] = [`${token.directory}/keys.sealed`, Pkcs11Keys.open(token.uri, token.pinFile)];
  const made = await KeyFile.create(path, store, "P:wang", NOW);
  const later = await made.beginEpoch("P:wang", NOW + DAY);
  const { encryptionKey } = made.epochs[0]!.decryptionKey;
  const sealed = await seal(encryptionKey, text("plaintext"), text(""));
  const party = partyOf(vectors("issuing")[0]);
  const secret = fromHex(vectors("issuing")[0].registration_secret);
  const wrong = new Uint8Array(32).fill(3);
  await assert.rejects(later.keepRegistrationSecret(wrong, party), { reason: "CREDENTIAL_MISMATCH" });
  assert.throws(() => later.registrationSecret, { reason: "NOT_REGISTERED" });
  await later.keepRegistrationSecret(secret, party);
  assert.deepEqual([secret, wrong], [new Uint8Array(32), new Uint8Array(32)]);
  store.close();

  const again = opened(context, token);
  const file = KeyFile.open(path, again);
  assert.deepEqual(file.signingKey.publicKey, made.signingKey.publicKey);
  assert.deepEqual(await file.epochs[0]!.decryptionKey.open(sealed, text("")), text("plaintext"));
  await requireConsistent(file.registrationSecret, party);
  const forgotten = file.forget((epoch) => isOver(epoch, NOW + 7n * DAY + 300_000n));
  assert.equal(forgotten.epochs.length, 1);
  await assert.rejects(file.epochs[0]!.decryptionKey.open(sealed, text("")));
  labels("kem-").forEach((label) => again.destroy(label));
  assert.deepEqual(KeyFile.open(path, again).epochs, []);
});

/** The labels in the token that begin so. */
function labels(prefix: string): string[] {
  return inspected(({ cryptoki, session, handles }) =>
    handles
      .map((handle) => cryptoki.C_GetAttributeValue(session, handle, [{ type: CKA.LABEL }])[0]!.value.toString())
      .filter((label) => label.startsWith(prefix)),
  );
}

interface Inspection {
  readonly cryptoki: Cryptoki;
  readonly session: Handle;
  readonly handles: readonly Handle[];
}

/** Look into the token beside the session that is logged in. */
function inspected<T>(look: (inspection: Inspection) => T): T {
  const { cryptoki } = loadModule(modulePath());
  const session = cryptoki.C_OpenSession(cryptoki.C_GetSlotList(true)[0]!, CKF.SERIAL_SESSION);
  try {
    cryptoki.C_FindObjectsInit(session, []);
    const handles = cryptoki.C_FindObjects(session, 100);
    cryptoki.C_FindObjectsFinal(session);
    return look({ cryptoki, session, handles });
  } finally {
    cryptoki.C_CloseSession(session);
  }
}

test("a patient registers and acts with its keys in a token, and a token serves one party", async (context) => {
  context.mock.timers.enable({ apis: ["Date"], now: Number(now) });
  const token = madeToken("home");
  const place = { pinFile: token.pinFile, token: token.uri };
  const { home, reopened } = await madeHome(context, place);
  const cloud = new StubCloud();
  await register(home, new Uint8Array(32).fill(1), new Uint8Array(16).fill(2), cloud.caller());
  home.close();
  const again = await cloud.caller().refresh(reopened());
  const party = await again.party(now);
  await requireConsistent(party.registrationSecret, party.self);
  assert.ok(isSignature(party.self.verifyingKey, await party.signingKey.sign(text("m")), text("m")));
  assert.equal((await again.beginEpoch(now)).notAfter, now + 7n * DAY);
  assert.equal(labels("kem-").length, 4); // two pairs
  again.close();
  await assert.rejects(madeHome(context, place), { reason: "KEY_INVALID" });
});

test("a doctor's keys are made in the token that the command names", (context) => {
  const token = madeToken("init");
  const home = join(token.directory, "home");
  const trust = ["--trust", trustIn(token.directory), "--identity", "D:rossi", "--token", token.uri];
  const init = (pinFile: string, ...more: string[]) => {
    const words = ["doctor", "init", "--directory", home, "--pin-file", pinFile, ...trust, ...more];
    return JSON.parse(spawnSync(process.execPath, [PROGRAM, ...words], { encoding: "utf8" }).stdout);
  };
  assert.deepEqual(init(token.wrongPinFile), { reason: "PIN_INCORRECT" });
  assert.ok(!existsSync(home));
  const request = readFileSync(init(token.pinFile).request);
  const { publicKey } = new Pkcs10CertificateRequest(request as never);
  const reopened = Home.open(home, token.pinFile);
  context.after(() => reopened.close());
  const own = compressed(new Uint8Array(publicKey.rawData.slice(-65)));
  assert.deepEqual(reopened.keys.signingKey.publicKey, own);
});

test("no key can be read out of the token, and S_X has no public half there", (context) => {
  const store = opened(context, madeToken("guarded"));
  store.makeIdentity();
  store.makeKemHalf();
  store.importRegistrationSecret(new Uint8Array(32).fill(7), serialOf(1));
  inspected(({ cryptoki, session, handles }) => {
    const read = (handle: Handle, type: number) => cryptoki.C_GetAttributeValue(session, handle, [{ type }])[0]!.value;
    const secret = handles.filter((handle) => read(handle, CKA.PRIVATE)[0] === 1);
    assert.equal(secret.length, 4);
    for (const handle of secret) assert.throws(() => read(handle, CKA.VALUE));
    const shown = handles.filter((handle) => read(handle, CKA.PRIVATE)[0] === 0);
    assert.equal(shown.length, 3);
    assert.ok(shown.every((handle) => !read(handle, CKA.LABEL).toString().startsWith("registration-secret-")));
  });
});

test("a token is opened by its own URI and PIN, and made at home in once", (context) => {
  const token = madeToken("once");
  const open = (uri: string, pinFile = token.pinFile) => Pkcs11Keys.open(uri, pinFile);
  assert.throws(() => open(token.uri, token.wrongPinFile), { reason: "PIN_INCORRECT" });
  assert.throws(() => open(token.uri.replace("once", "nobody")), { reason: "TOKEN_NOT_FOUND" });
  assert.throws(() => open("pkcs11:token=once?module-path=/nowhere/p11.so"), { reason: "TOKEN_UNAVAILABLE" });
  const store = opened(context, token);
  assert.throws(() => store.signingKey("identity"), { reason: "KEY_NOT_FOUND" });
  store.makeIdentity();
  assert.throws(() => store.makeIdentity(), { reason: "KEY_INVALID" });
});

test("a fault of the token is no fault of a peer", async () => {
  const { uri, pinFile } = madeToken("lost");
  const store = Pkcs11Keys.open(uri, pinFile);
  const identity = store.makeIdentity();
  const key = new DecryptionKey(randomBytes(64), store.kemHalf(store.makeKemHalf()));
  const secret = store.registrationSecret(store.importRegistrationSecret(new Uint8Array(32).fill(7), serialOf(1)));
  const [signingKey, sealed] = [store.signingKey(identity), await seal(key.encryptionKey, text("m"), text(""))];
  store.close(); // as when the token is pulled out
  const lost = { reason: "TOKEN_UNAVAILABLE" };
  await assert.rejects(key.open(sealed, text("")), lost);
  await assert.rejects(signingKey.sign(text("m")), lost);
  await assert.rejects(secret.prf(pointOver(fromHex(vectors("points")[0].point)), text("m")), lost);
  assert.throws(() => store.seal(text("m")), lost);
});

test("the last try of a PIN is not spent", () => {
  requireTries(0x10000); // few tries are left, not one
  assert.throws(() => requireTries(CKF.USER_PIN_FINAL_TRY), { reason: "PIN_FINAL_TRY" });
  assert.throws(() => requireTries(CKF.USER_PIN_FINAL_TRY | CKF.USER_PIN_LOCKED), { reason: "PIN_LOCKED" });
  assert.equal(refusedLogin({ code: CKR.PIN_LOCKED }).reason, "PIN_LOCKED");
  assert.equal(refusedLogin({ code: CKR.PIN_LEN_RANGE }).reason, "PIN_INCORRECT");
  assert.equal(refusedLogin({ code: 0x30 }).reason, "TOKEN_UNAVAILABLE");
});

test("a URI names one token, its module by an absolute path, and no PIN", () => {
  const {
    label,
    serialNumber,
    modulePath: path,
  } = parseTokenUri("pkcs11:token=dr%20chen;serial=12?module-path=/lib/p11.so");
  assert.deepEqual([label, serialNumber, path], ["dr chen", "12", "/lib/p11.so"]);
  for (const text of [
    "",
    "pkcs11:",
    "pkcs11:token=a",
    "pkcs11:?module-path=/a",
    "pkcs11:token=a?module-path=a.so",
    "pkcs11:slot-id=0?module-path=/a",
    "pkcs11:token=a?module-path=/a&pin-value=1234",
    "pkcs11:token=a;token=b?module-path=/a",
    "pkcs11:token=%zz?module-path=/a",
  ])
    assert.throws(() => parseTokenUri(text), { reason: "TOKEN_URI_INVALID" }, text);
});
