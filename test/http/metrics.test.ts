import { describe, expect, it } from 'vitest';
import { runningApp } from '../helpers/app.ts';
import { freePorts } from '../helpers/ports.ts';

const [port] = await freePorts(1);
const { config } = await runningApp({ METRICS_PORT: String(port), SANDBOX: 'off' });
const scrape = async () => (await fetch(`http://localhost:${port}/metrics`)).text();

describe('METRICS_PORT', () => {
  it('counts requests by area, method and class of status', async () => {
    await fetch(`${config.publicUrl}/privacy`);
    await fetch(`${config.publicUrl}/v1/track`, { method: 'POST', body: '{}' });
    const text = await scrape();
    expect(text).toContain('heyi_http_request_duration_seconds_count{area="other",method="GET",status="2xx"} 1');
    expect(text).toContain('heyi_http_request_duration_seconds_count{area="v1",method="POST",status="4xx"} 1');
    expect(text).toContain('process_resident_memory_bytes');
    expect(text).toMatch(/^heyi_people_set_aside 0$/m);
  });

  it('G12: nothing that a stranger writes into a path becomes a label', async () => {
    await fetch(`${config.publicUrl}/13800138000/a@example.com`);
    await fetch(`${config.publicUrl}/login/secret-uid`);
    const text = await scrape();
    for (const word of ['13800138000', 'example.com', 'secret-uid']) expect(text).not.toContain(word);
  });

  it('G12: is not on the public listener', async () => {
    expect((await fetch(`${config.publicUrl}/metrics`)).status).toBe(404);
  });
});
