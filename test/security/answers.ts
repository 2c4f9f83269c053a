/** Requests that no decent client would send, and what must not be in an answer to any of them. */
import { type Agent, request } from 'node:http';

export type Answer = { status: number; type: string; text: string; headers: Record<string, unknown> };
export type Sent = {
  method?: string;
  path: string;
  headers?: Record<string, string | string[]>;
  body?: string | Buffer;
};

/**
 * node:http and not fetch, which would refuse to send most of this. A kept connection that the server has just closed for having been idle
 * is opened again, as every client does.
 */
export function senderTo(port: number, agent?: Agent) {
  const send = ({ method = 'GET', path, headers = {}, body }: Sent): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const sent = request({ host: '127.0.0.1', port, method, path, headers, agent }, (answer) => {
        const chunks: Buffer[] = [];
        answer.on('data', (chunk) => chunks.push(chunk));
        answer.on('error', reject);
        answer.on('end', () =>
          resolve({
            status: answer.statusCode ?? 0,
            type: String(answer.headers['content-type'] ?? ''),
            text: Buffer.concat(chunks).toString('utf8'),
            headers: answer.headers,
          }),
        );
      });
      sent.on('error', (error: NodeJS.ErrnoException) => {
        const wasIdle = sent.reusedSocket && error.code === 'ECONNRESET';
        if (wasIdle) send({ method, path, headers, ...(body !== undefined && { body }) }).then(resolve, reject);
        else reject(error);
      });
      sent.end(body);
    });
  return send;
}

/** The one shape for programs, OAuth's own at the protocol's endpoints, a page where a person looks. */
export function complaintAbout({ status, type, text }: Answer): string | undefined {
  if (status >= 500) return `${status}: ${text.slice(0, 300)}`;
  if (/node_modules|\bat \S+ \(|\.ts:\d+|TypeError|SyntaxError|invalid byte sequence|koa-router|PostgreSQL/i.test(text))
    return `${status} tells of our inside: ${text.slice(0, 300)}`;
  if (status < 400) return undefined;
  // What is no HTTP, or has too long a head, is refused by the parser, before anybody of ours sees it.
  if ([400, 431].includes(status) && type === '' && text === '') return undefined;
  if (type.startsWith('text/html')) return text.includes('<html') ? undefined : `${status}: no page`;
  if (!type.startsWith('application/json')) return `${status} is ${type || 'nothing'}: ${text.slice(0, 200)}`;
  const { error, error_description } = JSON.parse(text);
  if (typeof error === 'string')
    return /^[a-z_]+$/.test(error) && ['string', 'undefined'].includes(typeof error_description) ? undefined : text;
  const isOurs = /^[a-z_]+$/.test(error?.code) && typeof error.message === 'string' && error.request_id;
  return isOurs ? undefined : `${status}: ${text.slice(0, 300)}`;
}
