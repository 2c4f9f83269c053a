/**
 * Every setting, read from the environment once, here and nowhere else. All faults are reported at once.
 * `docs/configuration.md` and `.env.example` are generated from this schema.
 */

import { randomBytes } from 'node:crypto';
import { existsSync, linkSync, mkdirSync, readFileSync, unlinkSync, writeFileSync } from 'node:fs';
import { isAbsolute, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { StartupError } from './errors.ts';

export const projectRoot = fileURLToPath(new URL('..', import.meta.url));

const port = (what: string, fallback: string) =>
  z
    .string()
    .default(fallback)
    .pipe(
      z
        .string()
        .regex(/^\d{1,5}$/, 'is not a port number')
        .transform(Number)
        .refine((n) => n <= 65535, 'is not a port number'),
    )
    .describe(what);
const switchSetting = z.enum(['on', 'off'], 'must be "on" or "off"');

/** The settings as the environment states them: each a string. Descriptions become the documentation. */
export const settings = z.object({
  NODE_ENV: z.string().default('development').describe('`production` refuses insecure defaults and the sandbox'),
  PORT: port('port of the server', '3000'),
  HOST: z.string().optional().describe('listen address; 127.0.0.1 by default, `::` in production'),
  PUBLIC_URL: z
    .string()
    .optional()
    .describe(
      'the issuer and the base of every link: an origin without a path; `http://localhost:$PORT` by default, https in production',
    ),
  DATABASE_URL: z
    .string()
    .optional()
    .describe(
      'PostgreSQL 14 or newer, `postgres://user:password@host:5432/name`; unset starts the embedded PostgreSQL in DATA_DIR',
    ),
  DATABASE_POOL: port('connections of one process to the database', '10'),
  DATA_DIR: z
    .string()
    .default('./data')
    .describe('embedded database and development secrets; relative to the project folder'),
  HEYI_SECRET: z
    .string()
    .optional()
    .describe(
      'root key, at least 32 characters, from which sealing, cookie and hashing keys are derived; required in production, elsewhere made and kept in DATA_DIR',
    ),
  SANDBOX: switchSetting
    .optional()
    .describe(
      'the simulated outside world (WeChat, SMS, mail, demo); on by default when PUBLIC_URL is a loopback address outside production; never in production',
    ),
  SANDBOX_PORT: port('port of the sandbox', '3200'),
  DEMO_PORT: port('port of the demo website; the demo mini-program is under `/miniprogram`', '3100'),
  METRICS_PORT: port('Prometheus metrics on a listener of their own; 0 is off', '0'),
  TRUST_PROXY: z
    .string()
    .default('off')
    .describe('`off`, the number of trusted proxies in front, or a comma-separated list of CIDR blocks'),
  ROLES: z.string().default('web,worker').describe('what this process does: `web`, `worker` or both'),
  LOG_LEVEL: z
    .enum(['fatal', 'error', 'warn', 'info', 'debug', 'silent'])
    .default('info')
    .describe('least level that is logged'),
  PRIVATE_ORIGINS: z
    .string()
    .optional()
    .describe(
      "origins on loopback or in a private network that may be told of sign-outs or asked as identity providers, comma-separated: `https://shop.internal`; the sandbox's demo is by itself",
    ),
  EVENTS_KEEP_MONTHS: z
    .string()
    .regex(/^[1-9]\d{0,3}$/, 'must be a number of months')
    .transform(Number)
    .refine((months) => months >= 2, 'must be at least 2: retries and look-backs reach 30 days')
    .optional()
    .describe(
      'months of events that stay in the database besides the current one, at least 2; older ones are written to ARCHIVE_DIR and removed; unset keeps all of them',
    ),
  ARCHIVE_DIR: z
    .string()
    .optional()
    .describe('where months of events are written before they are removed; `archive` in DATA_DIR by default'),
  SMS_REGIONS: z
    .string()
    .default('86')
    .describe('country calling codes that SMS codes are sent to, comma-separated; a short list stops SMS pumping'),
});

export type Config = {
  production: boolean;
  port: number;
  host: string;
  publicUrl: string;
  /** Unset: the embedded PostgreSQL in dataDir. */
  databaseUrl: string | undefined;
  databasePool: number;
  dataDir: string;
  secret: string;
  sandbox: boolean;
  sandboxPort: number;
  sandboxUrl: string;
  demoPort: number;
  demoUrl: string;
  metricsPort: number | undefined;
  trustProxy: false | number | string[];
  roles: { web: boolean; worker: boolean };
  logLevel: string;
  /** Origins inside our own network that a client's logout address may name. */
  privateOrigins: string[];
  smsRegions: string[];
  events: {
    /** Full months that stay besides the current one; undefined: all. */
    keepMonths: number | undefined;
    archiveDir: string;
  };
  /** Said once at the start. */
  warnings: string[];
};

const loopbackNames = new Set(['localhost', '127.0.0.1', '[::1]']);

/** @throws StartupError with one line per wrong setting. */
export function loadConfig(environment: Record<string, string | undefined> = process.env): Config {
  const given = Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== ''));
  const parsed = settings.safeParse(given);
  const faults: string[] = [];
  if (!parsed.success) for (const issue of parsed.error.issues) faults.push(`${issue.path.join('.')} ${issue.message}`);
  const faulty = new Set(parsed.error?.issues.map((issue) => issue.path[0]));
  const raw = settings.parse(Object.fromEntries(Object.entries(given).filter(([name]) => !faulty.has(name))));
  const production = raw.NODE_ENV === 'production';

  const publicUrl = given.PUBLIC_URL ?? `http://localhost:${raw.PORT}`;
  const origin = parseOrigin(publicUrl);
  if (!origin)
    faults.push(`PUBLIC_URL must be an origin such as https://id.example.com, without a path; it is "${publicUrl}"`);
  const loopback = origin !== undefined && loopbackNames.has(origin.hostname);
  if (production && origin?.protocol === 'http:') faults.push('PUBLIC_URL MUST be https in production');

  if (given.DATABASE_URL && !/^postgres(ql)?:\/\/[^/]+\/.+/.test(given.DATABASE_URL)) {
    faults.push('DATABASE_URL must look like postgres://user:password@host:5432/name');
  }
  const sandbox = given.SANDBOX ? given.SANDBOX === 'on' : !production && loopback;
  if (production && sandbox) faults.push('SANDBOX MUST NOT be on in production: it signs anybody in as anybody');
  const host = raw.HOST ?? (production ? '::' : '127.0.0.1');
  const warnings: string[] = [];
  if (sandbox && !loopback)
    warnings.push('SANDBOX is on at a public address: everybody who reaches it can sign in as anybody.');
  else if (sandbox && !loopbackNames.has(host) && host !== '::1')
    warnings.push(
      `SANDBOX is on and HOST is ${host}: the demo's secrets are public, and whoever reaches this port can read what is stored with them.`,
    );

  const roles = raw.ROLES.split(',').map((role) => role.trim());
  const unknownRole = roles.find((role) => role !== 'web' && role !== 'worker');
  if (unknownRole !== undefined) faults.push(`ROLES knows "web" and "worker", not "${unknownRole}"`);

  const trustProxy = parseTrustProxy(raw.TRUST_PROXY);
  if (trustProxy === undefined)
    faults.push('TRUST_PROXY must be "off", a number of proxies, or CIDR blocks such as 10.0.0.0/8');
  const smsRegions = raw.SMS_REGIONS.split(',').map((code) => code.trim().replace(/^\+/, ''));
  if (smsRegions.some((code) => !/^\d{1,3}$/.test(code)))
    faults.push('SMS_REGIONS must be calling codes such as 86,852');

  const privateOrigins = (raw.PRIVATE_ORIGINS ?? '').split(',').flatMap((text) => text.trim() || []);
  if (privateOrigins.some((text) => parseOrigin(text)?.origin !== text))
    faults.push('PRIVATE_ORIGINS must be origins such as https://shop.internal:8443, without a path');

  if (given.HEYI_SECRET !== undefined && given.HEYI_SECRET.length < 32)
    faults.push('HEYI_SECRET must have at least 32 characters');
  if (production && !given.HEYI_SECRET)
    faults.push('HEYI_SECRET MUST be set in production: make one with "openssl rand -base64 48"');
  if (faults.length) throw new StartupError(`Wrong settings:\n${faults.map((fault) => `  - ${fault}`).join('\n')}`);

  const folder = (path: string) => (isAbsolute(path) ? path : resolve(projectRoot, path));
  const dataDir = folder(raw.DATA_DIR);
  return {
    production,
    port: raw.PORT,
    host,
    publicUrl: origin?.origin ?? publicUrl,
    databaseUrl: raw.DATABASE_URL,
    databasePool: raw.DATABASE_POOL,
    dataDir,
    secret: raw.HEYI_SECRET ?? developmentSecret(dataDir),
    sandbox,
    sandboxPort: raw.SANDBOX_PORT,
    sandboxUrl: `http://localhost:${raw.SANDBOX_PORT}`,
    demoPort: raw.DEMO_PORT,
    demoUrl: `http://localhost:${raw.DEMO_PORT}`,
    metricsPort: raw.METRICS_PORT || undefined,
    trustProxy: trustProxy ?? false,
    roles: { web: roles.includes('web'), worker: roles.includes('worker') },
    logLevel: raw.LOG_LEVEL,
    privateOrigins: [...privateOrigins, ...(sandbox ? [`http://localhost:${raw.DEMO_PORT}`] : [])],
    smsRegions,
    events: {
      keepMonths: raw.EVENTS_KEEP_MONTHS,
      archiveDir: raw.ARCHIVE_DIR === undefined ? join(dataDir, 'archive') : folder(raw.ARCHIVE_DIR),
    },
    warnings,
  };
}

function parseOrigin(text: string): URL | undefined {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || !/^https?:$/.test(url.protocol) || url.username || url.search || url.hash || url.pathname !== '/')
    return undefined;
  return url;
}

function parseTrustProxy(text: string): Config['trustProxy'] | undefined {
  if (text === 'off' || text === '0') return false;
  if (/^\d+$/.test(text)) return Number(text);
  const blocks = text.split(',').map((block) => block.trim());
  return blocks.every((block) => /^[\d.]+(\/\d+)?$|^[\da-f:]+(\/\d+)?$/i.test(block)) ? blocks : undefined;
}

/** Made on the first start and kept beside the database it seals; two first starts at once keep the same one. */
function developmentSecret(dataDir: string): string {
  const file = join(dataDir, 'secret');
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  if (!existsSync(file)) {
    const draft = `${file}.${process.pid}`;
    writeFileSync(draft, randomBytes(36).toString('base64url'), { mode: 0o600 });
    try {
      linkSync(draft, file);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    unlinkSync(draft);
  }
  return readFileSync(file, 'utf8').trim();
}

/** Settings of a `.env` in the project folder; what the environment itself says wins. For programs only: tests state their own. */
export function readEnvFile(): void {
  const file = join(projectRoot, '.env');
  if (existsSync(file)) process.loadEnvFile(file);
}

/** npm that is killed does not always tell its child, so main watches it; a server started by hand may outlive its shell. */
export function startedByNpm(): boolean {
  return process.env.npm_lifecycle_event !== undefined;
}
