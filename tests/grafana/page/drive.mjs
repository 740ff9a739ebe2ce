// Shows dashboards in Chromium. Usage: node drive.mjs FOLDER_OF_THE_PAGE < JOBS
// JOBS is JSON: [{dashboard, prometheus, screenshot}]. Prints, as JSON, what each page shows, and its errors.

import { json } from 'node:stream/consumers';
import { chromium } from 'playwright-core';
import { preview } from 'vite';

// A busy machine may need this long.
const PATIENCE_MS = 300_000;
const TABS = 4;

const jobs = await json(process.stdin);
const server = await preview({ build: { outDir: process.argv[2] }, preview: { port: 0, host: '127.0.0.1' }, logLevel: 'error' });
const url = server.resolvedUrls.local[0];
const browser = await chromium.launch({
  executablePath: '/usr/bin/chromium',
  args: process.getuid() === 0 ? ['--no-sandbox'] : [],
});
const context = await browser.newContext({ viewport: { width: 1600, height: 1000 }, timezoneId: 'UTC', locale: 'en-US' });

const answers = [];
const queue = jobs.entries();
await Promise.all(
  Array.from({ length: TABS }, async () => {
    for (const [index, job] of queue) {
      answers[index] = await show(job);
    }
  })
);
await browser.close();
await server.close();
console.log(JSON.stringify(answers));

async function show({ dashboard, prometheus, screenshot }) {
  const page = await context.newPage();
  const errors = [];
  page.on('pageerror', (error) => errors.push(`script: ${error.stack ?? error}`));
  // A failed request is also a line here. No package has Grafana's fonts; others do as well.
  const isWrong = (line) => line.type() === 'error' && !line.location().url.includes('/public/fonts/');
  page.on('console', (line) => isWrong(line) && errors.push(`console: ${line.text()} ${line.location().url}`));
  try {
    await page.goto(url);
    await page.waitForFunction(() => 'openDashboard' in window, undefined, { timeout: PATIENCE_MS });
    await page.evaluate(([board, source]) => window.openDashboard(board, source), [dashboard, prometheus]);
    await settle(page);
    await page.screenshot({ path: `${screenshot}.png` });
    await page.evaluate(() => window.expandRows());
    await drawn(page);
    // What is outside the window is not drawn, so the window becomes as high as the page.
    const height = await page.evaluate(() => document.documentElement.scrollHeight);
    await page.setViewportSize({ width: 1600, height });
    await settle(page);
    await page.screenshot({ path: `${screenshot}-all.png` });
    const events = await page.evaluate((board) => window.countEvents(board), dashboard);
    return { errors, events, panels: await page.evaluate(() => window.shownPanels()) };
  } catch (error) {
    return { errors: [...errors, `page: ${error.stack}`], events: {}, panels: [] };
  } finally {
    await page.close();
  }
}

// Waits until all panels have their data, and the browser has drawn them.
async function settle(page) {
  await drawn(page);
  const isReady = () => {
    const panels = window.shownPanels();
    return panels.length > 0 && panels.every((panel) => !panel.isLoading);
  };
  await page.waitForFunction(isReady, undefined, { timeout: PATIENCE_MS, polling: 100 });
  // A panel with an error may stay empty.
  const isDrawn = () => window.shownPanels().every((panel) => !panel.isEmpty);
  await page.waitForFunction(isDrawn, undefined, { timeout: 5_000, polling: 100 }).catch(() => {});
  await drawn(page);
  await page.waitForTimeout(100);
}

async function drawn(page) {
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
}
