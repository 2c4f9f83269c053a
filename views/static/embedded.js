/** Has the provider's script, which the page loaded before this one, draw its page in our frame. The link below works without. */
(() => {
  const place = document.getElementById('embedded');
  const draw = window[place.dataset.constructor];
  if (draw) new draw({ id: place.id, ...JSON.parse(place.dataset.options) });
})();
