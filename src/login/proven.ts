/** From a proof to the way out of the sign-in: the policy is agreed to first, the page where that is done, and the end. */
import { setTimeout as sleep } from 'node:timers/promises';
import { AppError } from '../errors.ts';
import type { Context } from '../http/server.ts';
import { type Deps, type Form, seeOther, translatorOf } from './dependencies.ts';
import { finishSignIn, policyIsAgreed, type SignIn } from './finish.ts';
import { policyTextHash, policyVersion, rememberAgreement } from './privacy.ts';
import { askSecond, quietOf, withQuiet } from './quiet.ts';
import { otherLanguage } from './start.ts';
import { findInteraction, type Visit } from './visit.ts';

/** A proven person reads the policy meanwhile. */
const provenMinutes = 15;

export type Proven = SignIn & { masked_to: string };

export async function proven(ctx: Context, deps: Deps, visit: Visit, { masked_to, ...one }: Proven): Promise<void> {
  const what = { ...withQuiet(quietOf(deps, visit), one), masked_to };
  if (await policyIsAgreed(deps, visit, what.who)) return complete(ctx, deps, visit, what);
  const until = deps.clock.now().getTime() + provenMinutes * 60_000;
  visit.step.proven = { ...what, until };
  deps.steps.write(ctx, visit.uid, visit.step);
  seeOther(ctx, `${visit.base}/agree`);
}

/** Somebody new in a browser in which somebody else had agreed: the consent must be this person's own. */
export async function showAgree(ctx: Context, deps: Deps, visit: Visit, error?: string): Promise<void> {
  const waiting = visit.step.proven;
  if (!waiting || waiting.until < deps.clock.now().getTime()) return seeOther(ctx, visit.base);
  const { base, client } = visit;
  if (error) ctx.status = 400;
  deps.render(ctx, 'login/agree', {
    base,
    client: client.name,
    masked_to: waiting.masked_to,
    languageUrl: otherLanguage(ctx, deps, `${base}/agree`),
    privacy: policyVersion(),
    errors: { privacy: error },
  });
}

export async function agree(ctx: Context, deps: Deps, visit: Visit, form: Form): Promise<void> {
  const { step } = visit;
  const waiting = step.proven;
  if (!waiting || waiting.until < deps.clock.now().getTime()) return seeOther(ctx, visit.base);
  const t = translatorOf(ctx, deps);
  if (form.privacy !== policyVersion()) return showAgree(ctx, deps, visit, t('errors.privacy_not_agreed'));
  const at = deps.clock.now().toISOString();
  step.agreement = { version: policyVersion(), text_hash: policyTextHash(t), ip: ctx.state.ip, at };
  await complete(ctx, deps, visit, waiting);
}

/** "This was never me": a new account, to which the number goes over. */
export async function disown(ctx: Context, deps: Deps, visit: Visit): Promise<void> {
  const quiet = quietOf(deps, visit);
  if (!quiet) return seeOther(ctx, visit.base);
  const { proof, method, masked_to } = quiet;
  await proven(ctx, deps, visit, { who: { proof, disown: true }, method, masked_to });
}

async function complete(ctx: Context, deps: Deps, visit: Visit, { who, method, masked_to }: Proven): Promise<void> {
  let url: string | undefined;
  try {
    url = await finishSignIn(ctx, deps, visit, { who, method });
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== 'second_proof_needed') throw error;
    return askSecond(ctx, deps, visit, { who, method, masked_to });
  }
  const { step, uid } = visit;
  deps.steps.write(ctx, uid, { nonce: step.nonce, back: step.back, is_done: true });
  if (step.agreement) rememberAgreement(ctx, { https: deps.config.publicUrl.startsWith('https:') });
  if (url) return seeOther(ctx, url);
  await deps.showEnded(ctx);
}

/**
 * A double click sends the form twice, and the first takes the code. The second leads on with the result of the first, which
 * may still be on its way; a browser shows only the answer to the second.
 */
export async function otherClickLeadsOn(ctx: Context, deps: Deps, visit: Visit): Promise<boolean> {
  for (let tries = 0; tries < 8; tries++) {
    const interaction = await findInteraction(ctx, deps.oidc.provider);
    if (interaction?.uid !== visit.uid) {
      await deps.showEnded(ctx);
      return true;
    }
    if (interaction.result) {
      seeOther(ctx, interaction.returnTo);
      return true;
    }
    await sleep(100);
  }
  return false;
}
