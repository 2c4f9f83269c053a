/**
 * Keeps a part of a page up to date: reads the page again every so many milliseconds (`data-live`) and puts the part in place, with what
 * was open open again. Rests while the page is not seen, while somebody has paused it, and while they are in the middle of the part.
 */
(() => {
  const pauseButton = document.querySelector('[data-live-pause]');
  let every = Number(document.getElementById('live')?.dataset.live);
  if (!every) return;
  let isPaused = false;
  let failures = 0;

  function showState() {
    pauseButton.hidden = false;
    pauseButton.setAttribute('aria-pressed', String(isPaused));
    for (const part of document.querySelectorAll('[data-live-only]')) part.hidden = isPaused;
    for (const part of document.querySelectorAll('[data-paused-only]')) part.hidden = !isPaused;
    for (const part of document.querySelectorAll('[data-live-without]')) part.hidden = !isPaused;
  }

  const isBusy = () => {
    const live = document.getElementById('live');
    const selection = getSelection();
    return live.contains(document.activeElement) || (!selection.isCollapsed && live.contains(selection.anchorNode));
  };

  async function look() {
    if (!isPaused && !document.hidden && !isBusy()) {
      try {
        const answer = await fetch(location.href, { headers: { accept: 'text/html' }, redirect: 'error' });
        const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
        const next = page.getElementById('live');
        const live = document.getElementById('live');
        if (next && !isPaused && !isBusy()) {
          for (const open of live.querySelectorAll('details[open]'))
            next.querySelector(`#${CSS.escape(open.id)}`)?.setAttribute('open', '');
          every = Number(next.dataset.live);
          live.replaceWith(document.adoptNode(next));
          // What it waited for is there, and the rest of the page is of before.
          if (!every && !document.activeElement?.matches('input, textarea, select')) location.reload();
        }
        failures = 0;
      } catch {
        failures += 1;
      }
    }
    // Signed out, or no network: seldom, and then not at all. A part that says no interval is done.
    if (every && failures < 20) setTimeout(look, every * (1 + failures));
  }

  pauseButton?.addEventListener('click', () => {
    isPaused = !isPaused;
    showState();
  });
  if (pauseButton) showState();
  setTimeout(look, every);
})();
