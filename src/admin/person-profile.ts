/** What is known of a person beyond who they are: traits, what is worked out, tags that colleagues give, where they came from. */
import { recordAudit } from '../audit/audit.ts';
import { maskedText } from '../events/personal.ts';
import { formatNumber } from '../http/i18n.ts';
import { personProfile } from '../profiles/person.ts';
import { untagPerson } from '../profiles/tag-store.ts';
import { tagPerson } from '../profiles/tags.ts';
import type { AdminRequest, AdminRoute } from './console.ts';
import type { AdminDependencies } from './dependencies.ts';
import { plain } from './lines.ts';
import { readPerson } from './person.ts';
import { readTitles } from './titles.ts';

const moment = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

type Reader = Pick<AdminRequest, 't' | 'language'>;

export async function profilePage(deps: AdminDependencies, sub: string, { t, language }: Reader) {
  const titles = await readTitles(deps, language);
  const { traits, computed, tags, touches, rfm, channels } = await personProfile(deps, sub);
  return {
    traits: traits.map(({ value, source, ...trait }) => ({
      ...trait,
      title: t(`admin.trait.${trait.name}`, { defaultValue: trait.name }),
      value: shownValue(value),
      said_by: source.split(':')[0],
    })),
    computed: computed
      // The thresholds' numbers stand above, with what they are of.
      .filter(({ name, value, is_left_out }) => is_left_out || (value !== null && !name.startsWith('rfm_')))
      .map(({ name, title, value, is_left_out }) => ({
        name,
        title: title[language],
        value: is_left_out ? t('admin.profile.left_out') : shownValue(value),
        at: typeof value === 'string' && moment.test(value) ? new Date(value) : undefined,
      })),
    tags: tags.map(({ tag, source, at }) => ({ tag, at, rule: /^rule:(.+)$/.exec(source)?.[1] })),
    touches: touches.map(({ channel, first_at, first, last_at, last }) => ({
      channel,
      both: [
        { which: 'first', at: first_at, from: Object.entries(first) },
        { which: 'last', at: last_at, from: Object.entries(last) },
      ],
    })),
    rfm: rfm && { ...rfm, group: rfm.group.title[language] },
    /** What counts, the most frequent first. */
    counted: Object.entries(channels).map(([channel, { counts }]) => ({
      channel,
      events: Object.entries(counts)
        .sort(([, a], [, b]) => b - a)
        .slice(0, 12)
        .map(([event, n]) => ({ title: titles.ofEvent(event), n })),
    })),
  };
}

/** Numbers as one reads them; text that may hold a phone number all the same is masked. */
function shownValue(value: unknown): string {
  return typeof value === 'number' ? formatNumber(value) : maskedText(plain(value));
}

/** By a form: a tag given, or taken away. One that a rule gives stays. */
async function changeTag(deps: AdminDependencies, { params, form, actor, staff, go }: AdminRequest): Promise<void> {
  const { sub } = await readPerson(deps.db, params.sub ?? '');
  const tag = (form.tag ?? '').trim();
  const isTaken = form.do === 'remove';
  await deps.db.transaction(async (trx) => {
    const isChanged = isTaken
      ? await untagPerson(trx, { sub, tag })
      : await tagPerson(trx, { sub, tag, by: `staff:${staff.sub}` });
    if (!isChanged) return;
    await recordAudit(trx, {
      ...actor,
      action: isTaken ? 'tag.taken' : 'tag.given',
      subject_id: sub,
      details: { tag },
    });
  });
  go(`/admin/people/${sub}/profile`);
}

export const tagRoutes: AdminRoute[] = [
  { method: 'post', path: '/admin/people/:sub/tags', needs: 'people:write', handle: changeTag },
];
