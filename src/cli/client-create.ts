/** `heyi client create`: an application that signs people in, or a machine client of the management API. */
import { type ClientInput, createClient } from '../oidc/clients.ts';
import { type Command, type Values, withDatabase } from './command.ts';

export const clientCreate: Command = {
  name: 'client create',
  summary: 'register an application; prints its id and, once, its secret',
  details: [
    'A website          --name Shop --redirect-uri https://shop.example.com/callback --method sms --method email',
    'A mini-program     --name Mini --appid wx0123456789abcdef --channel miniprogram',
    'A machine          --name CRM --scope "subjects:read subjects:write"',
    'Ways of signing in: sms, email, wechat-web, wechat-official, wechat-official-scan, miniprogram-scan, upstream-oidc;',
    'with :<appid> or :<key> behind it, of that one alone. docs/connectors.md',
    'An --id that exists brings that client up to date and keeps its secret.',
  ].join('\n'),
  options: {
    name: { type: 'string', help: 'what people read on the sign-in page', required: true },
    id: { type: 'string', help: 'client_id; made when left out' },
    'redirect-uri': { type: 'string', multiple: true, help: 'where people come back to; may be repeated' },
    'post-logout-redirect-uri': {
      type: 'string',
      multiple: true,
      help: 'where people may go after sign-out; may be repeated',
    },
    method: {
      type: 'string',
      multiple: true,
      help: 'way of signing in that is offered, in this order; may be repeated',
    },
    appid: { type: 'string', help: 'the one WeChat app whose login codes the client may exchange' },
    channel: { type: 'string', help: 'channel of its events: website, miniprogram, app, …' },
    scope: { type: 'string', help: 'scopes it may ask for, separated by spaces; API scopes are given by nothing else' },
    'grant-type': { type: 'string', multiple: true, help: 'in place of those that the other options suggest' },
    'auth-method': { type: 'string', help: 'none (public), client_secret_basic, client_secret_post' },
    'application-type': { type: 'string', help: 'web or native' },
    'third-party': { type: 'boolean', help: 'another legal entity: people are asked for consent, with its name' },
    'no-pkce': { type: 'boolean', help: 'for a confidential client that cannot do PKCE' },
  },
  async run(values) {
    const created = await withDatabase((services) => createClient(services, inputOf(values)));
    const secret = created.client_secret
      ? [`client_secret  ${created.client_secret}`, 'The secret is not shown again.']
      : [];
    return { data: created, text: [`client_id      ${created.client_id}`, ...secret].join('\n') };
  },
};

/** Options that were not given are left out, so that the defaults are those of the client's own schema, which also refuses. */
function inputOf(values: Values): ClientInput {
  const given = {
    client_id: values.id,
    name: values.name,
    redirect_uris: values['redirect-uri'],
    post_logout_redirect_uris: values['post-logout-redirect-uri'],
    methods: values.method,
    appid: values.appid,
    channel: values.channel,
    scope: values.scope,
    grant_types: values['grant-type'],
    token_endpoint_auth_method: values['auth-method'],
    application_type: values['application-type'],
    party: values['third-party'] ? 'third' : undefined,
    require_pkce: values['no-pkce'] ? false : undefined,
  };
  const stated: object = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  return stated as ClientInput;
}
