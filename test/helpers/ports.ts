/**
 * Ports that nobody listens on, below the range from which systems take the ports of outgoing connections and of `listen(0)`
 * (32768 and up): one of that range, let go here, was sometimes taken by somebody's connection before the server under test had it.
 */
import { once } from 'node:events';
import { createServer, type Server } from 'node:net';

const first = 11_000;
const perWorker = 10_000;
const worker = Number(process.env.VITEST_POOL_ID ?? 1) % 2;
let next = Math.floor(Math.random() * perWorker);

/** Null when somebody has it. */
async function held(port: number): Promise<Server | null> {
  const server = createServer().listen(port, '127.0.0.1');
  try {
    await once(server, 'listening');
    return server;
  } catch {
    return null;
  }
}

export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  while (ports.length < count) {
    next = (next + 1) % perWorker;
    const port = first + worker * perWorker + next;
    const server = await held(port);
    if (!server) continue;
    await new Promise((resolve) => server.close(resolve));
    ports.push(port);
  }
  return ports;
}

export async function freePort(): Promise<number> {
  const [port = 0] = await freePorts(1);
  return port;
}
