/**
 * The mail that carries a code, in Chinese or English, as text and HTML. It holds no link: mail scanners open links before people
 * do, and there is nothing here that opening could spend (threat B12).
 */
import { join } from 'node:path';
import { Eta } from 'eta';
import { projectRoot } from '../../config.ts';
import sentences from './locales.json' with { type: 'json' };

const eta = new Eta({ views: join(projectRoot, 'views/mail'), cache: true, autoTrim: false });

export type CodeMail = { subject: string; text: string; html: string };

export function codeMail({ code, locale, minutes }: { code: string; locale: string; minutes: number }): CodeMail {
  const language = /^(zh|$)/i.test(locale) ? 'zh-CN' : 'en';
  const { mail } = sentences[language];
  const t = (key: keyof typeof mail) => mail[key].replaceAll('{{minutes}}', String(minutes));
  return {
    // Without the code: relays write subjects into their logs, and phones show them on locked screens.
    subject: t('subject'),
    text: eta.render('code.text.eta', { t, code, language }),
    html: eta.render('code.html.eta', { t, code, language }),
  };
}
