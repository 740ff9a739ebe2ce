// People: by period, day by day, and who comes back.
import { barChart } from './charts.js';
import { byId, el, memo, numberCell, numberHead, put, setText, table } from './dom.js';
import { calendarDay, daysBefore, exactly, number, percent, shortDay, wallClock } from './format.js';
import { messagesOf } from './now.js';
import { language, t } from './texts.js';

const DAYS = 35;
// [the API's name, value and unit of the words]; today and yesterday are calendar days.
const PERIODS = [
  ['5m', 5, 'minute'],
  ['1h', 1, 'hour'],
  ['today'],
  ['yesterday'],
  ['24h', 24, 'hour'],
  ['7d', 7, 'day'],
  ['30d', 30, 'day'],
];
// [the API's name, the column's title]
const COUNTS = [
  ['senders', 'wrote'],
  ['active_users', 'active'],
  ['active_groups', 'groups_short'],
];

// The counts of a period as [place, value]: at this exporter, and at all of them.
const countsHere = (snapshot, name, isWindow) =>
  COUNTS.map(([count]) =>
    isWindow ? [`${count}.${name}`, snapshot[count][name]] : [`${name}.${count}`, snapshot[name]?.[count]],
  );
const countsEverywhere = ({ united, ...days }, name, isWindow) =>
  united
    ? COUNTS.map(([count]) =>
        isWindow
          ? [`united.${count}.${name}`, united[count][name]]
          : [`${name}.${count}_united`, days[name]?.[`${count}_united`]],
      )
    : [];
// The titles of the columns of all exporters, if there are others.
const titlesEverywhere = ({ united }) =>
  united ? COUNTS.map(([, title]) => numberHead(t('of_all_exporters', { what: t(title) }))) : [];

export function drawPeople({ snapshot, days }) {
  if (!snapshot) return;
  drawPeriods(snapshot);
  setText(byId('retention-text'), t('retention_text'));
  for (const [name, share] of Object.entries(snapshot.sender_retention ?? {})) {
    put(`retention.${name}`, share, share === null ? t('unknown_yet') : percent(share));
  }
  const today = wallClock(snapshot.time).date;
  const recent = days.filter((row) => row.date > daysBefore(today, DAYS) && row.date < today);
  const current = snapshot.today ?? days.find((row) => row.date === today);
  if (current) recent.push(current);
  drawDays(recent, today);
  // Every ten seconds only, so that the table can be read and copied.
  drawTable(recent, today, snapshot);
}

function drawPeriods(snapshot) {
  const host = byId('periods');
  host.closest('.split').classList.toggle('even', Boolean(snapshot.united));
  memo(host, [Boolean(snapshot.united), language()], () =>
    table(
      host,
      [t('periods_title'), ' ', el('small', {}, t('active_help'))],
      [
        t('period'),
        ...COUNTS.map(([, title]) => numberHead(t(title))),
        numberHead(t('messages')),
        ...titlesEverywhere(snapshot),
      ],
      PERIODS.map(([name, value, unit]) => [
        value ? exactly(value, unit) : t(name),
        ...countsHere(snapshot, name, value).map(([place]) => numberCell('', '–', place)),
        value ? { text: '' } : numberCell('', '–', `${name}.messages`),
        ...countsEverywhere(snapshot, name, value).map(([place]) => numberCell('', '–', place)),
      ]),
      { attributes: (index) => ({ class: PERIODS[index][0] === 'yesterday' ? 'marked' : null }) },
    ),
  );
  for (const [name, value] of PERIODS) {
    for (const [place, count] of [...countsHere(snapshot, name, value), ...countsEverywhere(snapshot, name, value)]) {
      put(place, count, number(count));
    }
    if (!value) put(`${name}.messages`, messagesOf(snapshot[name]), number(messagesOf(snapshot[name])));
  }
}

function drawDays(rows, today) {
  const host = byId('days');
  memo(host, [today, rows.map((row) => row.senders), host.clientWidth, host.clientHeight, language()], () => {
    const byDate = new Map(rows.map((row) => [row.date, row]));
    const yesterday = daysBefore(today, 1);
    const dates = Array.from({ length: DAYS }, (_, index) => daysBefore(today, DAYS - 1 - index));
    const best = rows.reduce((top, row) => (row.senders > (top?.senders ?? -1) ? row : top), null);
    barChart(host, {
      label: best
        ? t('days_label', {
            n: rows.length,
            yesterday: number(byDate.get(yesterday)?.senders),
            today: number(byDate.get(today)?.senders),
            max: best.senders,
            when: shortDay(best.date),
          })
        : t('no_history'),
      bars: dates.map((date) => {
        const row = byDate.get(date);
        const text = row
          ? t('days_tip', { day: calendarDay(date), people: row.senders, n: messagesOf(row) }) +
            (row.complete ? '' : t('so_far'))
          : `${calendarDay(date)}: ${t('no_data')}`;
        return {
          value: row ? row.senders : null,
          class: date === yesterday ? 'yesterday' : date === today ? 'so-far' : '',
          text,
        };
      }),
      yText: number,
      xTicks: dates.map((date, index) => [(index + 0.5) / DAYS, shortDay(date)]).filter((_, index) => index % 7 === 5),
    });
  });
}

// [the row's field, the column's title]
const COLUMNS = [
  ...COUNTS,
  ['group_messages', 'group_messages'],
  ['single_messages', 'single_messages'],
  ['users_online_peak', 'online_peak'],
  ['users_registered', 'registered'],
  ['group_members_joined', 'joined'],
  ['group_members_left', 'left'],
];

function drawTable(rows, today, snapshot) {
  const host = byId('days-table');
  const step = Math.floor(snapshot.time / 10);
  const everywhere = snapshot.united ? COUNTS.map(([count]) => `${count}_united`) : [];
  const newest = [...rows].reverse();
  const named = { [today]: t('today'), [daysBefore(today, 1)]: t('yesterday') };
  const revoked = (row) => row.group_message_revocations + row.single_message_revocations;
  memo(host, [step, newest.length, today, everywhere, language()], () =>
    table(
      host,
      t('days_title'),
      [
        t('day'),
        ...COLUMNS.map(([, title]) => numberHead(t(title))),
        numberHead(t('revoked')),
        ...titlesEverywhere(snapshot),
      ],
      newest.map((row) => [
        calendarDay(row.date) + (named[row.date] ? ` (${named[row.date]})` : ''),
        ...COLUMNS.map(([field]) => numberCell(row[field], number(row[field]), `day.${field}`)),
        numberCell(revoked(row), number(revoked(row)), 'day.revocations'),
        ...everywhere.map((field) => numberCell(row[field], number(row[field]), `day.${field}`)),
      ]),
      {
        attributes: (index) => ({
          'data-date': newest[index].date,
          class: newest[index].date === daysBefore(today, 1) ? 'marked' : null,
        }),
      },
    ),
  );
}
