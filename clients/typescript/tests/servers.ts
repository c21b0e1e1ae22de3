/** Servers of a test's own on this machine. */

import { createServer, type Http2Server } from "node:http2";
import type { AddressInfo, Server } from "node:net";
import type { TestContext } from "node:test";
import type { ConnectRouter, Transport } from "@connectrpc/connect";
import { connectNodeAdapter, createGrpcTransport } from "@connectrpc/connect-node";

/** Serve these routes over HTTP/2 without TLS until the test is over; give a transport to them. */
export async function served(context: TestContext, routes: (router: ConnectRouter) => void): Promise<Transport> {
  const port = await listening(context, createServer(connectNodeAdapter({ routes })));
  return createGrpcTransport({ baseUrl: `http://127.0.0.1:${port}`, defaultTimeoutMs: 15_000 });
}

/** google.rpc.ErrorInfo. */
export function errorInfo(reason: string, domain = "medunion"): Uint8Array {
  const [word, of] = [new TextEncoder().encode(reason), new TextEncoder().encode(domain)];
  return new Uint8Array([0x0a, word.length, ...word, 0x12, of.length, ...of]);
}

/** Let a server listen until the test is over; give its port. */
export async function listening(context: TestContext, server: Http2Server | Server): Promise<number> {
  const sessions = new Set<{ destroy(): void }>();
  server.on("session", (session) => sessions.add(session));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  context.after(() => {
    sessions.forEach((session) => session.destroy());
    server.close();
  });
  return (server.address() as AddressInfo).port;
}
