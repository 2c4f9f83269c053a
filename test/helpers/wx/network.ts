/**
 * wx.request over real HTTP: ten at once and the others in line, only listed domains, any status a success, and a line that a test can
 * cut, slow down or rob of its answers.
 */
import { type ClientRequest, request as httpRequest, type IncomingMessage, type RequestOptions } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { type Callbacks, type Failure, type Process, typeName } from './process.ts';

const atOnce = 10;
const methods = ['OPTIONS', 'GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'TRACE', 'CONNECT'];

export type Sent = {
  url: string;
  method: string;
  headers: Record<string, string>;
  body: string;
  /** Undefined until the server has answered; 0 when it never will. */
  status?: number;
};
export type Answer = {
  statusCode: number;
  data: unknown;
  header: Record<string, string>;
  cookies: string[];
};
export type RequestCall = Callbacks<Answer> & {
  url: string;
  method?: string;
  data?: unknown;
  header?: Record<string, string>;
  timeout?: number;
  dataType?: string;
  responseType?: 'text' | 'arraybuffer';
  redirect?: 'follow' | 'manual';
};
/** `error`: the line breaks after the server did the work. `silence`: neither answer nor error, until its time is out. */
type Loss = { part: string; times: number; as: 'error' | 'silence' };
type Answered = { status: number; headers: Record<string, string>; cookies: string[]; body: Buffer };

const broken: Failure = {
  errMsg: 'request:fail errcode:-101 cronet_error_code:-101 error_msg:net::ERR_CONNECTION_RESET',
  errno: 600001,
};
const offline: Failure = {
  errMsg: 'request:fail errcode:-106 cronet_error_code:-106 error_msg:net::ERR_INTERNET_DISCONNECTED',
  errno: 600001,
};
const interrupted: Failure = { errMsg: 'request:fail interrupted', errno: 600003 };

/** Outlives the mini-program: the phone's line. */
export function createLine() {
  const losses: Loss[] = [];
  const refusals: { part: string; times: number; answer: Answered }[] = [];
  const taken = <T extends { part: string; times: number }>(list: T[], url: string): T | undefined => {
    const found = list.find(({ part, times }) => times > 0 && url.includes(part));
    if (found) found.times--;
    return found;
  };
  return {
    isOffline: false,
    /** Milliseconds that pass before a request leaves the phone. */
    delay: 0,
    /** Every request that left the phone, oldest first. */
    sent: [] as Sent[],
    sentTo(part: string): Sent[] {
      return this.sent.filter(({ url }) => url.includes(part));
    },
    /** The server gets the next `times` requests whose address has `part`, and does its work; the phone never hears of it. */
    lose(part: string, times = 1, as: Loss['as'] = 'error') {
      losses.push({ part, times, as });
    },
    /** Something between the phone and the server answers in its place. */
    answer(part: string, status: number, { times = 1, headers = {}, body = '' } = {}) {
      refusals.push({ part, times, answer: { status, headers, cookies: [], body: Buffer.from(body) } });
    },
    /** Stops robbing and answering. */
    heal() {
      losses.length = 0;
      refusals.length = 0;
    },
    lossFor: (url: string) => taken(losses, url)?.as,
    answerFor: (url: string) => taken(refusals, url)?.answer,
  };
}
export type Line = ReturnType<typeof createLine>;

type Settings = { appid: string; version: string; domains: string[] | undefined; userAgent: string };

export function createNetwork(process: Process, line: Line, { appid, version, domains, userAgent }: Settings) {
  type Task = { start(): void; fail(failure: Failure): void };
  const running = new Set<Task>();
  let waiting: Task[] = [];
  let isCut = false;
  const next = () => {
    while (running.size < atOnce && waiting.length) waiting.shift()?.start();
  };

  function request(options: RequestCall) {
    const headersListeners = new Set<(result: unknown) => void>();
    const controls = {
      abort: () => {},
      onHeadersReceived: (listener: (result: unknown) => void) => void headersListeners.add(listener),
      offHeadersReceived: (listener?: (result: unknown) => void) =>
        listener ? void headersListeners.delete(listener) : headersListeners.clear(),
      onChunkReceived: () => {},
      offChunkReceived: () => {},
    };
    let isDone = false;
    let outgoing: ClientRequest | undefined;
    let timer: NodeJS.Timeout | undefined;
    const settle = (tell: () => void) => {
      if (isDone) return;
      isDone = true;
      clearTimeout(timer);
      running.delete(task);
      waiting = waiting.filter((other) => other !== task);
      process.deliver(tell);
      next();
    };
    const fail = (failure: Failure) =>
      settle(() => {
        const result = process.own(failure);
        options?.fail?.(result);
        options?.complete?.(result);
      });
    const later = (failure: Failure) => {
      queueMicrotask(() => fail(failure));
      return controls;
    };
    const task: Task = {
      fail(failure) {
        outgoing?.destroy();
        fail(failure);
      },
      start() {
        running.add(task);
        // The clock of a request runs from its turn, not from the call.
        timer = setTimeout(() => task.fail({ errMsg: 'request:fail timeout', errno: 5 }), options.timeout ?? 60_000);
        void (async () => {
          if (line.delay) await new Promise((resolve) => setTimeout(resolve, line.delay));
          if (isDone) return;
          const answered = await travel(options, (made) => {
            outgoing = made;
          });
          if (answered === 'silence') return;
          settle(() => {
            const head = process.own({
              statusCode: answered.status,
              header: answered.headers,
              cookies: answered.cookies,
            });
            for (const listener of headersListeners) listener(head);
            const result = { ...head, data: dataOf(options, answered.body), errMsg: 'request:ok' };
            const given = Object.assign(process.own({}), result);
            options.success?.(given);
            options.complete?.(given);
          });
        })().catch((error) => fail(failureOf(error)));
      },
    };
    controls.abort = () => task.fail({ errMsg: 'request:fail abort', errno: 600003 });

    const { url, method = 'GET' } = options ?? {};
    if (typeof url !== 'string')
      return later({
        errMsg: `request:fail parameter error: parameter.url should be String instead of ${typeName(url)};`,
      });
    if (!/^https?:\/\//.test(url) || !URL.canParse(url))
      return later({ errMsg: `request:fail invalid url "${url}"`, errno: 600009 });
    if (!methods.includes(method.toUpperCase())) return later({ errMsg: 'request:fail method is invalid' });
    if (typeof options.data === 'function' || typeof options.data === 'symbol')
      return later({ errMsg: 'request:fail invalid request data', errno: 600010 });
    if (domains && !domains.includes(new URL(url).origin))
      return later({ errMsg: 'request:fail url not in domain list', errno: 600002 });
    if (isCut) return later(interrupted);
    if (line.isOffline) return later(offline);
    waiting.push(task);
    next();
    return controls;
  }

  async function travel(options: RequestCall, made: (request: ClientRequest) => void): Promise<Answered | 'silence'> {
    const message = messageOf(options);
    const sent: Sent = { ...message, body: message.body.toString() };
    line.sent.push(sent);
    const instead = line.answerFor(message.url);
    const loss = instead ? undefined : line.lossFor(message.url);
    const answered = instead ?? (await exchange(message, options.redirect ?? 'follow', made));
    sent.status = loss ? 0 : answered.status;
    if (loss === 'silence') return loss;
    if (loss === 'error') throw broken;
    return answered;
  }

  /** Referer cannot be set, and says whose request it is. */
  function messageOf({ url, method = 'GET', data, header = {} }: RequestCall) {
    const headers: Record<string, string> = { 'content-type': 'application/json' };
    for (const [name, value] of Object.entries(header)) headers[name.toLowerCase()] = String(value);
    headers.referer = `https://servicewechat.com/${appid}/${version}/page-frame.html`;
    headers['user-agent'] = userAgent;
    const verb = method.toUpperCase();
    if (verb !== 'GET' && verb !== 'HEAD')
      return { url, method: verb, headers, body: bodyOf(data, headers['content-type'] ?? '') };
    const query = typeof data === 'string' ? data : data ? formOf(data) : '';
    const joint = url.includes('?') ? '&' : '?';
    return { url: query ? `${url}${joint}${query}` : url, method: verb, headers, body: Buffer.alloc(0) };
  }

  function dataOf({ dataType = 'json', responseType = 'text' }: RequestCall, body: Buffer): unknown {
    if (responseType === 'arraybuffer') return process.ownBuffer(body);
    const text = body.toString().replace(/^\uFEFF/, '');
    if (dataType !== 'json') return text;
    try {
      return process.own(JSON.parse(text));
    } catch {
      return text;
    }
  }

  process.atEnd(() => {
    for (const task of [...running, ...waiting]) task.fail(interrupted);
  });

  return {
    request,
    /** Five seconds in the background are over. */
    cut() {
      isCut = true;
      for (const task of [...running, ...waiting]) task.fail(interrupted);
    },
    restore() {
      isCut = false;
    },
    waiting: () => waiting.length,
    running: () => running.size,
  };
}

function bodyOf(data: unknown, type: string): Buffer {
  if (data === undefined || data === null) return Buffer.alloc(0);
  if (typeof data === 'string') return Buffer.from(data);
  // The program's own ArrayBuffer is another class than ours.
  if (typeName(data) === 'ArrayBuffer') return Buffer.from(new Uint8Array(data as ArrayBuffer));
  if (type.startsWith('application/x-www-form-urlencoded')) return Buffer.from(formOf(data));
  return Buffer.from(JSON.stringify(data));
}

/** Objects inside go as JSON, as the base library's encoding has it. */
function formOf(data: unknown): string {
  return Object.entries(data as Record<string, unknown>)
    .map(([name, value]) => {
      const text = value !== null && typeof value === 'object' ? JSON.stringify(value) : String(value);
      return `${encodeURIComponent(name)}=${encodeURIComponent(text)}`;
    })
    .join('&');
}

type Message = { url: string; method: string; headers: Record<string, string>; body: Buffer };

async function exchange(
  { url, method, headers, body }: Message,
  redirect: 'follow' | 'manual',
  made: (request: ClientRequest) => void,
  hops = 0,
): Promise<Answered> {
  const target = new URL(url);
  const send = target.protocol === 'https:' ? httpsRequest : httpRequest;
  const length = body.length ? { 'content-length': String(body.length) } : {};
  const options: RequestOptions = { method, headers: { ...headers, ...length } };
  const incoming = await new Promise<IncomingMessage>((resolve, reject) => {
    const outgoing = send(target, options, resolve).on('error', reject);
    made(outgoing);
    outgoing.end(body.length ? body : undefined);
  });
  const parts: Buffer[] = [];
  for await (const part of incoming) parts.push(part);
  const status = incoming.statusCode ?? 0;
  const { location } = incoming.headers;
  if (redirect === 'follow' && location && [301, 302, 303, 307, 308].includes(status)) {
    if (hops === 5) throw { errMsg: 'request:fail exceed max redirect', errno: 600008 } satisfies Failure;
    const keeps = status === 307 || status === 308 || method === 'HEAD';
    const onward = { url: new URL(location, url).href, headers };
    return exchange(
      keeps ? { ...onward, method, body } : { ...onward, method: 'GET', body: Buffer.alloc(0) },
      redirect,
      made,
      hops + 1,
    );
  }
  return {
    status,
    headers: headersOf(incoming.rawHeaders),
    cookies: incoming.headers['set-cookie'] ?? [],
    body: Buffer.concat(parts),
  };
}

/** Names come as the server wrote them; several of one name are joined. */
function headersOf(raw: string[]): Record<string, string> {
  const headers: Record<string, string> = {};
  for (let i = 0; i < raw.length; i += 2) {
    const [name = '', value = ''] = raw.slice(i, i + 2);
    headers[name] = headers[name] === undefined ? value : `${headers[name]},${value}`;
  }
  return headers;
}

function failureOf(error: unknown): Failure {
  if (error && typeof error === 'object' && 'errMsg' in error) return error as Failure;
  const isRefused = error instanceof Error && 'code' in error && error.code === 'ECONNREFUSED';
  if (!isRefused) return broken;
  return {
    errMsg: 'request:fail errcode:-102 cronet_error_code:-102 error_msg:net::ERR_CONNECTION_REFUSED',
    errno: 600001,
  };
}
