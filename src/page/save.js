// Saves what is shown as one HTML file: without scripts and controls, and with the styles in it. Its policy forbids
// scripts and requests. Group IDs and the like are text nodes and attributes, which the browser escapes.
import { el } from './dom.js';
import { clock, fullTime, timeZone, wallClock } from './format.js';
import { t } from './texts.js';

const POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

function styles() {
  return [...document.styleSheets]
    .flatMap((sheet) => [...sheet.cssRules])
    .map((rule) => rule.cssText)
    .join('\n');
}

function copyOf(time) {
  const root = document.documentElement.cloneNode(true);
  for (const node of root.querySelectorAll('script, noscript, link, [data-live]')) node.remove();
  for (const button of root.querySelectorAll('button')) button.replaceWith(...button.childNodes);
  for (const place of root.querySelectorAll('[tabindex]')) if (place.id === 'main') place.removeAttribute('tabindex');
  const head = root.querySelector('head');
  head.querySelector('meta[charset]').after(el('meta', { 'http-equiv': 'Content-Security-Policy', content: POLICY }));
  head.append(el('style', {}, styles()));
  const address = location.href.split(/[?#]/)[0];
  root
    .querySelector('header')
    .append(
      el('p', { id: 'saved', class: 'mute' }, t('saved', { time: fullTime(time), zone: timeZone(), url: address })),
    );
  return `<!doctype html>\n${root.outerHTML}\n`;
}

export function save(time) {
  const url = URL.createObjectURL(new Blob([copyOf(time)], { type: 'text/html;charset=utf-8' }));
  const name = `openim-${wallClock(time).date}-${clock(time).replace(/\D/g, '')}.html`;
  const link = el('a', { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
