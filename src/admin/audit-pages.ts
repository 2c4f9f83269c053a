/** The audit record for owners: everything that was done, by what, about whom and by whom. */
import { readAudit } from '../audit/audit.ts';
import { currentSubject } from '../subjects/subjects.ts';
import type { AdminRoute } from './console.ts';
import { auditLine } from './lines.ts';
import { colleaguesIn, idOrNone } from './person.ts';

const pageSize = 50;

/** What the record knows, by the sentence that the page has for it. */
const actions = [
  ...['people.searched', 'identities.shown', 'identity.linked', 'identity.unlinked', 'identity.disowned'],
  ...['identity.removal_asked', 'identity.removal_cancelled', 'identity.contradicted'],
  ...['subject.created', 'subject.signed_in', 'subject.merged', 'subject.merge_undone'],
  ...['subject.suspended', 'subject.reinstated', 'subject.profile_forgotten'],
  ...['link_case.opened', 'link_case.decided', 'session.ended', 'grant.ended', 'sessions.ended'],
  ...['staff.granted', 'staff.removed', 'staff.invited', 'staff.invitation_removed', 'staff.refused'],
  ...['subject.needs_attention', 'wechat.authorisation_revoked', 'wechat.account_closed', 'wechat_token.read'],
  ...['wechat.profile_modified', 'verification_file.saved', 'verification_file.removed'],
  ...['reviewer.added', 'reviewer.removed', 'reviewer.used'],
  ...['segment.created', 'segment.edited', 'segment.active', 'segment.paused', 'segment.archived'],
  ...['segment.list_changed', 'segment.members_exported'],
  ...['event_definition.created', 'event_definition.changed', 'event_definition.removed'],
  ...['traits.declared', 'trait.defined', 'trait.edited', 'trait.removed', 'tag.given', 'tag.taken'],
  ...['tag_rule.added', 'tag_rule.removed', 'rfm.changed', 'personalisation.set'],
  ...['client.created', 'connector.configured', 'connector.disabled', 'consent.recorded'],
  ...[
    'write_key.created',
    'write_key.changed',
    'write_key.disabled',
    'write_key.enabled',
    'write_key.consents_declared',
  ],
];

export const auditRoutes: AdminRoute[] = [
  {
    method: 'get',
    path: '/admin/audit',
    needs: 'audit:read',
    async handle(deps, { query, show, t }) {
      const { db } = deps;
      const asked = query.person?.trim().toLowerCase();
      const person = asked ? await currentSubject(db, asked) : undefined;
      const filter = {
        subject_id: person?.sub,
        staff_id: idOrNone(query.staff?.trim().toLowerCase()),
        action: actions.find((action) => action === query.action),
      };
      // A person nobody knows has no entries: showing everything instead would look like an answer.
      const isNobody = Boolean(asked && !person) || Boolean(query.staff?.trim() && !filter.staff_id);
      const page = isNobody
        ? { entries: [], next: null }
        : await readAudit(db, { ...filter, before: idOrNone(query.before), limit: pageSize });
      const colleagues = await colleaguesIn(deps, page.entries);
      const older = new URLSearchParams({
        ...(filter.action && { action: filter.action }),
        ...(person && { person: person.sub }),
        ...(filter.staff_id && { staff: filter.staff_id }),
        ...(page.next && { before: page.next }),
      });
      show('admin/audit', {
        entries: page.entries.map((entry) => auditLine(entry, t, colleagues)),
        next: page.next && `?${older}`,
        actions,
        asked: { action: filter.action, person: query.person ?? '', staff: query.staff ?? '' },
      });
    },
  },
];
