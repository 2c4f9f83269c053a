/** What an app's message push is set up with (消息推送), part of the settings of every app of WeChat's. */
import { z } from 'zod';
import { secret } from '../contract.ts';
import { isLoopback } from '../upstream.ts';

export const pushSettings = {
  push_token: z
    .string()
    .regex(/^[A-Za-z0-9]{3,32}$/, 'is 3 to 32 letters and digits')
    .nullable()
    .default(null)
    .meta({ ...secret, description: 'the Token of its message push; without one, pushes are refused' }),
  encoding_aes_key: z
    .string()
    .regex(/^[A-Za-z0-9]{43}$/, 'is 43 letters and digits')
    .nullable()
    .default(null)
    .meta({
      ...secret,
      description: 'the EncodingAESKey of its message push; with one, pushes in the clear are refused',
    }),
  push_forward_url: z
    .string()
    .max(500)
    .refine(isForwardAddress, 'must be an https address (http only on this machine)')
    .nullable()
    .default(null)
    .describe('another system of the company that gets every verified push unchanged, and whose reply is passed back'),
};

/** Given by an operator. No redirect of it is followed, so what is reached is what is written here (threat F12). */
function isForwardAddress(text: string): boolean {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || url.hash || url.username || url.password) return false;
  return url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback(url.hostname));
}

const fragment = z.object(pushSettings);
export type PushSettings = z.infer<typeof fragment>;
