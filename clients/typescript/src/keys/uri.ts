/** Which token, through which module: a URI of RFC 7512, narrowed to what selects one token safely. */

import { isAbsolute } from "node:path";
import { Refusal, require } from "../protocol/refusal.js";

/**
 * A token is never named by a slot number, which moves, and a module never by a search path: that would decide which code
 * gets the PIN.
 */
export interface Location {
  readonly modulePath: string;
  readonly label: string | undefined;
  readonly serialNumber: string | undefined;
  readonly manufacturerID: string | undefined;
  readonly model: string | undefined;
}

/**
 * Read a URI such as pkcs11:token=A;serial=1?module-path=/lib/p11.so. A PIN has no place in it. What is refused is not
 * repeated.
 */
export function parseTokenUri(text: string): Location {
  const [, path, query = ""] = /^pkcs11:([^?]*)(?:\?(.*))?$/.exec(text) ?? [];
  require(path !==
    undefined, "TOKEN_URI_INVALID", "a token's URI reads pkcs11:token=LABEL?module-path=/PATH, with no PIN in it");
  const { token, serial, manufacturer, model } = attributes(path, ";", ["token", "serial", "manufacturer", "model"]);
  const { "module-path": modulePath } = attributes(query, "&", ["module-path"]);
  const named = (token !== undefined || serial !== undefined) && modulePath !== undefined && isAbsolute(modulePath);
  require(named, "TOKEN_URI_INVALID", "a token's URI names its label or serial number, and its module by an absolute path");
  return { modulePath, label: token, serialNumber: serial, manufacturerID: manufacturer, model };
}

/** Read a=b;c=d: known names, each at most once. */
function attributes(text: string, separator: string, names: readonly string[]): Record<string, string | undefined> {
  const found: Record<string, string> = {};
  for (const part of text.split(separator).filter((one) => one !== "")) {
    const [name = "", ...rest] = part.split("=");
    const value = decoded(rest.join("="));
    const known = names.includes(name) && found[name] === undefined && value !== "";
    require(known, "TOKEN_URI_INVALID", "a token's URI has an attribute that is not taken here, or one twice");
    found[name] = value;
  }
  return found;
}

function decoded(value: string): string {
  try {
    return decodeURIComponent(value);
  } catch (error) {
    throw new Refusal("TOKEN_URI_INVALID", "a token's URI is not encoded as it has to be", { cause: error });
  }
}
