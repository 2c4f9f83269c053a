/**
 * The people and the apps of the simulated world, and which ids WeChat gives them. Kept in memory and written through to
 * one JSON file, so that a person is the same person after a restart; nothing of it is in our database, because the outside
 * world's is not either. Codes, tokens and the inbox are lost with the process, as they would soon expire anyway.
 */
import { createHash, createHmac, randomBytes, randomUUID } from 'node:crypto';
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
  /** The WeChat account was closed: it signs in nowhere any more. */
  closed: z.boolean().default(false),
  created_at: z.string(),
});
export type Person = z.infer<typeof personSchema>;

/** 消息推送: where the app hears of events, and how they are wrapped. */
const pushSchema = z.object({
  url: z.string(),
  token: z.string(),
  encoding_aes_key: z.string().optional(),
  mode: z.enum(['plain', 'compatible', 'secure']),
  format: z.enum(['xml', 'json']),
});
export type PushSetting = z.infer<typeof pushSchema>;

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
  /** Whether a silent authorisation (snsapi_base) gives the unionid too: WeChat's own pages disagree. */
  unionid_with_base: z.boolean().default(false),
  /** Unset for a seeded app that nobody touched: its pushes go to Heyi, wherever that listens. null: switched off. */
  push: pushSchema.nullable().optional(),
});
export type WechatApp = z.infer<typeof appSchema>;

const followerSchema = z.object({
  appid: z.string(),
  person_id: z.string(),
  followed_at: z.string(),
  /** Of the QR code that led to the account. */
  scene: z.union([z.string(), z.number()]).nullable(),
});
export type Follower = z.infer<typeof followerSchema>;

const fileSchema = z.object({
  version: z.literal(1),
  /** All openids and unionids derive from it: another seed, other ids. */
  seed: z.string().min(20),
  people: z.array(personSchema),
  apps: z.array(appSchema),
  followers: z.array(followerSchema).default([]),
  /** Who has signed in to what: WeChat tells these apps when the account is closed. */
  authorised: z.array(z.object({ appid: z.string(), person_id: z.string() })).default([]),
});
type Content = z.infer<typeof fileSchema>;

export type State = {
  people(): Person[];
  person(id: string): Person | undefined;
  addPerson(input: { nickname: string; phone: string | null }): Person;
  changePerson(person: Person, changes: Partial<Omit<Person, 'person_id' | 'created_at'>>): void;
  apps(): WechatApp[];
  app(appid: string): WechatApp | undefined;
  addApp(app: WechatApp): void;
  changeApp(app: WechatApp, changes: Partial<Omit<WechatApp, 'appid'>>): void;
  follower(app: WechatApp, person: Person): Follower | undefined;
  follow(app: WechatApp, person: Person, scene: Follower['scene']): void;
  unfollow(app: WechatApp, person: Person): void;
  /** The apps that know this person. */
  authorised(person: Person): WechatApp[];
  authorise(app: WechatApp, person: Person): void;
  forget(app: WechatApp, person: Person): void;
  openid(app: WechatApp, person: Person): string;
  personOf(app: WechatApp, openid: string): Person | undefined;
  /** Undefined while the app is not bound to an open-platform account. */
  unionid(app: WechatApp, person: Person): string | undefined;
  /** gh_…: how an app is called in its pushes. */
  originalId(app: WechatApp): string;
  /** WeChat's own openid, the sender of what no person sent. */
  teamId(app: WechatApp): string;
  /** Writes the file for the first time: only once the port is ours, so that a second start cannot touch it. */
  save(): void;
};

/** @throws StartupError when the file cannot be understood. */
export function createState({ dataDir, clock }: { dataDir: string; clock: Clock }): State {
  const file = join(dataDir, 'sandbox.json');
  const content = load(file) ?? seeded(clock);
  const save = () => write(file, content);
  const openid = (app: WechatApp, person: Person) => wechatId(content.seed, ['openid', app.appid, person.person_id]);
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
        closed: false,
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
    ...relations(content, { clock, save }),
    openid,
    personOf: (app, id) => content.people.find((person) => openid(app, person) === id),
    unionid: (app, person) =>
      app.open_platform === null ? undefined : wechatId(content.seed, ['unionid', app.open_platform, person.person_id]),
    originalId: (app) => `gh_${createHash('sha256').update(app.appid).digest('hex').slice(0, 12)}`,
    teamId: (app) => wechatId(content.seed, ['team', app.appid]),
  };
}

type Relations = Pick<State, 'follower' | 'follow' | 'unfollow' | 'authorised' | 'authorise' | 'forget'>;

/** Who follows which account, and who has signed in where. */
function relations(content: Content, { clock, save }: { clock: Clock; save: () => void }): Relations {
  const isOf = (app: WechatApp, person: Person) => (entry: { appid: string; person_id: string }) =>
    entry.appid === app.appid && entry.person_id === person.person_id;
  return {
    follower: (app, person) => content.followers.find(isOf(app, person)),
    follow(app, person, scene) {
      const { appid } = app;
      const { person_id } = person;
      content.followers.push({ appid, person_id, followed_at: clock.now().toISOString(), scene });
      save();
    },
    unfollow(app, person) {
      content.followers = content.followers.filter((entry) => !isOf(app, person)(entry));
      save();
    },
    authorised: (person) => content.apps.filter((app) => content.authorised.some(isOf(app, person))),
    authorise(app, person) {
      if (content.authorised.some(isOf(app, person))) return;
      content.authorised.push({ appid: app.appid, person_id: person.person_id });
      save();
    },
    forget(app, person) {
      content.authorised = content.authorised.filter((entry) => !isOf(app, person)(entry));
      save();
    },
  };
}

/** 28 characters that begin with `o`, as WeChat's do: the same three words give the same id for ever. */
function wechatId(seed: string, words: string[]): string {
  return `o${createHmac('sha256', seed).update(JSON.stringify(words)).digest('base64url').slice(0, 27)}`;
}

function load(file: string): Content | undefined {
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
function write(file: string, content: Content): void {
  mkdirSync(join(file, '..'), { recursive: true, mode: 0o700 });
  writeFileSync(`${file}.draft`, `${JSON.stringify(content, null, 2)}\n`, { mode: 0o600 });
  renameSync(`${file}.draft`, file);
}

function seeded(clock: Clock): Content {
  const created_at = clock.now().toISOString();
  const person = (person_id: string, nickname: string, phone: string | null): Person => ({
    person_id,
    nickname,
    phone,
    blocked: false,
    closed: false,
    created_at,
  });
  const app = (kind: WechatApp['kind'], name: string): WechatApp => ({
    appid: sandboxApps[kind].appid,
    secret: sandboxApps[kind].secret,
    kind,
    name,
    open_platform: sandboxOpenPlatform,
    callback_domain: 'localhost',
    ip_whitelist: [],
    rotate_session_key: false,
    unionid_with_base: false,
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
    followers: [],
    authorised: [],
  };
}
