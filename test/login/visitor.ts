/** A browser without a screen: keeps cookies by path, follows no redirect by itself, reads the forms of a page. */
export type Form = { action: string; fields: Record<string, string> };

export type Answer = {
  url: string;
  status: number;
  headers: Headers;
  html: string;
  location: string | undefined;
  forms: Form[];
};

type Cookie = { name: string; value: string; path: string };

export type Visitor = ReturnType<typeof createVisitor>;

export function createVisitor({ language = 'zh-CN', headers = {} }: { language?: string; headers?: object } = {}) {
  let jar: Cookie[] = [];

  const keep = (line: string) => {
    const [pair = '', ...attributes] = line.split(/;\s*/);
    const name = pair.slice(0, pair.indexOf('='));
    const attribute = (wanted: string) =>
      attributes.find((text) => text.toLowerCase().startsWith(`${wanted}=`))?.slice(wanted.length + 1);
    const path = attribute('path') ?? '/';
    jar = jar.filter((cookie) => cookie.name !== name || cookie.path !== path);
    const gone = attribute('max-age') === '0' || new Date(attribute('expires') ?? '2999-01-01') < new Date();
    if (!gone) jar.push({ name, value: pair.slice(name.length + 1), path });
  };
  const cookiesFor = (path: string) =>
    jar.filter((cookie) => cookie.path === '/' || path === cookie.path || path.startsWith(`${cookie.path}/`));

  async function request(url: string, init: RequestInit = {}): Promise<Response> {
    const cookie = cookiesFor(new URL(url).pathname)
      .map(({ name, value }) => `${name}=${value}`)
      .join('; ');
    const response = await fetch(url, {
      redirect: 'manual',
      ...init,
      headers: {
        accept: 'text/html',
        'accept-language': language,
        ...headers,
        ...(cookie && { cookie }),
        ...init.headers,
      },
    });
    for (const line of response.headers.getSetCookie()) keep(line);
    return response;
  }

  async function send(url: string, init: RequestInit = {}): Promise<Answer> {
    const response = await request(url, init);
    const html = await response.text();
    const location = response.headers.get('location');
    return {
      url,
      status: response.status,
      headers: response.headers,
      html,
      location: location === null ? undefined : new URL(location, url).href,
      forms: formsOf(html, url),
    };
  }

  async function post(
    url: string,
    fields: Record<string, string>,
    extra: Record<string, string> = {},
  ): Promise<Answer> {
    const body = new URLSearchParams(fields).toString();
    return send(url, {
      method: 'POST',
      body,
      headers: { 'content-type': 'application/x-www-form-urlencoded', ...extra },
    });
  }

  return {
    get: (url: string) => send(url),
    post,
    json: async (url: string): Promise<Record<string, unknown>> =>
      (await (await request(url, { headers: { accept: 'application/json' } })).json()) as Record<string, unknown>,
    bytes: async (url: string): Promise<{ headers: Headers; bytes: Buffer }> => {
      const response = await request(url, { headers: { accept: 'image/*,*/*;q=0.8' } });
      return { headers: response.headers, bytes: Buffer.from(await response.arrayBuffer()) };
    },
    submit: (form: Form, fields: Record<string, string> = {}) => post(form.action, { ...form.fields, ...fields }),
    /** Follows redirects as long as they stay on this origin; the answer is the last page, or the way out. */
    async follow(answer: Answer): Promise<Answer> {
      let at = answer;
      for (let hops = 0; at.location?.startsWith(new URL(answer.url).origin) && hops < 10; hops++)
        at = await send(at.location);
      return at;
    },
    cookies: () => jar.map((cookie) => ({ ...cookie })),
    cookie: (name: string) => jar.find((cookie) => cookie.name === name)?.value,
    setCookie(cookie: Cookie) {
      jar = [...jar.filter((kept) => kept.name !== cookie.name || kept.path !== cookie.path), cookie];
    },
  };
}

const entities: Record<string, string> = { amp: '&', lt: '<', gt: '>', quot: '"', '#39': "'" };
export const unescapeHtml = (text: string) =>
  text.replace(/&(amp|lt|gt|quot|#39);/g, (_all, name: string) => entities[name] ?? '');

function formsOf(html: string, url: string): Form[] {
  return [...html.matchAll(/<form\b([^>]*)>([\s\S]*?)<\/form>/g)].map(([, head = '', body = '']) => {
    const fields: Record<string, string> = {};
    for (const [input] of body.matchAll(/<input\b[^>]*>/g)) {
      const attribute = (name: string) => new RegExp(`\\b${name}="([^"]*)"`).exec(input)?.[1];
      const name = attribute('name');
      if (name && attribute('type') !== 'checkbox') fields[name] = unescapeHtml(attribute('value') ?? '');
    }
    const action = unescapeHtml(/\baction="([^"]*)"/.exec(head)?.[1] ?? '');
    return { action: new URL(action || url, url).href, fields };
  });
}

export function formTo(answer: Answer, ending: string): Form {
  const form = answer.forms.find(({ action }) => new URL(action).pathname.endsWith(ending));
  if (!form)
    throw new Error(`no form to …${ending} at ${answer.url} (${answer.status}):\n${answer.html.slice(0, 2000)}`);
  return form;
}
