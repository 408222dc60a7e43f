// The sections of the page, each from its part of the status.

import { Table, byId, element, reconcile, setAttribute, setText, show, showFacts, showNames } from './dom.js';
import { UNKNOWN, age, bytes, count, latency, plural, rate, span, spanBetween, time, words } from './format.js';
import { spark } from './spark.js';

const sum = (items, value) => items.reduce((total, item) => total + (value(item) ?? 0), 0);
const sumOfKnown = (items, value) => (items.every((item) => value(item) === null) ? null : sum(items, value));
/** A number that should be zero. */
const unwanted = (value) => (value > 0 ? { text: count(value), mark: 'warn' } : count(value));

// === figures: the most important numbers in one line ===

const MARKET = {
  open: ['Market open', 'closes'],
  closed: ['Market closed', 'opens'],
  holiday: ['Market holiday', 'opens'],
};

function marketOf({ market: { state, until, trading, trading_changes: end }, now }) {
  const [present, change] = MARKET[state] ?? [words(state), 'changes'];
  const text = until ? `${present}, ${change} in ${spanBetween(now, until)}` : present;
  if (state === 'open' || !trading) return text;
  return end ? `${text}; extended hours for another ${spanBetween(now, end)}` : `${text}; extended hours`;
}

export function showFigures(status) {
  const { channels, writers, redis } = status;
  const waiting = sum(writers, (writer) => writer.spool.events);
  const newest = channels.map((channel) => channel.last_event_age_seconds).filter((seconds) => seconds !== null);
  showFacts(byId('figures'), [
    ['events per second', rate(sumOfKnown(channels, (channel) => channel.rate_per_second))],
    ['newest event', newest.length > 0 ? `${age(Math.min(...newest))} ago` : 'none yet'],
    ['on disk within (p99)', worst(writers, ({ spool }) => [spool.appended_last_minute, spool.append_p99_seconds])],
    ['stored within (p99)', storedWithin(status)],
    ['waiting on disk', count(waiting)],
    ['Redis', status.redis_up ? bytes(redis.used_bytes) : { text: 'away', mark: 'bad' }],
    ['gaps open', status.gaps.open.length > 0 ? { text: count(status.gaps.open.length), mark: 'warn' } : '0'],
  ]);
}

/** The latency of the last minute; of events that wait for longer, the age of the oldest. */
function storedWithin({ writers, redis_up: isUp }) {
  const oldest = Math.max(...writers.map((writer) => writer.oldest_waiting_seconds ?? 0));
  if (oldest >= (isUp ? ON_THEIR_WAY_SECONDS : 1)) {
    return { text: `> ${age(oldest)}`, mark: isUp ? 'warn' : 'bad' };
  }
  return worst(writers, (writer) => [writer.stored_last_minute, writer.latency_p99_seconds]);
}

/** The greatest latency of the writers that have one: `read` gives the events that it is of, and itself. */
function worst(writers, read) {
  const latencies = writers.map(read).flatMap(([events, seconds]) => (events > 0 ? [seconds] : []));
  const isBeyond = latencies.includes(null);
  return latency(isBeyond || latencies.length === 0 ? null : Math.max(...latencies), isBeyond);
}

// === books: received + recovered = stored + … ===

const CAME = ['received', 'recovered'];
const WENT = ['stored', 'duplicate', 'filtered', 'quarantined', 'dropped', 'pending'];

/** Whether the books balance: in the service's own opinion, and in the numbers that are shown. */
const balances = (of, conserved) => conserved && sum(CAME, (name) => of[name]) === sum(WENT, (name) => of[name]);

function dropped(reasons) {
  return sum(Object.values(reasons), (events) => events);
}

const balanceOf = (isBalanced) =>
  isBalanced ? { text: 'balanced', mark: 'ok' } : { text: 'does not balance', mark: 'bad' };

const books = new Table(
  byId('books'),
  [
    { head: 'Channel', cell: (channel) => channel.channel },
    ...[...CAME, ...WENT].map((name) => ({
      head: name,
      number: true,
      cell: (channel) => count(name === 'dropped' ? dropped(channel.dropped) : channel[name]),
    })),
    {
      head: 'Balance',
      cell: (channel) => balanceOf(balances({ ...channel, dropped: dropped(channel.dropped) }, channel.conserved)),
    },
  ],
  { key: (channel) => channel.channel },
);

export function showBooks({ totals, conserved, channels }) {
  const isBalanced = balances(totals, conserved);
  const sign = (name) => (name === 'received' ? '' : name === 'stored' ? (isBalanced ? '=' : '≠') : '+');
  reconcile(
    byId('equation'),
    [...CAME, ...WENT],
    (name) => name,
    (name) => element('span', 'term', element('span', 'sign'), ' ', element('b'), ' ', element('span', 'name', name)),
    (term, name) => {
      const [symbol, number] = term.children;
      setText(symbol, sign(name));
      setText(number, count(totals[name]));
    },
  );
  const text = isBalanced
    ? 'Every event is accounted for'
    : 'The books do not balance: an event was counted twice or not at all';
  const reasons = new Map();
  for (const channel of channels) {
    for (const [reason, events] of Object.entries(channel.dropped)) {
      if (events > 0) reasons.set(reason, (reasons.get(reason) ?? 0) + events);
    }
  }
  const why = [...reasons].map(([reason, events]) => `${count(events)} for ${words(reason)}`).join(', ');
  show(byId('verdict'), { text: why ? `${text}. Dropped: ${why}` : text, mark: isBalanced ? 'ok' : 'bad' });
  books.update(channels);
}

// === channels ===

const channels = new Table(
  byId('channels'),
  [
    { head: 'Channel', cell: (channel) => channel.channel },
    { head: 'Events/s', number: true, cell: (channel) => rate(channel.rate_per_second) },
    { head: 'Last 10 minutes', create: spark },
    { head: 'Newest', number: true, cell: (channel) => age(channel.last_event_age_seconds) },
    { head: 'Received', number: true, cell: (channel) => count(channel.received) },
    { head: 'Stored', number: true, cell: (channel) => count(channel.stored) },
    { head: 'Pending', number: true, cell: (channel) => count(channel.pending) },
    { head: 'Dropped', number: true, cell: (channel) => unwanted(dropped(channel.dropped)) },
  ],
  { key: (channel) => channel.channel, notes: channelNotes },
);

function channelNotes({ silent, conserved }) {
  const notes = [];
  if (silent) notes.push({ mark: 'warn', text: 'silent for much longer than usual' });
  if (!conserved) notes.push({ mark: 'bad', text: 'the books of this channel do not balance' });
  return notes;
}

export function showChannels(status) {
  setText(byId('market'), marketOf(status));
  const step = status.history_step_seconds;
  channels.update(status.channels.map((channel) => ({ ...channel, step })));
}

// === connections ===

const CONNECTION_MARKS = { live: 'ok', joining: 'warn', blocked: 'warn', waiting: 'bad', connecting: 'bad' };

const connections = new Table(
  byId('connections'),
  [
    { head: 'Connection', cell: (connection) => connection.name },
    { head: 'State', cell: ({ state, isWanted }) => ({ text: words(state), mark: (isWanted && CONNECTION_MARKS[state]) || 'off' }) },
    { head: 'Session', number: true, cell: (connection) => age(connection.session_seconds) },
    { head: 'Last frame', number: true, cell: (connection) => age(connection.last_frame_age_seconds) },
    { head: 'Joined', number: true, cell: ({ joined, expected }) => `${joined} of ${expected}` },
    { head: 'Attempts', number: true, cell: (connection) => count(connection.attempts) },
    { head: 'Disconnects', number: true, cell: (connection) => count(connection.disconnects) },
  ],
  { key: (connection) => connection.name, notes: connectionNotes },
);

function connectionNotes({ state, joins, last_error: error, next_attempt_at: next, now }) {
  const isOpen = ['joining', 'live', 'blocked'].includes(state);
  const notes = [];
  if (!isOpen) {
    if (error) notes.push({ mark: 'bad', text: error });
    if (next) notes.push({ mark: 'off', text: `next attempt at ${time(next, now)} UTC, in ${spanBetween(now, next)}` });
    return notes;
  }
  const unanswered = joins.filter((join) => !join.acknowledged && !join.refused);
  if (unanswered.length > 0) {
    const text = `${plural(unanswered.length, 'join')} not acknowledged`;
    notes.push({ mark: 'warn', text, names: unanswered.map((join) => join.topic) });
  }
  const refused = joins.filter((join) => join.refused);
  for (const [answer, topics] of Map.groupBy(refused, (join) => join.refused)) {
    notes.push({ mark: 'bad', text: `refused: ${answer}`, names: topics.map((join) => join.topic) });
  }
  return notes;
}

export function showConnections(status) {
  const isWanted = status.state !== 'standby'; // a stand-by instance opens none, by design
  connections.update(status.connections.map((connection) => ({ ...connection, isWanted, now: status.now })));
}

// === writers and their disk queues ===

const WRITER_MARKS = { idle: 'ok', writing: 'ok', retrying: 'bad', awaiting_lease: 'warn' };

const writers = new Table(
  byId('writers'),
  [
    { head: 'Shard', cell: (writer) => `${writer.shard}` },
    { head: 'State', cell: ({ state }) => ({ text: words(state), mark: WRITER_MARKS[state] ?? 'off' }) },
    { head: 'Events/s', number: true, cell: (writer) => rate(writer.rate_per_second) },
    { head: 'Batch', number: true, cell: (writer) => rate(writer.events_per_transaction) },
    { head: 'p50 ≤', number: true, cell: (writer) => latency(writer.latency_p50_seconds, writer.stored_last_minute > 0) },
    { head: 'p99 ≤', number: true, cell: (writer) => latency(writer.latency_p99_seconds, writer.stored_last_minute > 0) },
    { head: 'Waiting', number: true, cell: waitingOf },
    { head: 'Retries', number: true, cell: (writer) => count(writer.retries) },
  ],
  { key: (writer) => writer.shard, notes: writerNotes },
);

function waitingOf({ batches_waiting: batches, bytes_waiting: size }) {
  return batches > 0 ? `${count(batches)} (${bytes(size)})` : '0';
}

function writerNotes({ redis_up: isUp, last_error: error }) {
  return !isUp && error ? [{ mark: 'bad', text: error }] : [];
}

const spool = new Table(
  byId('spool'),
  [
    { head: 'Shard', cell: (writer) => `${writer.shard}` },
    { head: 'Waiting', number: true, cell: ({ spool }) => count(spool.events) },
    { head: 'On disk', number: true, cell: ({ spool }) => bytes(spool.bytes) },
    { head: 'Oldest', number: true, cell: ({ spool }) => age(spool.oldest_seconds) },
    { head: 'Empty in', number: true, cell: emptyIn },
  ],
  { key: (writer) => writer.shard, notes: spoolNotes },
);

/** Events that wait for less than this are on their way; there is no backlog to speak of. */
const ON_THEIR_WAY_SECONDS = 5;

function emptyIn({ spool: { events, oldest_seconds: oldest, drain_seconds: seconds } }) {
  if (events === 0) return 'empty';
  if (oldest < ON_THEIR_WAY_SECONDS) return 'keeps up';
  return seconds === null ? 'not draining' : span(seconds);
}

function spoolNotes({ spool: { error, oldest_seconds: oldest, full_seconds: full, limit_bytes: limit } }) {
  const notes = [];
  if (error) notes.push({ mark: 'bad', text: error });
  if (full !== null && oldest >= ON_THEIR_WAY_SECONDS) {
    notes.push({ mark: 'warn', text: `at ${bytes(limit)} it is full: in ${span(full)} at this pace` });
  }
  return notes;
}

export function showWriters(status) {
  writers.update(status.writers);
  spool.update(status.writers);
}

// === the archive ===

export function showArchive({ archive }) {
  byId('archive-section').toggleAttribute('hidden', archive === null);
  if (archive === null) return;
  const { error, dates, days, bytes: size, room_bytes: room, room_days: left, skipped } = archive;
  showFacts(byId('archive'), [
    ['state', error ? { text: error, mark: 'bad' } : { text: 'written', mark: 'ok' }],
    ['days', dates ? `${count(days)}, from ${dates[0]} to ${dates[1]}` : 'none yet'],
    ['size', bytes(size)],
    ['room', left === null ? bytes(room) : `${bytes(room)}, ${rate(left)} days`],
    ['last write', archive.written_seconds === null ? 'none yet' : `${age(archive.written_seconds)} ago`],
    ['waiting', count(archive.waiting_events)],
    ['skipped', unwanted(skipped)],
  ]);
}

// === Redis ===

/** Slots of a Redis Cluster. */
const SLOTS = 16_384;

/** The master, its Sentinels and its replicas, where there are any. */
function masterFacts({ master }, writers) {
  const { state, address, agreeing, sentinels, failovers } = master;
  const replicas = Math.min(...writers.map((writer) => writer.replicas));
  const behind = Math.max(...writers.map((writer) => writer.replica_behind_seconds));
  const ofReplicas = replicas > 0 || state !== 'single' ? [['replicas', `${count(replicas)}, ${behind} s behind`]] : [];
  if (state === 'single') return ofReplicas;
  if (master.masters > 0) {
    const whole = master.slots === SLOTS;
    const missing = `${count(SLOTS - master.slots)} of ${count(SLOTS)} slots have no master`;
    return [
      ['masters', address ?? UNKNOWN],
      ['slots', whole && state === 'named' ? { text: 'all have a master', mark: 'ok' } : { text: missing, mark: 'bad' }],
      ['nodes', `${plural(master.masters, 'master')}, ${plural(master.cluster_replicas, 'replica')}`],
      ['failovers', count(failovers)],
      ...ofReplicas,
    ];
  }
  const named = `${address ?? UNKNOWN}, by ${agreeing} of ${plural(sentinels, 'Sentinel')}`;
  return [
    ['master', state === 'named' ? named : { text: 'named by no majority of the Sentinels', mark: 'bad' }],
    ['failovers', count(failovers)],
    ...ofReplicas,
  ];
}

export function showRedis({ redis, writers }) {
  const { up, version, used_bytes: used, max_bytes: max, max_policy: policy, forecast_bytes: forecast } = redis;
  showFacts(byId('redis'), [
    ['state', up ? { text: 'takes writes', mark: 'ok' } : { text: 'takes no writes', mark: 'bad' }],
    ['version', version ?? UNKNOWN],
    ['memory used', bytes(used)],
    ['settings can take', forecast === null ? 'no bound' : bytes(forecast)],
    ['maxmemory', version && !max ? 'no limit' : bytes(max)],
    ['when full', policy ?? UNKNOWN],
    ...masterFacts(redis, writers),
  ]);
  byId('memory').toggleAttribute('hidden', used === null);
  const scale = Math.max(max || 0, used || 0, forecast || 0);
  const share = (value) => (scale > 0 ? ((value ?? 0) / scale) * 100 : 0);
  const [usedBar, forecastMark] = byId('memory').querySelectorAll('.used, .forecast');
  setAttribute(usedBar, 'width', share(used).toFixed(2));
  setAttribute(forecastMark, 'x', Math.min(share(forecast), 99.2).toFixed(2));
}

// === gaps ===

/** A cell of names, folded when there are many. */
function names(of) {
  return () => {
    const node = document.createElement('div');
    node.update = (item) => showNames(node, of(item));
    return node;
  };
}

const gapColumns = [
  { head: 'From (UTC)', cell: (gap) => time(gap.from, gap.now) },
  { head: 'Lasted', number: true, cell: (gap) => spanBetween(gap.from, gap.to ?? gap.now) },
  { head: 'Family', cell: (gap) => gap.family },
  { head: 'Reason', cell: (gap) => words(gap.reason) },
  { head: 'Events', number: true, cell: (gap) => count(gap.events) },
  { head: 'Channels', create: names((gap) => gap.channels) },
  { head: 'Detail', cell: (gap) => gap.detail },
];

const gapKey = (gap) => `${gap.family} ${gap.reason} ${gap.from} ${gap.channels.join()}`;
const openGaps = new Table(byId('open-gaps'), gapColumns, { key: gapKey });
const recentGaps = new Table(byId('recent-gaps'), gapColumns, { key: gapKey });

/** What became of the topics of gaps that are fetched over REST; nothing where that is off. */
function fillCounts({ pending, filled, partial, impossible }) {
  if (pending + filled + partial + impossible === 0) return '';
  return `; fills: pending ${count(pending)}, complete ${count(filled)}, partial ${count(partial)}, impossible ${count(impossible)}`;
}

export function showGaps({ gaps, fills, now }) {
  const counts = Object.entries(gaps.total_by_reason).filter(([, total]) => total > 0);
  const text = counts.map(([reason, total]) => `${words(reason)} ${count(total)}`).join(', ');
  const waiting = gaps.waiting > 0 ? `; ${count(gaps.waiting)} not in Redis yet` : '';
  setText(byId('gap-counts'), `since the start: ${text || 'none'}${waiting}${fillCounts(fills)}`);
  openGaps.update(gaps.open.map((gap) => ({ ...gap, now })));
  recentGaps.update(gaps.recent.map((gap) => ({ ...gap, now })));
}

// === restarts, rejected frames, process ===

export function showRest(status) {
  const restarts = Object.entries(status.restarts).filter(([, times]) => times > 0);
  showFacts(
    byId('restarts'),
    restarts.map(([actor, times]) => [actor, { text: count(times), mark: 'warn' }]),
  );
  const rejected = Object.entries(status.rejected).filter(([, frames]) => frames > 0);
  showFacts(
    byId('rejected'),
    rejected.map(([kind, frames]) => [words(kind), { text: count(frames), mark: 'warn' }]),
  );
  showFacts(byId('process'), [
    ['instance', status.instance],
    ['running for', age(status.uptime_seconds)],
    ['lease', leaseOf(status.lease)],
    ['memory', bytes(status.resident_bytes)],
    ['log records dropped', unwanted(status.log_records_dropped)],
  ]);
}

function leaseOf({ state, owner }) {
  return owner && state !== 'held' ? `${words(state)}, owner ${owner}` : words(state);
}
