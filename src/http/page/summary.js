// The headline, and what stands below it: what is missing and what to do about it.

import { byId, element, reconcile, setAttribute, setIcon, setText, showNames } from './dom.js';
import { age, bytes, plural, time, words } from './format.js';

/** Of many details of one code the first tell enough. */
const MOST_DETAILS = 3;

/**
 * What a reason of `/readyz` says in the headline, by its code: a text where it is about the whole service, a function of
 * its subjects where these are named too. Causes stand before what may follow from them.
 */
const TITLES = {
  stopping: 'the service is stopping',
  stalled: 'no progress',
  restarting: (names) => `${few(names)} restarting`,
  redis: () => 'Redis takes no writes',
  spool: () => 'the disk takes no events',
  connection: (names) => `${few(names)} not connected`,
  join: (names) => `${plural(names.length, 'join')} not acknowledged`,
  join_refused: (names) => `${plural(names.length, 'join')} refused`,
  lease: 'the lease is not confirmed',
};
const CODES = Object.keys(TITLES);

const few = (names) =>
  names.length <= 3 ? names.join(', ') : `${names.slice(0, 2).join(', ')} and ${names.length - 2} more`;

/** What is ready but deserves a look now. What happened once and is over is in the sections, not here. */
function remarks({ channels, connections, conserved, gaps, redis }) {
  const found = [];
  const add = (name, text, advice, names = []) => found.push({ name, text, advice, names });
  if (!conserved) {
    add(
      'the books do not balance',
      'An event was counted twice or not at all.',
      'This is a defect: please keep the log.',
    );
  }
  const silent = channels.filter((channel) => channel.silent).map((channel) => channel.channel);
  if (silent.length > 0) {
    add(
      'a channel is silent',
      'Silent for far longer than usual in its trading hours:',
      'Check whether the vendor reports a problem with it.',
      silent,
    );
  }
  const blocked = connections.filter(({ state }) => state === 'blocked').map(({ name }) => name);
  if (blocked.length > 0) {
    add('reading has stopped', 'The disk queue is full:', 'Check that Redis accepts writes fast enough.', blocked);
  }
  if (gaps.open.length > 0) {
    const topics = [...new Set(gaps.open.flatMap((gap) => gap.channels))];
    add(
      'a gap is open',
      'Not being received:',
      'It closes by itself when they are back; the missed events can be fetched over REST.',
      topics,
    );
  }
  const left = Object.entries(gaps.left);
  if (left.length > 0) {
    const events = left.reduce((total, [, queue]) => total + queue.events, 0);
    add(
      'the disk queue of another instance is waiting',
      `At least ${plural(events, 'event')} on the disk of:`,
      'Start that instance again with its SPOOL_DIR: its events are then stored as late.',
      left.map(([instance]) => instance),
    );
  }
  const { max_bytes: max, forecast_bytes: forecast } = redis;
  if (max > 0 && forecast > max) {
    add(
      'Redis may run out of memory',
      `The settings can take ${bytes(forecast)}, maxmemory is ${bytes(max)}.`,
      'Raise maxmemory, or lower REDIS_STREAM_MAXLEN or STREAM_RETENTION.',
    );
  }
  return found;
}

/** A sentence of its own. */
const sentence = (text) => `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.:]$/.test(text) ? '' : '.'}`;

/** The reasons of a code as one, with their subjects. */
function grouped(reasons) {
  const groups = [...Map.groupBy(reasons, ({ code }) => code)];
  groups.sort(([a], [b]) => CODES.indexOf(a) - CODES.indexOf(b));
  return groups.map(([code, members]) => {
    const title = TITLES[code] ?? words(code);
    const names = typeof title === 'string' ? [] : members.map(({ subject }) => subject);
    const details = [...new Set(members.map(({ detail }) => detail))];
    return {
      name: typeof title === 'string' ? title : title(names),
      text: sentence(details.slice(0, MOST_DETAILS).join('; ')),
      advice: sentence(members[0].advice),
      names,
    };
  });
}

function verdict(status) {
  const { state, reasons, connections, lease } = status;
  if (state === 'ready') {
    const found = remarks(status);
    if (found.length > 0) return { mark: 'warn', headline: `Ready, but ${found[0].name}`, found };
    const joins = connections.reduce((total, { joined }) => total + joined, 0);
    const remark = `${plural(joins, 'join')} acknowledged, Redis takes writes, every event is accounted for.`;
    return { mark: 'ok', headline: 'All is well', remark, found };
  }
  if (state === 'standby') {
    const found = grouped(reasons.filter(({ code }) => code !== 'standby'));
    const remark = `${lease.owner ?? 'Another instance'} holds the lease. This one joins and writes nothing, and takes over when that one ends.`;
    return { mark: found.length > 0 ? 'warn' : 'off', headline: 'Stand-by', remark, found };
  }
  const found = grouped(reasons);
  const names = found.map(({ name }) => name);
  return { mark: 'bad', headline: `Not ready: ${names.join('; ') || words(state)}`, found };
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
    ? `No data from the service: all figures below are ${age(seconds)} old. The page keeps trying.`
    : 'No data from the service yet. The page keeps trying.';
  showHeadline({ mark: 'bad', headline, remark, found: [] });
}
