/** Waiting times as people read them. */
import type { Translate } from '../http/i18n.ts';

export function duration(t: Translate, seconds: number): string {
  if (seconds < 90) return t('duration.seconds', { n: seconds });
  const minutes = Math.ceil(seconds / 60);
  return minutes < 90 ? t('duration.minutes', { n: minutes }) : t('duration.hours', { n: Math.ceil(minutes / 60) });
}
