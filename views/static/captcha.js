/**
 * Has the captcha of a form solved in a worker, so that the page stays alive meanwhile, and presses the button that the person
 * had pressed. Loaded by a page that demands one, and by no other.
 */
(() => {
  for (const status of document.querySelectorAll('[data-captcha]')) {
    const form = status.closest('form');
    const button = form.querySelector('button');
    const challenge = JSON.parse(status.dataset.captcha);
    status.hidden = false;
    button.disabled = true;
    const settle = (text) => {
      status.textContent = text;
      button.disabled = false;
    };
    const worker = new Worker(status.dataset.worker);
    worker.onerror = () => settle(status.dataset.failed);
    worker.onmessage = ({ data: solution }) => {
      worker.terminate();
      if (!solution) return settle(status.dataset.failed);
      // Plain ASCII on both sides, which is what btoa takes.
      form.elements.captcha.value = btoa(JSON.stringify({ challenge, solution }));
      settle(status.dataset.done);
      if ('goesOn' in status.dataset) form.requestSubmit(button);
    };
    worker.postMessage(challenge);
  }
})();
