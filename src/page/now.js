// Now: the rate, the last hour, people and users online.
import { lineChart } from './charts.js';
import { byId, memo, numberCell, numberHead, put, setText, table } from './dom.js';
import { clock, number, rate } from './format.js';
import { platformName } from './names.js';
import { language, t } from './texts.js';

const HOUR = 3600;
// The callbacks that report users online, since v3.4.2 and before.
const ONLINE = ['callbackAfterUserOnlineCommand', 'callbackUserOnlineCommand'];

export const messagesOf = (row) => (row ? row.group_messages + row.single_messages : null);

export function drawNow({ snapshot, minutes }) {
  if (!snapshot) return;
  put('messages_per_second', snapshot.messages_per_second, rate(snapshot.messages_per_second));
  const { by_command: commands } = snapshot.callbacks;
  const knowsOnline = ONLINE.some((name) => name in commands);
  put('users_online.total', snapshot.users_online.total, knowsOnline ? number(snapshot.users_online.total) : '–');
  drawUnited(snapshot.united);
  put('today.messages', messagesOf(snapshot.today), number(messagesOf(snapshot.today)));
  const online = Object.entries(snapshot.users_online.by_platform)
    .filter(([, users]) => users > 0)
    .sort((a, b) => b[1] - a[1]);
  setText(
    byId('online-platforms'),
    knowsOnline
      ? online.map(([name, users]) => `${platformName(name)}\u00a0${number(users)}`).join(' · ')
      : t('online_unknown'),
  );
  setText(
    byId('yesterday-messages'),
    snapshot.yesterday ? t('yesterday_messages', { n: messagesOf(snapshot.yesterday) }) : '',
  );
  drawMinutes(snapshot, minutes);
}

// The numbers of all exporters, if there are others.
function drawUnited(united) {
  for (const node of document.querySelectorAll('[data-united]')) node.hidden = !united;
  put('united.senders.5m', united?.senders['5m'], number(united?.senders['5m']));
  put('united.users_online.total', united?.users_online.total, number(united?.users_online.total));
}

function drawMinutes(snapshot, minutes) {
  const current = Math.floor(snapshot.time / 60) * 60;
  const from = current - HOUR;
  const rows = minutes.filter((row) => row.time >= from && row.time < current);
  const last = snapshot.minute?.time === current ? snapshot.minute : null;
  const host = byId('minutes');
  memo(host, [current, rows.map(messagesOf), messagesOf(last), host.clientWidth, host.clientHeight, language()], () => {
    const points = rows.map((row) => ({ time: row.time, value: messagesOf(row) }));
    const sorted = [...points].sort((a, b) => a.value - b.value);
    const text = (row, ending = '') =>
      t('minutes_tip', { time: clock(row.time), n: messagesOf(row), people: row.senders }) + ending;
    const tips = rows.map((row) => ({ time: row.time, text: text(row) }));
    if (last) tips.push({ time: current, text: text(last, t('so_far')) });
    lineChart(host, {
      label: points.length
        ? t('minutes_label', {
            last: points.at(-1).value,
            max: sorted.at(-1).value,
            when: clock(sorted.at(-1).time),
            min: sorted[0].value,
          })
        : t('no_history'),
      from,
      to: current + 60,
      step: 60,
      area: true,
      series: [{ class: 'a', points }],
      soFar: last && { time: current, value: messagesOf(last) },
      yText: number,
      xTicks: [0, 1, 2, 3, 4, 5, 6]
        .map((index) => Math.ceil(from / 600) * 600 + index * 600)
        .filter((time) => time <= current)
        .map((time) => [time, clock(time)]),
      tips,
    });
  });
  memo(byId('minutes-table'), [current, rows.map(messagesOf), language()], (place) =>
    table(
      place,
      t('minutes_title'),
      [t('at'), numberHead(t('group_messages')), numberHead(t('single_messages')), numberHead(t('wrote'))],
      [...rows]
        .reverse()
        .map((row) => [
          clock(row.time),
          ...['group_messages', 'single_messages', 'senders'].map((field) =>
            numberCell(row[field], number(row[field]), `minute.${field}`),
          ),
        ]),
      { attributes: (index) => ({ 'data-time': rows[rows.length - 1 - index].time }) },
    ),
  );
}
