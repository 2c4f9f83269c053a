/**
 * The builder while somebody works in it: counts a moment after the last change, one count at a time, and lets the buttons that change
 * the form change it in place. Without this script every button loads the page again.
 */
(() => {
  const pause = 700;
  let timer;
  let isCounting = false;
  let isStale = false;

  const form = () => document.getElementById('builder');
  const body = (submitter) => new URLSearchParams(new FormData(form(), submitter));
  const parse = (html) => new DOMParser().parseFromString(html, 'text/html');

  async function count() {
    if (isCounting) {
      isStale = true;
      return;
    }
    isCounting = true;
    isStale = false;
    // A quick answer needs no word that it is on its way.
    const waiting = setTimeout(() => form()?.querySelector('[data-wait]')?.removeAttribute('hidden'), 1000);
    try {
      const answer = await fetch(form().dataset.preview, { method: 'POST', body: body(), redirect: 'error' });
      const html = await answer.text();
      const place = document.getElementById('count');
      if (answer.ok && place && !isStale) place.replaceChildren(...parse(html).body.childNodes);
    } catch {
      // Signed out or without a network: the button says so.
    } finally {
      clearTimeout(waiting);
      form()?.querySelector('[data-wait]')?.setAttribute('hidden', '');
      isCounting = false;
      if (isStale) soon();
    }
  }

  function soon() {
    clearTimeout(timer);
    timer = setTimeout(count, pause);
  }

  async function change(submitter) {
    const focused = document.activeElement?.id;
    const known = new Set([...form().querySelectorAll('fieldset')].map(({ id }) => id));
    const answer = await fetch(form().action, { method: 'POST', body: body(submitter), redirect: 'error' });
    const next = parse(await answer.text()).getElementById('builder');
    if (!next) throw new Error('no form came back');
    const old = document.getElementById('count');
    const place = next.querySelector('#count');
    if (old && place) place.replaceChildren(...old.childNodes);
    form().replaceWith(document.adoptNode(next));
    // To what was added, or where it was before.
    const added = [...form().querySelectorAll('fieldset')].find(({ id }) => !known.has(id));
    const goal = submitter?.value.startsWith('add ')
      ? added?.querySelector('input:not([type=hidden]), select')
      : undefined;
    (goal ?? document.getElementById(focused) ?? form().querySelector('select, input:not([type=hidden])'))?.focus();
    soon();
  }

  document.addEventListener('submit', (event) => {
    const { submitter } = event;
    if (event.target.id !== 'builder' || !/^(?:add|remove|up|wrap) /.test(submitter?.value ?? '')) return;
    if (submitter.dataset.plain !== undefined) return;
    event.preventDefault();
    // Signed out meanwhile, or no network: as without a script.
    change(submitter).catch(() => {
      submitter.dataset.plain = '';
      submitter.click();
    });
  });
  document.addEventListener('change', (event) => {
    if (event.target.matches('#builder [data-shapes]')) change(undefined).catch(() => {});
  });
  // What the name that is being typed is called.
  document.addEventListener('input', ({ target }) => {
    const place = target.list && target.closest('.bit')?.querySelector('[data-means]');
    if (place) place.textContent = [...target.list.options].find(({ value }) => value === target.value)?.text ?? '';
  });
  document.addEventListener('input', (event) => {
    if (event.target.closest('#builder') && !event.target.name?.endsWith(':add')) soon();
  });
  soon();
})();
