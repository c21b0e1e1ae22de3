/** Where a client may dial, if not everywhere: an address is another party's word, and could name a host of this side's own network. */

import { lookup } from "node:dns";
import { BlockList, isIP, isIPv4, type LookupFunction } from "node:net";
import { Refusal, require } from "../protocol/refusal.js";
import { addressOf } from "../protocol/rules.js";

/** Networks in CIDR notation, `192.0.2.0/24` or `2001:db8::/32`; only what lies in one of them is dialled. */
export class Networks {
  readonly #allowed = new BlockList();

  constructor(networks: readonly string[]) {
    for (const network of networks) {
      const [, base, prefix] = /^([0-9A-Fa-f:.]+)\/([0-9]{1,3})$/.exec(network) ?? [];
      const isNetwork = base !== undefined && isIP(base) !== 0 && isPrefix(base, Number(prefix));
      require(isNetwork, "FIELD_INVALID", `${network} is no network such as 192.0.2.0/24 or 2001:db8::/32`);
      this.#allowed.addSubnet(base, Number(prefix), isIPv4(base) ? "ipv4" : "ipv6");
    }
  }

  /** Refuse an address that is a number outside these networks. A name is looked at when it is resolved. */
  requireAllowed(address: string): void {
    const { host } = addressOf(address)!;
    if (isIP(host) !== 0) this.#requireInside(host);
  }

  /** Resolve a name for the connection that is being made: one address outside these networks, and none of them is dialled. */
  readonly lookup: LookupFunction = (host, options, callback) => {
    lookup(host, { ...options, all: true }, (error, found) => {
      try {
        if (error !== null) throw error;
        found.forEach(({ address }) => this.#requireInside(address));
      } catch (refused) {
        callback(refused as Error, []);
        return;
      }
      if (options.all) callback(null, found);
      else callback(null, found[0]!.address, found[0]!.family);
    });
  };

  #requireInside(address: string): void {
    const isInside = this.#allowed.check(address, isIPv4(address) ? "ipv4" : "ipv6");
    if (!isInside) throw new Refusal("NETWORK_FORBIDDEN", `${address} is in none of the networks that may be dialled`);
  }
}

/** Whether an address has so many bits, and none is set beyond them: otherwise somebody meant another network, or one host. */
function isPrefix(address: string, prefix: number): boolean {
  const hostBits = (isIPv4(address) ? 32 : 128) - prefix;
  return hostBits >= 0 && BigInt.asUintN(hostBits, numberOf(address)) === 0n;
}

function numberOf(address: string): bigint {
  if (isIPv4(address)) return address.split(".").reduce((number, octet) => (number << 8n) | BigInt(octet), 0n);
  const written = new URL(`http://[${address}]`).hostname.slice(1, -1); // in hexadecimal groups, whatever was written
  const [head, tail = []] = written.split("::").map((half) => half.split(":").filter((group) => group !== ""));
  const zeros = Array<string>(8 - head!.length - tail.length).fill("0");
  return [...head!, ...zeros, ...tail].reduce((number, group) => (number << 16n) | BigInt(`0x${group}`), 0n);
}
