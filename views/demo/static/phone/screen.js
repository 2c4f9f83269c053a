/** The phone's frame in a shadow tree, so that the page's style and the mini-program's never meet. */
import { text } from '../data.js';

const markup = `
  <div class="device">
    <div class="screen">
      <div class="status"><time></time><span aria-hidden="true">5G ▮▮▮</span></div>
      <header class="nav"><button type="button" class="back" hidden>‹</button><h2></h2>
        <div class="capsule"><span aria-hidden="true">•••</span><button type="button" class="leave">◉</button></div></header>
      <div class="pages"></div>
      <nav class="tabs"></nav>
      <div class="toast" role="status" hidden></div>
      <div class="home" hidden><div class="clock"></div><button type="button" class="icon"><span>山屿</span></button></div>
      <div class="layer" hidden></div>
      <button type="button" class="message" hidden></button>
    </div>
  </div>`;

export function createScreen(host, on) {
  const root = host.attachShadow({ mode: 'open' });
  for (const href of ['/assets/phone/phone.css', '/miniprogram/style.css']) {
    root.append(Object.assign(document.createElement('link'), { rel: 'stylesheet', href }));
  }
  const holder = document.createElement('div');
  holder.innerHTML = markup;
  root.append(holder.firstElementChild);
  const $ = (selector) => root.querySelector(selector);
  $('.back').setAttribute('aria-label', text('phone.back'));
  $('.leave').setAttribute('aria-label', text('phone.leave'));
  $('.icon').setAttribute('aria-label', text('phone.open_app'));
  $('.back').addEventListener('click', on.back);
  $('.leave').addEventListener('click', on.leave);
  $('.icon').addEventListener('click', on.enter);
  const tick = () => {
    const now = new Date().toLocaleTimeString('zh-CN', { hour: '2-digit', minute: '2-digit', hour12: false });
    $('.status time').textContent = now;
    $('.clock').textContent = now;
  };
  tick();
  setInterval(tick, 10_000);
  let toastTimer;
  let messageTimer;
  let closeSheet;

  return {
    pages: $('.pages'),
    reset(tabs) {
      $('.pages').replaceChildren();
      $('.tabs').replaceChildren(...tabs.map((tab, index) => tabButton(tab.text, () => on.tab(index))));
      closeSheet?.('');
      this.home(false);
      this.toast('');
    },
    bars({ title, isDeep, tab }) {
      $('.nav h2').textContent = title;
      $('.back').hidden = !isDeep;
      $('.tabs').hidden = tab < 0;
      [...$('.tabs').children].forEach((button, i) => {
        if (i === tab) button.setAttribute('aria-current', 'page');
        else button.removeAttribute('aria-current');
      });
    },
    nameTab(index, name) {
      $('.tabs').children[index].textContent = name;
    },
    toast(title, icon = 'none', duration = 1800) {
      clearTimeout(toastTimer);
      const toast = $('.toast');
      toast.hidden = !title;
      toast.className = `toast ${icon}`;
      toast.textContent = title;
      toastTimer = setTimeout(() => {
        toast.hidden = true;
      }, duration);
    },
    home(isShown) {
      $('.home').hidden = !isShown;
    },
    /** Resolves with the action that was chosen; '' when the phone was taken away. */
    sheet({ title, lead, value, actions }) {
      closeSheet?.('');
      const layer = $('.layer');
      const sheet = made('div', 'sheet');
      sheet.setAttribute('role', 'dialog');
      sheet.setAttribute('aria-label', title || lead);
      if (title) sheet.append(made('h3', '', title));
      if (lead) sheet.append(made('p', '', lead));
      if (value) sheet.append(made('p', 'value', value));
      const row = made('div', 'actions');
      sheet.append(row);
      layer.replaceChildren(sheet);
      layer.hidden = false;
      return new Promise((resolve) => {
        closeSheet = (choice) => {
          layer.hidden = true;
          layer.replaceChildren();
          closeSheet = undefined;
          resolve(choice);
        };
        for (const [choice, label] of actions) {
          const button = made('button', choice, label);
          button.type = 'button';
          button.addEventListener('click', () => closeSheet?.(choice));
          row.append(button);
        }
        row.lastElementChild.focus();
      });
    },
    /** A text message slides in; a tap copies its code. */
    notify({ title, body, code }) {
      clearTimeout(messageTimer);
      const message = $('.message');
      message.replaceChildren(made('strong', '', title), made('span', '', body));
      message.hidden = false;
      message.onclick = () => {
        message.hidden = true;
        if (code) navigator.clipboard?.writeText(code).catch(() => {});
      };
      messageTimer = setTimeout(() => {
        message.hidden = true;
      }, 15_000);
    },
  };
}

function tabButton(label, onTap) {
  const button = made('button', '', label);
  button.type = 'button';
  button.addEventListener('click', onTap);
  return button;
}

function made(name, className, content) {
  const element = document.createElement(name);
  if (className) element.className = className;
  if (content !== undefined) element.textContent = content;
  return element;
}
