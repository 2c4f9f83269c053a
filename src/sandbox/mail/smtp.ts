/** The simulated mailbox: an SMTP server on a loopback port that takes every mail and puts it into the inbox. */
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { SMTPServer, type SMTPServerDataStream, type SMTPServerSession } from 'smtp-server';
import type { Logger } from '../../log.ts';
import type { Fault } from '../faults.ts';
import type { Parts } from '../parts.ts';
import { parseMail } from './message.ts';

export type Smtp = { port: number; stop(): Promise<void> };

export async function startSmtp({
  inbox,
  faults,
  log,
}: Pick<Parts, 'inbox' | 'faults'> & { log: Logger }): Promise<Smtp> {
  const sockets = new Map<number, Socket>();
  const server = new SMTPServer({
    name: 'sandbox.localhost',
    banner: 'Heyi sandbox: nothing leaves this machine',
    // Plain text on loopback: a certificate of our own would only teach clients to accept any.
    disabledCommands: ['STARTTLS'],
    authOptional: true,
    allowInsecureAuth: true,
    disableReverseLookup: true,
    size: 1_048_576,
    closeTimeout: 500,
    onAuth: (auth, _session, done) => done(null, { user: auth.username ?? 'anyone' }),
    onData: (stream, session, done) => {
      receive(stream, session, { faults, inbox, socket: sockets.get(session.remotePort) }).then(
        () => done(),
        (error: SmtpError) => {
          log.warn({ smtp_code: error.responseCode }, 'sandbox mail refused');
          done(error);
        },
      );
    },
  });
  server.on('error', (error) => log.warn({ err: error }, 'sandbox mail connection failed'));
  server.server.on('connection', (socket: Socket) => {
    const port = socket.remotePort ?? 0;
    sockets.set(port, socket);
    socket.once('close', () => sockets.delete(port));
  });
  await new Promise<void>((resolve, reject) => {
    server.server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  return {
    port: (server.server.address() as AddressInfo).port,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets.values()) socket.destroy();
      }),
  };
}

type SmtpError = Error & { responseCode: number };
const refusal = (message: string, responseCode: number): SmtpError =>
  Object.assign(new Error(message), { responseCode });

type Receiving = Pick<Parts, 'inbox' | 'faults'> & { socket: Socket | undefined };

async function receive(
  stream: SMTPServerDataStream,
  session: SMTPServerSession,
  { inbox, faults, socket }: Receiving,
): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  if (stream.sizeExceeded) throw refusal('5.3.4 Message too big', 552);
  const fault = faults.strike('smtp');
  if (fault?.delay_ms) await pause(fault.delay_ms);
  if (fault?.reset === true) return void socket?.resetAndDestroy();
  if (fault) failAs(fault);
  deliver(inbox, session, Buffer.concat(chunks));
  if (fault?.reset === 'after') socket?.resetAndDestroy();
}

/** errcode or status is the SMTP reply code, 451 by default. */
function failAs({ errcode, status, body, errmsg }: Fault): void {
  if (errcode === undefined && status === undefined && body === undefined) return;
  const code = Number(errcode ?? status);
  throw refusal(errmsg ?? '4.3.0 Mail system unavailable', code >= 400 && code < 600 ? code : 451);
}

function deliver(inbox: Parts['inbox'], session: SMTPServerSession, raw: Buffer): void {
  let mail: ReturnType<typeof parseMail>;
  try {
    mail = parseMail(raw);
  } catch (error) {
    throw refusal(`5.6.0 The sandbox cannot read this mail. ${error instanceof Error ? error.message : ''}`, 554);
  }
  const code = /(?<!\d)\d{6}(?!\d)/.exec(`${mail.text}\n${mail.subject}`)?.[0] ?? null;
  for (const { address } of session.envelope.rcptTo) inbox.add({ to: address, channel: 'email', ...mail, code });
}
