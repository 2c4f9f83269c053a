/** What every SMS provider is given to send, and the settings that all of them have. */
import { z } from 'zod';
import { isSafeBase } from '../upstream.ts';

export type SmsMessage = {
  /** E.164. */
  phone: string;
  /** Names this message in the provider's own log and keeps a repeated request from being a second message. */
  otp_id: string;
} & ({ code: string } | { notice: SmsNotice });

/** What happened to an account, and when: the variables of an approved template, which holds everything else. */
type SmsNotice = { what: string; at: string };

export const signName = z
  .string()
  .min(1)
  .max(64)
  .regex(/^[^【】]+$/, 'is written without 【】')
  .describe('the approved signature, without 【】');

export function baseUrl(usual: string) {
  return z
    .string()
    .default(usual)
    .refine(isSafeBase, 'must be an https address (http only on this machine)')
    .describe("another region's address");
}
