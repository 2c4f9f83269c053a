/** What an operator enters for one provider. */
import { z } from 'zod';
import { secret } from '../contract.ts';
import { isSafeBase } from '../upstream.ts';

export const upstreamSettings = z.object({
  key: z
    .string()
    .regex(/^[a-z0-9][a-z0-9-]{0,31}$/, 'is up to 32 small letters, digits and hyphens')
    .describe('our name for it, in its id and in the address it sends people back to'),
  label: z.string().min(1).max(40).describe('what people read on its button'),
  issuer: z
    .string()
    .refine(isSafeBase, 'must be an https address (http only on this machine)')
    .describe('its issuer, exactly as its discovery document says'),
  client_id: z.string().min(1).max(255),
  client_secret: z
    .string()
    .min(1)
    .max(512)
    .nullable()
    .default(null)
    .meta({ ...secret, description: 'left out for a public client' }),
  scope: z
    .string()
    .regex(/^openid( [\x21\x23-\x5b\x5d-\x7e]+)*$/, 'begins with openid, words apart by one space')
    .default('openid profile email')
    .describe('what it is asked for, openid first'),
  trust_email: z
    .boolean()
    .default(false)
    .describe('whether an e-mail address that it calls verified is believed, and joins the account that has it'),
});
export type UpstreamSettings = z.infer<typeof upstreamSettings>;
