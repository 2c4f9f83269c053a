// Keeps the inbox fresh and copies a code on click. Without it: the refresh link, and a code that selects as a whole.
const live = document.querySelector('[data-live]');

async function refresh() {
  const isReading = getSelection()?.toString() && live.contains(getSelection().anchorNode);
  if (document.hidden || isReading) return;
  const answer = await fetch(location.href, { headers: { Accept: 'text/html' } });
  if (!answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
  const fresh = page.querySelector('[data-live]');
  if (fresh && fresh.innerHTML !== live.dataset.shown) {
    live.dataset.shown = fresh.innerHTML;
    live.innerHTML = fresh.innerHTML;
  }
}

if (live) {
  live.dataset.shown = live.innerHTML;
  // The sandbox may be stopped meanwhile: the next round tries again.
  setInterval(() => refresh().catch(() => {}), 2000);
  live.addEventListener('click', async (event) => {
    const code = event.target.closest('.code');
    if (!code) return;
    await navigator.clipboard.writeText(code.textContent);
    code.classList.add('copied');
    setTimeout(() => code.classList.remove('copied'), 1500);
  });
}
