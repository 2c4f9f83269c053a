/** The SDK in a mini-program on a person's phone, against the whole product with its sandbox. */
import { join } from 'node:path';
import type { Heyi } from '../../sdk/miniprogram/lib/index.js';
import { projectRoot } from '../../src/config.ts';
import { describeWorld, type World } from '../e2e/world.ts';
import { runningApp } from '../helpers/app.ts';
import {
  createPhone,
  type LaunchOptions,
  type PhoneSettings,
  type Program,
  type Scope,
  sandboxCodes,
} from '../helpers/wx.ts';

export const sdk = join(projectRoot, 'sdk/miniprogram/lib/index.js');

export async function startWorld(): Promise<World> {
  const { config } = await runningApp();
  const at = (port: number) => `http://localhost:${port}`;
  return describeWorld(config.publicUrl, at(config.sandboxPort), at(config.demoPort));
}

let next = 0;

/** A person of the sandbox with a phone in hand. */
export async function someone(world: World, settings: PhoneSettings = {}) {
  const number = `+861371234${1000 + next++}`;
  const personId = await world.addPerson(`用户${next}`, number);
  const phone = createPhone({ codes: sandboxCodes(world.sandbox, personId), ...settings });
  return { phone, number, ...program(world, phone) };
}

type Phone = ReturnType<typeof createPhone>;

/** A small shop: two pages, one that can be shared. */
function program(world: World, phone: Phone) {
  const shop = (options: object): Program => ({
    app: (scope) => {
      const { createHeyi } = scope.require(sdk);
      const heyi: Heyi = createHeyi({
        issuer: world.heyi,
        clientId: 'demo-miniprogram',
        writeKey: 'demo-client-key',
        ...options,
      });
      scope.App(heyi.app({ heyi }));
    },
    pages: {
      'pages/index/index': ({ Page, getApp }) => Page(heyiOf(getApp).page({}, { title: '首页' })),
      'pages/product/product': ({ Page, getApp }) =>
        Page(
          heyiOf(getApp).page({
            onShareAppMessage: () => ({ title: '紫砂壶' }),
            onShareTimeline: () => ({ title: '紫砂壶', query: 'id=1' }),
          }),
        ),
    },
  });
  return {
    launch(options: Partial<LaunchOptions> = {}, settings: object = {}) {
      const running = phone.launch(shop(settings), options);
      return Object.assign(running, { heyi: heyiOf(running.app) });
    },
    /** Changes what the phone holds, as time would. */
    change(key: string, changes: object) {
      phone.storage.set(key, JSON.stringify({ ...phone.stored(key), ...changes }));
    },
    /** The events that wait in the phone's storage. */
    waiting: () =>
      [...phone.storage]
        .filter(([key]) => key.startsWith('heyi.queue.'))
        .flatMap(([, text]) => JSON.parse(text) as { sub?: string; event: SentEvent }[]),
  };
}

const heyiOf = (app: () => Scope): Heyi => app().heyi;

export type SentEvent = {
  type: string;
  event?: string;
  name?: string;
  messageId: string;
  anonymousId: string;
  userId?: string;
  properties: Record<string, unknown>;
  context: Record<string, unknown>;
};

/** Events as they left the phone, in order. */
export function sentEvents({ line }: Phone): SentEvent[] {
  return line
    .sentTo('/v1/batch')
    .filter(({ status }) => status === 200)
    .flatMap(({ body }) => JSON.parse(body).batch);
}

export type Stored = {
  event: string;
  message_id: string;
  properties: Record<string, unknown>;
  trust: string;
  channel: string;
  consents: string[];
};

/** What Heyi has of a person, oldest first. */
export async function timelineOf(world: World, sub: string): Promise<Stored[]> {
  const { data } = (await world.api(`/subjects/${sub}/events`)) as { data: Stored[] };
  return data.reverse();
}
