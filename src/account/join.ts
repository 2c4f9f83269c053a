/**
 * What a person says of the account that holds what they proved. "Both are mine": what would come together is shown first, and nothing
 * happens unless they then say so (rule 7). "That was never me": a number that nobody used for long is theirs from now on (rule 6).
 */
import { formatTime } from '../http/i18n.ts';
import type { Context } from '../http/server.ts';
import { seeOther } from '../login/dependencies.ts';
import { endSessionOf } from '../oidc/grants.ts';
import { joinProven, previewJoin, takeQuietNumber } from '../subjects/join.ts';
import type { ChangeDependencies } from './change.ts';
import { type AccountClient, familyOf, type Visit } from './visit.ts';

export async function showJoin(ctx: Context, deps: ChangeDependencies, visit: Visit): Promise<void> {
  const taken = deps.steps.read(ctx, visit)?.taken;
  const found = taken && (await previewJoin(deps, { sub: visit.sub, proof: taken.proof }));
  if (!found) return seeOther(ctx, '/account?note=start_over');
  const { survivor, absorbed, fills } = found.preview;
  const [mine, other] = survivor.sub === visit.sub ? [survivor, absorbed] : [absorbed, survivor];
  const shown = (side: typeof mine) => ({
    created_at: side.created_at,
    nickname: side.nickname,
    // One line for all of a person's WeChat: what an openid is means nothing to them.
    methods: [
      ...new Map(
        side.identities.map(({ kind, hint }) => {
          const family = familyOf(kind);
          return [family === 'wechat' ? family : hint, { family, hint: family === 'wechat' ? undefined : hint }];
        }),
      ).values(),
    ],
  });
  deps.render(ctx, 'account/join', {
    when: (at: Date) => formatTime(deps.i18n.languageOf(ctx), at),
    mine: shown(mine),
    // Whoever has a number that changed hands learns nothing of who had it before (threat B18).
    other: found.contradictions.some(({ reason }) => reason === 'quiet_number') ? undefined : shown(other),
    asks_staff: found.contradictions.length > 0,
    stays_signed_in: survivor.sub === visit.sub,
    takes_nickname: fills.nickname !== undefined,
  });
}

export async function join(ctx: Context, deps: ChangeDependencies, visit: Visit, client: AccountClient): Promise<void> {
  const taken = deps.steps.read(ctx, visit)?.taken;
  if (!taken) return seeOther(ctx, '/account?note=start_over');
  const { sub, actor } = visit;
  const joined = await joinProven(deps, { sub, proof: taken.proof, actor });
  deps.steps.clear(ctx);
  if (joined.kind === 'over') return seeOther(ctx, '/account?note=start_over');
  if (joined.kind === 'case') return deps.render(ctx, 'account/asked', {});
  if (joined.merge.survivor === sub) return seeOther(ctx, '/account?note=joined');
  // The account that this browser was signed in to is the other one now: signing in again opens it.
  // At once: left to the job that ends the others, it would break off the sign-in that the person begins meanwhile.
  await endSessionOf(deps, { sub, uid: visit.browser.uid });
  client.clearSession(ctx);
  deps.render(ctx, 'account/joined', {});
}

export async function takeNumber(ctx: Context, deps: ChangeDependencies, visit: Visit): Promise<void> {
  const taken = deps.steps.read(ctx, visit)?.taken;
  const { sub, actor } = visit;
  const isTheirs =
    taken && (await takeQuietNumber(deps, { sub, proof: taken.proof, actor, replace: taken.act === 'change' }));
  deps.steps.clear(ctx);
  seeOther(ctx, `/account?note=${isTheirs ? (taken.act === 'change' ? 'changed' : 'added') : 'start_over'}`);
}
