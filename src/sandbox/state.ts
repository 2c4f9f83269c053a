/**
 * The people and the apps of the simulated world, and which ids WeChat gives them. Kept in memory and written through to
 * one JSON file, so that a person is the same person after a restart; nothing of it is in our database, because the outside
 * world's is not either. Codes, tokens and the inbox are lost with the process, as they would soon expire anyway.
 */
import { createHmac, randomBytes, randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import type { Clock } from '../clock.ts';
import { StartupError } from '../errors.ts';
import { sandboxApps, sandboxOpenPlatform } from './constants.ts';

const personSchema = z.object({
  person_id: z.string(),
  nickname: z.string(),
  phone: z.string().nullable(),
  /** WeChat takes this person for a risk: login answers 40226. */
  blocked: z.boolean(),
  created_at: z.string(),
});
export type Person = z.infer<typeof personSchema>;

const appSchema = z.object({
  appid: z.string(),
  secret: z.string(),
  kind: z.enum(['miniprogram', 'website', 'official_account']),
  name: z.string(),
  /** null: not bound to an open-platform account, so no unionid comes. */
  open_platform: z.string().nullable(),
  /** 授权回调域: the one host name that an authorise page sends people back to. */
  callback_domain: z.string(),
  /** Addresses that may ask for an access token; empty allows all. */
  ip_whitelist: z.array(z.string()),
  /** Whether each wx.login makes a new session_key; WeChat does so now and then. */
  rotate_session_key: z.boolean(),
});
export type WechatApp = z.infer<typeof appSchema>;

const fileSchema = z.object({
  version: z.literal(1),
  /** All openids and unionids derive from it: another seed, other ids. */
  seed: z.string().min(20),
  people: z.array(personSchema),
  apps: z.array(appSchema),
});

export type State = {
  people(): Person[];
  person(id: string): Person | undefined;
  addPerson(input: { nickname: string; phone: string | null }): Person;
  changePerson(person: Person, changes: Partial<Omit<Person, 'person_id' | 'created_at'>>): void;
  apps(): WechatApp[];
  app(appid: string): WechatApp | undefined;
  addApp(app: WechatApp): void;
  changeApp(app: WechatApp, changes: Partial<Omit<WechatApp, 'appid'>>): void;
  openid(app: WechatApp, person: Person): string;
  /** Undefined while the app is not bound to an open-platform account. */
  unionid(app: WechatApp, person: Person): string | undefined;
  /** Writes the file for the first time: only once the port is ours, so that a second start cannot touch it. */
  save(): void;
};

/** @throws StartupError when the file cannot be understood. */
export function createState({ dataDir, clock }: { dataDir: string; clock: Clock }): State {
  const file = join(dataDir, 'sandbox.json');
  const content = load(file) ?? seeded(clock);
  const save = () => write(file, content);
  return {
    save,
    people: () => content.people,
    person: (id) => content.people.find((person) => person.person_id === id),
    addPerson({ nickname, phone }) {
      const person = {
        person_id: randomUUID(),
        nickname,
        phone,
        blocked: false,
        created_at: clock.now().toISOString(),
      };
      content.people.push(person);
      save();
      return person;
    },
    changePerson(person, changes) {
      Object.assign(person, changes);
      save();
    },
    apps: () => content.apps,
    app: (appid) => content.apps.find((app) => app.appid === appid),
    addApp(app) {
      content.apps.push(app);
      save();
    },
    changeApp(app, changes) {
      Object.assign(app, changes);
      save();
    },
    openid: (app, person) => wechatId(content.seed, ['openid', app.appid, person.person_id]),
    unionid: (app, person) =>
      app.open_platform === null ? undefined : wechatId(content.seed, ['unionid', app.open_platform, person.person_id]),
  };
}

/** 28 characters that begin with `o`, as WeChat's do: the same three words give the same id for ever. */
function wechatId(seed: string, words: string[]): string {
  return `o${createHmac('sha256', seed).update(JSON.stringify(words)).digest('base64url').slice(0, 27)}`;
}

function load(file: string): z.infer<typeof fileSchema> | undefined {
  if (!existsSync(file)) return undefined;
  try {
    return fileSchema.parse(JSON.parse(readFileSync(file, 'utf8')));
  } catch {
    throw new StartupError(
      `The sandbox cannot read ${file}: it is damaged or of another version. Delete it to start with the seeded people.`,
    );
  }
}

/** Renamed into place: a kill in the middle leaves the old file, never half of the new one. */
function write(file: string, content: z.infer<typeof fileSchema>): void {
  mkdirSync(join(file, '..'), { recursive: true, mode: 0o700 });
  writeFileSync(`${file}.draft`, `${JSON.stringify(content, null, 2)}\n`, { mode: 0o600 });
  renameSync(`${file}.draft`, file);
}

function seeded(clock: Clock): z.infer<typeof fileSchema> {
  const created_at = clock.now().toISOString();
  const person = (person_id: string, nickname: string, phone: string | null): Person => ({
    person_id,
    nickname,
    phone,
    blocked: false,
    created_at,
  });
  const app = (kind: WechatApp['kind'], name: string): WechatApp => ({
    ...sandboxApps[kind],
    kind,
    name,
    open_platform: sandboxOpenPlatform,
    callback_domain: 'localhost',
    ip_whitelist: [],
    rotate_session_key: false,
  });
  return {
    version: 1,
    seed: randomBytes(32).toString('base64url'),
    people: [
      person('lin-xiaoman', '林小满', '+8613800138000'),
      person('chen-jiahe', '陈嘉禾', '+8613900139000'),
      person('wang-ruoxi', '王若溪', null),
    ],
    apps: [app('miniprogram', '演示小程序'), app('website', '演示官网'), app('official_account', '演示服务号')],
  };
}
