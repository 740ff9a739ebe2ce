// Numbers, periods and times in the page's language and the exporter's time zone.
import { locale, t } from './texts.js';

let zone = 'UTC';
let formats = new Map();

export const timeZone = () => zone;

// Called when the language or the exporter's time zone changes. A zone that the browser does not know becomes UTC.
export function setFormats(name) {
  formats = new Map();
  try {
    new Intl.DateTimeFormat('en', { timeZone: name });
    zone = name;
  } catch {
    zone = 'UTC';
  }
}

function formatter(kind, key, options) {
  let known = formats.get(key);
  if (!known) formats.set(key, (known = new Intl[kind](locale(), options)));
  return known;
}

const numbers = (key, options) => formatter('NumberFormat', key, options);
const dates = (key, options) => formatter('DateTimeFormat', key, { timeZone: zone, hourCycle: 'h23', ...options });

const known = (value) => typeof value === 'number' && Number.isFinite(value);

export const number = (value) => (known(value) ? numbers('n', {}).format(value) : '–');
// At most four characters, such as 4.9k, in both languages.
const compact = new Intl.NumberFormat('en-GB', { notation: 'compact', maximumSignificantDigits: 2 });
export const short = (value) => (value < 1000 ? String(value) : compact.format(value));
export const rate = (value) =>
  known(value) ? numbers(value < 100 ? 'r1' : 'r0', { maximumFractionDigits: value < 100 ? 1 : 0 }).format(value) : '–';
export const percent = (value) =>
  known(value) ? numbers('p', { style: 'percent', maximumFractionDigits: 1 }).format(value) : '–';
export const change = (value) =>
  numbers('c', { style: 'percent', maximumFractionDigits: 0, signDisplay: 'exceptZero' }).format(value);

const unit = (value, name, width) =>
  numbers(`${name}-${width}`, {
    style: 'unit',
    unit: name,
    unitDisplay: width,
    maximumFractionDigits: value < 10 ? 1 : 0,
  }).format(value);

// A delay in seconds, such as 12 ms.
export function delay(seconds) {
  if (!known(seconds)) return '–';
  if (seconds < 1) return unit(Number((seconds * 1000).toPrecision(2)), 'millisecond', 'narrow');
  return seconds < 120
    ? unit(Number(seconds.toPrecision(2)), 'second', 'narrow')
    : unit(Math.round(seconds / 60), 'minute', 'narrow');
}

const STEPS = [
  [86400, 'day'],
  [3600, 'hour'],
  [60, 'minute'],
  [1, 'second'],
];

function largest(seconds) {
  const [size, name] = STEPS.find(([size]) => seconds >= (size === 1 ? 0 : size * 2)) ?? STEPS[3];
  return [Math.max(0, Math.floor(seconds / size)), name];
}

// A period in words, such as 5 minutes.
export function period(seconds) {
  const [value, name] = largest(seconds);
  return numbers(`long-${name}`, { style: 'unit', unit: name, unitDisplay: 'long' }).format(value);
}

export const exactly = (value, name) =>
  numbers(`long-${name}`, { style: 'unit', unit: name, unitDisplay: 'long' }).format(value);

// A time that many seconds ago, in words.
export function ago(seconds) {
  if (seconds < 1) return t('just_now');
  const [value, name] = largest(seconds);
  return formatter('RelativeTimeFormat', 'ago', { numeric: 'always' }).format(-value, name);
}

export const clock = (time) => dates('clock', { hour: '2-digit', minute: '2-digit' }).format(time * 1000);
export const clockSeconds = (time) =>
  dates('seconds', { hour: '2-digit', minute: '2-digit', second: '2-digit' }).format(time * 1000);
export const dayOf = (time) => dates('day', { day: 'numeric', month: 'short', year: 'numeric' }).format(time * 1000);
export const dayAndMonth = (time) => dates('dm', { day: 'numeric', month: 'short' }).format(time * 1000);
export const dateTime = (time) =>
  dates('both', { day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit' }).format(time * 1000);
export const fullTime = (time) => dates('full', { dateStyle: 'medium', timeStyle: 'medium' }).format(time * 1000);

// A calendar day, YYYY-MM-DD, which has no time zone.
export const calendarDay = (date) => onDate('wday', { weekday: 'short', day: 'numeric', month: 'short' }, date);
export const shortDay = (date) => onDate('sday', { day: 'numeric', month: 'short' }, date);
const onDate = (key, options, date) =>
  formatter('DateTimeFormat', key, { timeZone: 'UTC', ...options }).format(Date.parse(`${date}T00:00:00Z`));

// The calendar day and the hour of the day of a time, in the exporter's time zone.
export function wallClock(time) {
  let parts = formats.get('wall');
  if (!parts) {
    parts = new Intl.DateTimeFormat('en', {
      timeZone: zone,
      hourCycle: 'h23',
      year: 'numeric',
      month: '2-digit',
      day: '2-digit',
      hour: '2-digit',
    });
    formats.set('wall', parts);
  }
  const at = Object.fromEntries(parts.formatToParts(time * 1000).map((part) => [part.type, part.value]));
  return { date: `${at.year}-${at.month}-${at.day}`, hour: Number(at.hour) };
}

export function daysBefore(date, days) {
  return new Date(Date.parse(`${date}T00:00:00Z`) - days * 86400_000).toISOString().slice(0, 10);
}
