//! The queue of a shard: it owns every event from the moment when it was taken over until Redis has it. It outlives all
//! actors; a writer that dies loses nothing, and its next life goes on where it ended.
//!
//! ```text
//! [inbox] ──append──▶ Queue: duplicates out, IDs on, to the disk ──peek──▶ [committer] ──▶ Redis
//!                        ▲                                                    │
//!                        └────────────────────── ack ─────────────────────────┘
//! ```
//!
//! * **append** takes over what was delivered in one synchronous step (fingerprints entered, IDs given, positions given) and
//!   then brings it to the disk. Whoever waits for that may die: the next one who calls it goes on.
//! * **peek** lends what is next. Nothing leaves the queue before it is acknowledged.
//! * **ack** ends what was lent, event by event, and settles the books.
//!
//! A disk that fails is bypassed through memory and tried again; so positions in the queue are not the numbers of records.
//! What is in memory has a bound; behind it come stretches on the disk, and where there is no disk, [`WhenFull`] decides.
//!
//! Beside it: [`inbox`] (what is handed over), [`backlog`] (what is held, pure), [`disk`] (the thread), [`decoder`] (records →
//! events), [`losses`], [`folders`] (all queues at startup), [`generations`] (queues that other settings left), [`shard`]
//! (what of a shard outlives its writer).

pub mod backlog;
pub mod batch;
pub mod decoder;
pub mod disk;
pub mod folders;
pub mod generations;
pub mod inbox;
pub mod losses;
pub mod shard;

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use slog::{Logger, error, info};
use tokio::sync::{MutexGuard, Notify};
use tokio::time::timeout;
use uw_websocket_core::duplicates::{Arrival, Duplicates};
use uw_websocket_core::event::{ChannelIndex, EntryId, Event, Outlet, Symbol};
use uw_websocket_core::ids::Numbering;
use uw_websocket_core::settings::KeySettings;
use uw_websocket_core::spool::{Damage, Dropped, Reassigned, Records, SpoolError, Unrecordable};

use self::backlog::{Backlog, Front, Left, Lent, Position, Span};
use self::batch::{EventBatch, TransactionSize};
use self::decoder::Decoder;
use self::disk::{Answer, Appended, Disk, DiskError, Reassignment, Standing};
use self::inbox::Inbox;
use crate::error_chain::ErrorChain;
use crate::ledger::gap::Gap;
use crate::observation::{DropReason, Fate, Observations, Place, WriterObservation, lock};
use crate::sampled::Sampled;
use crate::settings::{SpoolSettings, WhenFull};

/// What is appended at once: some milliseconds of work for the disk's thread, so that nobody waits long behind it.
const APPEND_BYTES: usize = 2 * 1024 * 1024;
/// Copies of what is on disk, of one shard: five usual transactions of 512 trades. While Redis keeps up there are fewer, and
/// what lies behind them is read from the page cache.
const COPIED_BYTES: usize = 2 * 1024 * 1024;
/// What is ready in memory alone, of one shard: two transactions of the largest weight.
const READY_BYTES: usize = 8 * 1024 * 1024;
/// The same of all shards together.
const READY_BYTES_OF_ALL: usize = 32 * 1024 * 1024;
/// A disk that failed is tried again this often, and a full one looked at.
const RETRY_EVERY: Duration = Duration::from_millis(200);
/// Whoever has the disk's turn for so long may stand still, as on a blocked thread. At the end of the process others bring its
/// events to the disk, and have little time.
const TURN_PATIENCE: Duration = Duration::from_millis(50);
/// Events read from the disk at once: some transactions, so that Redis does not wait for each.
const READ_EVENTS: usize = 1024;
/// The same in bytes.
const READ_BYTES: u64 = 1024 * 1024;
/// Records on disk alone that are still written at the end of the process: what comes within a moment of a busy feed, and
/// takes Redis less than a second. More is a backlog, and the next process has it as well.
const WRITTEN_AT_END: u64 = 65_536;
/// Streams whose last stored ID is remembered at most; beyond it all are forgotten, and what Redis loses of them is not
/// noticed. Twice what routers remember.
const MAX_STREAMS: usize = 32_768;

/// A queue; cheap to clone. All its methods may be called from any thread, but only one writer at a time may append, and
/// only one may peek and ack.
#[derive(Clone, Debug)]
pub struct Queue(Arc<Shared>);

/// What a queue is made of.
pub struct QueueParts {
    /// Its disk, unless it is in memory alone.
    pub disk: Option<Disk>,
    /// The records that are there: those below the first number are stored.
    pub standing: Option<Standing>,
    /// The highest ID of each stream among stored records that are there.
    pub kept: std::collections::HashMap<Arc<str>, EntryId>,
    /// Whether it is what an earlier process left: nothing is ever appended to it.
    pub is_old: bool,
    /// How the disk is used.
    pub settings: SpoolSettings,
    /// What is lent at most at once.
    pub size: TransactionSize,
    /// What the streams are called.
    pub keys: KeySettings,
    /// The shard whose observation shows it.
    pub shard: usize,
    /// All IDs that it gives are above this one.
    pub highest: EntryId,
    /// What others see.
    pub observations: Arc<Observations>,
    /// Names it.
    pub log: Logger,
}

#[derive(Debug)]
struct Shared {
    name: Arc<str>,
    disk: Option<Disk>,
    settings: SpoolSettings,
    prefix: String,
    shard: usize,
    observations: Arc<Observations>,
    log: Logger,
    decoder: Mutex<Decoder>,
    state: Mutex<State>,
    /// Losses that are not in the ledger yet.
    losses: Mutex<Vec<Gap>>,
    /// Rings when something was appended, answered or acknowledged.
    changed: Arc<Notify>,
    /// Whose turn it is to have the disk changed. Fair: new IDs for a stream do not wait for the end of a busy feed. It is a
    /// matter of order alone: that one thing is asked at a time, the state sees to.
    turn: tokio::sync::Mutex<()>,
}

/// Whether something may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Supply {
    /// More may come.
    Live,
    /// The shard is closing: nobody waits for room any more.
    Closing,
    /// Nothing comes any more, and a backlog on the disk is left to the next process.
    Closed,
    /// An earlier process left it: nothing comes, and all of it is to be written.
    Old,
}

#[derive(Debug)]
struct State {
    backlog: Backlog,
    supply: Supply,
    duplicates: Duplicates,
    numbering: Numbering,
    /// The highest ID of each stream that Redis has taken, and of those that cannot be written again.
    stored: HashMap<Arc<str>, Stored, RandomState>,
    /// The number of the next record.
    next_record: u64,
    /// What the disk was asked that changes it. One thing at a time; whoever comes next hears the answer.
    question: Option<Question>,
    fault: Option<DiskFault>,
    /// Since when the disk queue is full and room is waited for.
    full_since: Option<Instant>,
    /// Events that no record can hold: a few, for a frame has at most 4 MiB.
    unrecordable: VecDeque<(Event, Unrecordable)>,
    failures: Sampled,
    overflows: Sampled,
}

/// What is known of a stream's entries that Redis has taken.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stored {
    /// The highest.
    pub last: EntryId,
    /// The highest of those that are on no disk, so that they cannot be written again.
    pub unkept: EntryId,
}

#[derive(Debug)]
enum Question {
    Append {
        spans: Vec<Span>,
        answer: Answer<Appended>,
    },
    MakeRoom {
        answer: Answer<Result<Option<Dropped>, SpoolError>>,
    },
    /// After a failure: what could not be synced may be there all the same.
    Standing {
        answer: Answer<Standing>,
    },
    Reassign {
        stream: Arc<str>,
        skip: HashSet<Position>,
        above: EntryId,
        answer: Answer<Result<Reassigned, SpoolError>>,
    },
}

/// The disk does not take appends.
#[derive(Debug)]
struct DiskFault {
    since: Instant,
    /// When it is tried again.
    retry_at: Instant,
    /// Whether it has said since what is there.
    is_known: bool,
}

/// How an append goes on.
enum Step {
    Done,
    /// The disk was asked.
    Asked,
    /// It waits for room.
    Room,
}

/// What a committer is to do.
#[derive(Debug)]
pub enum Next {
    /// Write these.
    Write(Lent),
    /// Nothing is left that is to be written.
    End,
}

impl Queue {
    /// A queue over a disk, or in memory alone.
    #[must_use]
    pub fn new(parts: QueueParts) -> Queue {
        let QueueParts {
            disk,
            standing,
            kept,
            is_old,
            settings,
            size,
            keys,
            shard,
            highest,
            observations,
            log,
        } = parts;
        let records = standing.as_ref().map_or(0..0, |standing| standing.acknowledged..standing.next);
        let channels = observations.channels.iter().map(|channel| &channel.channel);
        let mut state = State {
            next_record: records.end,
            backlog: Backlog::of_records(size, records),
            supply: if is_old { Supply::Old } else { Supply::Live },
            duplicates: Duplicates::new(fastrand::u64(..), channels),
            numbering: Numbering::above(highest),
            stored: HashMap::default(),
            question: None,
            fault: None,
            full_since: None,
            unrecordable: VecDeque::new(),
            failures: Sampled::default(),
            overflows: Sampled::default(),
        };
        let prefix = keys.stream_prefix();
        for (name, id) in standing.into_iter().flat_map(|standing| standing.removed) {
            state.note_stored(&format!("{prefix}{name}").into(), id, false);
        }
        // of all streams, wherever they are at home now: whoever writes to one from here has to see what Redis lost of it
        for (name, id) in kept {
            state.note_stored(&format!("{prefix}{name}").into(), id, true);
        }
        Queue(Arc::new(Shared {
            name: disk.as_ref().map_or_else(|| format!("memory-{shard}").into(), |disk| disk.folder().into()),
            changed: disk.as_ref().map_or_else(Arc::default, Disk::answered),
            disk,
            settings,
            prefix,
            shard,
            decoder: Mutex::new(Decoder::new(keys, shard, size, Arc::clone(&observations))),
            observations,
            log,
            state: Mutex::new(state),
            losses: Mutex::default(),
            turn: tokio::sync::Mutex::new(()),
        }))
    }

    /// Names the queue among those of the process.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.0.name
    }

    /// Its disk, unless it is in memory alone.
    #[must_use]
    pub fn disk(&self) -> Option<&Disk> {
        self.0.disk.as_ref()
    }

    // --- append -----------------------------------------------------------------------------------------------------

    /// Takes over what was delivered; says whether there was something. From here on it is the queue's.
    pub fn accept(&self, inbox: &Inbox) -> bool {
        let state = &mut *lock(&self.0.state);
        let mut transit = Transit { batches: inbox.take(APPEND_BYTES).into(), shared: &self.0 };
        let is_news = !transit.batches.is_empty();
        while let Some(batch) = transit.batches.front_mut() {
            self.0.leave_out_duplicates(state, batch);
            batch.events_mut().iter_mut().for_each(|event| state.numbering.number(event));
            self.0.leave_out_unrecordable(state, batch);
            // nothing awaits or panics between taking it out and pushing it
            if let Some(batch) = transit.batches.pop_front().filter(|batch| !batch.is_empty()) {
                state.backlog.push(batch);
            }
        }
        is_news
    }

    /// Waits until all that was taken over may be lent: it is on disk, or in memory where the disk fails. Cancelling it loses
    /// nothing; whoever calls it next goes on.
    pub async fn keep(&self) {
        loop {
            let turn = self.0.turn().await;
            self.0.answered().await;
            let changed = self.0.changed.notified();
            match self.0.step() {
                Step::Done => return,
                Step::Asked => self.0.answered().await,
                Step::Room => {
                    drop(turn);
                    // the time is a bound of the wait alone
                    drop(timeout(RETRY_EVERY, changed).await);
                }
            }
        }
    }

    /// Whether everything that it has is on disk.
    #[must_use]
    pub fn is_safe(&self) -> bool {
        lock(&self.0.state).backlog.is_safe()
    }

    /// More may come, in a new life of the writer.
    pub fn open(&self) {
        self.0.change_supply(Supply::Live);
    }

    /// The shard is closing: what is to be kept is not held up for want of room any more.
    pub fn hurry(&self) {
        self.0.change_supply(Supply::Closing);
    }

    /// Nothing comes any more.
    pub fn close(&self) {
        self.0.change_supply(Supply::Closed);
    }

    /// Whether nothing comes any more and everything is on disk, so that it may be left there.
    #[must_use]
    pub fn may_be_left(&self) -> bool {
        let state = lock(&self.0.state);
        state.supply == Supply::Closed && state.backlog.is_safe()
    }

    /// Ends what is in memory alone, as at the end of a term; how many events that were.
    #[must_use]
    pub fn abandon(&self, reason: DropReason) -> u64 {
        let state = &mut *lock(&self.0.state);
        let unrecordable: Vec<Event> = state.unrecordable.drain(..).map(|(event, _)| event).collect();
        self.0.drop_events(&unrecordable, reason);
        let batches = state.backlog.take_memory();
        unrecordable.len() as u64 + self.0.drop_batches(&batches, reason)
    }

    /// Losses that are to be entered in the ledger, each once.
    #[must_use]
    pub fn take_losses(&self) -> Vec<Gap> {
        let mut losses = std::mem::take(&mut *lock(&self.0.losses));
        if let Some(disk) = &self.0.disk {
            let mut damages = disk.take_damages();
            for damage in &mut damages {
                self.0.spare_copies(damage);
            }
            losses.extend(losses::settle(&damages, disk.folder(), &self.0.observations, &self.0.log));
        }
        losses
    }

    /// Losses that are to be entered in the ledger, found by others.
    pub fn note_losses(&self, losses: Vec<Gap>) {
        lock(&self.0.losses).extend(losses);
    }

    /// An event that no record can hold; the same again until it is [ended](Queue::end_unrecordable).
    #[must_use]
    pub fn unrecordable(&self) -> Option<(Event, Unrecordable)> {
        lock(&self.0.state).unrecordable.front().cloned()
    }

    /// Ends the event that no record can hold.
    pub fn end_unrecordable(&self, fate: Fate) {
        if let Some((event, _)) = lock(&self.0.state).unrecordable.pop_front() {
            self.0.observations.channel(event.route.channel).end(Place::Memory, fate, 1);
        }
    }

    // --- peek -------------------------------------------------------------------------------------------------------

    /// Waits for what is to be written next, and lends it; the same again until it is acknowledged. Cancelling it loses
    /// nothing.
    pub async fn peek(&self) -> Result<Next, DiskError> {
        loop {
            // from here on no change is missed
            let changed = self.0.changed.notified();
            let records = match self.0.lend() {
                Ok(Some(next)) => return Ok(next),
                Ok(None) => {
                    changed.await;
                    continue;
                }
                Err(records) => records,
            };
            let Some(disk) = &self.0.disk else { return Ok(Next::End) };
            let (from, end) = (records.start, records.end);
            let (batches, next) = self.0.read(disk, from, end).await?;
            lock(&self.0.state).backlog.put_read(from, batches, next);
        }
    }

    /// Memory of what may be lent, in bytes: it has a bound, whatever waits.
    #[must_use]
    pub fn ready_bytes(&self) -> usize {
        lock(&self.0.state).backlog.ready_bytes()
    }

    /// Whether nothing is left in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        lock(&self.0.state).backlog.is_empty()
    }

    /// The position of the next event that is taken over: all that are here are before it.
    #[must_use]
    pub fn end(&self) -> Position {
        lock(&self.0.state).backlog.next()
    }

    /// What of a stream Redis has taken from this queue.
    #[must_use]
    pub fn stored(&self) -> Vec<(Arc<str>, Stored)> {
        let state = lock(&self.0.state);
        state.stored.iter().map(|(stream, stored)| (Arc::clone(stream), *stored)).collect()
    }

    /// What the disk keeps of what was stored: records and the highest ID of each stream that is no longer there.
    pub async fn kept(&self) -> Option<Kept> {
        let standing = self.0.disk.as_ref()?.standing().await;
        let Ok(standing) = standing else {
            // one that has ended keeps nothing
            lock(&self.0.state).stored.values_mut().for_each(|stored| stored.unkept = stored.last);
            return None;
        };
        for (name, id) in standing.removed {
            let stream = format!("{}{name}", self.0.prefix).into();
            lock(&self.0.state).note_stored(&stream, id, false);
        }
        let (from, to) = (standing.kept_from, standing.acknowledged);
        Some(Kept { queue: self.clone(), from, to, acknowledged: to, next: standing.next })
    }

    /// Gives the backlog of a stream IDs above `above`, but for the events in `skip`, which are stored. What is lent is to be
    /// lent anew. Where the disk fails, copies in memory have them alone; the rest is found when it is its turn.
    pub async fn reassign(
        &self,
        (index, outlet): (ChannelIndex, &Outlet),
        skip: HashSet<Position>,
        above: EntryId,
    ) {
        let _turn = self.0.turn().await;
        loop {
            self.0.answered().await;
            let state = &mut *lock(&self.0.state);
            if state.question.is_none() {
                self.0.ask_reassign(state, (index, outlet), skip, above);
                break;
            }
        }
        self.0.answered().await;
    }

    // --- ack --------------------------------------------------------------------------------------------------------

    /// Ends what was lent: `fate` says of each event, by its place in the batch, what became of it, and `lasts` which last
    /// entries Redis took of their streams.
    pub fn ack(&self, lent: &Lent, fate: impl Fn(usize) -> Fate, lasts: Vec<(Arc<str>, EntryId)>) {
        let shared = &*self.0;
        let state = &mut *lock(&shared.state);
        let Some(Left { batch, record }) = state.backlog.acknowledge(lent.first) else {
            return error!(shared.log, "unknown acknowledgement"; "position" => lent.first);
        };
        let place = if record.is_some() { Place::Disk } else { Place::Memory };
        for (at, event) in batch.events().iter().enumerate() {
            shared.observations.channel(event.route.channel).end(place, fate(at), 1);
        }
        for (stream, id) in &lasts {
            state.note_stored(stream, *id, record.is_some());
        }
        if let Some(disk) = &shared.disk {
            let names = lasts.into_iter().map(|(stream, id)| (shared.name_of(&stream), id));
            match record {
                Some(record) => disk.acknowledge(record + batch.len() as u64, names),
                // what was never on the disk cannot be written again from there: should Redis lose it, that is to be known
                None => disk.note_unkept(names),
            }
        }
        state.full_since = None;
        shared.changed.notify_waiters();
    }

    // --- what an earlier process knew -------------------------------------------------------------------------------

    /// Learns of an event that came before: its IDs, and what it is told by among duplicates.
    #[must_use]
    pub fn learn(&self, event: &Event, is_stored: bool) -> u64 {
        let state = &mut *lock(&self.0.state);
        for (outlet, id) in event.route.outlets.iter().zip(event.ids.as_slice()) {
            state.numbering.raise(&outlet.stream, *id);
            if is_stored {
                state.note_stored(&outlet.stream, *id, true);
            }
        }
        state.duplicates.fingerprint(event.route.symbol(), &event.payload)
    }

    /// Enters an event that came before among those that duplicates are looked for in, the oldest first.
    pub fn remember(&self, channel: ChannelIndex, ordinal: u64, fingerprint: u64) {
        lock(&self.0.state).duplicates.remember(channel, ordinal, fingerprint);
    }
}

impl Shared {
    /// Events of which a copy is in memory are not lost by damage.
    fn spare_copies(&self, damage: &mut Damage) {
        if damage.records.is_empty() {
            return;
        }
        let state = lock(&self.state);
        let mut spared: BTreeMap<String, u64> = BTreeMap::new();
        for event in state.backlog.copies_of(&damage.records) {
            let name = self.observations.channel(event.route.channel).channel.name();
            *spared.entry(name.to_owned()).or_default() += 1;
        }
        damage.spare(&spared);
    }

    fn observed(&self) -> &WriterObservation {
        &self.observations.writers[self.shard]
    }

    fn change_supply(&self, supply: Supply) {
        let mut state = lock(&self.state);
        if state.supply != Supply::Old {
            state.supply = supply;
        }
        self.changed.notify_waiters();
    }

    /// The bound of a shard, if `bytes` is that of one among few.
    fn share_of(&self, bytes: usize) -> usize {
        bytes.min(READY_BYTES_OF_ALL / self.observations.writers.len().max(1))
    }

    /// A stream's name as the disk queue has it: without the prefix.
    fn name_of(&self, stream: &Arc<str>) -> Arc<str> {
        stream.strip_prefix(&*self.prefix).map_or_else(|| Arc::clone(stream), Arc::from)
    }

    /// Ends the duplicates of a batch.
    fn leave_out_duplicates(&self, state: &mut State, batch: &mut EventBatch) {
        let mut marks = state.duplicates.mark(batch.events().iter().map(Arrival::from)).iter();
        batch.retain(|event| {
            let is_duplicate = marks.next().is_some_and(|is_duplicate| *is_duplicate);
            if is_duplicate {
                self.observations.channel(event.route.channel).end(Place::Memory, Fate::Duplicate, 1);
            }
            !is_duplicate
        });
    }

    /// Takes out what no record can hold: it is no fault of the disk.
    fn leave_out_unrecordable(&self, state: &mut State, batch: &mut EventBatch) {
        if self.disk.is_none() {
            return;
        }
        batch.retain(|event| {
            let channel = self.observations.channel(event.route.channel).channel.name();
            let checked = Records::check(channel, event.route.outlets.len(), &event.payload);
            checked.map_err(|error| state.unrecordable.push_back((event.clone(), error))).is_ok()
        });
    }

    async fn turn(&self) -> Option<MutexGuard<'_, ()>> {
        timeout(TURN_PATIENCE, self.turn.lock()).await.ok()
    }

    /// Waits until the disk has answered what it was asked.
    async fn answered(&self) {
        loop {
            // from here on no change is missed
            let changed = self.changed.notified();
            {
                let state = &mut *lock(&self.state);
                self.hear(state);
                if state.question.is_none() {
                    return;
                }
            }
            changed.await;
        }
    }

    /// Goes on bringing what was taken over to where it may be lent from. Nothing is asked of the disk at the moment.
    fn step(self: &Arc<Self>) -> Step {
        let state = &mut *lock(&self.state);
        let now = Instant::now();
        if state.backlog.is_safe() {
            return Step::Done;
        }
        if state.question.is_some() {
            return Step::Asked;
        }
        let Some(disk) = &self.disk else { return self.bridge(state) };
        if state.waits_for_room(now) {
            return Step::Room;
        }
        match &state.fault {
            Some(fault) if now < fault.retry_at => self.bridge(state),
            Some(fault) if !fault.is_known => {
                state.question = Some(Question::Standing { answer: disk.ask_standing() });
                Step::Asked
            }
            Some(_) | None => {
                let shared = Arc::clone(self);
                let answer = disk.append(Box::new(move |records| shared.collect(records)));
                state.question = Some(Question::Append { spans: Vec::new(), answer });
                Step::Asked
            }
        }
    }

    /// Gives the disk's thread, when it comes to that, what it does not have, the oldest first.
    fn collect(&self, records: &mut Records) -> Result<(), Unrecordable> {
        let batches: Vec<Arc<EventBatch>> = {
            let state = &mut *lock(&self.state);
            records.clear(state.next_record);
            let (unkept, batches) =
                state.backlog.unkept(APPEND_BYTES).map(|(span, batch)| (span, Arc::clone(batch))).unzip();
            if let Some(Question::Append { spans, .. }) = &mut state.question {
                *spans = unkept;
            }
            batches
        };
        // not while others wait for the lock
        batches.iter().flat_map(|batch| batch.events()).try_for_each(|event| self.record(records, event))
    }

    fn record(&self, records: &mut Records, event: &Event) -> Result<(), Unrecordable> {
        let channel = &self.observations.channel(event.route.channel).channel;
        let outlets = event.route.outlets.iter().zip(event.ids.as_slice());
        let outlets = outlets.map(|(outlet, id)| (outlet.symbol.as_ref().map(Symbol::as_str), *id));
        records.push(channel.name(), event.received_us, outlets, &event.payload)
    }

    /// Applies the answer to what the disk was asked, if it has come.
    fn hear(&self, state: &mut State) {
        match state.question.take() {
            None => {}
            Some(Question::Append { spans, mut answer }) => match answer.take() {
                None => state.question = Some(Question::Append { spans, answer }),
                Some(appended) => self.appended(state, &spans, appended),
            },
            Some(Question::MakeRoom { mut answer }) => match answer.take() {
                None => state.question = Some(Question::MakeRoom { answer }),
                Some(dropped) => self.made_room(state, dropped),
            },
            Some(Question::Standing { mut answer }) => match answer.take() {
                None => state.question = Some(Question::Standing { answer }),
                Some(Ok(standing)) => {
                    state.next_record = standing.next;
                    if let Some(fault) = &mut state.fault {
                        fault.is_known = true;
                    }
                }
                Some(Err(error)) => self.failed(state, &error),
            },
            Some(Question::Reassign { stream, skip, above, mut answer }) => match answer.take() {
                None => state.question = Some(Question::Reassign { stream, skip, above, answer }),
                Some(reassigned) => self.reassigned(state, &stream, &skip, (above, reassigned)),
            },
        }
    }

    fn appended(&self, state: &mut State, spans: &[Span], appended: Result<Appended, DiskError>) {
        match appended.flatten() {
            Ok(()) => {
                let first = state.next_record;
                state.next_record += spans.iter().map(|span| span.len).sum::<u64>();
                let observed = self.observed();
                let left = state.backlog.appended(spans, first, self.share_of(COPIED_BYTES), |batch| {
                    observed.append_latency.observe(batch.read_at().instant.elapsed(), batch.len() as u64);
                    for event in batch.events() {
                        self.observations.channel(event.route.channel).spool(1);
                    }
                });
                if let (Some(below), Some(disk)) = (left, &self.disk) {
                    // it was stored from memory in the meantime
                    disk.acknowledge(below, []);
                }
                self.works(state);
                self.changed.notify_waiters();
            }
            Err(DiskError::Spool(SpoolError::Full { needed, .. })) if self.make_room(state, needed) => {}
            Err(error) => self.failed(state, &error),
        }
    }

    /// The disk queue is full: makes room, or says that it is to be waited for; false if there is none to be had.
    fn make_room(&self, state: &mut State, bytes: u64) -> bool {
        match (self.settings.when_full, &self.disk) {
            (WhenFull::Block, _) => {
                let may_wait = state.supply == Supply::Live;
                state.full_since = may_wait.then(Instant::now);
                may_wait
            }
            (WhenFull::DropOldest, Some(disk)) => {
                state.backlog.forget_copies();
                // what is lent may be stored already: it stays
                let answer = disk.drop_oldest(state.backlog.lent_records(), bytes);
                state.question = Some(Question::MakeRoom { answer });
                true
            }
            (WhenFull::DropOldest, None) => false,
        }
    }

    fn made_room(&self, state: &mut State, dropped: Result<Result<Option<Dropped>, SpoolError>, DiskError>) {
        match dropped.and_then(|dropped| dropped.map_err(DiskError::from)) {
            Ok(Some(dropped)) => {
                state.backlog.drop_records(dropped.first_seq..dropped.last_seq + 1);
                for (name, events) in &dropped.events {
                    // all that are on disk at the start are counted
                    if let Some(channel) = self.observations.channel_named(name) {
                        channel.end(Place::Disk, Fate::Dropped(DropReason::SpoolFull), *events);
                    }
                }
                self.note_overflow(state, dropped.events.values().sum());
                let between = (dropped.from_us, dropped.to_us);
                lock(&self.losses).extend(losses::of_channels(
                    dropped.events,
                    between,
                    DropReason::SpoolFull,
                ));
                self.changed.notify_waiters();
            }
            Ok(None) => self.failed(state, &NoRoom),
            Err(error) => self.failed(state, &error),
        }
    }

    /// Makes what is pending ready in memory, within its bound.
    fn bridge(&self, state: &mut State) -> Step {
        while let Some(bytes) = state.backlog.pending_bytes() {
            let is_over = |backlog: &Backlog| {
                backlog.ready_bytes() > 0 && backlog.ready_bytes() + bytes > self.share_of(READY_BYTES)
            };
            if is_over(&state.backlog) {
                // what is on the disk can be read from there again
                state.backlog.forget_copies();
            }
            if is_over(&state.backlog) {
                if self.settings.when_full == WhenFull::DropOldest {
                    let dropped = state.backlog.drop_memory(bytes);
                    if !dropped.is_empty() {
                        let events = self.drop_batches(&dropped, DropReason::SpoolFull);
                        self.note_overflow(state, events);
                        continue;
                    }
                }
                if state.supply == Supply::Live {
                    return Step::Room;
                }
            }
            state.backlog.bridge();
            self.changed.notify_waiters();
        }
        Step::Done
    }

    /// Ends batches that were in memory alone; how many events they had.
    fn drop_batches(&self, batches: &[Arc<EventBatch>], reason: DropReason) -> u64 {
        for batch in batches {
            self.drop_events(batch.events(), reason);
        }
        batches.iter().map(|batch| batch.len() as u64).sum()
    }

    fn drop_events(&self, events: &[Event], reason: DropReason) {
        let mut channels: Vec<(String, u64)> = Vec::new();
        for event in events {
            let channel = self.observations.channel(event.route.channel);
            channel.end(Place::Memory, Fate::Dropped(reason), 1);
            let name = channel.channel.name();
            match channels.iter_mut().find(|(known, _)| known == name) {
                Some((_, count)) => *count += 1,
                None => channels.push((name.to_owned(), 1)),
            }
        }
        let times = events.iter().map(|event| event.received_us);
        let between = (times.clone().min().unwrap_or_default(), times.max().unwrap_or_default());
        lock(&self.losses).extend(losses::of_channels(channels, between, reason));
    }

    fn note_overflow(&self, state: &mut State, events: u64) {
        if state.overflows.is_due(Instant::now()) {
            error!(self.log, "disk queue full"; "dropped" => events);
        }
    }

    fn works(&self, state: &mut State) {
        if let Some(fault) = state.fault.take() {
            *lock(&self.observed().spool_fault) = None;
            info!(self.log, "disk queue works again"; "after_s" => fault.since.elapsed().as_secs_f64());
        }
    }

    fn failed<E: std::error::Error + 'static>(&self, state: &mut State, error: &E) {
        let now = Instant::now();
        let since = state.fault.as_ref().map_or(now, |fault| fault.since);
        state.fault = Some(DiskFault { since, retry_at: now + RETRY_EVERY, is_known: false });
        let error = ErrorChain::new(error).to_string();
        if state.failures.is_due(now) {
            error!(self.log, "disk queue fails";
                "error" => &error, "for_s" => now.duration_since(since).as_secs());
        }
        *lock(&self.observed().spool_fault) = Some(error);
        self.changed.notify_waiters();
    }

    /// What is to be written next, or the records that are to be read for it; `None` while there is nothing.
    fn lend(&self) -> Result<Option<Next>, std::ops::Range<u64>> {
        let state = &mut *lock(&self.state);
        self.hear(state);
        if matches!(state.question, Some(Question::Reassign { .. } | Question::MakeRoom { .. })) {
            // the copies are out of date, or what is next is being dropped
            return Ok(None);
        }
        let ends = matches!(state.supply, Supply::Closed | Supply::Old) && state.backlog.is_empty()
            || state.supply == Supply::Closed
                && state.backlog.left_on_disk().is_some_and(|records| records > WRITTEN_AT_END);
        if ends {
            if let (Supply::Old, Some(disk)) = (state.supply, &self.disk) {
                // also what was there and could not be read
                disk.acknowledge(state.next_record, []);
            }
            return Ok(Some(Next::End));
        }
        match state.backlog.lend() {
            Front::Lent(lent) => Ok(Some(Next::Write(lent))),
            Front::OnDisk(records) => Err(records),
            Front::Nothing => Ok(None),
        }
    }

    /// Reads records: batches with the numbers of their first ones, and where to go on.
    async fn read(
        &self,
        disk: &Disk,
        from: u64,
        end: u64,
    ) -> Result<(Vec<(u64, EventBatch)>, u64), DiskError> {
        let chunk = disk.read(from, READ_EVENTS, READ_BYTES).wait().await??;
        let records = chunk.records.into_iter().filter(|record| record.seq < end);
        let batches = lock(&self.decoder).batches(records);
        Ok((batches, if chunk.next_seq > from { chunk.next_seq.min(end) } else { end }))
    }

    /// Asks for new IDs on disk; without one gives them at once.
    fn ask_reassign(
        &self,
        state: &mut State,
        (index, outlet): (ChannelIndex, &Outlet),
        skip: HashSet<Position>,
        above: EntryId,
    ) {
        let Some(disk) = &self.disk else {
            let last = state.backlog.renumber(&outlet.stream, &skip, above);
            return state.numbering.raise(&outlet.stream, last);
        };
        let answer = disk.reassign(Reassignment {
            channel: self.observations.channel(index).channel.name().to_owned(),
            symbol: outlet.symbol.as_ref().map(ToString::to_string),
            skip: state.backlog.records_of(&skip),
            above,
        });
        state.question = Some(Question::Reassign { stream: Arc::clone(&outlet.stream), skip, above, answer });
    }

    fn reassigned(
        &self,
        state: &mut State,
        stream: &Arc<str>,
        skip: &HashSet<Position>,
        (above, reassigned): (EntryId, Result<Result<Reassigned, SpoolError>, DiskError>),
    ) {
        let last = match reassigned.and_then(|reassigned| reassigned.map_err(DiskError::from)) {
            Ok(Reassigned { last, .. }) => {
                state.backlog.forget_all_copies();
                state.backlog.renumber(stream, skip, last)
            }
            Err(error) => {
                // the rest is found to be behind when it is its turn; a kill -9 now may write these a second time
                if state.failures.is_due(Instant::now()) {
                    error!(self.log, "disk queue not renumbered";
                        "stream" => stream, ErrorChain::new(&error));
                }
                state.backlog.renumber_copies(stream, skip, above)
            }
        };
        state.numbering.raise(stream, last);
        self.changed.notify_waiters();
    }
}

/// Batches between the inbox and the backlog. Nothing awaits there and nothing is known that panics; should it all the same,
/// they are lost, and that is counted and on record.
struct Transit<'q> {
    batches: VecDeque<EventBatch>,
    shared: &'q Shared,
}

impl Drop for Transit<'_> {
    fn drop(&mut self) {
        for batch in self.batches.drain(..) {
            self.shared.drop_events(batch.events(), DropReason::Crash);
        }
    }
}

/// Nothing in a full disk queue may be given up.
#[derive(Debug, thiserror::Error)]
#[error("the disk queue is full of what is being written")]
struct NoRoom;

impl State {
    /// Whether the disk queue was full a moment ago, and nothing has left it since.
    fn waits_for_room(&self, now: Instant) -> bool {
        let is_full = |since: Instant| now.duration_since(since) < RETRY_EVERY;
        self.supply == Supply::Live && self.full_since.is_some_and(is_full)
    }

    fn note_stored(&mut self, stream: &Arc<str>, id: EntryId, is_kept: bool) {
        if self.stored.len() >= MAX_STREAMS && !self.stored.contains_key(stream) {
            self.stored.clear();
        }
        let stored = self.stored.entry_ref(&**stream).or_default();
        stored.last = stored.last.max(id);
        if !is_kept {
            stored.unkept = stored.unkept.max(id);
        }
    }
}

/// What a disk keeps of what was stored, in its order.
#[derive(Debug)]
pub struct Kept {
    queue: Queue,
    from: u64,
    to: u64,
    /// Records below are stored.
    acknowledged: u64,
    next: u64,
}

impl Kept {
    /// The same with what is not stored yet.
    #[must_use]
    pub fn with_backlog(self) -> Kept {
        Kept { to: self.next, ..self }
    }

    /// No more than the newest `max` records of it.
    #[must_use]
    pub fn newest(self, max: u64) -> Kept {
        Kept { from: self.from.max(self.to.saturating_sub(max)), ..self }
    }

    /// The queue that keeps it.
    #[must_use]
    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Whether a record of it is stored.
    #[must_use]
    pub fn is_stored(&self, record: u64) -> bool {
        record < self.acknowledged
    }

    /// The number of the next record that is read.
    #[must_use]
    pub fn from(&self) -> u64 {
        self.from
    }

    /// The next batches, with the numbers of their first records; `None` after the last.
    pub async fn read(&mut self) -> Result<Option<Vec<(u64, EventBatch)>>, DiskError> {
        let Some(disk) = self.queue.0.disk.as_ref().filter(|_| self.from < self.to) else { return Ok(None) };
        let (batches, next) = self.queue.0.read(disk, self.from, self.to).await?;
        self.from = next;
        Ok(Some(batches))
    }
}

#[cfg(test)]
mod tests;
