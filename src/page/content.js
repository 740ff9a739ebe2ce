// What they write: content types, kinds of chats, and platforms.
import { stackedBar } from './charts.js';
import { byId, el, memo, numberCell, numberHead, table } from './dom.js';
import { dayAndMonth, dayOf, daysBefore, number, percent, wallClock } from './format.js';
import { platformName, typeName } from './names.js';
import { language, t } from './texts.js';

// The bar shows as many types as there are colours, and the rest as one part.
const COLOURS = 7;

const sum = (values) => values.reduce((total, value) => total + value, 0);
const share = (part, whole) => (whole > 0 ? part / whole : null);

// [name, count] of the last seven days, both kinds of chats, most first.
function countTypes(days) {
  const counts = new Map();
  for (const { by_content_type: kinds } of days) {
    for (const types of Object.values(kinds ?? {})) {
      for (const [name, count] of Object.entries(types)) counts.set(name, (counts.get(name) ?? 0) + count);
    }
  }
  return [...counts].sort((a, b) => b[1] - a[1]);
}

export function drawContent({ snapshot, days, summary }) {
  if (!snapshot) return;
  const today = wallClock(snapshot.time).date;
  const week = days.filter((row) => row.date > daysBefore(today, 7));
  drawTypes(countTypes(week));
  drawChats(snapshot, week);
  drawPlatforms(summary);
}

function drawTypes(types) {
  const bar = byId('types-bar');
  const total = sum(types.map(([, count]) => count));
  const shade = (index) => `k${Math.min(index, COLOURS)}`;
  bar.hidden = !total;
  memo(bar, [types, bar.clientWidth, language()], () => {
    const shown = types.slice(0, COLOURS);
    const rest = total - sum(shown.map(([, count]) => count));
    const parts = shown.map(([name, count], index) => ({
      share: count / total,
      name: typeName(name),
      text: `${typeName(name)} ${percent(count / total)}`,
      class: shade(index),
    }));
    if (rest > 0)
      parts.push({
        share: rest / total,
        name: t('other'),
        text: `${t('other')} ${percent(rest / total)}`,
        class: shade(COLOURS),
      });
    stackedBar(bar, {
      label: total ? t('types_label', { list: parts.map((part) => part.text).join(', ') }) : t('no_history'),
      parts,
    });
  });
  memo(byId('types'), [types, language()], (host) =>
    table(
      host,
      t('types_table'),
      [t('type'), numberHead(t('messages')), numberHead(t('share'))],
      types.map(([name, count], index) => [
        { nodes: [el('span', { class: `swatch ${shade(index)}`, 'aria-hidden': 'true' }), typeName(name)] },
        numberCell(count, number(count), `content_type.${name}`),
        numberCell('', percent(count / total)),
      ]),
      { attributes: (index) => ({ 'data-content-type': types[index][0] }) },
    ),
  );
}

function drawChats(snapshot, week) {
  const host = byId('chats');
  const recent = (kind) => sum(week.map((row) => row[kind]));
  const rows = ['group_messages', 'single_messages'].map((kind) => [kind, recent(kind), snapshot[kind]]);
  const [recentAll, all] = [sum(rows.map((row) => row[1])), sum(rows.map((row) => row[2]))];
  memo(host, [rows, dayOf(snapshot.since), language()], () =>
    table(
      host,
      t('chats_title'),
      [
        t('chat'),
        numberHead(t('week_days')),
        numberHead(t('share')),
        numberHead(t('since', { day: dayAndMonth(snapshot.since) })),
        numberHead(t('share')),
      ],
      rows.map(([kind, count, total]) => [
        t(`chat_${kind}`),
        numberCell(count, number(count), `week.${kind}`),
        numberCell('', percent(share(count, recentAll))),
        numberCell(total, number(total), kind),
        numberCell('', percent(share(total, all))),
      ]),
    ),
  );
}

function drawPlatforms(summary) {
  if (!summary) return;
  const counts = new Map();
  for (const platforms of [summary.messages?.by_platform, summary.single_messages?.by_platform]) {
    for (const [name, count] of Object.entries(platforms ?? {})) counts.set(name, (counts.get(name) ?? 0) + count);
  }
  const rows = [...counts].filter(([, count]) => count > 0).sort((a, b) => b[1] - a[1]);
  const total = sum(rows.map(([, count]) => count));
  memo(byId('platforms'), [rows, language()], (host) =>
    table(
      host,
      t('platforms_title', { day: dayOf(summary.since) }),
      [t('platform'), numberHead(t('messages')), numberHead(t('share'))],
      rows.map(([name, count]) => [
        platformName(name),
        numberCell(count, number(count), `platform.${name}`),
        meterCell(count / total),
      ]),
      { attributes: (index) => ({ 'data-platform': rows[index][0] }), empty: t('no_data') },
    ),
  );
}

function meterCell(part) {
  const meter = el('span', { class: 'meter', 'aria-hidden': 'true' });
  meter.style.setProperty('--part', `${(part * 100).toFixed(1)}%`);
  return { class: 'n', nodes: [meter, el('span', { class: 'part' }, percent(part))] };
}
