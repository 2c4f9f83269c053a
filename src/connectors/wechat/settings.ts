/** What every app of WeChat's is set up with, whichever door it opens. */
import { z } from 'zod';
import { secret } from '../contract.ts';
import { isSafeBase } from '../upstream.ts';
import { pushSettings } from './push-settings.ts';

export const safeAddress = z.string().refine(isSafeBase, 'must be an https address (http only on this machine)');

export const appSettings = {
  appid: z
    .string()
    .regex(/^wx[0-9a-z]{8,30}$/i, 'looks like wx0123456789abcdef')
    .describe('its AppID'),
  secret: z
    .string()
    .min(1)
    .max(128)
    .meta({ ...secret, description: 'its AppSecret' }),
  open_platform: z
    .string()
    .min(1)
    .max(64)
    .nullable()
    .default(null)
    .describe('our name for the open-platform account this app is bound to: apps with the same name share unionids'),
  base_url: safeAddress.default('https://api.weixin.qq.com').describe("a proxy in front of WeChat's address"),
  ...pushSettings,
};

/** Of the apps that have a page people are sent to. */
export const pageSettings = {
  ...appSettings,
  label: z
    .string()
    .min(1)
    .max(40)
    .nullable()
    .default(null)
    .describe('what people read on its button, where several apps are offered side by side'),
  page_url: safeAddress.default('https://open.weixin.qq.com').describe("where WeChat's authorise pages are"),
};

/** What every app has, of whichever connector's settings. */
export const anyApp = z.object(appSettings);
export type AppSettings = z.infer<typeof anyApp>;
