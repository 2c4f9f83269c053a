/** A single-page application's sign-in (public client): the SDK does it all, without a server. */
import { data, text } from './data.js';
import { heyi } from './tracking.js';

const out = document.getElementById('spa-out');
const begin = document.getElementById('spa-begin');
const end = document.getElementById('spa-end');

async function finish() {
  const answer = new URLSearchParams(location.search);
  const person = await heyi.finishSignIn();
  if (!person && answer.get('error')) return say('spa.refused', answer.get('error'));
  // Only a code that this tab asked for is redeemed; any other is shown as received and left alone.
  if (!person) return say(answer.get('code') ? 'spa.received' : 'spa.no_code');
  say('spa.signed_in', person.sub);
}

function say(sentence, more = '') {
  out.textContent = `${text(sentence)} ${more}`.trim();
}

function draw(person) {
  if (!begin) return;
  begin.hidden = Boolean(person);
  end.hidden = !person;
  if (person) say('spa.signed_in', person.sub);
  else out.textContent = '';
}

const fail = (error) => say('spa.refused', error.message);
begin?.addEventListener('click', () => heyi.signIn({ returnTo: `${data.url}/spa` }).catch(fail));
end?.addEventListener('click', () => heyi.signOut().catch(fail));
heyi.onChange(draw);
if (location.pathname === '/spa/callback') finish().catch(fail);
else draw(heyi.person());
