import { Analytics } from '@segment/analytics-node';
import * as oidc from 'openid-client';

const { ISSUER, CLIENT_ID, CLIENT_SECRET, SERVER_KEY, SUB } = process.env;

const analytics = new Analytics({ writeKey: SERVER_KEY, host: ISSUER });
analytics.track({ userId: SUB, event: 'order_paid', properties: { order_id: 'O-1', total: '5680.00' } });
await analytics.closeAndFlush();

const http = ISSUER.startsWith('http:') ? [oidc.allowInsecureRequests] : []; // a developer's machine only
const heyi = await oidc.discovery(new URL(ISSUER), CLIENT_ID, CLIENT_SECRET, undefined, { execute: http });
const { access_token } = await oidc.clientCredentialsGrant(heyi, { resource: `${ISSUER}/api`, scope: 'subjects:read' });
const answer = await fetch(`${ISSUER}/api/v1/subjects/${SUB}/events`, {
  headers: { Authorization: `Bearer ${access_token}` },
});
for (const { timestamp, channel, event } of (await answer.json()).data) console.log(timestamp, channel, event);
