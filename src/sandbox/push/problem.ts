/** What was wrong with an answer to a push: named as the locale file's sentences, and the English one for programs. */
import { translator } from '../locales.ts';

export type Problem = {
  fault:
    | 'http_status'
    | 'late'
    | 'unreachable'
    | 'not_the_echostr'
    | 'not_encrypted'
    | 'no_message'
    | 'wrong_signature'
    | 'wrong_key'
    | 'holds_no_message';
  detail: string;
  problem: string;
};

const english = translator('en');

export function problem(fault: Problem['fault'], detail = ''): Problem {
  return { fault, detail, problem: english(`pushes.fault.${fault}`, { detail }) };
}
