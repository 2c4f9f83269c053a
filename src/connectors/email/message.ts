/**
 * What is mailed, in Chinese or English, as text and HTML: a code, or what happened to an account. The mail with the code holds no
 * link, and the one link of a notice leads to a page that asks who one is: mail scanners open links before people do, and there is
 * nothing here that opening could spend (threat B12).
 */
import { join } from 'node:path';
import { Eta } from 'eta';
import { projectRoot } from '../../config.ts';
import { formatTime } from '../../http/i18n.ts';
import type { Notice } from '../contract.ts';
import sentences from './locales.json' with { type: 'json' };

const eta = new Eta({ views: join(projectRoot, 'views/mail'), cache: true, autoTrim: false });

export type MailText = { subject: string; text: string; html: string };

export function codeMail({ code, locale, minutes }: { code: string; locale: string; minutes: number }): MailText {
  const language = languageOf(locale);
  const { mail } = sentences[language];
  const t = (key: keyof typeof mail) => mail[key].replaceAll('{{minutes}}', String(minutes));
  return {
    // Without the code: relays write subjects into their logs, and phones show them on locked screens.
    subject: t('subject'),
    text: eta.render('code.text.eta', { t, code, language }),
    html: eta.render('code.html.eta', { t, code, language }),
  };
}

/** Says what, when, and what to do if it was somebody else (threats B19, B20). */
export function noticeMail({ what, kind, hint, at, url, locale }: Notice): MailText {
  const language = languageOf(locale);
  const { notice } = sentences[language];
  const about = [kind && notice.kinds[kind], hint].filter(Boolean).join(' ');
  const view = { notice, what, title: notice.what[what], about, at: formatTime(language, at), url, language };
  return {
    subject: notice.what[what],
    // What is left out leaves an empty line behind.
    text: eta.render('notice.text.eta', view).replace(/\n{3,}/g, '\n\n'),
    html: eta.render('notice.html.eta', view),
  };
}

function languageOf(locale: string): 'zh-CN' | 'en' {
  return /^(zh|$)/i.test(locale) ? 'zh-CN' : 'en';
}
