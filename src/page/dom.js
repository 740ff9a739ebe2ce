// Building blocks. Everything that is shown becomes a text node or an attribute, never markup: names come from senders.
import { t } from './texts.js';

const SVG = 'http://www.w3.org/2000/svg';

export const byId = (id) => document.getElementById(id);

function build(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

export const el = (tag, attributes = {}, ...children) => build(document.createElement(tag), attributes, children);
export const svg = (tag, attributes = {}, ...children) =>
  build(document.createElementNS(SVG, tag), attributes, children);

// Text with `code` in it.
export const rich = (text) => text.split('`').map((part, index) => (index % 2 ? el('code', {}, part) : part));

export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// Shows a number from the API. `data-raw` has the number as the API wrote it.
export function put(name, raw, text) {
  for (const node of document.querySelectorAll(`[data-v="${name}"]`)) {
    setText(node, text);
    node.setAttribute('data-raw', raw ?? '');
  }
}

const drawn = new WeakMap();

// Draws only if something changed, so that selections, focus and open details stay.
export function memo(host, key, draw) {
  const text = JSON.stringify(key);
  if (drawn.get(host) === text) return;
  drawn.set(host, text);
  draw(host);
}

// A cell of a table: a string, or { text, raw, name, class, ... }. Numbers are aligned by class "n".
function cell(tag, content, extra = {}) {
  if (typeof content === 'string') return el(tag, extra, content);
  const { text, nodes, raw, name, ...attributes } = content;
  return el(tag, { ...extra, ...attributes, 'data-v': name, 'data-raw': raw }, ...(nodes ?? [text]));
}

// Fills a table. The first cell of each row is its heading. `empty`: the text when there are no rows.
export function table(host, caption, headings, rows, { attributes = () => ({}), empty = t('no_history') } = {}) {
  const head = el('tr', {}, ...headings.map((heading) => cell('th', heading, { scope: 'col' })));
  const body = rows.map((cells, index) =>
    el(
      'tr',
      attributes(index),
      ...cells.map((content, column) => (column ? cell('td', content) : cell('th', content, { scope: 'row' }))),
    ),
  );
  if (!rows.length) body.push(el('tr', {}, el('td', { colspan: headings.length }, empty)));
  host.replaceChildren(el('caption', {}, ...[caption].flat()), el('thead', {}, head), el('tbody', {}, ...body));
}

export const numberCell = (raw, text, name) => ({ class: 'n', raw: raw ?? '', text, name });
export const numberHead = (text) => ({ class: 'n', text });

// A text to copy. navigator.clipboard needs https, so the older way is the fallback.
export function copyBlock(label, text) {
  const code = el('pre', { role: 'group', 'aria-label': label }, text);
  const button = el('button', { type: 'button', 'data-live': '' }, t('copy'));
  button.addEventListener('click', async () => {
    const range = document.createRange();
    range.selectNodeContents(code);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    let copied = false;
    try {
      if (navigator.clipboard) {
        await navigator.clipboard.writeText(text);
        copied = true;
      }
    } catch {
      /* not allowed: try the older way */
    }
    if (!copied) copied = document.execCommand('copy');
    button.textContent = t(copied ? 'copied' : 'copy_failed');
    setTimeout(() => {
      button.textContent = t('copy');
    }, 2500);
  });
  return el('div', { class: 'copy' }, code, button);
}
