/**
 * A pushed message as fields, from XML or JSON, whichever the console says; and a reply as text in the same. Both are read as what
 * they are used for: names to texts, with the stray spaces of WeChat's own examples taken off.
 *
 * The XML is read by hand because a push is one element deep, without attributes, and a general parser has doors that are not needed
 * here: there is no DTD, no entity but the five of XML itself, no namespace. What is anything else is refused (XML bombs, external
 * entities).
 */
export type PushFormat = 'xml' | 'json';
export type Fields = Record<string, string>;
export type PushedMessage = {
  fields: Fields;
  /** Of `List`, which is one object in JSON where there is one, several in an array, or several elements of XML. */
  list: Fields[];
};

export function formatOf(body: string): PushFormat {
  return body.trimStart().startsWith('<') ? 'xml' : 'json';
}

/** Undefined when it cannot be read. */
export function readMessage(text: string, format: PushFormat): PushedMessage | undefined {
  return format === 'xml' ? readXml(text) : readJson(text);
}

const noFields = (): Fields => Object.create(null);

// JSON

type Reviver = (name: string, value: unknown, context: { source?: string }) => unknown;
/** The third parameter of the reviver is newer than TypeScript's library. */
const parseJson = JSON.parse as (text: string, reviver: Reviver) => unknown;

/** A MsgId is greater than a JavaScript number holds. */
const asWritten: Reviver = (_name, value, { source }) => (typeof value === 'number' ? (source ?? value) : value);

function readJson(text: string): PushedMessage | undefined {
  let value: unknown;
  try {
    value = parseJson(text, asWritten);
  } catch {
    return undefined;
  }
  if (!isObject(value)) return undefined;
  const list = Object.entries(value).find(([name]) => name.trim() === 'List')?.[1];
  return { fields: fieldsOf(value), list: [list].flat().filter(isObject).map(fieldsOf) };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function fieldsOf(value: Record<string, unknown>): Fields {
  const fields = noFields();
  for (const [name, item] of Object.entries(value)) {
    if (typeof item === 'string' || typeof item === 'boolean') fields[name.trim()] = String(item).trim();
  }
  return fields;
}

// XML

type Element = { name: string; text: string; children: Element[] };

const deepest = 6;
/** One token after the other, each linear in its length: CDATA, the end of an element, its start, text. */
const token = /<!\[CDATA\[([\s\S]*?)\]\]>|<\/\s*([\w.-]+)\s*>|<\s*([\w.-]+)\s*(\/?)>|([^<]+)/y;

function readXml(text: string): PushedMessage | undefined {
  const root = parse(text.trim().replace(/^<\?xml[^<>]*\?>/, ''));
  if (!root) return undefined;
  const list = named(root, 'List');
  return { fields: leaves(root), list: list.map(leaves) };
}

function parse(text: string): Element | undefined {
  const top: Element = { name: '', text: '', children: [] };
  const open = [top];
  token.lastIndex = 0;
  while (token.lastIndex < text.length) {
    const found = token.exec(text);
    const [inner] = open.slice(-1);
    if (!found || !inner) return undefined;
    const [, cdata, end, start, isEmpty, plain] = found;
    if (start !== undefined) {
      const element = { name: start, text: '', children: [] };
      inner.children.push(element);
      if (!isEmpty) open.push(element);
      if (open.length > deepest) return undefined;
    } else if (end === undefined) inner.text += cdata ?? unescaped(plain ?? '');
    else if (open.length < 2 || open.pop()?.name !== end) return undefined;
  }
  const [root, ...more] = top.children;
  return open.length === 1 && !more.length && !top.text.trim() ? root : undefined;
}

const entities: Record<string, string> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };

function unescaped(text: string): string {
  return text.replace(/&(amp|lt|gt|quot|apos);/g, (_all, name: string) => entities[name] ?? '');
}

function leaves({ children }: Element): Fields {
  const fields = noFields();
  for (const { name, text, children: inner } of children) if (!inner.length) fields[name] = text.trim();
  return fields;
}

function named(element: Element, name: string): Element[] {
  return element.children.flatMap((child) => (child.name === name ? [child] : named(child, name)));
}

// Replies

/** Numbers go as numbers. */
export function writeMessage(message: Record<string, string | number>, format: PushFormat): string {
  if (format === 'json') return JSON.stringify(message);
  const elements = Object.entries(message).map(
    ([name, value]) => `<${name}>${typeof value === 'number' ? value : cdata(value)}</${name}>`,
  );
  return `<xml>${elements.join('')}</xml>`;
}

function cdata(text: string): string {
  return `<![CDATA[${text.replaceAll(']]>', ']]]]><![CDATA[>')}]]>`;
}
