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

// How an attempt to reach a target can fail.
const FAILURES = ['failed', 'timeout', 'unreachable'];

const sum = (counts) => Object.values(counts).reduce((total, count) => total + count, 0);

// Whether a target works; if not, why.
function condition({ breaker, last_attempt: last, dead_letters: count, oldest_pending_age_seconds: oldest }) {
  if (breaker !== 'closed') return ['bad', t(`target_${breaker}`)];
  if (FAILURES.includes(last)) return ['bad', t('target_failed', { reason: t(`attempt_${last}`) })];
  if (count || last === 'rejected') return ['warn', t('target_rejects', { count: number(count) })];
  return oldest > LATE ? ['warn', t('target_late')] : ['good', t('target_works')];
}

// What was lost, without what an operator dropped.
const lost = ({ operator, ...counts }) => sum(counts);

// What OpenIM got: the server's answers, and those that its policy gave instead.
function answersText(answers) {
  const { allowed, refused, ineffective_refusal: ineffective } = answers;
  const counts = { allowed, refused, ineffective, by_policy: sum(answers) - allowed - refused - ineffective };
  const given = Object.entries(counts).filter(([, count]) => count > 0);
  const texts = given.map(([name, count]) => t(`answers_${name}`, { count: number(count) }));
  return texts.length ? t('target_answers', { answers: texts.join('; ') }) : '';
}

export function drawTargets({ snapshot }) {
  if (!snapshot) return;
  const targets = new Map(snapshot.targets.map((target) => [target.name, target]));
  for (const id of ['targets', 'to-targets']) byId(id).hidden = !targets.size;
  const host = byId('targets-table');
  const names = [...targets.keys()];
  memo(host, [names, language()], () =>
    table(
      host,
      t('targets_title'),
      [t('target'), ...Object.values(NUMBERS).map(([heading]) => numberHead(t(heading)))],
      names.map((name) => [
        {
          nodes: [
            el('span', { 'aria-hidden': 'true' }),
            el('bdi', {}, name),
            ' ',
            el('span', { class: 'mute' }),
            el('div', { class: 'mute' }),
          ],
        },
        ...Object.keys(NUMBERS).map((number) => numberCell('', '', `target.${number}`)),
      ]),
      { attributes: (index) => ({ 'data-target': names[index] }) },
    ),
  );
  // Updated without redrawing the table: the numbers change each second, and the table's text must stay selectable.
  for (const row of host.tBodies[0].rows) {
    const target = targets.get(row.dataset.target);
    if (!target) continue;
    const [dot, , text, answers] = row.cells[0].children;
    const [level, words] = condition(target);
    dot.className = `dot ${level}`;
    setText(text, words);
    setText(answers, answersText(target.answers));
    Object.entries(NUMBERS).forEach(([name, [, show]], index) => {
      const value = name === 'dropped' ? lost(target.dropped) : target[name];
      const cell = row.cells[index + 1];
      setText(cell, show(value));
      cell.setAttribute('data-raw', value);
    });
  }
}
