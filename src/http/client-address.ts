/**
 * The address a request came from. X-Forwarded-For counts only as far as TRUST_PROXY says: anybody can write the rest
 * of it, and limits per address would be void (threat A42).
 */
import type { IncomingMessage } from 'node:http';
import { BlockList, isIPv4, isIPv6 } from 'node:net';

/** `false`, a number of trusted hops, or CIDR blocks of trusted proxies. */
export type Address = false | number | string[];

export function clientAddress(req: IncomingMessage, trust: Address): string {
  const peer = plain(req.socket.remoteAddress ?? '');
  if (trust === false) return peer;
  const header = req.headers['x-forwarded-for'];
  const claimed = String(header ?? '')
    .split(',')
    .map((part) => plain(part.trim()))
    .filter(Boolean);
  const chain = [...claimed, peer];
  let at = chain.length - 1;
  if (typeof trust === 'number') at = Math.max(0, chain.length - 1 - trust);
  else {
    const trusted = blockList(trust);
    while (at > 0 && contains(trusted, chain[at] ?? '')) at--;
  }
  const found = chain[at] ?? peer;
  return isIPv4(found) || isIPv6(found) ? found : peer;
}

/** The /24 of an IPv4 address, the /64 of an IPv6 one: what one household or one rented machine has to itself. */
export function networkOf(ip: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(ip)?.[1] ?? ip;
  if (!isIPv6(mapped)) return mapped.replace(/\.\d+$/, '.0/24');
  // The URL parser writes every spelling of an address the same way, with :: for its longest run of zeros.
  const [head = '', tail] = new URL(`http://[${mapped.replace(/%.*$/, '')}]`).hostname.slice(1, -1).split('::');
  const left = head ? head.split(':') : [];
  const right = tail ? tail.split(':') : [];
  const zeros = tail === undefined ? [] : Array<string>(8 - left.length - right.length).fill('0');
  return `${[...left, ...zeros, ...right].slice(0, 4).join(':')}::/64`;
}

/** What a limit counts by: whoever has one IPv6 address has its whole /64. */
export function limitedAddress({ state: { ip } }: { state: { ip: string } }): string {
  return ip.includes(':') ? networkOf(ip) : ip;
}

function plain(address: string): string {
  return address.replace(/^::ffff:(?=\d+\.)/, '').replace(/^\[(.*)\](:\d+)?$/, '$1');
}

const lists = new Map<string, BlockList>();

function blockList(blocks: string[]): BlockList {
  const name = blocks.join(',');
  let list = lists.get(name);
  if (!list) {
    list = new BlockList();
    for (const block of blocks) {
      const [address = '', bits] = block.split('/');
      const family = isIPv4(address) ? 'ipv4' : 'ipv6';
      list.addSubnet(address, Number(bits ?? (family === 'ipv4' ? 32 : 128)), family);
    }
    lists.set(name, list);
  }
  return list;
}

function contains(list: BlockList, address: string): boolean {
  if (isIPv4(address)) return list.check(address, 'ipv4');
  return isIPv6(address) && list.check(address, 'ipv6');
}
