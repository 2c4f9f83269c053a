/** What the management API says and does about who is who, as the demo's identity page needs it. */
import { z } from 'zod';
import type { Manage } from './management.ts';

const subject = z.object({
  sub: z.string(),
  requested_sub: z.string(),
  status: z.string(),
  merge_id: z.string().nullable(),
  created_at: z.string(),
});
const identity = z.object({
  id: z.string(),
  kind: z.string(),
  issuer: z.string(),
  external_id: z.string(),
  is_superseded: z.boolean(),
});
const merge = z.object({
  id: z.string(),
  survivor: z.string(),
  absorbed: z.string(),
  basis: z.string(),
  merged_at: z.string(),
  undone_at: z.string().nullish(),
});
const hinted = z.object({ kind: z.string(), hint: z.string() });
const preview = z.object({
  survivor: z.object({ sub: z.string() }),
  absorbed: z.object({ sub: z.string() }),
  moves: z.array(hinted),
  conflicts: z.array(z.object({ kind: z.string() })),
  refusal: z.string().nullable(),
});
const linkCase = z.object({
  id: z.string(),
  subject: z.string(),
  other: z.string(),
  identity_kind: z.string(),
  times_seen: z.int(),
  evidence: z.object({
    contradictions: z.array(z.object({ reason: z.string(), kind: z.string().optional() })).default([]),
  }),
});

export type Subject = z.infer<typeof subject>;
export type Identity = z.infer<typeof identity>;
export type Merge = z.infer<typeof merge>;
export type Preview = z.infer<typeof preview>;
export type Case = z.infer<typeof linkCase>;

export type IdentityApi = ReturnType<typeof createIdentityApi>;

export function createIdentityApi(manage: Manage) {
  const at = encodeURIComponent;
  return {
    subject: async (sub: string): Promise<Subject> => subject.parse(await manage('GET', `/subjects/${at(sub)}`)),
    async identitiesOf(sub: string): Promise<Identity[]> {
      const answer = await manage('GET', `/subjects/${at(sub)}/identities`);
      return z.object({ data: z.array(identity) }).parse(answer).data;
    },
    readMerge: async (id: string): Promise<Merge> => merge.parse(await manage('GET', `/merges/${at(id)}`)),
    preview: async (survivor: string, absorbed: string): Promise<Preview> =>
      preview.parse(await manage('POST', '/merges/preview', { survivor, absorbed })),
    merge: (input: { survivor: string; absorbed: string; reason: string }) => manage('POST', '/merges', input),
    undo: (id: string, reason: string) => manage('POST', `/merges/${at(id)}/undo`, { reason }),
    async openCases(): Promise<Case[]> {
      const answer = await manage('GET', '/link-cases?limit=50');
      return z.object({ data: z.array(linkCase) }).parse(answer).data;
    },
    decide: (id: string, decision: 'merge' | 'dismiss', reason: string) =>
      manage('POST', `/link-cases/${at(id)}/decide`, { decision, reason }),
  };
}
