// Busiest groups: a page of all tracked groups, with search and sorting by the exporter.
import { sparkline } from './charts.js';
import { byId, el, memo, numberCell, setText } from './dom.js';
import { ago, change, dateTime, number, percent, rate } from './format.js';
import { language, t } from './texts.js';

const PER_PAGE = 25;
// The exporter skips at most this many groups.
const LAST_OFFSET = 100_000;
const DAY = 86400;
const SORTS = ['messages', 'growth', 'rate', 'active_senders', 'last_seen'];
// [title, sort]; a column without a sort is not a button.
const COLUMNS = [
  ['group'],
  ['two_weeks'],
  ['this_week'],
  ['change', 'growth'],
  ['messages', 'messages'],
  ['share'],
  ['rate', 'rate'],
  ['people_24h', 'active_senders'],
  ['last_message', 'last_seen'],
];

const query = { sort: 'messages', search: '', offset: 0 };

export function groupsUrl() {
  const parameters = new URLSearchParams({ limit: PER_PAGE, offset: query.offset, sort: query.sort });
  if (query.search) parameters.set('q', query.search);
  return `api/v1/groups?${parameters}`;
}

export const growthUrl = () => 'api/v1/groups?limit=10&sort=growth';

// `reload()` requests the page of groups again.
export function setUpGroups(reload) {
  const set = (changes) => {
    Object.assign(query, { offset: 0 }, changes);
    byId('sort').value = query.sort;
    reload();
  };
  let typing = 0;
  byId('group-controls').addEventListener('submit', (event) => event.preventDefault());
  byId('search').addEventListener('input', ({ target }) => {
    clearTimeout(typing);
    typing = setTimeout(() => set({ search: target.value.trim() }), 250);
  });
  byId('sort').addEventListener('change', ({ target }) => set({ sort: target.value }));
  byId('groups-table').tHead.addEventListener('click', ({ target }) => {
    const sort = target.closest('button')?.dataset.sort;
    if (sort) set({ sort });
  });
  for (const button of document.querySelectorAll('[data-go]')) {
    button.addEventListener('click', () => {
      if (button.getAttribute('aria-disabled') === 'true') return;
      set({ offset: Number(button.dataset.offset) });
    });
  }
}

export function drawGroupTexts() {
  byId('sort').replaceChildren(...SORTS.map((sort) => el('option', { value: sort }, t(`sort_${sort}`))));
  byId('sort').value = query.sort;
  byId('groups-table').tHead.replaceChildren(
    el(
      'tr',
      {},
      ...COLUMNS.map(([title, sort]) =>
        el(
          'th',
          { scope: 'col', class: title === 'group' || title === 'two_weeks' ? null : 'n', 'data-column': sort },
          sort ? el('button', { type: 'button', 'data-sort': sort }, t(title)) : t(title),
        ),
      ),
    ),
  );
}

export function drawGroups({ snapshot, groups, growth }) {
  if (!snapshot || !groups) return;
  for (const heading of byId('groups-table').tHead.querySelectorAll('[data-column]')) {
    if (heading.dataset.column === groups.sort) heading.setAttribute('aria-sort', 'descending');
    else heading.removeAttribute('aria-sort');
  }
  const body = byId('groups-table').tBodies[0];
  memo(body, [groups, Math.floor(snapshot.time / 10), language()], () => {
    body.replaceChildren(...groups.groups.map((group) => drawRow(group, snapshot.time)));
    if (!groups.total)
      body.append(el('tr', {}, el('td', { colspan: COLUMNS.length }, t(query.search ? 'no_match' : 'no_groups'))));
  });
  drawPager(groups);
  drawGrowth(growth?.groups.find(({ week }) => difference(week) > 0));
}

const difference = (week) =>
  Number.isFinite(week?.this) && Number.isFinite(week?.last) ? week.this - week.last : null;

function changeText(week) {
  const more = difference(week);
  if (more === null) return '–';
  if (week.last === 0) return week.this ? t('from_zero') : '–';
  return change(more / week.last);
}

function marks({ first_seen: first, last_seen: last, week }, now) {
  const age = now - last;
  const wrote = week ? (week.this ?? 0) + (week.last ?? 0) > 0 : age < 14 * DAY;
  return [now - first < 7 * DAY && 'new', age >= DAY && wrote && 'silent'].filter(Boolean);
}

function drawRow(group, now) {
  const { group_id: id, week } = group;
  const found = marks(group, now);
  const more = difference(week);
  const cell = ({ text, raw, name }, extra = '') =>
    el('td', { class: `n ${extra}`, 'data-v': name, 'data-raw': raw }, text);
  return el(
    'tr',
    { 'data-group': id, 'data-marks': found.join(' ') },
    el(
      'th',
      { scope: 'row', class: 'id' },
      el('bdi', { title: id }, id),
      ...found.map((mark) => el('span', { class: `mark ${mark}`, title: t(`${mark}_help`) }, t(mark))),
    ),
    el('td', {}, week ? sparkline(t('two_weeks_label', { list: week.days.map(number).join(', ') }), week.days) : '–'),
    cell(numberCell(week?.this, number(week?.this), 'group.week.this')),
    cell(numberCell(more, changeText(week), 'group.change'), more > 0 ? 'up' : more < 0 ? 'down' : ''),
    cell(numberCell(group.messages, number(group.messages), 'group.messages')),
    cell(numberCell(group.share, percent(group.share), 'group.share')),
    cell(numberCell(group.rate, rate(group.rate * 60), 'group.rate')),
    cell(numberCell(group.active_senders['24h'], number(group.active_senders['24h']), 'group.active_senders.24h')),
    el(
      'td',
      { class: 'n nowrap', 'data-v': 'group.last_seen', 'data-raw': group.last_seen, title: dateTime(group.last_seen) },
      ago(now - group.last_seen),
    ),
  );
}

function drawPager({ total, offset, groups }) {
  setText(byId('range'), total ? t('range', { from: offset + 1, to: offset + groups.length, n: total }) : '');
  const last = Math.min(Math.max(0, Math.ceil(total / PER_PAGE) - 1) * PER_PAGE, LAST_OFFSET);
  const targets = { first: 0, previous: Math.max(0, offset - PER_PAGE), next: Math.min(last, offset + PER_PAGE), last };
  for (const button of document.querySelectorAll('[data-go]')) {
    const target = targets[button.dataset.go];
    button.dataset.offset = target;
    // Not the property disabled: a button that becomes disabled loses the keyboard's focus.
    button.setAttribute('aria-disabled', target === offset);
  }
}

function drawGrowth(group) {
  memo(byId('growth'), [group, language()], (host) => {
    if (!group) return setText(host, t('growth_none'));
    host.replaceChildren(
      el('strong', {}, t('growth')),
      ' ',
      el('bdi', { class: 'id', 'data-v': 'growth.group', 'data-raw': group.group_id }, group.group_id),
      ' ',
      t('growth_text', { this: group.week.this, last: group.week.last, change: changeText(group.week) }),
    );
  });
}
