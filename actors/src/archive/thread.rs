//! The loop of the archive's thread.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use slog::{Logger, error, info, warn};
use uw_websocket_core::archive::{ArchiveLine, ArchiveStore, Frames};

use super::fetched::{FetchedRows, RowLoss};
use super::source::{Loss, Source};
use super::upkeep;
use crate::error_chain::ErrorChain;
use crate::fault::{ChildFaults, FaultPoint};
use crate::ledger::gap::{Gap, GapReason, family_of};
use crate::log_throttle::LogThrottle;
use crate::observation::{ArchiveObservation, Observations};
use crate::queue::archiving::Archiving;
use crate::queue::losses;
use crate::settings::ArchiveSettings;
use crate::sync::lock;
use crate::thread_deaths::ThreadDeaths;
use crate::wall_clock::unix_micros;

/// Interval at which the queues are polled: they publish ten times per second.
const TURN: Duration = Duration::from_millis(200);
/// Maximum age of lines that are not written: a quiet channel holds its records no longer.
const FRAME_AGE: Duration = Duration::from_secs(60);
/// Interval at which a disk that fails is tried again.
const RETRY_EVERY: Duration = Duration::from_secs(2);
/// Interval at which old days are looked for, and sizes are taken.
const UPKEEP_EVERY: Duration = Duration::from_secs(30);
/// A low priority: a tenth of the share of any other thread. At the lowest, 19, a busy machine stopped the archive for
/// minutes, until the disk queue needed the room of its records.
const NICE: i32 = 10;

/// Parts of the archive.
pub struct ArchiveParts {
    /// Folder and bounds.
    pub settings: ArchiveSettings,
    /// The disk queues, as the archive sees them.
    pub archivings: Vec<Arc<Archiving>>,
    /// Brings the rows that the filler has fetched.
    pub fetched: Arc<FetchedRows>,
    /// Records gaps of the archive.
    pub note: Box<dyn Fn(Vec<Gap>) + Send>,
    /// State and counters, also read by HTTP and the status page.
    pub observations: Arc<Observations>,
    /// Told if the thread dies.
    pub deaths: ThreadDeaths,
    /// Faults that tests inject.
    pub faults: ChildFaults,
    /// The logger.
    pub log: Logger,
}

struct ArchiveThread {
    parts: ArchiveParts,
    /// In the order of their generations.
    sources: Vec<Source>,
    store: Option<ArchiveStore>,
    /// Whether this process had the archive open before.
    was_open: bool,
    frames: Frames,
    /// Time since which anything was taken that is not written.
    taken_since: Option<Instant>,
    /// Whether the position is to be written immediately, so that missing records are not counted again.
    is_urgent: bool,
    failing_since: Option<Instant>,
    retry_at: Instant,
    upkeep_at: Instant,
    failures: LogThrottle,
    read_failures: LogThrottle,
    log: Logger,
}

/// Runs until it is asked to stop.
pub(super) fn run(parts: ArchiveParts, stopped: &Receiver<()>) {
    if let Err(error) = rustix::process::nice(NICE) {
        warn!(parts.log, "archive runs at the usual priority"; "error" => %error);
    }
    let mut thread = ArchiveThread::new(parts);
    loop {
        let wait = stopped.recv_timeout(TURN);
        let is_last = !matches!(wait, Err(RecvTimeoutError::Timeout));
        thread.parts.faults.strike_at(FaultPoint::ArchiveTurn);
        thread.turn(is_last);
        if is_last {
            return;
        }
    }
}

impl ArchiveThread {
    fn new(parts: ArchiveParts) -> ArchiveThread {
        let now = Instant::now();
        let mut sources: Vec<Source> = parts.archivings.iter().cloned().map(Source::new).collect();
        sources.sort_by_key(|source| source.archiving.generation);
        ArchiveThread {
            sources,
            store: None,
            was_open: false,
            frames: Frames::default(),
            taken_since: None,
            is_urgent: false,
            failing_since: None,
            retry_at: now,
            upkeep_at: now,
            failures: LogThrottle::default(),
            read_failures: LogThrottle::default(),
            log: parts.log.clone(),
            parts,
        }
    }

    /// Archives what is there. The last turn writes it whatever its age.
    fn turn(&mut self, is_last: bool) {
        let now = Instant::now();
        self.note_removed();
        if now < self.retry_at && !is_last {
            return;
        }
        self.sources.iter_mut().for_each(Source::refresh);
        if self.store.is_none() && !self.open(now) {
            return self.observe();
        }
        // what could not be written is in memory: no more is taken before it is written
        if self.frames.are_full() && !self.commit(now) {
            return self.observe();
        }
        while self.take() {
            if self.frames.are_full() && !self.commit(now) {
                return self.observe();
            }
        }
        let is_due = |since: Instant| is_last || self.is_urgent || now.duration_since(since) >= FRAME_AGE;
        if self.taken_since.is_some_and(is_due) && !self.commit(now) {
            return self.observe();
        }
        if now >= self.upkeep_at
            && let Some(store) = &self.store
        {
            self.upkeep_at = now + UPKEEP_EVERY;
            upkeep::keep_up(&self.parts.settings, store, &self.parts.observations.archive, &self.log);
        }
        self.observe();
    }

    fn observed(&self) -> &ArchiveObservation {
        &self.parts.observations.archive
    }

    fn open(&mut self, now: Instant) -> bool {
        let dir = &self.parts.settings.dir;
        let (store, found) = match ArchiveStore::open(dir, self.was_open) {
            Ok(opened) => opened,
            Err(error) => {
                self.failed(&error, now);
                return false;
            }
        };
        for trimmed in found {
            if trimmed.is_damage {
                error!(self.log, "archive damaged"; "file" => &trimmed.file, "detail" => &trimmed.detail);
            } else {
                info!(self.log, "archive restored"; "file" => &trimmed.file, "detail" => &trimmed.detail);
            }
        }
        info!(self.log, "archive opened"; "folder" => %dir.display());
        // what was taken and not written is taken again
        self.frames.clear();
        (self.taken_since, self.is_urgent, self.was_open, self.upkeep_at) = (None, false, true, now);
        self.sources.iter_mut().for_each(|source| source.place(store.positions()));
        self.parts.fetched.open(store.fetched());
        self.store = Some(store);
        self.works();
        true
    }

    /// Takes some records of each queue; returns whether there may be more.
    fn take(&mut self) -> bool {
        let (mut is_news, mut losses, mut failure) = (self.take_fetched(), Vec::new(), None);
        let mut before: Option<(u64, bool)> = None;
        for source in &mut self.sources {
            let generation = source.archiving.generation;
            // a stream may have belonged to any queue of an earlier generation
            if before.is_some_and(|(earlier, is_done)| earlier < generation && !is_done) {
                break;
            }
            match source.take(&mut self.frames) {
                Ok((took, loss)) => {
                    is_news |= took;
                    losses.extend(loss);
                }
                Err(error) => failure = Some(error),
            }
            before = match before {
                Some((earlier, is_done)) if earlier == generation => {
                    Some((earlier, is_done && source.is_done()))
                }
                _ => Some((generation, source.is_done())),
            };
        }
        if is_news {
            self.taken_since.get_or_insert_with(Instant::now);
        }
        if let Some(error) = failure
            && self.read_failures.is_due(Instant::now())
        {
            error!(self.log, "disk queue not read for the archive"; ErrorChain::new(&error));
        }
        self.is_urgent |= !losses.is_empty();
        for loss in losses {
            self.note(loss);
        }
        is_news
    }

    /// Takes some of the fetched rows; returns whether there were any.
    fn take_fetched(&mut self) -> bool {
        let Some(part) = self.parts.fetched.take() else { return false };
        for (id, row) in &part.rows {
            self.frames.push(&ArchiveLine::of_row(&part.topic, *id, row));
        }
        self.frames.advance(&part.topic, part.position);
        if let Some(RowLoss { rows, between }) = part.loss {
            self.is_urgent = true;
            self.observed().skipped.add(rows.unwrap_or(1));
            error!(self.log, "archive skips events"; "events" => rows,
                "reason" => "fetched rows left redis before they were archived");
            let family = family_of(&part.topic);
            let gap = Gap::new(family, vec![part.topic], between, GapReason::ArchiveSkipped);
            let gap = gap.with_detail("rows that were fetched over REST");
            (self.parts.note)(vec![match rows {
                Some(rows) => gap.with_events(rows),
                None => gap,
            }]);
        }
        true
    }

    /// Counts and records what the queues have removed before it was taken, as while the archive's disk is full.
    fn note_removed(&self) {
        for dropped in self.sources.iter().flat_map(Source::untaken) {
            let (events, between) = (dropped.events.values().sum::<u64>(), (dropped.from_us, dropped.to_us));
            self.observed().skipped.add(events);
            error!(self.log, "archive skips events"; "events" => events, "reason" => "the disk queue needed their room");
            (self.parts.note)(losses::of_archive(dropped.events, between).collect());
        }
    }

    /// Counts and records what is missing.
    fn note(&self, Loss { events, after_us }: Loss) {
        self.observed().skipped.add(events);
        error!(self.log, "archive skips events"; "events" => events, "reason" => "they are not in the disk queue");
        let now = unix_micros();
        let from = if after_us == 0 { now } else { after_us };
        (self.parts.note)(self.of_unknown_channels(events, (from, now)));
    }

    /// One gap per family: any of its channels may be concerned.
    fn of_unknown_channels(&self, events: u64, between: (u64, u64)) -> Vec<Gap> {
        let mut gaps: Vec<Gap> = Vec::new();
        for channel in &self.parts.observations.channels {
            let name = channel.channel.name().to_owned();
            let family = family_of(&name);
            match gaps.iter_mut().find(|gap| gap.family == family) {
                Some(gap) => gap.channels.push(name),
                None => gaps.push(Gap::new(family, vec![name], between, GapReason::ArchiveSkipped)),
            }
        }
        let detail = format!("{events} events, which may be of any channel");
        gaps.into_iter().map(|gap| gap.with_detail(detail.clone())).collect()
    }

    /// Writes what was taken, and lets it go; returns whether it is written. On failure it is kept, and nothing more is
    /// taken.
    fn commit(&mut self, now: Instant) -> bool {
        let Some(store) = &mut self.store else { return false };
        let sources = self.sources.iter().filter(|source| !source.archiving.is_over());
        let positions: Vec<_> = sources.map(Source::position).collect();
        let (events, bytes) = (self.frames.events(), self.frames.bytes());
        match store.commit(&self.frames, &positions) {
            Ok(grown) => {
                let observed = &self.parts.observations.archive;
                observed.events.add(events);
                observed.fetched_rows.add(self.frames.rows());
                observed.line_bytes.add(bytes as u64);
                observed.file_bytes.add(grown);
                observed.written_at.set_now();
                if observed.days.get() == 0 {
                    // the first day is shown immediately
                    self.upkeep_at = now;
                }
                self.sources.iter().for_each(Source::let_go);
                self.frames.clear();
                (self.taken_since, self.is_urgent) = (None, false);
                self.works();
                true
            }
            Err(error) => {
                if !store.is_there() {
                    self.store = None;
                    self.parts.fetched.close();
                }
                self.failed(&error, now);
                false
            }
        }
    }

    fn works(&mut self) {
        if let Some(since) = self.failing_since.take() {
            *lock(&self.observed().fault) = None;
            info!(self.log, "archive works again"; "after_s" => since.elapsed().as_secs_f64());
        }
    }

    fn failed(&mut self, error: &(dyn std::error::Error + 'static), now: Instant) {
        self.retry_at = now + RETRY_EVERY;
        let since = *self.failing_since.get_or_insert(now);
        *lock(&self.observed().fault) = Some(ErrorChain::new(error).to_string());
        if self.failures.is_due(now) {
            error!(self.log, "archive fails";
                "for_s" => now.duration_since(since).as_secs(), ErrorChain::new(error));
        }
    }

    fn observe(&self) {
        let waiting: u64 = self.sources.iter().map(Source::waiting).sum();
        self.observed().waiting.set(waiting + self.frames.events());
        self.observed().waiting_rows.set(self.frames.rows());
    }
}

#[cfg(test)]
mod tests;
