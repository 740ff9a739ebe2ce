// Is OpenIM calling us? When nothing arrives, what to do.
import { byId, copyBlock, el, memo, numberCell, numberHead, put, rich, setText, table } from './dom.js';
import { ago, clockSeconds, dateTime, number, percent } from './format.js';
import { commandName, reasonText } from './names.js';
import { language, t } from './texts.js';

// After this many seconds without a callback, the page says what to check.
const QUIET = 300;
// A refusal in the last so many seconds is shown beside the verdict.
const RECENT = 3600;
// The table has at most this many refusals, newest first.
const REFUSALS = 12;

// The verdict in words: { level, text }.
export function verdict({ time, callbacks, uptime_seconds: uptime }) {
  if (callbacks.last !== null) {
    const age = time - callbacks.last;
    return { level: age < QUIET ? 'good' : 'warn', text: t('callback_last', { ago: ago(age) }) };
  }
  if (callbacks.total > 0) return { level: 'warn', text: t('callback_none', { ago: ago(uptime), n: callbacks.total }) };
  return { level: 'warn', text: t('callback_never') };
}

export function drawCalling({ snapshot }) {
  if (!snapshot) return;
  const { callbacks, time } = snapshot;
  const { level, text } = verdict(snapshot);
  // Not pages that were refused: they say nothing about OpenIM.
  const refused = callbacks.last_rejected.filter((request) => request.callback);
  const [newest] = refused;
  const recent = newest && time - newest.time < RECENT;
  byId('verdict-dot').className = `dot ${recent && level === 'good' ? 'warn' : level}`;
  put('callbacks.last', callbacks.last, text);
  drawAdvice(snapshot, level, recent ? { ...newest, age: time - newest.time } : null);
  drawCommands(callbacks);
  drawRefused(refused);
}

function drawAdvice({ callbacks, setup }, level, refused) {
  const host = byId('advice');
  const never = callbacks.last === null;
  memo(host, [never, level, callbacks.total > 0, refused?.reason, refused?.time, language()], () => {
    host.replaceChildren();
    if (refused) host.append(el('p', { class: 'refusal', id: 'refusal' }));
    if (level !== 'good' && callbacks.total > 0) host.append(...stoppedAdvice(setup));
    if (never) host.append(...setupAdvice(setup));
    // A test message is a callback too, so the settings stay within reach.
    else host.append(el('details', {}, el('summary', {}, t('setup_again')), ...setupAdvice(setup)));
  });
  if (refused) drawRefusal(refused);
}

// Apart from the advice, because its age changes each second while the advice must stay selectable.
function drawRefusal({ age, reason }) {
  const text = t('refused_recently', {
    ago: ago(age < 60 ? age : Math.floor(age / 60) * 60),
    reason: reasonText(reason),
  });
  memo(byId('refusal'), text, (host) => host.replaceChildren(...rich(text)));
}

// The address of a path as OpenIM needs it, as far as the exporter knows.
function address(path, { port, secret, password }, callback) {
  const page = new URL(location.href.split(/[?#]/)[0]);
  const url = port === null ? new URL(path, page) : new URL(`/${path}`, page);
  if (port !== null) url.port = port;
  const folder = url.pathname.slice(0, url.pathname.length - path.length);
  const credentials = callback && password ? 'USER:PASSWORD@' : '';
  const begin = callback && secret ? 'SECRET/' : '';
  return `${url.protocol}//${credentials}${url.host}${folder}${begin}${path}`.replaceAll("'", '%27');
}

function stoppedAdvice(setup) {
  return [
    el('p', {}, t('stopped_title')),
    el(
      'ol',
      {},
      el('li', {}, ...rich(t('check_running'))),
      el('li', {}, ...rich(t('check_reach')), copyBlock(t('code_reach'), `curl -i '${address('-/healthy', setup, false)}'`)),
      el('li', {}, ...rich(t('check_log'))),
    ),
  ];
}

function setupAdvice(setup) {
  const lines = [
    `url: ${address('callback', setup, true)}`,
    'afterSendGroupMsg: {enable: true, timeout: 5}',
    'afterSendSingleMsg: {enable: true, timeout: 5}',
  ].join('\n');
  const body = '{"sendID":"test-user","groupID":"test-group","contentType":101,"senderPlatformID":5,"content":"hello"}';
  const test = `curl -H 'Content-Type: application/json' -d '${body}' '${address('callback/callbackAfterSendGroupMsgCommand', setup, true)}'`;
  return [
    el('p', {}, ...rich(t('setup_title'))),
    copyBlock(t('code_yaml'), lines),
    el('p', { class: 'mute' }, ...rich(t('setup_address'))),
    ...(setup.secret || setup.password ? [el('p', {}, ...rich(t('setup_placeholders')))] : []),
    el('p', {}, ...rich(t('setup_test'))),
    copyBlock(t('code_test'), test),
  ];
}

// A name that a narrow screen breaks between its words.
const breakable = (name) => name.split(/(?=[A-Z])/).flatMap((word) => [el('wbr'), word]);

function drawCommands({ by_command: commands, total }) {
  const host = byId('commands');
  const seen = Object.entries(commands).sort((a, b) => b[1] - a[1]);
  memo(host, [seen.map(([name]) => name), language()], () =>
    table(
      host,
      t('commands_title'),
      [t('command'), numberHead(t('count')), numberHead(t('share'))],
      seen.map(([name]) => [
        { nodes: [el('code', {}, ...breakable(name)), el('span', {}, commandName(name))] },
        numberCell('', '', `callbacks.by_command.${name}`),
        numberCell('', '', `share.${name}`),
      ]),
      { attributes: (index) => ({ 'data-command': seen[index][0] }), empty: t('callback_never') },
    ),
  );
  for (const row of host.tBodies[0].rows) {
    const count = commands[row.dataset.command];
    if (count === undefined) continue;
    setText(row.cells[1], number(count));
    row.cells[1].setAttribute('data-raw', count);
    setText(row.cells[2], percent(count / total));
  }
}

function drawRefused(all) {
  const refused = all.slice(0, REFUSALS);
  const host = byId('refused');
  memo(host, [refused, language()], () =>
    table(
      host,
      t('refused_title'),
      [t('at'), t('client'), t('reason')],
      refused.map(({ time, reason, client, detail }) => [
        { text: dateTime(time), title: clockSeconds(time), class: 'nowrap' },
        { nodes: [el('bdi', {}, client)] },
        {
          nodes: [
            el('code', {}, reason),
            ' ',
            ...rich(reasonText(reason)),
            el('br'),
            el('bdi', { class: 'mute' }, detail),
          ],
        },
      ]),
      { attributes: (index) => ({ 'data-reason': refused[index].reason }), empty: t('refused_none') },
    ),
  );
}
