// Where callbacks are forwarded: a row for each server. Hidden if there is none.
import { byId, el, memo, numberCell, numberHead, setText, table } from './dom.js';
import { number, period, rate } from './format.js';
import { language, t } from './texts.js';

// Seconds after which a callback waits too long, as in the alert OpenimForwardBacklog.
const LATE = 300;

// The columns of numbers: the heading, and how to show the number.
const NUMBERS = {
  pending_callbacks: ['target_waiting', number],
  oldest_pending_age_seconds: ['target_oldest', (seconds) => (seconds ? period(seconds) : '–')],
  delivered_per_second: ['target_rate', rate],
  delivered: ['target_delivered', number],
  dropped: ['target_dropped', number],
  dead_letters: ['target_dead', number],
};

const sum = (counts) => Object.values(counts).reduce((total, count) => total + count, 0);

// Whether a target works; if not, why.
function condition({ breaker, oldest_pending_age_seconds: oldest }) {
  if (breaker !== 'closed') return ['bad', `target_${breaker}`];
  return oldest > LATE ? ['warn', 'target_late'] : ['good', 'target_closed'];
}

// What OpenIM got: the server's answers, and those that its policy gave instead.
function answersText(answers) {
  const { allowed, refused, ineffective_refusal: ineffective } = answers;
  const counts = { allowed, refused, ineffective, by_policy: sum(answers) - allowed - refused - ineffective };
  const given = Object.entries(counts).filter(([, count]) => count > 0);
  return given.map(([name, count]) => t(`answers_${name}`, { count })).join(', ') || '–';
}

export function drawTargets({ snapshot }) {
  if (!snapshot) return;
  const targets = new Map(snapshot.targets.map((target) => [target.name, target]));
  for (const id of ['targets', 'to-targets']) byId(id).hidden = !targets.size;
  const host = byId('targets-table');
  const lines = [...targets.values()].map((target) => [target.name, ...condition(target)]);
  memo(host, [lines, language()], () =>
    table(
      host,
      t('targets_title'),
      [t('target'), ...Object.values(NUMBERS).map(([heading]) => numberHead(t(heading))), t('target_answers')],
      lines.map(([name, level, text]) => [
        {
          nodes: [
            el('span', { class: `dot ${level}`, 'aria-hidden': 'true' }),
            el('bdi', {}, name),
            el('span', { class: 'mute' }, ` ${t(text)}`),
          ],
        },
        ...Object.keys(NUMBERS).map((number) => numberCell('', '', `target.${number}`)),
        '',
      ]),
      { attributes: (index) => ({ 'data-target': lines[index][0] }) },
    ),
  );
  // Updated without redrawing the table: the numbers change each second, and the table's text must stay selectable.
  for (const row of host.tBodies[0].rows) {
    const target = targets.get(row.dataset.target);
    if (!target) continue;
    Object.entries(NUMBERS).forEach(([name, [, show]], index) => {
      const value = name === 'dropped' ? sum(target.dropped) : target[name];
      const cell = row.cells[index + 1];
      setText(cell, show(value));
      cell.setAttribute('data-raw', value);
    });
    setText(row.cells[row.cells.length - 1], answersText(target.answers));
  }
}
