/**
 * Follows what happens on another device (src/login/follow.ts) and shows it: blocks say in which states they are seen, and the form
 * of `data-on-confirmed` is sent when the phone has said yes. Server-sent events, and asking every two seconds where they do not come.
 * Without this script the page is loaded again every few seconds and has a button.
 */
(() => {
  const root = document.querySelector('[data-follow]');
  if (!root) return;
  const url = root.dataset.follow;
  const ends = ['confirmed', 'denied', 'expired'];
  let isOver = false;

  const show = ({ state }) => {
    if (isOver) return;
    isOver = ends.includes(state);
    for (const block of root.querySelectorAll('[data-shown-in]'))
      block.hidden = !block.dataset.shownIn.split(' ').includes(state);
    if (state === 'confirmed') root.querySelector('form[data-on-confirmed]')?.requestSubmit();
  };

  const ask = async () => {
    if (isOver) return;
    let wait = 2000;
    try {
      const answer = await fetch(url, { headers: { accept: 'application/json' }, redirect: 'manual' });
      if (answer.ok) show(await answer.json());
      // Signed in, cancelled or expired meanwhile: the page itself says so.
      else if (answer.status < 429) return location.reload();
      else wait = 5000;
    } catch {
      wait = 5000;
    }
    setTimeout(ask, wait);
  };

  const listen = () => {
    const source = new EventSource(url);
    let instead = () => {
      instead = () => {};
      source.close();
      ask();
    };
    // The first message comes at once, unless something on the way holds it back.
    const patience = setTimeout(() => instead(), 5000);
    source.onmessage = ({ data }) => {
      clearTimeout(patience);
      show(JSON.parse(data));
      if (isOver) source.close();
    };
    // A stream that broke is opened again by the browser; one that was refused is not.
    source.onerror = () => {
      if (source.readyState === EventSource.CLOSED) instead();
    };
  };

  // Going back shows the page as it was left.
  addEventListener('pageshow', (event) => event.persisted && location.reload());
  if ('EventSource' in window) listen();
  else ask();
})();
