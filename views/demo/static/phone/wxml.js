/**
 * WXML to DOM: the part of it that the demo uses. wx:if/elif/else, wx:for, block, the elements below, bind and catch
 * events, data-*, aria-*. A new tree is laid over the old one, so that a field keeps its caret.
 */
import { compileText } from './expression.js';

const elements = {
  view: 'div',
  text: 'span',
  image: 'img',
  button: 'button',
  input: 'input',
  'scroll-view': 'div',
  'web-view': 'iframe',
};

/** A function (data) → list of nodes { tag, props, handlers, dataset, children } | string. */
export function compileTemplate(source) {
  // What WXML allows and XML does not.
  const xml = source
    .replace(/\{\{.*?\}\}/gs, (text) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;'))
    .replace(/\swx:else(?=[\s/>])/g, ' wx:else=""');
  const parsed = new DOMParser().parseFromString(`<root xmlns:wx="wx">${xml}</root>`, 'application/xml');
  if (parsed.querySelector('parsererror')) throw new SyntaxError(parsed.querySelector('parsererror').textContent);
  return compileChildren(parsed.documentElement);
}

function compileChildren(parent) {
  const parts = [];
  for (const child of parent.childNodes) {
    if (child.nodeType === 3 && child.data.trim()) {
      const text = compileText(child.data.trim());
      parts.push({ make: (scope) => [String(text(scope) ?? '')] });
    } else if (child.nodeType === 1) parts.push(compileElement(child));
  }
  return (scope) => {
    const nodes = [];
    // Whether a branch of the running if/elif/else chain was taken.
    let isTaken = false;
    for (const { branch, condition, make } of parts) {
      if (branch === 'if') isTaken = false;
      if (branch && (isTaken || (condition && !condition(scope)))) continue;
      if (branch) isTaken = true;
      nodes.push(...make(scope));
    }
    return nodes;
  };
}

function compileElement(element) {
  const attributes = Object.fromEntries([...element.attributes].map(({ name, value }) => [name, value]));
  const branch = ['if', 'elif', 'else'].find((name) => `wx:${name}` in attributes);
  const condition = branch && branch !== 'else' ? compileText(attributes[`wx:${branch}`]) : undefined;
  const children = compileChildren(element);
  const one = element.tagName === 'block' ? children : compileOwn(element.tagName, attributes, children);
  return { branch, condition, make: attributes['wx:for'] ? loop(attributes, one) : one };
}

function loop(attributes, one) {
  const list = compileText(attributes['wx:for']);
  const item = attributes['wx:for-item'] ?? 'item';
  const index = attributes['wx:for-index'] ?? 'index';
  return (scope) => (list(scope) ?? []).flatMap((value, i) => one({ ...scope, [item]: value, [index]: i }));
}

function compileOwn(name, attributes, children) {
  if (!elements[name]) throw new SyntaxError(`The demo phone does not know <${name}>.`);
  const handlers = {};
  const props = [];
  const dataset = [];
  for (const [attribute, value] of Object.entries(attributes)) {
    const event = /^(bind|catch):?(\w+)$/.exec(attribute);
    if (event) handlers[event[2]] = { method: value, stops: event[1] === 'catch' };
    else if (attribute.startsWith('data-')) dataset.push([camel(attribute.slice(5)), compileText(value)]);
    else if (!attribute.startsWith('wx:')) props.push([attribute.replace(/^aria-role$/, 'role'), compileText(value)]);
  }
  return (scope) => [
    {
      name,
      props: Object.fromEntries(props.map(([key, value]) => [key, value(scope)])),
      dataset: Object.fromEntries(dataset.map(([key, value]) => [key, value(scope)])),
      handlers,
      children: children(scope),
    },
  ];
}

const camel = (text) => text.replace(/-(\w)/g, (_, letter) => letter.toUpperCase());

/** Makes the children of `parent` look like `nodes`. */
export function lay(parent, nodes) {
  nodes.forEach((node, i) => {
    const old = parent.childNodes[i];
    const fresh = fits(old, node) ? old : create(node);
    if (old && old !== fresh) old.replaceWith(fresh);
    else if (!old) parent.append(fresh);
    update(fresh, node);
  });
  while (parent.childNodes.length > nodes.length) parent.lastChild.remove();
}

function fits(old, node) {
  if (!old) return false;
  return typeof node === 'string' ? old.nodeType === 3 : old.wxName === node.name;
}

function create(node) {
  if (typeof node === 'string') return document.createTextNode(node);
  const element = document.createElement(elements[node.name]);
  element.wxName = node.name;
  element.wxProps = {};
  if (node.name === 'button') element.type = 'button';
  // Pages are shown in it without their scripts; the phone follows their links.
  if (node.name === 'web-view') element.setAttribute('sandbox', 'allow-same-origin');
  return element;
}

function update(element, node) {
  if (typeof node === 'string') {
    if (element.data !== node) element.data = node;
    return;
  }
  element.wxHandlers = node.handlers;
  element.wxDataset = node.dataset;
  for (const key of Object.keys({ ...element.wxProps, ...node.props })) setProp(element, key, node.props[key]);
  element.wxProps = node.props;
  // What is tapped can be reached with a keyboard too; WeChat does the like for its screen readers.
  if (node.handlers.tap && node.name !== 'button') {
    element.tabIndex = 0;
    if (!element.hasAttribute('role')) element.setAttribute('role', 'button');
  }
  if (!['input', 'image', 'web-view'].includes(node.name)) lay(element, node.children);
}

function setProp(element, key, value) {
  if (key === 'value') {
    if (element.value !== String(value ?? '')) element.value = value ?? '';
  } else if (key === 'type' && element.wxName === 'input') {
    element.inputMode = value === 'number' ? 'numeric' : 'text';
  } else if (key === 'disabled' || key === 'hidden') {
    element.toggleAttribute(key, Boolean(value));
  } else if (element.wxName === 'web-view' && key === 'src') {
    element.dispatchEvent(new CustomEvent('wx-web-view', { bubbles: true, detail: value }));
  } else if (value === undefined) element.removeAttribute(key);
  else if (element.getAttribute(key) !== String(value)) element.setAttribute(key, String(value));
}
