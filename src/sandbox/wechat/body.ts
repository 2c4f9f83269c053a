/** The JSON that is posted to WeChat; nobody looks at its content type. */
import type { z } from 'zod';
import { readBytes } from '../../http/body.ts';
import type { Context } from '../../http/server.ts';

/** The body, or the refusal: 44002 empty, 47001 not JSON or of wrong types. */
export async function readPosted<Body extends object>(
  ctx: Context,
  schema: z.ZodType<Body>,
): Promise<Body | { errcode: number }> {
  const bytes = await readBytes(ctx, { limit: 65_536 });
  if (bytes.length === 0) return { errcode: 44002 };
  try {
    return schema.parse(JSON.parse(bytes.toString('utf8')));
  } catch {
    return { errcode: 47001 };
  }
}
