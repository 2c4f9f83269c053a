/**
 * Comfort only: every page works without it. Counts waiting times down, sends a form once, and puts the cursor into the first
 * field where that does not open an on-screen keyboard.
 */
(() => {
  const format = (seconds, texts) => {
    const minutes = Math.ceil(seconds / 60);
    const [pattern, n] =
      seconds < 90
        ? [texts.seconds, seconds]
        : minutes < 90
          ? [texts.minutes, minutes]
          : [texts.hours, Math.ceil(minutes / 60)];
    return texts.sentence.replace('{time}', pattern.replace('{n}', String(n)));
  };

  const countDown = (element) => {
    const texts = element.dataset;
    const endsAt = performance.now() + Number(texts.wait) * 1000;
    const button = element.closest('form')?.querySelector('button');
    const show = () => {
      const left = Math.ceil((endsAt - performance.now()) / 1000);
      if (left > 0) {
        element.textContent = format(left, texts);
        if (button) button.disabled = true;
        setTimeout(show, 500);
        return;
      }
      element.textContent = texts.ready;
      if (button) button.disabled = false;
    };
    show();
  };

  // Going back restores the page as it was left, with its buttons off: pageshow puts them on again.
  const release = () => {
    for (const form of document.querySelectorAll('form[data-sent]')) {
      delete form.dataset.sent;
      for (const button of form.querySelectorAll('[aria-busy]')) button.removeAttribute('aria-busy');
    }
  };

  document.addEventListener('submit', (event) => {
    const form = event.target;
    if (form.dataset.sent) {
      event.preventDefault();
      return;
    }
    form.dataset.sent = 'yes';
    event.submitter?.setAttribute('aria-busy', 'true');
    setTimeout(release, 8000);
  });
  addEventListener('pageshow', release);

  for (const element of document.querySelectorAll('[data-wait]')) countDown(element);

  // Seconds after which it is worth asking whether the message arrived; whoever waits longer has seen the sentence or the code.
  const askDelivery = async (element, [pause, ...later]) => {
    await new Promise((resolve) => setTimeout(resolve, pause * 1000));
    // A redirect leads on with the sign-in, which is the page's to follow.
    const answer = await fetch(element.dataset.delivery, {
      redirect: 'manual',
      headers: { accept: 'application/json' },
    });
    if (!answer.ok) return;
    const { failed } = await answer.json();
    if (failed) element.hidden = false;
    else if (later.length) await askDelivery(element, later);
  };
  for (const element of document.querySelectorAll('[data-delivery]'))
    askDelivery(element, [4, 6, 10, 20, 30]).catch(() => {});

  const wrong = document.querySelector('[aria-invalid="true"]');
  if (wrong) wrong.focus();
  else if (matchMedia('(pointer: fine)').matches && document.activeElement === document.body) {
    const fields = [...document.querySelectorAll('.field input')];
    fields.find((field) => field.offsetParent)?.focus();
  }
})();
