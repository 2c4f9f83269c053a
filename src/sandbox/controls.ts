/** The hand that moves the simulated world: people, codes, app bindings, faults, and the inbox to look into. */
import { z } from 'zod';
import { fail } from '../errors.ts';
import { readJson } from '../http/body.ts';
import type { Context } from '../http/server.ts';
import { present } from './acts.ts';
import { faultSchema, targetSchema } from './faults.ts';
import { loopback } from './guard.ts';
import type { Parts, SandboxRouter } from './parts.ts';
import { toE164 } from './phone.ts';
import type { Person, PushSetting, WechatApp } from './state.ts';
import { agree, readAuthorisePage, refuseToAgree } from './wechat/authorise.ts';

const phone = z.string().transform((text, ctx) => {
  const e164 = toE164(text);
  if (!e164) ctx.addIssue({ code: 'custom', message: 'must be a phone number such as +8613800138000' });
  return e164 ?? z.NEVER;
});
export const nickname = z.string().trim().min(1, 'must not be empty').max(64, 'must have at most 64 characters');

export const newPerson = z.strictObject({ nickname, phone: phone.nullish() });
const changedPerson = z.strictObject({
  nickname: nickname.optional(),
  phone: phone.nullable().optional(),
  blocked: z.boolean().optional(),
});
const codeRequest = z.strictObject({ appid: z.string() });
const confirmation = z.strictObject({
  url: z.url('must be the full address of an authorise page'),
  deny: z.boolean().default(false),
  /** The person looks at a snapshot of the page (快照页): the ids that come of it are nobody's. */
  snapshot: z.boolean().default(false),
});
export const newPush = z
  .strictObject({
    url: z
      .url({ protocol: /^https?$/, error: 'must be an http address' })
      .refine(
        (text) => URL.canParse(text) && loopback.has(new URL(text).hostname),
        'must be an address of this machine',
      ),
    token: z.string().regex(/^[A-Za-z0-9]{3,32}$/, 'must be 3 to 32 letters and digits'),
    encoding_aes_key: z
      .string()
      .regex(/^[A-Za-z0-9]{43}$/, 'must be 43 letters and digits')
      .optional(),
    mode: z.enum(['plain', 'compatible', 'secure']).default('plain'),
    format: z.enum(['xml', 'json']).default('xml'),
  })
  .refine(({ mode, encoding_aes_key }) => mode === 'plain' || encoding_aes_key, {
    path: ['encoding_aes_key'],
    message: 'the modes compatible and secure need an encoding_aes_key',
  });
const changedApp = z.strictObject({
  open_platform: z.string().trim().min(1).max(64).nullable().optional(),
  callback_domain: z
    .string()
    .regex(/^[\w.-]+$/, 'must be a host name without scheme, port or path')
    .optional(),
  ip_whitelist: z.array(z.string()).optional(),
  rotate_session_key: z.boolean().optional(),
  unionid_with_base: z.boolean().optional(),
  push: newPush.nullable().optional(),
  name: z.string().trim().min(1).max(64).optional(),
});
const newApp = changedApp.extend({
  kind: z.enum(['miniprogram', 'website', 'official_account']),
  secret: z.string().min(8),
});

export function mountControls(router: SandboxRouter, parts: Parts): void {
  mountPeople(router, parts);
  mountCodes(router, parts);
  mountApps(router, parts);
  mountFaults(router, parts);
}

function mountPeople(router: SandboxRouter, parts: Parts): void {
  const { state } = parts;
  router.get('/people', (ctx) => {
    ctx.body = { people: state.people().map((person) => describePerson(parts, person)) };
  });
  router.post('/people', async (ctx) => {
    const { nickname, phone } = await read(ctx, newPerson);
    ctx.body = { person_id: state.addPerson({ nickname, phone: phone ?? null }).person_id };
  });
  router.put('/people/:id', async (ctx) => {
    const person = personOf(parts, ctx.params.id);
    state.changePerson(person, await read(ctx, changedPerson));
    ctx.body = describePerson(parts, person);
  });
}

function mountCodes(router: SandboxRouter, parts: Parts): void {
  router.post('/people/:id/login-code', async (ctx) => {
    ctx.body = { code: loginCode(parts, personOf(parts, ctx.params.id), (await read(ctx, codeRequest)).appid) };
  });
  router.post('/people/:id/phone-code', async (ctx) => {
    ctx.body = { code: phoneCode(parts, personOf(parts, ctx.params.id), (await read(ctx, codeRequest)).appid) };
  });
  router.post('/people/:id/confirm', async (ctx) => {
    const person = personOf(parts, ctx.params.id);
    const { url, deny, snapshot } = await read(ctx, confirmation);
    const page = readAuthorisePage(parts, new URL(url));
    if (typeof page === 'string') throw fail('bad_request', { message: `WeChat would not show this page: ${page}.` });
    ctx.body = { redirect: deny ? refuseToAgree(page) : agree(parts, page, { person: present(person), snapshot }) };
  });
}

function mountApps(router: SandboxRouter, parts: Parts): void {
  const { state } = parts;
  router.get('/apps', (ctx) => {
    ctx.body = { apps: state.apps().map((app) => describeApp(parts, app)) };
  });
  router.put('/apps/:appid', async (ctx) => {
    ctx.body = describeApp(parts, await putApp(parts, ctx, String(ctx.params.appid)));
  });
}

function mountFaults(router: SandboxRouter, { faults }: Parts): void {
  router.get('/faults', (ctx) => {
    ctx.body = { faults: faults.list() };
  });
  router.put('/faults', async (ctx) => {
    faults.put(await read(ctx, faultSchema));
    ctx.body = { faults: faults.list() };
  });
  router.delete('/faults', (ctx) => {
    const { target } = ctx.query;
    const named = target === undefined ? undefined : parse(targetSchema, target);
    faults.remove(named);
    ctx.body = { faults: faults.list() };
  });
}

export async function read<Value>(ctx: Context, schema: z.ZodType<Value>): Promise<Value> {
  return parse(schema, await readJson(ctx, { limit: 65_536 }));
}

/** @throws invalid_fields with one sentence that says what is wrong */
function parse<Value>(schema: z.ZodType<Value>, input: unknown): Value {
  const parsed = schema.safeParse(input);
  if (parsed.success) return parsed.data;
  const fields = parsed.error.issues.map(({ path, message }) => [path.join('.') || 'body', message] as const);
  const message = `${fields.map(([field, fault]) => `${field}: ${fault}`).join('; ')}.`;
  throw fail('invalid_fields', { message, fields: Object.fromEntries(fields) });
}

/** @throws not_found */
export function personOf({ state }: Pick<Parts, 'state'>, id: string | undefined): Person {
  const person = state.person(id ?? '');
  if (!person) throw fail('not_found', { message: 'Nobody in the sandbox has this person_id; see GET /people.' });
  return person;
}

/** @throws bad_request */
function miniProgramOf({ state }: Pick<Parts, 'state'>, appid: string): WechatApp {
  const app = state.app(appid);
  if (app?.kind !== 'miniprogram')
    throw fail('bad_request', { message: `"${appid}" is not a mini-program of the sandbox; see GET /apps.` });
  return app;
}

/** What wx.login gives this person in this mini-program. */
function loginCode(parts: Parts, person: Person, appid: string): string {
  const app = miniProgramOf(parts, appid);
  present(person);
  if (app.rotate_session_key) parts.sessions.rotate(parts.state.openid(app, person));
  return parts.codes.issue({ kind: 'login', appid, person_id: person.person_id });
}

/** What the phone-number button gives. @throws conflict when the person has no number */
function phoneCode(parts: Parts, person: Person, appid: string): string {
  miniProgramOf(parts, appid);
  present(person);
  if (!person.phone)
    throw fail('conflict', { message: `${person.nickname} has no phone number: the button would fail in WeChat too.` });
  return parts.codes.issue({ kind: 'phone', appid, person_id: person.person_id, phone: person.phone });
}

/** Changes an app, or makes one when kind and secret are given. */
async function putApp(parts: Parts, ctx: Context, appid: string): Promise<WechatApp> {
  const { state } = parts;
  const existing = state.app(appid);
  const body = await readJson(ctx, { limit: 65_536 });
  if (existing) {
    const changes = parse(changedApp, body);
    await verifyPush(parts, changes.push);
    state.changeApp(existing, changes);
    return existing;
  }
  if (!parse(z.looseObject({}), body).kind)
    throw fail('not_found', { message: `No app "${appid}" here; to make one, give its kind and secret.` });
  const { kind, secret, ...given } = parse(newApp, body);
  await verifyPush(parts, given.push);
  const defaults = {
    name: appid,
    open_platform: null,
    callback_domain: 'localhost',
    ip_whitelist: [],
    rotate_session_key: false,
    unionid_with_base: false,
  };
  const app = { ...defaults, ...given, appid, kind, secret };
  state.addApp(app);
  return app;
}

/** @throws bad_request with what WeChat's check of the address found */
async function verifyPush({ pushes }: Parts, setting: PushSetting | null | undefined): Promise<void> {
  if (!setting) return;
  const found = await pushes.verify(setting);
  if (found) throw fail('bad_request', { message: `push: ${setting.url} was asked as WeChat asks. ${found.problem}` });
}

export type DescribedPerson = Person & {
  follows: string[];
  identities: { appid: string; openid: string; unionid: string | null }[];
};

export function describePerson({ state }: Pick<Parts, 'state'>, person: Person): DescribedPerson {
  const identities = state.apps().map((app) => ({
    appid: app.appid,
    openid: state.openid(app, person),
    unionid: state.unionid(app, person) ?? null,
  }));
  const follows = state.apps().filter((app) => state.follower(app, person));
  return { ...person, follows: follows.map(({ appid }) => appid), identities };
}

/** Without the secrets: controls are open to every page of this machine. */
function describeApp({ state, pushes }: Parts, app: WechatApp) {
  const { secret: _, push: __, ...shown } = app;
  const setting = pushes.setting(app);
  const push = setting ? { url: setting.url, mode: setting.mode, format: setting.format } : null;
  return { ...shown, original_id: state.originalId(app), push };
}
