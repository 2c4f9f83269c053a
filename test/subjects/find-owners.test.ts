import { describe, expect, it } from 'vitest';
import { keyOf } from '../../src/subjects/identity-key.ts';
import { resolveSubject } from '../../src/subjects/resolve.ts';
import { findOwners } from '../../src/subjects/store.ts';
import { testDatabase } from '../helpers/database.ts';
import { noJobs } from '../helpers/jobs.ts';
import { seal, wechatProof } from '../oidc/world.ts';

const { db } = await testDatabase();

describe('looking up identities that several sign-ins ask for at once', () => {
  it('answers each with its own, once: an identity that is not stored yet is seen to be missing', async () => {
    const known = wechatProof('wx1', { openid: 'o-1', unionid: 'u-1' });
    const { sub } = await resolveSubject(
      { db, seal, jobs: noJobs },
      { proofs: [known], create: true, context: { channel: 'miniprogram' } },
    );
    const later = wechatProof('wx2', { openid: 'o-2', unionid: 'u-1' }).identities.map((identity) =>
      keyOf(seal, identity),
    );
    const stranger = wechatProof('wx1', { openid: 'o-3' }).identities.map((identity) => keyOf(seal, identity));
    const [first, second, third] = await Promise.all([later, later, stranger].map((keys) => findOwners(db, keys)));
    for (const owners of [first, second]) {
      expect(owners).toHaveLength(1);
      expect(owners).toMatchObject([{ subject_id: sub, kind: 'wechat_unionid' }]);
    }
    expect(third).toEqual([]);
  });
});
