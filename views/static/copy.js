/** Copies the text of an element on click (`data-copy`: its id) and says so (`data-done`). Without it, the text selects as a whole. */
for (const button of document.querySelectorAll('[data-copy]')) {
  // Browsers have no clipboard on plain http.
  button.hidden = !navigator.clipboard;
  const words = button.textContent;
  button.setAttribute('aria-live', 'polite');
  button.addEventListener('click', async () => {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
    button.textContent = button.dataset.done;
    setTimeout(() => {
      button.textContent = words;
    }, 2_000);
  });
}
