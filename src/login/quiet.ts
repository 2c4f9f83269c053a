/**
 * A number that nobody signed in with for long, from a browser that its person never used: it may have changed hands (identity rule 6,
 * threats B17, B18). The first proof waits in this browser's sealed cookie; the page asks for a second one, by any other way of this
 * client, and both go to subjects/ together. Or the person says that the account was never theirs. Of the old account nothing is shown.
 */
import type { Context } from '../http/server.ts';
import { type Deps, seeOther } from './dependencies.ts';
import type { SignIn } from './finish.ts';
import type { Quiet } from './step.ts';
import type { Visit } from './visit.ts';

const minutes = 15;

export function quietOf({ clock }: Pick<Deps, 'clock'>, { step }: Visit): Quiet | undefined {
  return step.quiet && step.quiet.until > clock.now().getTime() ? step.quiet : undefined;
}

/** A second way, by which the first one may be believed. The same number once more is none. */
export function withQuiet(quiet: Quiet | undefined, signIn: SignIn): SignIn {
  const { who, method } = signIn;
  if (!quiet || !('proof' in who) || who.disown || method === quiet.method) return signIn;
  return { method, who: { proof: who.proof, quiet: quiet.proof } };
}

/** The sign-in page asks for the second proof from now on. */
export function askSecond(ctx: Context, deps: Deps, visit: Visit, signIn: SignIn & { masked_to: string }): void {
  const { step, uid, base } = visit;
  const { who, method, masked_to } = signIn;
  const until = deps.clock.now().getTime() + minutes * 60_000;
  if ('proof' in who && !who.quiet) step.quiet = { proof: who.proof, method, masked_to, until };
  step.pending = undefined;
  step.proven = undefined;
  deps.steps.write(ctx, uid, step);
  seeOther(ctx, base);
}

/** Another number, say: what was proven is forgotten. */
export function startOver(ctx: Context, deps: Deps, { step, uid, base }: Visit): void {
  step.quiet = undefined;
  deps.steps.write(ctx, uid, step);
  seeOther(ctx, base);
}
