/** What a write key may be made of, for everybody who makes one: the API, the command line, the console. */
import { z } from 'zod';
import { type PurposeName, purposes } from '../consent/consent.ts';
import { channel, name, text } from '../http/fields.ts';
import { usualPerMinute } from './quota.ts';
import { trusts } from './trust.ts';

export type OriginFault = 'no_address' | 'not_https' | 'wildcard' | 'not_origin';

const originFaults: Record<OriginFault, string> = {
  no_address: 'must be an origin such as https://www.example.com',
  not_https: 'must begin with https:// (http:// is for localhost alone)',
  wildcard: 'must name one website: there are no wildcards',
  not_origin: 'must be an origin such as https://www.example.com, without path',
};

const isLocal = ({ hostname }: URL) => ['localhost', '127.0.0.1', '[::1]'].includes(hostname);

/**
 * Why a browser would never send this as Origin; undefined when it would. A path or a slash at the end, capitals, a usual port: all of them
 * are compared character by character and would never match. Plain http is for a developer's machine: elsewhere whoever stands on the way
 * could change the page that holds the key.
 */
export function originFault(value: string): OriginFault | undefined {
  const address = URL.parse(value);
  if (!address?.hostname || !/^https?:\/\//i.test(value)) return 'no_address';
  if (address.protocol !== 'https:' && !isLocal(address)) return 'not_https';
  if (address.hostname.includes('*')) return 'wildcard';
  return address.origin === value ? undefined : 'not_origin';
}

const origin = z
  .string()
  .max(300)
  .superRefine((value, context) => {
    const fault = originFault(value);
    if (fault) context.addIssue({ code: 'custom', message: originFaults[fault] });
  });

/** Visible ASCII (RFC 6749 appendix A.1), and nothing that would end the quotes it stands in where people copy it from. */
const clientId = z.string().regex(/^[\x21\x23-\x26\x28-\x5b\x5d-\x7e]{1,200}$/, 'must be the id of a client');

export const writeKeySettings = {
  kind: z.enum(['client', 'server']).meta({
    description: '`client` may be public and speaks for anonymous ids; `server` is secret and may name any person.',
  }),
  name,
  client_ids: z.array(clientId).max(100).meta({ description: 'Clients whose tokens this key speaks for.' }),
  origins: z.array(origin).max(100).meta({ description: 'Websites that may use the key from a browser (CORS).' }),
  channel: channel.nullable().meta({ description: 'Channel of events that do not name one.' }),
  catalogue: z
    .record(text(200), z.enum(trusts))
    .meta({ description: 'Least trust an event needs to count, where this key differs from the catalogue.' }),
  events_per_minute: z
    .int()
    .min(1)
    .max(2_147_483_647)
    .nullable()
    .meta({
      description: `Events it may send in a minute, over all servers; null: ${usualPerMinute}. Of a client key, 2 KB count as one where a batch has fewer events.`,
    }),
};

export const newWriteKey = z.strictObject({
  ...writeKeySettings,
  client_ids: writeKeySettings.client_ids.default([]),
  origins: writeKeySettings.origins.default([]),
  channel: channel.nullable().default(null),
  catalogue: writeKeySettings.catalogue.default({}),
  events_per_minute: writeKeySettings.events_per_minute.default(null),
});

/** What is to become of it, and no more. Its kind stays: what was public cannot become a secret, nor the other way round. */
export const changedWriteKey = z
  .strictObject({
    ...writeKeySettings,
    is_enabled: z.boolean().meta({ description: 'A disabled key is refused within five seconds.' }),
  })
  .omit({ kind: true })
  .partial();

export const consentDeclaration = z.strictObject({
  purposes: z
    .array(z.enum(Object.keys(purposes) as [PurposeName, ...PurposeName[]]))
    .max(20)
    .meta({ description: 'None: nothing is declared any more.' }),
  by: text(200).min(1).meta({ description: 'Who answers for it: a person, a department.' }),
});
