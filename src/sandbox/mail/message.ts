/**
 * Reads the mails that our own server sends: headers, encoded words, multipart, quoted-printable and base64 (RFC 2045, 2047,
 * 5322). Strict: what it does not understand is an error, so that a broken mail is noticed by its sender.
 */

export type Mail = { subject: string; text: string };

/** @throws Error with a sentence that names what was not understood, never the content. */
export function parseMail(raw: Buffer): Mail {
  // One byte, one character: bodies are decoded only when their charset is known.
  const message = readPart(raw.toString('latin1').replace(/\r?\n/g, '\r\n'));
  const text = findText(message);
  if (text === undefined) throw new Error('The mail has no text/plain part.');
  return { subject: decodeWords(message.headers.get('subject') ?? ''), text: text.replaceAll('\r\n', '\n').trimEnd() };
}

type Part = { headers: Map<string, string>; body: string };

function readPart(source: string): Part {
  const end = source.startsWith('\r\n') ? 0 : source.indexOf('\r\n\r\n');
  if (end < 0) throw new Error('The mail has no empty line after its headers.');
  const headers = new Map<string, string>();
  for (const line of source
    .slice(0, end)
    .replace(/\r\n[ \t]+/g, ' ')
    .split('\r\n')
    .filter(Boolean)) {
    const field = /^([!-9;-~]+):[ \t]*(.*)$/.exec(line);
    if (!field?.[1]) throw new Error('The mail has a malformed header line.');
    headers.set(field[1].toLowerCase(), field[2] ?? '');
  }
  return { headers, body: source.slice(end === 0 ? 2 : end + 4) };
}

function findText(part: Part): string | undefined {
  const { type, parameters } = contentType(part.headers.get('content-type') ?? 'text/plain; charset=us-ascii');
  if (type === 'text/plain') return decodeBody(part, parameters.get('charset') ?? 'us-ascii');
  if (!type.startsWith('multipart/')) return undefined;
  return splitParts(part.body, parameters.get('boundary'))
    .map(readPart)
    .map(findText)
    .find((text) => text !== undefined);
}

function contentType(value: string): { type: string; parameters: Map<string, string> } {
  const parameters = new Map<string, string>();
  for (const [, name, quoted, bare] of value.matchAll(/;\s*([\w-]+)=(?:"([^"]*)"|([^\s;]+))/g))
    parameters.set(String(name).toLowerCase(), quoted ?? bare ?? '');
  return { type: value.split(';', 1)[0]?.trim().toLowerCase() ?? '', parameters };
}

function splitParts(body: string, boundary: string | undefined): string[] {
  if (!boundary) throw new Error('A multipart has no boundary.');
  const sections = `\r\n${body}`.split(`\r\n--${boundary}`);
  const last = sections.at(-1);
  if (sections.length < 3 || !last?.startsWith('--')) throw new Error('A multipart is not closed.');
  return sections.slice(1, -1).map((section) => section.replace(/^[ \t]*\r\n/, ''));
}

function decodeBody({ headers, body }: Part, charset: string): string {
  const encoding = (headers.get('content-transfer-encoding') ?? '7bit').trim().toLowerCase();
  if (encoding === 'base64') return decodeText(Buffer.from(body, 'base64'), charset);
  if (encoding === 'quoted-printable') return decodeText(quotedPrintable(body.replace(/=[ \t]*\r\n/g, '')), charset);
  if (/^(7bit|8bit|binary)$/.test(encoding)) return decodeText(Buffer.from(body, 'latin1'), charset);
  throw new Error('A part has an unknown transfer encoding.');
}

function quotedPrintable(text: string): Buffer {
  return Buffer.from(
    text.replace(/=([0-9a-f]{2})/gi, (_, hex) => String.fromCharCode(Number.parseInt(hex, 16))),
    'latin1',
  );
}

function decodeText(bytes: Buffer, charset: string): string {
  return new TextDecoder(charset, { fatal: true }).decode(bytes);
}

/** =?utf-8?B?…?= and =?utf-8?Q?…?=; blanks between two encoded words belong to neither. */
function decodeWords(value: string): string {
  return value
    .replace(/(\?=)\s+(?==\?)/g, '$1')
    .replace(/=\?([\w-]+)\?([bq])\?([^?]*)\?=/gi, (_, charset, kind, text) =>
      decodeText(/b/i.test(kind) ? Buffer.from(text, 'base64') : quotedPrintable(text.replaceAll('_', ' ')), charset),
    );
}
