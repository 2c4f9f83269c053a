/** What the simulated people received by SMS and e-mail: the newest 500 messages, in memory. */
import type { Clock } from '../clock.ts';
import { toE164 } from './phone.ts';

export type Message = {
  /** E.164 or an e-mail address in lower case. */
  to: string;
  channel: 'sms' | 'email';
  subject?: string;
  text: string;
  /** The code in it, if it holds one. */
  code: string | null;
  received_at: string;
  /** Of a text message: gateways accept first and deliver later. */
  state?: 'accepted' | 'delivered' | 'failed';
};

export type Inbox = {
  /** The message as it is kept: its state may be changed. */
  add(message: Omit<Message, 'received_at'>): Message;
  /** Newest first; of one address, or of all. */
  messages(to?: string): Message[];
};

const kept = 500;

export function createInbox({ clock }: { clock: Clock }): Inbox {
  const messages: Message[] = [];
  return {
    add(message) {
      const added = { ...message, to: address(message.to), received_at: clock.now().toISOString() };
      messages.unshift(added);
      messages.length = Math.min(messages.length, kept);
      return added;
    },
    messages: (to) => (to === undefined ? [...messages] : messages.filter((message) => message.to === address(to))),
  };
}

/** `?to=+86138…` arrives with a space in place of an unescaped plus: it still finds the number. */
function address(text: string): string {
  return text.includes('@') ? text.trim().toLowerCase() : (toE164(text) ?? text.trim());
}
