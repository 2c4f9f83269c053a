/** Sends the form of a page that is only a step on the way. Without scripts it has a button. */
document.querySelector('form[data-post-now]')?.requestSubmit();
