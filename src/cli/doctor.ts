/** `heyi doctor`: finds wrong settings and tells what to do. An embedded database that does not run is started for the moment. */
import { type Clock, systemClock } from '../clock.ts';
import { type Config, loadConfig } from '../config.ts';
import { createProofOfWork } from '../connectors/captcha.ts';
import { createConnectors } from '../connectors/registry.ts';
import { countDeliveries } from '../connectors/sms/deliveries.ts';
import { examineApps } from '../connectors/wechat/examine.ts';
import { createDatabase, type Database, pendingMigrations } from '../database.ts';
import { createLimits } from '../http/limits.ts';
import { createLogger } from '../log.ts';
import { assertSameSecret, createSeal, type Seal } from '../seal.ts';
import { explainStartFault } from '../start-faults.ts';
import { type Answer, type Command, table, withUrl } from './command.ts';

type Result = { state: 'ok' | 'warn' | 'fail'; found: string; advice?: string };
type Finding = Result & { check: string };

export const doctor: Command = {
  name: 'doctor',
  summary: 'check the settings, the database, the WeChat apps and what is reachable',
  details: 'Exit code 1 when a check fails; a warning is none.',
  options: {},
  run: async () => report(await examine()),
};

async function examine(): Promise<Finding[]> {
  const findings: Finding[] = [];
  const check = async (name: string, look: () => Promise<Result> | Result) => {
    const result = await Promise.resolve().then(look).catch(failure);
    findings.push({ check: name, ...result });
    return result.state !== 'fail';
  };
  let config: Config | undefined;
  await check('settings', () => {
    config = loadConfig();
    const [warning] = config.warnings;
    return warning ? { state: 'warn', found: warning } : { state: 'ok', found: 'all settings are well formed' };
  });
  if (!config) return findings;
  const known = config;
  await check('PUBLIC_URL', () => reachIssuer(known));
  const examined = await withUrl(known, (url) => examineDatabase(known, url, check)).then(
    () => undefined,
    (error: unknown) => failure(error),
  );
  if (examined) findings.push({ check: 'database', ...examined });
  return findings;
}

type Check = (name: string, look: () => Promise<Result> | Result) => Promise<boolean>;

async function examineDatabase(config: Config, url: string, check: Check): Promise<void> {
  const db = createDatabase({ url, pool: 2, application: 'heyi-doctor' });
  try {
    const migrated = await check('migrations', () => schemaState(url));
    if (!(await check('database', () => serverVersion(db)))) return;
    await check('clock', () => compareClocks(db, systemClock));
    if (!migrated) return;
    const seal = createSeal(config.secret);
    const sameSecret = await check('HEYI_SECRET', () => secretFits(db, seal));
    if (!sameSecret) return;
    await check('connectors', () => signInMethods(config, db, seal));
    await check('text messages', () => textMessages(db));
    const { publicUrl } = config;
    for (const { check: name, ...result } of await examineApps({ db, seal }, { clock: systemClock, publicUrl }))
      await check(name, () => result);
  } finally {
    await db.destroy();
  }
}

async function schemaState(url: string): Promise<Result> {
  const pending = await pendingMigrations(url);
  if (!pending.length) return { state: 'ok', found: 'the schema is up to date' };
  return {
    state: 'fail',
    found: `${pending.length} migrations are missing`,
    advice: 'run "npx heyi migrate"; npm start does it too',
  };
}

async function serverVersion(db: Database): Promise<Result> {
  const { rows } = await db.raw("select current_setting('server_version') as version, pg_is_in_recovery() as standby");
  const major = Number.parseInt(rows[0].version, 10);
  if (rows[0].standby) {
    return { state: 'fail', found: 'DATABASE_URL names a standby', advice: 'name the primary: events must be written' };
  }
  if (major >= 14) return { state: 'ok', found: `PostgreSQL ${rows[0].version}` };
  return { state: 'fail', found: `PostgreSQL ${rows[0].version}`, advice: 'Heyi needs PostgreSQL 14 or newer' };
}

/** Tokens carry this machine's time, expiry is judged by the database's: apart, fresh codes are refused. */
async function compareClocks(db: Database, clock: Clock): Promise<Result> {
  const before = clock.now().getTime();
  const { rows } = await db.raw('select extract(epoch from clock_timestamp()) * 1000 as ms');
  const middle = (before + clock.now().getTime()) / 2;
  const seconds = Math.abs(Number(rows[0].ms) - middle) / 1000;
  const found = `${seconds.toFixed(1)} s between this machine and the database`;
  const advice = 'synchronise both clocks (NTP)';
  if (seconds > 30) return { state: 'fail', found, advice };
  return seconds > 2 ? { state: 'warn', found, advice } : { state: 'ok', found };
}

async function secretFits(db: Database, seal: Seal): Promise<Result> {
  await assertSameSecret(db, seal);
  return { state: 'ok', found: 'opens what the database holds' };
}

async function signInMethods(config: Config, db: Database, seal: Seal): Promise<Result> {
  const limits = createLimits({ db, seal });
  const log = createLogger({ level: 'silent' });
  const { smsRegions, privateOrigins } = config;
  const captcha = createProofOfWork({ seal, limits, clock: systemClock });
  const isSomebodys = async () => false;
  const services = { db, clock: systemClock, log, seal, limits, captcha, smsRegions, privateOrigins, isSomebodys };
  const connectors = createConnectors(services);
  const ways = [...(await connectors.forms()), ...(await connectors.redirects(''))];
  const names = [...new Set(ways.map(({ name }) => name))];
  if (names.includes('sms')) return { state: 'ok', found: names.join(', ') };
  if (names.length)
    return { state: 'warn', found: `${names.join(', ')}, and no text messages`, advice: 'set up the connector sms' };
  return {
    state: 'warn',
    found: 'no way to sign in on the website is set up',
    advice: 'run "npx heyi connector set --help", and see docs/connectors.md',
  };
}

/** What the providers said of the messages of the last 24 hours. */
async function textMessages(db: Database): Promise<Result> {
  const counts = await countDeliveries(db);
  const found = counts.map(
    ({ provider, accepted, delivered, failed }) =>
      `${provider}: ${accepted} sent, ${delivered} delivered, ${failed} failed`,
  );
  const reported = counts.reduce((sum, { delivered, failed }) => sum + delivered + failed, 0);
  const failed = counts.reduce((sum, count) => sum + count.failed, 0);
  if (reported < 20 || failed < reported / 5) return { state: 'ok', found: found.join('; ') || 'none in 24 hours' };
  return { state: 'warn', found: found.join('; '), advice: 'more than a fifth does not arrive: ask the provider why' };
}

/** As the outside world sees it: through the proxy, by its name. */
async function reachIssuer({ publicUrl, production }: Config): Promise<Result> {
  const address = `${publicUrl}/.well-known/openid-configuration`;
  const state = production ? 'fail' : 'warn';
  try {
    const response = await fetch(address, { signal: AbortSignal.timeout(5_000), redirect: 'error' });
    const { issuer } = (await response.json()) as { issuer?: string };
    if (issuer === publicUrl) return { state: 'ok', found: `${publicUrl} answers as itself` };
    return {
      state: 'fail',
      found: `${address} answers with ${issuer ? `the issuer ${issuer}` : `status ${response.status}`}`,
      advice: 'PUBLIC_URL must be the address under which this server is reached',
    };
  } catch (error) {
    const { message, cause } = error as Error & { cause?: { code?: string } };
    return {
      state,
      found: `${publicUrl} does not answer (${cause?.code ?? message})`,
      advice: 'start the server, or check PUBLIC_URL, the name and the proxy in front',
    };
  }
}

function failure(error: unknown): Result {
  return { state: 'fail', found: explainStartFault(error) };
}

function report(findings: Finding[]): Answer {
  const failed = findings.some(({ state }) => state === 'fail');
  const rows = findings.map(({ state, check, found, advice }) => [
    state,
    check,
    advice ? `${found}: ${advice}` : found.replaceAll('\n', '\n      '),
  ]);
  return { data: { ok: !failed, checks: findings }, text: table(['state', 'check', 'found'], rows), failed };
}
