/**
 * What became of a message: providers accept first and deliver later, and push a report to an address of ours that only they know.
 * A report is a hint for the person who waits and a figure for the operator. It proves nothing and signs nobody in.
 */
import { timingSafeEqual } from 'node:crypto';
import { z } from 'zod';
import { fail } from '../../errors.ts';
import type { ConnectorServices, ReportInput } from '../contract.ts';
import type { Delivery } from '../one-time-code.ts';
import type { SmsSettings } from './gateway.ts';
import {
  type DeliveryReport,
  insertDelivery,
  purgeDeliveries,
  readDelivery,
  sumDeliveries,
  updateDelivery,
} from './store.ts';

export { sumDeliveries as countDeliveries };

type Services = Pick<ConnectorServices, 'db' | 'log'>;

/** The message has left: a fault of ours from here on must not tell the person that it has not. */
export async function keepAccepted({ db, log }: Services, otp_id: string, delivery: Delivery): Promise<void> {
  if (delivery.result !== 'sent' || !delivery.provider) return;
  const { provider, message_id = null } = delivery;
  try {
    await purgeDeliveries(db);
    await insertDelivery(db, { otp_id, provider, message_id });
  } catch (error) {
    log.warn({ connector: 'sms', otp_id, err: error }, 'sms: what becomes of this message will not be known');
  }
}

/** Undefined: nothing was reported, or nobody reports. */
export async function deliveryOf({ db }: Services, otp_id: string): Promise<'delivered' | 'failed' | undefined> {
  const state = await readDelivery(db, otp_id);
  return state === 'accepted' ? undefined : state;
}

const uuid = z.guid();
const text = z.string().min(1).max(128);

/** 阿里云 SmsReport, pushed over HTTP: a list of these. */
const aliyunReport = z
  .object({ biz_id: text, out_id: uuid.nullish().catch(null), success: z.boolean(), err_code: text.nullish() })
  .transform(({ biz_id, out_id, success, err_code }) => reportOf(success, err_code, biz_id, out_id));

/** 腾讯云短信下发状态通知: a list of these. */
const tencentReport = z
  .object({ sid: text, report_status: z.enum(['SUCCESS', 'FAIL']), errmsg: text.nullish() })
  .transform(({ sid, report_status, errmsg }) => reportOf(report_status === 'SUCCESS', errmsg, sid));

function reportOf(
  isDelivered: boolean,
  fault: string | null | undefined,
  message_id: string,
  otp_id: string | null = null,
): DeliveryReport {
  // Codes of carriers are short words; anything longer may quote a number.
  const said = fault && /^[\w:.-]{1,40}$/.test(fault) ? fault : 'unreadable';
  return { message_id, otp_id, state: isDelivered ? 'delivered' : 'failed', fault: isDelivered ? null : said };
}

/** How each provider reports, and the answer after which it does not report the same again. */
const dialects: Record<string, { report: z.ZodType<DeliveryReport>; thanks: object }> = {
  aliyun: { report: aliyunReport, thanks: { code: 0, msg: '接收成功' } },
  tencent: { report: tencentReport, thanks: { result: 0, errmsg: 'OK' } },
} satisfies Record<SmsSettings['provider'], unknown>;

/** @throws not_found for whoever does not know the address, before anything of the body is read */
export async function takeReports(services: Services, settings: SmsSettings, input: ReportInput): Promise<object> {
  const dialect = Object.hasOwn(dialects, input.provider) ? dialects[input.provider] : undefined;
  if (!dialect || !settings.report_token || !isEqual(input.token, settings.report_token)) throw fail('not_found');
  const body = await input.body();
  if (!Array.isArray(body)) throw fail('bad_request', { message: 'Reports come as a list.' });
  for (const item of body) {
    const report = dialect.report.safeParse(item).data;
    if (!report) services.log.warn({ connector: 'sms', provider: input.provider }, 'sms: a report that is none');
    else await keepReport(services, input.provider, report);
  }
  return dialect.thanks;
}

async function keepReport({ db, log }: Services, provider: string, report: DeliveryReport): Promise<void> {
  const isNews = await updateDelivery(db, provider, report);
  if (isNews && report.state === 'failed')
    log.warn({ connector: 'sms', provider, fault: report.fault }, 'sms: a message was not delivered');
}

function isEqual(given: string, expected: string): boolean {
  const [left, right] = [Buffer.from(given), Buffer.from(expected)];
  return left.length === right.length && timingSafeEqual(left, right);
}
