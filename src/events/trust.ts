/** How well it is known whose an event is, from a mere claim to the word of the company's own server. */
export const trusts = ['claimed', 'bound', 'token', 'server'] as const;
export type Trust = (typeof trusts)[number];

export function reaches(trust: Trust, least: Trust): boolean {
  return trusts.indexOf(trust) >= trusts.indexOf(least);
}
