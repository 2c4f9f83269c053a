/**
 * One run of a mini-program, from its cold start to its death: the context its code runs in, timers, and what may still call it.
 * The code sees what WeChat's logic layer has and no more: the language, `wx`, App, Page and timers; no fetch, no URL, no eval.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import vm from 'node:vm';

export type Failure = { errMsg: string; errno?: number };
export type Callbacks<T = unknown> = {
  success?: (result: T & { errMsg: string }) => void;
  fail?: (failure: Failure) => void;
  complete?: (result: (T & { errMsg: string }) | Failure) => void;
};

type Work = () => void;
type Timer = (work: (...values: unknown[]) => void, ms?: number, ...values: unknown[]) => number;
type Module = { exports: unknown };

/** What a call of the phone throws, in the words of the real one. */
export class WxError extends Error {
  errno: number | undefined;
  constructor(words: string, errno?: number) {
    super(words);
    this.errno = errno;
  }
}

export function createProcess() {
  const context = vm.createContext({}, { codeGeneration: { strings: false, wasm: false } });
  const globals: Record<string, unknown> = context;
  delete globals.WebAssembly;
  vm.runInContext('delete globalThis.WebAssembly; delete globalThis.SharedArrayBuffer;', context);
  const parse: typeof JSON.parse = vm.runInContext('JSON.parse', context);
  const OwnPromise: PromiseConstructor = vm.runInContext('Promise', context);
  const OwnArrayBuffer: ArrayBufferConstructor = vm.runInContext('ArrayBuffer', context);

  let state: 'running' | 'suspended' | 'ended' = 'running';
  let held: Work[] = [];
  const errors: unknown[] = [];
  const logs: unknown[][] = [];
  const endings = new Set<Work>();
  let onError: (error: unknown) => void = () => {};

  /** Calls into the program: not at all when it is dead, later when it sleeps. What it throws is its own fault, and kept. */
  function deliver(work: Work): void {
    if (state === 'ended') return;
    if (state === 'suspended') {
      held.push(work);
      return;
    }
    try {
      work();
    } catch (error) {
      errors.push(error);
      onError(error);
    }
  }

  const timers = new Map<number, NodeJS.Timeout>();
  let nextTimer = 1;
  const timer =
    (repeats: boolean): Timer =>
    (work, ms = 0, ...values) => {
      const id = nextTimer++;
      const ring = () => {
        if (!repeats) timers.delete(id);
        deliver(() => work(...values));
      };
      timers.set(id, repeats ? setInterval(ring, ms) : setTimeout(ring, ms));
      return id;
    };
  const clear = (id?: number) => {
    clearTimeout(timers.get(id ?? 0));
    timers.delete(id ?? 0);
  };

  const log =
    (level: string) =>
    (...values: unknown[]) =>
      void logs.push([level, ...values]);
  Object.assign(globals, {
    setTimeout: timer(false),
    setInterval: timer(true),
    clearTimeout: clear,
    clearInterval: clear,
    console: Object.fromEntries(
      ['log', 'info', 'debug', 'warn', 'error', 'group', 'groupEnd', 'trace'].map((name) => [name, log(name)]),
    ),
  });

  const modules = new Map<string, Module>();
  function load(file: string): unknown {
    const loaded = modules.get(file);
    if (loaded) return loaded.exports;
    const source = readFileSync(file, 'utf8');
    if (file.endsWith('.json')) return parse(source);
    const module: Module = { exports: parse('{}') };
    modules.set(file, module);
    const resolve = createRequire(file).resolve;
    const factory = vm.runInContext(`(function (require, module, exports) {${source}\n})`, context, { filename: file });
    factory((name: string) => load(resolve(name)), module, module.exports);
    return module.exports;
  }

  return {
    /** The program's global object: assign to it what it should see. */
    globals,
    errors,
    logs,
    deliver,
    /** Runs a CommonJS file, once; what it requires, relative or from node_modules, runs in the same world. Give an absolute path. */
    require: load,
    /** A copy made of the program's own Object and Array, so that `instanceof` and `constructor` tell it what they would on a phone. */
    own<T>(value: T): T {
      return value === undefined ? value : parse(JSON.stringify(value));
    },
    ownBuffer(bytes: Uint8Array): ArrayBuffer {
      const buffer = new OwnArrayBuffer(bytes.length);
      new Uint8Array(buffer).set(bytes);
      return buffer;
    },
    promise<T>(work: (resolve: (value: T) => void, reject: (reason: unknown) => void) => void): Promise<T> {
      return new OwnPromise(work);
    },
    onError(listener: (error: unknown) => void) {
      onError = listener;
    },
    state: () => state,
    suspend() {
      if (state === 'running') state = 'suspended';
    },
    /** What waited comes in the order in which it happened. */
    resume() {
      if (state !== 'suspended') return;
      state = 'running';
      const waiting = held;
      held = [];
      for (const work of waiting) deliver(work);
    },
    /** To be called when it dies. */
    atEnd: (work: Work) => endings.add(work),
    end() {
      state = 'ended';
      held = [];
      for (const running of timers.values()) clearTimeout(running);
      for (const work of endings) work();
    },
  };
}

export type Process = ReturnType<typeof createProcess>;

/**
 * An asynchronous call as the base library makes it: answers go to the callbacks; without any there is a promise, unless the real
 * call has no promise form. An error's message follows `<name>:fail `.
 */
export function asyncCall<T extends object>(
  process: Process,
  name: string,
  options: Callbacks<T> | undefined,
  work: () => T | Promise<T>,
  { hasPromise = true } = {},
): Promise<T & { errMsg: string }> | undefined {
  const { success, fail, complete } = options ?? {};
  const run = (good: (result: T & { errMsg: string }) => void, bad: (failure: Failure) => void) => {
    const answered = async () => work();
    answered().then(
      (result) => process.deliver(() => good(Object.assign(process.own({}), result, { errMsg: `${name}:ok` }))),
      (error) => process.deliver(() => bad(failureOf(process, name, error))),
    );
  };
  if (hasPromise && !success && !fail && !complete) return process.promise((resolve, reject) => run(resolve, reject));
  run(
    (result) => {
      success?.(result);
      complete?.(result);
    },
    (failure) => {
      fail?.(failure);
      complete?.(failure);
    },
  );
  return undefined;
}

function failureOf(process: Process, name: string, error: unknown): Failure {
  const { message, errno } = error instanceof WxError ? error : new WxError(String(error));
  return process.own({ errMsg: `${name}:fail ${message}`, ...(errno !== undefined && { errno }) });
}

/** The base library's own words for a wrong argument. */
export function typeName(value: unknown): string {
  return Object.prototype.toString.call(value).slice(8, -1);
}
