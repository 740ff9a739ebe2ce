// Chromium for tests/page. Reads a JSON object from each line of standard input, and answers each with a line:
// {id, page, open: {url, ...}} opens a page; {id, page, run: CODE, value} runs code on it; {id, page, close: true}.

import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { chromium } from 'playwright-core';

const axe = readFileSync(new URL('node_modules/axe-core/axe.min.js', import.meta.url), 'utf8');
const AsyncFunction = (async () => {}).constructor;
const browser = await chromium.launch({
  executablePath: '/usr/bin/chromium',
  args: process.getuid() === 0 ? ['--no-sandbox'] : [],
});
const pages = new Map();

async function open(name, { url, width, height, locale, scheme, motion }) {
  // A zone that no exporter of the tests has.
  const context = await browser.newContext({
    viewport: { width, height },
    locale,
    colorScheme: scheme,
    reducedMotion: motion,
    timezoneId: 'America/New_York',
    permissions: ['clipboard-read', 'clipboard-write'],
  });
  const page = await context.newPage();
  // Errors and dialogs, and all requests.
  const seen = { errors: [], requests: [] };
  page.on('pageerror', (error) => seen.errors.push(`script: ${error.stack ?? error}`));
  page.on('console', (line) => line.type() === 'error' && seen.errors.push(`${line.text()} ${line.location().url}`));
  page.on('dialog', (dialog) => {
    seen.errors.push(`dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  context.on('page', (other) => seen.errors.push(`window: ${other.url()}`));
  context.on('request', (request) => seen.requests.push(request.url()));
  pages.set(name, { page, context, seen });
  // Several scenes open their pages at the same time, perhaps beside other tests.
  await page.goto(url, { waitUntil: 'load', timeout: 120000 });
}

// What is wrong with a page for people who use assistive technology.
async function violations(page) {
  await page.evaluate(axe);
  const { violations: found } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
  return found.flatMap(({ id, nodes }) => nodes.map(({ html, failureSummary }) => `${id}: ${html} ${failureSummary}`));
}

// The file that a click downloads.
async function download(page, selector) {
  const [file] = await Promise.all([page.waitForEvent('download'), page.click(selector)]);
  return { name: file.suggestedFilename(), text: readFileSync(await file.path(), 'utf8') };
}

async function answer({ page: name, open: options, run, value, close }) {
  if (options) return open(name, options);
  const { page, context, seen } = pages.get(name);
  if (close) return context.close();
  const code = new AsyncFunction('page', 'value', 'seen', 'violations', 'download', run);
  return code(page, value, seen, violations, download);
}

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  answer(command)
    .then((result) => ({ result: result ?? null }), (error) => ({ error: error.stack ?? String(error) }))
    .then((end) => process.stdout.write(`${JSON.stringify({ id: command.id, ...end })}\n`));
}
await browser.close();
