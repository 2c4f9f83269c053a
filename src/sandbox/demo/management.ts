/** A call to Heyi's management API with the back end's token. */
import { request } from 'undici';
import { fail } from '../../errors.ts';
import type { Provider } from './provider.ts';
import type { Settings } from './settings.ts';

export type Manage = (method: 'GET' | 'POST', path: string, body?: object) => Promise<unknown>;

/** A refusal by its own code (a merge that contradicts, say) is what it is; everything else means that Heyi is away. */
export function createManagement({ issuer }: Settings, provider: Provider): Manage {
  return async (method, path, body) => {
    for (const isLast of [false, true]) {
      const answer = await request(`${issuer}/api/v1${path}`, {
        method,
        headers: {
          authorization: `Bearer ${await provider.machineToken()}`,
          ...(body && { 'content-type': 'application/json' }),
        },
        ...(body && { body: JSON.stringify(body) }),
        headersTimeout: 10_000,
      });
      if (answer.statusCode < 300) return answer.body.json();
      await answer.body.dump();
      if (answer.statusCode === 404 || answer.statusCode === 400) throw fail('not_found');
      if (answer.statusCode === 409) throw fail('conflict');
      // A token of before Heyi's restart with other keys: ask for a new one, once.
      if (answer.statusCode !== 401 || isLast) throw fail('upstream_unavailable');
      provider.forgetMachineToken();
    }
  };
}
