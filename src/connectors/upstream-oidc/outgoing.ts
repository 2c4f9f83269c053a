/**
 * Requests to an identity provider: bounded in time and size, never redirected, and never to an address of this machine or a private
 * network unless the operator of the server lists the exact origin (PRIVATE_ORIGINS): whoever may change a connector's settings
 * must not reach into our network by them. The address is looked at once the connection stands, so a name that leads elsewhere
 * the second time (DNS rebinding) gains nothing.
 */
import { BlockList, isIP } from 'node:net';
import type { CustomFetch } from 'openid-client';
import { Agent, buildConnector, request } from 'undici';
import { upstreamTimeout } from '../upstream.ts';

/** Special-use addresses (RFC 6890 and its successors). */
const special = new BlockList();
for (const [network, prefix] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['224.0.0.0', 3],
] as const)
  special.addSubnet(network, prefix, 'ipv4');
for (const [network, prefix] of [
  ['::', 127],
  ['64:ff9b::', 96],
  ['64:ff9b:1::', 48],
  ['fc00::', 7],
  ['fe80::', 10],
  ['ff00::', 8],
] as const)
  special.addSubnet(network, prefix, 'ipv6');

export function isSpecialAddress(address: string): boolean {
  const family = isIP(address);
  return family === 0 || special.check(address, family === 6 ? 'ipv6' : 'ipv4');
}

const limits = { headersTimeout: upstreamTimeout, bodyTimeout: upstreamTimeout, maxResponseSize: 256 * 1024 };
const connect = buildConnector({ timeout: 3_000 });
const anywhere = new Agent({ ...limits, connect: { timeout: 3_000 } });
const outside = new Agent({
  ...limits,
  connect: (options, done) =>
    connect(options, (error, socket) => {
      if (error) return done(error, null);
      if (!isSpecialAddress(socket.remoteAddress ?? '')) return done(null, socket);
      socket.destroy();
      done(new Error('a private address'), null);
    }),
});

export type Outgoing = {
  fetch: CustomFetch;
  /** The provider did not answer, or answered that it cannot: another time it may. */
  isAway(): boolean;
};

/** For the calls of one sign-in, which share one budget. */
export function outgoingTo(privateOrigins: string[]): Outgoing {
  const budget = AbortSignal.timeout(upstreamTimeout);
  let away = false;
  return {
    isAway: () => away,
    async fetch(url, { method, headers, body }) {
      try {
        const dispatcher = privateOrigins.includes(new URL(url).origin) ? anywhere : outside;
        const text = body instanceof URLSearchParams ? body.toString() : (body as string | null | undefined);
        const answer = await request(url, {
          method: method as 'GET' | 'POST',
          headers,
          body: text,
          signal: budget,
          dispatcher,
        });
        const content = await answer.body.text();
        away = answer.statusCode >= 500 || answer.statusCode === 429;
        const type = String(answer.headers['content-type'] ?? '');
        const isEmpty = answer.statusCode === 204 || answer.statusCode === 304;
        return new Response(isEmpty ? null : content, { status: answer.statusCode, headers: { 'content-type': type } });
      } catch (error) {
        away = true;
        throw error;
      }
    },
  };
}
