// Starts the page: controls, the live connection, and the slower data.
import { drawCalling, verdict } from './calling.js';
import { drawContent } from './content.js';
import { byId, el, memo, put, rich, setText } from './dom.js';
import {
  clock,
  clockSeconds,
  dateTime,
  number,
  period,
  rate,
  setFormats,
  timeZone,
  daysBefore,
  wallClock,
} from './format.js';
import { drawGroups, drawGroupTexts, groupsUrl, growthUrl, setUpGroups } from './groups.js';
import { getJson, why } from './http.js';
import { follow } from './live.js';
import { drawNow } from './now.js';
import { drawPeople } from './people.js';
import { save } from './save.js';
import { drawTargets } from './targets.js';
import { language, locale, preferredLanguage, setLanguage, t } from './texts.js';
import { drawFast, drawWhen } from './when.js';

// What is shown. `since`: the time of the last snapshot before the page stopped being live.
const state = {
  snapshot: null,
  minutes: [],
  hours: [],
  days: [],
  summary: null,
  groups: null,
  growth: null,
  kind: 'connecting',
  code: null,
  since: null,
  paused: false,
};
// The exporter's clock minus this machine's, in seconds.
let offset = 0;
const now = () => Date.now() / 1000 + offset;

// The data that a snapshot does not have. `every`: seconds between requests.
const SOURCES = [
  {
    name: 'minutes',
    part: 'now',
    every: 60,
    url: () => `api/v1/history?step=minute&from=${Math.floor(now() / 60) * 60 - 3600}`,
    read: (answer) => answer.rows,
  },
  {
    name: 'days',
    part: 'people',
    every: 60,
    url: () => `api/v1/days?from=${daysBefore(wallClock(now()).date, 34)}`,
    read: (answer) => answer.days,
  },
  { name: 'groups', part: 'groups', every: 10, url: groupsUrl, read: (answer) => answer },
  { name: 'growth', part: 'groups', every: 60, url: growthUrl, read: (answer) => answer },
  {
    name: 'hours',
    part: 'when',
    every: 60,
    url: () => `api/v1/history?step=hour&from=${Math.floor(now() / 3600) * 3600 - 8 * 86400}`,
    read: (answer) => answer.rows,
  },
  { name: 'summary', part: 'content', every: 60, url: () => 'api/v1/summary', read: (answer) => answer },
].map((source) => ({ ...source, due: 0, failed: null }));

const connected = () =>
  state.snapshot && (state.kind === 'live' || state.kind === 'polling') && !state.paused && !document.hidden;

let loading = false;

// Requests what is due, one after the other: the exporter allows only a few requests at once.
async function load() {
  if (loading) return;
  loading = true;
  for (const source of SOURCES) {
    if (connected() && Date.now() >= source.due) await request(source);
  }
  loading = false;
}

async function request(source) {
  const url = source.url();
  source.due = Date.now() + source.every * 1000;
  let failed = null;
  const answer = await getJson(url).catch((failure) => {
    failed = failure.code;
  });
  // Meanwhile the user has asked for another page of groups.
  if (source.name === 'groups' && url !== groupsUrl()) return;
  source.failed = failed;
  if (failed === null) state[source.name] = source.read(answer);
  // Many pages fail at once, so each waits a slightly different time.
  else source.due = Date.now() + 10_000 * (0.8 + 0.4 * Math.random());
  draw();
}

function loadAll() {
  for (const source of SOURCES) source.due = 0;
  load();
}

// Also while the page is paused: the user asked for it.
const reloadGroups = () => request(SOURCES.find(({ name }) => name === 'groups'));

const DRAWINGS = [
  drawNow,
  drawCalling,
  drawTargets,
  drawPeople,
  drawContent,
  drawGroups,
  drawWhen,
  drawFast,
  drawProblems,
  drawAbout,
];

function draw() {
  for (const drawing of DRAWINGS) drawing(state);
  markScrollers();
}

// The keyboard can scroll only what has the focus. What fits needs none.
function markScrollers() {
  for (const node of document.querySelectorAll('.scroll')) {
    const scrolls = node.scrollWidth > node.clientWidth || node.scrollHeight > node.clientHeight;
    if (scrolls) node.setAttribute('tabindex', '0');
    else node.removeAttribute('tabindex');
  }
}

function drawProblems() {
  const found = new Map(SOURCES.filter(({ failed }) => failed !== null).map(({ part, failed }) => [part, failed]));
  memo(byId('problems'), [[...found], state.kind, language()], (host) => {
    host.hidden = !found.size || state.kind === 'lost';
    host.replaceChildren(
      ...[...found].map(([part, code]) => el('li', {}, ...rich(t('problem', { part: t(part), why: why(code) })))),
    );
  });
}

function drawAbout({ snapshot }) {
  if (!snapshot) return;
  const { tracked, capacity } = snapshot.groups;
  setText(
    byId('about'),
    t('about', {
      version: snapshot.version,
      since: dateTime(snapshot.since),
      uptime: period(snapshot.uptime_seconds),
      zone: timeZone(),
      tracked,
      capacity,
      n: snapshot.viewers,
    }),
  );
}

const isFull = () => state.snapshot.viewers >= state.snapshot.max_viewers;

// The connection's state, in the header and as a banner. Once a second, because it contains ages.
function drawState() {
  const kind = state.paused ? 'paused' : state.kind;
  byId('dot').className = `dot ${{ live: 'good', lost: 'bad' }[kind] ?? 'warn'}`;
  setText(byId('state'), t(`state_${kind}`));
  setText(byId('state-time'), state.snapshot ? clockSeconds(state.snapshot.time) : '');
  document.documentElement.dataset.state = kind;
  const banner = byId('banner');
  const time = state.since && clockSeconds(state.since);
  const text =
    kind === 'live' || kind === 'connecting'
      ? ''
      : kind === 'lost'
        ? t(state.snapshot ? 'banner_lost' : 'banner_never', {
            time,
            why: state.code === 'cut' ? t('why_cut') : why(state.code),
          })
        : t(kind === 'polling' && isFull() ? 'banner_full' : `banner_${kind}`, { time });
  memo(byId('banner-text'), text, (host) => host.replaceChildren(...rich(text)));
  banner.hidden = !text;
  banner.className = kind === 'lost' ? 'banner bad' : 'banner';
  const age = state.snapshot ? now() - state.snapshot.time : 0;
  setText(
    byId('banner-age'),
    text && state.snapshot && kind !== 'polling' ? t('banner_age', { age: period(age) }) : '',
  );
}

const connection = follow(
  (snapshot) => {
    offset = snapshot.time - Date.now() / 1000;
    const first = !state.snapshot;
    const restarted = !first && snapshot.uptime_seconds < state.snapshot.uptime_seconds - 1;
    if (first || snapshot.time_zone !== state.snapshot.time_zone) setFormats(snapshot.time_zone);
    state.snapshot = snapshot;
    keepMinute(snapshot.minute);
    draw();
    drawState();
    speak();
    if (first || restarted) loadAll();
    else load();
  },
  (kind, code) => {
    const before = state.kind;
    if (kind === 'connecting' && before !== 'connecting') return;
    state.kind = kind;
    state.code = code;
    if (kind === 'live') {
      state.since = null;
      if (before === 'lost' || before === 'polling') loadAll();
    } else if (state.since === null && state.snapshot) {
      state.since = state.snapshot.time;
    }
    drawState();
    drawProblems();
    if (kind === 'polling') load();
  },
);

// The snapshot's minute is newer than the history's.
function keepMinute(minute) {
  if (!minute) return;
  state.minutes = [...state.minutes.filter((row) => row.time !== minute.time && row.time > minute.time - 4000), minute];
}

// A summary once a minute for screen readers.
let spoken = 0;
function speak() {
  const minute = Math.floor(state.snapshot.time / 60);
  if (minute === spoken) return;
  spoken = minute;
  const { snapshot } = state;
  setText(
    byId('spoken'),
    t('spoken', {
      time: clock(snapshot.time),
      rate: rate(snapshot.messages_per_second),
      people: number(snapshot.senders['5m']),
      online: number(snapshot.users_online.total),
      callback: verdict(snapshot).text,
    }),
  );
}

function updateConnection() {
  if (state.paused || document.hidden) {
    connection.stop();
  } else {
    connection.start();
    loadAll();
  }
  drawState();
}

function setPaused(paused) {
  state.paused = paused;
  if (paused) state.since = state.snapshot?.time ?? now();
  else if (state.kind === 'live') state.since = null;
  setText(byId('pause'), t(paused ? 'resume' : 'pause'));
  updateConnection();
}

// Private windows and strict settings have no storage.
function remember(name, value) {
  try {
    if (value === undefined) return localStorage.getItem(name);
    localStorage.setItem(name, value);
  } catch {
    /* the choice lasts as long as the page */
  }
  return null;
}

const darkSystem = matchMedia('(prefers-color-scheme: dark)');
function applyTheme() {
  const choice = byId('theme').value;
  document.documentElement.dataset.theme = choice === 'system' ? (darkSystem.matches ? 'dark' : 'light') : choice;
}

function applyLanguage(name) {
  setLanguage(name);
  setFormats(state.snapshot?.time_zone ?? 'UTC');
  document.documentElement.lang = locale();
  document.title = t('title');
  for (const node of document.querySelectorAll('[data-t]')) setText(node, t(node.dataset.t));
  for (const node of document.querySelectorAll('[data-t-label]'))
    node.setAttribute('aria-label', t(node.dataset.tLabel));
  setText(byId('pause'), t(state.paused ? 'resume' : 'pause'));
  byId('language').value = language();
  drawGroupTexts();
  draw();
  drawState();
  spoken = 0;
  if (state.snapshot) speak();
}

function setUp() {
  const theme = byId('theme');
  theme.value = ['light', 'dark'].find((name) => name === remember('openim-theme')) ?? 'system';
  theme.addEventListener('change', () => {
    remember('openim-theme', theme.value);
    applyTheme();
  });
  darkSystem.addEventListener('change', applyTheme);
  applyTheme();
  applyLanguage(preferredLanguage());
  byId('language').addEventListener('change', ({ target }) => {
    applyLanguage(target.value);
    history.replaceState(null, '', `?lang=${target.value}${location.hash}`);
  });
  byId('pause').addEventListener('click', () => setPaused(!state.paused));
  byId('save').addEventListener('click', () => save(state.snapshot?.time ?? now()));
  setUpGroups(reloadGroups);
  let width = innerWidth;
  addEventListener('resize', () => {
    if (innerWidth !== width) requestAnimationFrame(draw);
    width = innerWidth;
  });
  // An opened table may need to scroll.
  document.addEventListener('toggle', markScrollers, true);
  document.addEventListener('visibilitychange', updateConnection);
  setInterval(drawState, 1000);
  updateConnection();
}

setUp();
