// The headline, and what stands below it: what is missing and what to do about it.

import { element, icon, reconcile, setAttribute, setIcon, setText, showNames } from './dom.js';
import { age, bytes, plural, time } from './format.js';

const byId = (id) => document.getElementById(id);

/** The reasons of `/readyz`: what each says in the headline for its subjects, and what to do. */
const REASONS = {
  stopping: [() => 'the service is stopping', 'It ends by itself and in order; what started it may start it again.'],
  lease: [
    () => 'the lease is not confirmed',
    'Nothing is lost: events wait on disk. See that Redis answers and that its user may run EVAL on the key of the lease.',
  ],
  connection: [
    (names) => `${few(names)} not connected`,
    'It tries again by itself, and the gap goes into the ledger. If this lasts: see whether the feed is up, the network reaches it and the token is valid.',
  ],
  join: [
    (names) => `${plural(names.length, 'join')} not acknowledged`,
    'Joins are repeated by themselves. If this lasts: see that the symbol exists and that the token includes the channel.',
  ],
  join_refused: [
    (names) => `${plural(names.length, 'join')} refused`,
    'See that the symbol exists and that the token includes the channel, or take it out of CHANNELS or TARGET_SYMBOLS.',
  ],
  redis: [
    () => 'Redis takes no writes',
    'Nothing is lost: events wait in the disk queue and are written in order when Redis is back. See that Redis runs, has memory and is no replica.',
  ],
  spool: [() => 'the disk takes no events', 'Make room on the disk of SPOOL_DIR and see that it may be written to.'],
};

const few = (names) => (names.length <= 3 ? names.join(', ') : `${names.slice(0, 2).join(', ')} and ${names.length - 2} more`);

/** What is ready but deserves a look now. What happened once and is over is in the sections, not here. */
function remarks({ channels, connections, conserved, gaps, redis }) {
  const found = [];
  const add = (name, text, advice, names = []) => found.push({ name, text, advice, names });
  if (!conserved) {
    add('the books do not balance', 'An event was counted twice or not at all.', 'This is a defect: please keep the log.');
  }
  const silent = channels.filter((channel) => channel.silent).map((channel) => channel.channel);
  if (silent.length > 0) {
    add('a channel is silent', 'Far longer than is usual in market hours:', 'See whether the vendor has trouble with it.', silent);
  }
  const blocked = connections.filter(({ state }) => state === 'blocked').map(({ name }) => name);
  if (blocked.length > 0) {
    add('reading has stopped', 'The disk queue is full:', 'See that Redis takes writes fast enough.', blocked);
  }
  if (gaps.open.length > 0) {
    const topics = [...new Set(gaps.open.flatMap((gap) => gap.channels))];
    add('a gap is open', 'Not received now:', 'It closes by itself when they are back; fetch what was missed over REST.', topics);
  }
  const { max_bytes: max, forecast_bytes: forecast } = redis ?? {};
  if (max > 0 && forecast > max) {
    add(
      'Redis may run out of memory',
      `The settings can come to ${bytes(forecast)}, maxmemory is ${bytes(max)}.`,
      'Raise maxmemory, or lower REDIS_STREAM_MAXLEN or STREAM_RETENTION.',
    );
  }
  return found;
}

/** The reasons of a kind and text are one, with their subjects. */
function grouped(reasons) {
  const groups = Map.groupBy(reasons, ({ code }) => code);
  return [...groups].map(([code, members]) => {
    const names = members.map((reason) => reason.name);
    const [title, advice] = REASONS[code] ?? [() => code, ''];
    const texts = [...new Set(members.map((reason) => reason.text))];
    return { name: title(names), text: texts.slice(0, 3).join('; '), advice, names: names.length > 1 ? names : [] };
  });
}

function verdict(status) {
  const { state, reasons, lease } = status;
  switch (state) {
    case 'ready': {
      const found = remarks(status);
      if (found.length > 0) return { mark: 'warn', headline: `Ready, but ${found[0].name}`, found };
      const joins = status.connections.reduce((total, connection) => total + connection.joined, 0);
      const remark = `${plural(joins, 'join')} acknowledged, Redis takes writes, every event is accounted for.`;
      return { mark: 'ok', headline: 'All is well', remark, found };
    }
    case 'standby': {
      const owner = lease.owner ? `${lease.owner} holds the lease` : 'another instance holds the lease';
      const remark = `${owner}; this one joins and writes nothing, and takes over when that one ends. Nothing to do.`;
      return { mark: 'off', headline: 'Stand-by', remark, found: [] };
    }
    case 'stalled': {
      const remark = 'A restart of the process helps; what is on disk is written after it.';
      return { mark: 'bad', headline: 'Stalled: the supervisor makes no progress', remark, found: grouped(reasons) };
    }
    default: {
      const found = grouped(reasons);
      const names = found.map((group) => group.name);
      return { mark: 'bad', headline: `Not ready: ${names.join('; ') || state}`, found };
    }
  }
}

function showHeadline({ mark, headline, remark = '', found }) {
  document.title = `${headline} · uw-websocket`;
  setText(byId('headline'), headline);
  setAttribute(byId('state'), 'class', `headline ${mark}`);
  setIcon(byId('state').firstElementChild, mark);
  setText(byId('remark'), remark);
  reconcile(
    byId('reasons'),
    found,
    ({ name }) => name,
    () => element('li', '', element('p', 'what'), element('p', 'names'), element('p', 'advice')),
    (item, { text, names, advice }) => {
      const [what, list, hint] = item.children;
      setText(what, text);
      showNames(list, names);
      setText(hint, advice);
    },
  );
}

export function showSummary(status) {
  showHeadline(verdict(status));
}

/** Nothing is heard of the service for so many seconds; the newest numbers are those of `now` by its clock. */
export function showLost(now, seconds) {
  const headline = now ? `Disconnected since ${time(now, now)} UTC` : 'Disconnected';
  const remark = now
    ? `The service is not heard of, and everything below is ${age(seconds)} old. The page keeps trying.`
    : 'The service has not been heard of yet. The page keeps trying.';
  showHeadline({ mark: 'bad', headline, remark, found: [] });
}
