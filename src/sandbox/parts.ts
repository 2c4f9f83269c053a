/** The sandbox's own wiring: what its parts share. */
import type Router from '@koa/router';
import type { Clock } from '../clock.ts';
import type { Context, RequestState } from '../http/server.ts';
import { createFaults, type Faults } from './faults.ts';
import { createInbox, type Inbox } from './inbox.ts';
import { createPushes, type Pushes, type PushTiming } from './push/pushes.ts';
import { createRate, type Rate } from './rate.ts';
import { createSmsReports, type SmsReports } from './sms/reports.ts';
import { createState, type State } from './state.ts';
import { createRespond, type Respond } from './wechat/answers.ts';
import { type AppTokens, createAppTokens } from './wechat/app-tokens.ts';
import { type Codes, createCodes } from './wechat/codes.ts';
import { createMadeCodes, type MadeCodes } from './wechat/made-codes.ts';
import { createSessions, type Sessions } from './wechat/sessions.ts';
import { createUserTokens, type UserTokens } from './wechat/user-tokens.ts';

export type Parts = {
  clock: Clock;
  state: State;
  inbox: Inbox;
  faults: Faults;
  rate: Rate;
  codes: Codes;
  made: MadeCodes;
  sessions: Sessions;
  appTokens: AppTokens;
  userTokens: UserTokens;
  respond: Respond;
  pushes: Pushes;
  smsReports: SmsReports;
  /** Where the demo's phone is, when a demo runs. */
  demoUrl: string | undefined;
};
export type SandboxRouter = Router<RequestState>;

export type PartsOptions = {
  dataDir: string;
  clock: Clock;
  heyiUrl?: string | undefined;
  demoUrl?: string | undefined;
  pushTiming?: PushTiming | undefined;
};

/** WeChat waits five seconds for the answer to a push. */
const vendorTiming: PushTiming = { answer_ms: 5000, pause_ms: 1000 };

export function createParts({
  dataDir,
  clock,
  heyiUrl,
  demoUrl,
  pushTiming: timing = vendorTiming,
}: PartsOptions): Parts {
  const faults = createFaults();
  return {
    clock,
    state: createState({ dataDir, clock }),
    inbox: createInbox({ clock }),
    faults,
    rate: createRate({ clock }),
    codes: createCodes({ clock }),
    made: createMadeCodes({ clock }),
    sessions: createSessions({ clock }),
    appTokens: createAppTokens({ clock }),
    userTokens: createUserTokens({ clock }),
    respond: createRespond({ clock }),
    pushes: createPushes({ clock, heyiUrl, timing }),
    smsReports: createSmsReports({ clock, faults, heyiUrl }),
    demoUrl,
  };
}

/** A query parameter; of one sent twice the first counts, as at the vendors. */
export function query(ctx: Context, name: string): string | undefined {
  const value = ctx.query[name];
  return (Array.isArray(value) ? value[0] : value) || undefined;
}
