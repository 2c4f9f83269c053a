/**
 * What becomes of a message that a gateway accepted: delivered half a second later, or not when a fault is ordered for `sms_report`
 * (its errcode is the carrier's code; without one the report is lost). Each gateway tells it, in its own form, to the address that
 * was entered for it.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { z } from 'zod';
import type { Clock } from '../../clock.ts';
import { fail } from '../../errors.ts';
import { readJson } from '../../http/body.ts';
import { sandboxSms } from '../constants.ts';
import type { Faults } from '../faults.ts';
import type { Message } from '../inbox.ts';
import type { Parts, SandboxRouter } from '../parts.ts';

const vendors = ['aliyun', 'tencent'] as const;
type Vendor = (typeof vendors)[number];

export type SmsReports = {
  /** Goes on by itself. `id` is what the gateway answered with, `out_id` what the client had called the message. */
  later(vendor: Vendor, message: Message, ids: Ids): void;
  addresses(): Record<Vendor, string | null>;
  enter(changed: Partial<Record<Vendor, string | null>>): void;
  stop(): Promise<void>;
};
type Ids = { id: string; out_id: string };

const afterwards = 500;

export function createSmsReports({
  clock,
  faults,
  heyiUrl,
}: {
  clock: Clock;
  faults: Faults;
  heyiUrl: string | undefined;
}): SmsReports {
  const seeded = (vendor: Vendor) => (heyiUrl ? `${heyiUrl}/sms/${vendor}/report/${sandboxSms.report_token}` : null);
  const addresses = { aliyun: seeded('aliyun'), tencent: seeded('tencent') };
  const stopping = new AbortController();
  const going = new Set<Promise<void>>();

  async function settle(vendor: Vendor, message: Message, ids: Ids): Promise<void> {
    const fault = faults.strike('sms_report');
    await pause(fault?.delay_ms ?? afterwards, undefined, { signal: stopping.signal });
    message.state = fault?.errcode === undefined ? 'delivered' : 'failed';
    const isLost = fault && fault.errcode === undefined && fault.delay_ms === undefined;
    const address = addresses[vendor];
    if (isLost || !address) return;
    const body = JSON.stringify([forms[vendor](message, ids, String(fault?.errcode ?? ''), timeOf(clock.now()))]);
    const signal = AbortSignal.any([stopping.signal, AbortSignal.timeout(5_000)]);
    const answer = await fetch(address, {
      method: 'POST',
      headers: { 'content-type': 'application/json;charset=utf-8' },
      body,
      signal,
    });
    await answer.text();
  }

  return {
    later(vendor, message, ids) {
      // Whoever is not there misses it; the real ones would try again for a while.
      const work = settle(vendor, message, ids).catch(() => undefined);
      going.add(work);
      work.finally(() => going.delete(work));
    },
    addresses: () => ({ ...addresses }),
    enter: (changed) => void Object.assign(addresses, changed),
    async stop() {
      stopping.abort();
      await Promise.all(going);
    },
  };
}

/** Their own clocks run on Beijing time. */
const timeOf = (date: Date) => new Date(date.getTime() + 8 * 3_600_000).toISOString().slice(0, 19).replace('T', ' ');

const forms: Record<Vendor, (message: Message, ids: Ids, fault: string, time: string) => object> = {
  aliyun: ({ to }, { id, out_id }, fault, time) => ({
    phone_number: to.replace(/^\+(86)?/, ''),
    send_time: time,
    report_time: time,
    success: fault === '',
    err_code: fault || 'DELIVERED',
    err_msg: fault ? '用户接收失败' : '用户接收成功',
    sms_size: '1',
    biz_id: id,
    out_id,
  }),
  tencent: ({ to }, { id }, fault, time) => ({
    user_receive_time: time,
    nationcode: to.startsWith('+86') ? '86' : to.slice(1, 3),
    mobile: to.replace(/^\+(86)?/, ''),
    report_status: fault ? 'FAIL' : 'SUCCESS',
    errmsg: fault || 'DELIVRD',
    description: fault ? '用户短信接收失败' : '用户短信送达成功',
    sid: id,
  }),
};

const address = z
  .url({ protocol: /^https?$/ })
  .nullable()
  .optional();
const entered = z.strictObject({ aliyun: address, tencent: address });

export function mountSmsReports(router: SandboxRouter, { smsReports }: Parts): void {
  router.get('/sms-reports', (ctx) => {
    ctx.body = smsReports.addresses();
  });
  router.put('/sms-reports', async (ctx) => {
    const changed = entered.safeParse(await readJson(ctx, { limit: 4_096 }));
    if (!changed.success) throw fail('invalid_fields', { message: 'Give an address or null for aliyun and tencent.' });
    smsReports.enter(Object.fromEntries(Object.entries(changed.data).filter(([, value]) => value !== undefined)));
    ctx.body = smsReports.addresses();
  });
}
