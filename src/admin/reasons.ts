/** Why something was done: staff write it down before they do it. */
import type { AdminRequest } from './console.ts';

const longest = 500;

/** Undefined when there is none; the page then asks for it. */
export function reasonOf({ form }: Pick<AdminRequest, 'form'>): string | undefined {
  return form.reason?.trim().slice(0, longest) || undefined;
}

/** Shows the form once more with what is missing. */
export function askForReason({ ctx, show, t }: AdminRequest, view: string, values: Record<string, unknown>): void {
  ctx.status = 400;
  show(view, { ...values, fault: t('admin.reason_missing') });
}
