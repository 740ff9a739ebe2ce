// The live snapshots: a stream of server-sent events. If it is refused or silent, one snapshot is requested every ten
// seconds, and the stream is tried again every minute.
import { getJson } from './http.js';

const POLL = 10_000;
const RETRY = 3_000;
const NEXT_STREAM = 60_000;
// The stream has an event each second. After this silence it is considered dead, as after a laptop's sleep.
const SILENCE = 15_000;

// `onSnapshot(snapshot)`; `onState(kind, code)`: kind is connecting, live, polling or lost, and code says why it is
// lost.
export function follow(onSnapshot, onState) {
  let source = null;
  let timer = 0;
  let silence = 0;
  let running = false;
  let kind = '';
  // The last request for one snapshot was answered. So a stream that fails now is refused, or buffered by a proxy.
  let answered = false;
  // When the stream is tried again while single snapshots arrive.
  let nextStream = 0;
  let turn = 0;

  function report(next, code) {
    kind = next;
    onState(next, code);
  }

  function shut() {
    clearTimeout(timer);
    clearTimeout(silence);
    source?.close();
    source = null;
  }

  // Many pages lose the exporter at once, so each waits a slightly different time.
  function later(delay, action) {
    clearTimeout(timer);
    timer = setTimeout(action, delay * (0.8 + 0.4 * Math.random()));
  }

  function open() {
    shut();
    source = new EventSource('api/v1/live');
    source.onmessage = (event) => {
      watch();
      let snapshot;
      try {
        snapshot = JSON.parse(event.data);
      } catch {
        return interrupted();
      }
      answered = false;
      if (kind !== 'live') report('live');
      onSnapshot(snapshot);
    };
    source.onerror = interrupted;
    watch();
  }

  function watch() {
    clearTimeout(silence);
    silence = setTimeout(interrupted, SILENCE);
  }

  function interrupted() {
    shut();
    if (kind === 'live') report('lost', 'cut');
    else if (answered && kind !== 'polling') report('polling');
    if (answered) nextStream = Date.now() + NEXT_STREAM;
    later(answered ? POLL : 500, poll);
  }

  async function poll() {
    const mine = turn;
    let failure = null;
    const snapshot = await getJson('api/v1/live?format=json').catch((error) => {
      failure = error;
    });
    if (mine !== turn) return;
    answered = !failure;
    if (failure) {
      nextStream = 0;
      report('lost', failure.code);
      later(failure.code ? POLL : RETRY, poll);
    } else {
      onSnapshot(snapshot);
      if (Date.now() < nextStream) later(POLL, poll);
      else open();
    }
  }

  return {
    start() {
      if (running) return;
      running = true;
      answered = false;
      turn += 1;
      report('connecting');
      open();
    },
    stop() {
      running = false;
      turn += 1;
      shut();
    },
  };
}
