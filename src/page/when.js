// When: hours of seven days. How fast: delays of the last 24 hours.
import { lineChart, logScale } from './charts.js';
import { byId, el, memo, numberCell, numberHead, setText, table } from './dom.js';
import { calendarDay, clock, dateTime, daysBefore, delay, number, short, timeZone, wallClock } from './format.js';
import { messagesOf } from './now.js';
import { language, t } from './texts.js';

const LEVELS = 5;
const DAY = 86400;
const QUANTILES = ['p50', 'p95', 'p99'];
const hourText = (hour) => `${String(hour).padStart(2, '0')}:00`;

// Messages by day and hour. On the day when clocks go back, one hour has the messages of two.
function countHours(hours) {
  const cells = new Map();
  for (const row of hours) {
    const { date, hour } = wallClock(row.time);
    const key = `${date} ${hour}`;
    cells.set(key, (cells.get(key) ?? 0) + messagesOf(row));
  }
  return cells;
}

export function drawWhen({ snapshot, hours }) {
  if (!snapshot) return;
  const now = wallClock(snapshot.time);
  const host = byId('heat');
  memo(host, [now, hours.map((row) => [row.time, messagesOf(row)]), language()], () =>
    drawHeat(host, now, countHours(hours)),
  );
}

function drawHeat(host, now, cells) {
  const dates = Array.from({ length: 7 }, (_, index) => daysBefore(now.date, 6 - index));
  const shown = [...cells].filter(([key]) => key.slice(0, 10) >= dates[0]);
  const [busiest, max] = shown.reduce((top, cell) => (cell[1] > top[1] ? cell : top), ['', 0]);
  const hours = Array.from({ length: 24 }, (_, hour) => hour);
  const describe = (date, hour, n) => ({ day: calendarDay(date), hour: hourText(hour), n });
  table(
    host,
    t('heat_caption', { zone: timeZone() }),
    [t('day'), ...hours.map((hour) => ({ text: String(hour).padStart(2, '0'), class: 'n' }))],
    dates.map((date) => [
      calendarDay(date),
      ...hours.map((hour) => {
        const count = cells.get(`${date} ${hour}`);
        if (count !== undefined) {
          return {
            nodes: [el('span', {}, short(count))],
            raw: count,
            name: 'hour.messages',
            class: `l${Math.ceil((count / Math.max(max, 1)) * LEVELS)}`,
            title: t('heat_tip', describe(date, hour, count)),
            'data-hour': hour,
          };
        }
        return date === now.date && hour > now.hour
          ? { text: '' }
          : { nodes: [el('span', {}, '·')], class: 'gap', title: t('heat_gap', describe(date, hour)) };
      }),
    ]),
    { attributes: (index) => ({ 'data-date': dates[index] }) },
  );
  const legend = byId('heat-legend');
  legend.replaceChildren();
  if (!busiest) return setText(legend, t('no_history'));
  legend.append(
    t('fewer'),
    ' ',
    ...[0, 1, 2, 3, 4, 5].map((level) => el('span', { class: `swatch l${level}`, 'aria-hidden': 'true' })),
    ' ',
    t('more', { n: max }),
    ' ',
    el('span', { id: 'busiest' }, t('busiest', describe(busiest.slice(0, 10), Number(busiest.slice(11)), max))),
  );
}

export function drawFast({ snapshot, hours }) {
  if (!snapshot) return;
  const host = byId('delays');
  const end = Math.floor(snapshot.time / 3600) * 3600 + 3600;
  const from = end - DAY;
  const rows = hours.filter((row) => row.time >= from && row.delivery_delay_seconds);
  const values = rows
    .flatMap((row) => QUANTILES.map((name) => row.delivery_delay_seconds[name]))
    .filter((value) => value !== null);
  host.hidden = !values.length;
  memo(host, [end, values, host.clientWidth, host.clientHeight, language()], () => {
    const legend = byId('delay-legend');
    if (!values.length) {
      setText(legend, t('delay_none'));
      host.replaceChildren();
      return;
    }
    legend.replaceChildren(
      ...QUANTILES.map((name) => el('span', {}, el('span', { class: `key ${name}`, 'aria-hidden': 'true' }), t(name))),
    );
    const last = (rows.filter((row) => row.complete).at(-1) ?? rows.at(-1)).delivery_delay_seconds;
    lineChart(host, {
      label: t('delay_label', { p50: delay(last.p50), p95: delay(last.p95), p99: delay(last.p99) }),
      from,
      to: end,
      step: 3600,
      scale: logScale(Math.min(...values), Math.max(...values)),
      yText: delay,
      series: QUANTILES.map((name) => ({
        class: name,
        points: rows.map((row) => ({ time: row.time, value: row.delivery_delay_seconds[name] })),
      })),
      xTicks: Array.from({ length: 8 }, (_, index) => end - DAY + index * 10800).map((time) => [time, clock(time)]),
      tips: rows.map((row) => ({
        time: row.time,
        text: `${dateTime(row.time)}: ${QUANTILES.map((name) => `${name} ${delay(row.delivery_delay_seconds[name])}`).join(', ')}`,
      })),
    });
  });
  memo(byId('delays-table'), [end, values, language()], (place) =>
    table(
      place,
      t('delay_title'),
      [t('hour'), ...QUANTILES.map(numberHead)],
      [...rows]
        .reverse()
        .map((row) => [
          dateTime(row.time),
          ...QUANTILES.map((name) =>
            numberCell(row.delivery_delay_seconds[name], delay(row.delivery_delay_seconds[name]), `delay.${name}`),
          ),
        ]),
      { attributes: (index) => ({ 'data-time': rows[rows.length - 1 - index].time }), empty: t('delay_none') },
    ),
  );
}
