/**
 * What happened to somebody's account, by text message: for whom the operator has a template approved (`notice_template_…`). All a
 * message holds is the kind of thing that happened and when, never a number, and no link: links in messages teach people to open them.
 */
import { formatTime } from '../../http/i18n.ts';
import type { ConnectorServices, Notice } from '../contract.ts';
import { createGateway, type SmsSettings } from './gateway.ts';
import sentences from './locales.json' with { type: 'json' };

/** A second provider tells only when it has a template too. */
export async function tellBySms(services: ConnectorServices, settings: SmsSettings, told: Notice): Promise<boolean> {
  const { fallback, ...first } = settings;
  if (!hasTemplate(first)) return false;
  const send = createGateway(services, fallback && hasTemplate(fallback) ? settings : first);
  const delivery = await send({ phone: told.to, otp_id: told.id, notice: wordsFor(told) });
  if (delivery.result !== 'sent') throw delivery.error;
  return true;
}

function hasTemplate(settings: Pick<SmsSettings, 'provider'> & object): boolean {
  return Boolean(
    ('notice_template_code' in settings && settings.notice_template_code) ||
      ('notice_template_id' in settings && settings.notice_template_id),
  );
}

function wordsFor({ what, kind, at, locale }: Notice): { what: string; at: string } {
  const language = /^en/i.test(locale) ? 'en' : 'zh-CN';
  const { notice } = sentences[language];
  return {
    what: notice.what[what].replace('{{kind}}', kind ? notice.kinds[kind] : ''),
    at: formatTime(language, at),
  };
}
