//! The event accounting of a channel: arrivals, outcomes and pending events.
//!
//! `received + recovered = stored + duplicate + filtered + quarantined + dropped + pending`. Pending events are not
//! counted but derived from the others; to detect miscounting, events without an outcome are counted independently, by
//! place: see [`ChannelObservation::audit`].

use std::sync::atomic::{Ordering, fence};

use serde::Serialize;
use uw_websocket_core::backfill::outcome::FillStatus;
use uw_websocket_core::event::Channel;
use uw_websocket_core::labelled;

use super::cells::{Count, CountsBy, Flag, Moment, Number, depth};
use super::metric::observed;

labelled! {
    /// Why an event read from the feed did not reach Redis.
    DropReason {
        /// A panic while the event moved from the inbox to the queue. No panic is known there: it would be a defect.
        Crash = "crash",
        /// Redis permanently refuses the event.
        Rejected = "rejected",
        /// The drain at shutdown timed out.
        Shutdown = "shutdown",
        /// The disk queue was full, and the event was the oldest in it.
        SpoolFull = "spool_full",
        /// The disk did not return the event as it was written.
        SpoolCorrupt = "spool_corrupt",
    }
}

labelled! {
    /// What an event did not get because of a bound. It is in its other streams.
    Cut {
        /// Streams of target symbols, beyond the number or the size of the copies of one event.
        Symbols = "symbols",
        /// A field of its map, longer than any strike and expiry.
        MapField = "map_field",
    }
}

/// The outcome of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Redis has confirmed every entry of the event.
    Stored,
    /// The event is identical to one received shortly before.
    Duplicate,
    /// The event is in the quarantine file.
    Quarantined,
    /// The event is lost.
    Dropped(DropReason),
}

/// The place of an event without an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In memory only, in a batch.
    Memory,
    /// In the disk queue, regardless of copies in memory.
    Disk,
}

/// Events that entered a place and that left it.
#[derive(Clone, Debug, Default)]
struct Held {
    entered: Count,
    left: Count,
}

impl Held {
    /// Zero if more have left than entered: then as many more have ended than arrived, which shows in the sums.
    fn now(&self) -> u64 {
        depth(&self.entered, &self.left)
    }
}

observed! {
    /// The counts of a channel. Each step of an event is one call, so that its counts change together.
    #[derive(Clone, Debug, Serialize)]
    pub struct ChannelObservation {
        /// The channel.
        #[serde(skip)]
        pub channel: Channel,
        /// Events read from the feed.
        pub received: Count = "uw_ws_events_received_total",
        /// Events found in the disk queue at startup, or in that of another instance.
        pub recovered: Count = "uw_ws_events_recovered_total",
        /// Events of which Redis has confirmed every entry.
        pub stored: Count = "uw_ws_events_stored_total",
        /// Events identical, byte for byte, to one received shortly before.
        pub duplicate: Count = "uw_ws_events_duplicate_total",
        /// Events among the stored ones that were stored behind those of another owner, which had succeeded this one.
        pub late: Count = "uw_ws_events_late_total",
        /// Events outside the configured targets.
        pub filtered: Count = "uw_ws_events_filtered_total",
        /// Events written to the quarantine file.
        pub quarantined: Count = "uw_ws_events_quarantined_total",
        /// Events read from the feed and lost.
        dropped: CountsBy<DropReason> = "uw_ws_events_dropped_total" by "reason",
        /// What events did not get because of a bound: `symbols` are streams of single targets, `map_field` fields of a
        /// map. The events are in their other streams.
        cut: CountsBy<Cut> = "uw_ws_events_cut_total" by "what",
        /// Times that the accounting found an event counted twice or not at all.
        #[serde(skip)]
        pub violations: Count = "uw_ws_conservation_violations_total",
        /// Sampled payloads that deviate from the documented shape.
        pub drifted: Count = "uw_ws_events_drifted_total",
        /// Rows of the REST API that the audit has compared with the events of the feed.
        #[serde(skip)]
        pub audit_checked: Count = "uw_ws_audit_checked_total",
        /// Those among them that the feed has not delivered, as two answers prove.
        #[serde(skip)]
        pub audit_missing: Count = "uw_ws_audit_missing_total",
        /// Rows fetched over REST and written for gaps.
        #[serde(skip)]
        pub fill_rows: Count = "uw_ws_fill_rows_total",
        /// Fills of gaps that ended: topics of gaps.
        #[serde(skip)]
        fills: CountsBy<FillStatus> = "uw_ws_fills_total" by "status",
        /// 1 while a channel has been silent far longer than its usual cadence, in its trading hours.
        pub silent: Flag = "uw_ws_channel_silent",
        /// Unix time of the latest event; absent before the first.
        #[serde(skip)]
        pub last_event_at: Moment = "uw_ws_last_event_timestamp_seconds",
        /// Events in memory only.
        #[serde(skip)]
        in_memory: Held,
        /// Events in the disk queue.
        #[serde(skip)]
        spooled: Held,
        /// The ordinal of the next event.
        #[serde(skip)]
        next_ordinal: Number,
    }
}

/// A channel whose counts do not balance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The channel.
    pub channel: Channel,
    /// Events that arrived.
    pub came: u64,
    /// Events with an outcome, in memory or on disk.
    pub accounted: u64,
}

impl ChannelObservation {
    pub(super) fn new(channel: Channel) -> ChannelObservation {
        ChannelObservation {
            channel,
            received: Count::default(),
            recovered: Count::default(),
            stored: Count::default(),
            duplicate: Count::default(),
            late: Count::default(),
            filtered: Count::default(),
            quarantined: Count::default(),
            dropped: CountsBy::default(),
            violations: Count::default(),
            cut: CountsBy::default(),
            drifted: Count::default(),
            audit_checked: Count::default(),
            audit_missing: Count::default(),
            fill_rows: Count::default(),
            fills: CountsBy::default(),
            silent: Flag::default(),
            last_event_at: Moment::default(),
            in_memory: Held::default(),
            spooled: Held::default(),
            next_ordinal: Number::default(),
        }
    }

    /// Returns the count of fills that ended so.
    #[must_use]
    pub fn fills(&self, status: FillStatus) -> &Count {
        self.fills.of(status)
    }

    /// Copies the counts consistently: they grow while being read, but every outcome in the copy belongs to an arrival
    /// in the copy.
    #[must_use]
    pub fn reading(&self) -> ChannelObservation {
        let reading = self.clone();
        fence(Ordering::Acquire); // an event arrives before it ends: arrivals are read last
        reading.received.refresh(&self.received);
        reading.recovered.refresh(&self.recovered);
        reading
    }

    /// Counts an event that was read into memory. Returns its ordinal: the number of earlier events of the channel,
    /// across all connections.
    pub fn receive(&self) -> u64 {
        self.in_memory.entered.add(1);
        self.received.add(1);
        self.next_ordinal.add(1)
    }

    /// Returns the ordinal of the next event.
    #[must_use]
    pub fn next_ordinal(&self) -> u64 {
        self.next_ordinal.get()
    }

    /// Counts an event that was read and is outside the targets.
    pub fn filter(&self) {
        self.received.add(1);
        self.filtered.add(1);
    }

    /// Counts events found in the disk queue at startup. New events get ordinals above `last_ordinal`.
    pub fn recover(&self, events: u64, last_ordinal: u64) {
        self.spooled.entered.add(events);
        self.recovered.add(events);
        self.next_ordinal.raise_to(last_ordinal.saturating_add(1));
    }

    /// Counts an event that another instance's disk queue had. Returns its ordinal.
    pub fn adopt(&self) -> u64 {
        self.in_memory.entered.add(1);
        self.recovered.add(1);
        self.next_ordinal.add(1)
    }

    /// Counts events that moved from memory to disk.
    pub fn spool(&self, events: u64) {
        self.spooled.entered.add(events);
        self.in_memory.left.add(events);
    }

    /// Counts events at `from` that reached an outcome.
    pub fn end(&self, from: Place, outcome: Outcome, events: u64) {
        self.held(from).left.add(events);
        self.ended_as(outcome).add(events);
    }

    fn held(&self, place: Place) -> &Held {
        match place {
            Place::Memory => &self.in_memory,
            Place::Disk => &self.spooled,
        }
    }

    fn ended_as(&self, outcome: Outcome) -> &Count {
        match outcome {
            Outcome::Stored => &self.stored,
            Outcome::Duplicate => &self.duplicate,
            Outcome::Quarantined => &self.quarantined,
            Outcome::Dropped(reason) => self.dropped(reason),
        }
    }

    /// Returns the count of events dropped for `reason`.
    #[must_use]
    pub fn dropped(&self, reason: DropReason) -> &Count {
        self.dropped.of(reason)
    }

    /// Returns the count of what events did not get.
    #[must_use]
    pub fn cut(&self, what: Cut) -> &Count {
        self.cut.of(what)
    }

    /// Returns the number of events dropped for any reason.
    #[must_use]
    pub fn dropped_in_all(&self) -> u64 {
        self.dropped.sum()
    }

    /// Returns the number of events that arrived.
    #[must_use]
    pub fn came(&self) -> u64 {
        self.received.get() + self.recovered.get()
    }

    /// Returns the number of events with any outcome.
    #[must_use]
    pub fn ended(&self) -> u64 {
        let counts = [&self.stored, &self.duplicate, &self.filtered, &self.quarantined];
        counts.into_iter().map(Count::get).sum::<u64>() + self.dropped_in_all()
    }

    /// Returns the number of events without an outcome.
    #[must_use]
    pub fn pending(&self) -> u64 {
        let ended = self.ended();
        self.came().saturating_sub(ended)
    }

    /// Returns the terms of the equation, by name: arrivals, outcomes and pending events.
    #[must_use]
    pub fn books(&self) -> [(&'static str, u64); 8] {
        [
            ("received", self.received.get()),
            ("recovered", self.recovered.get()),
            ("stored", self.stored.get()),
            ("duplicate", self.duplicate.get()),
            ("filtered", self.filtered.get()),
            ("quarantined", self.quarantined.get()),
            ("dropped", self.dropped_in_all()),
            ("pending", self.pending()),
        ]
    }

    /// Returns whether the equation holds, as far as is known; to be called on a
    /// [`reading`](ChannelObservation::reading).
    #[must_use]
    pub fn is_conserved(&self) -> bool {
        self.ended() <= self.came() && self.violations.get() == 0
    }

    /// Returns the number of events in a place, as counted there.
    #[must_use]
    pub fn held_in(&self, place: Place) -> u64 {
        self.held(place).now()
    }

    /// Compares arrivals with outcomes and held events. Exact only on the thread that counts events: elsewhere an event
    /// may be seen between two of its counts.
    #[must_use]
    pub fn audit(&self) -> Option<Violation> {
        let (came, accounted) = (self.came(), self.ended() + self.in_memory.now() + self.spooled.now());
        (came != accounted).then(|| Violation { channel: self.channel.clone(), came, accounted })
    }
}

impl Violation {
    /// Returns the number of unaccounted events, modulo 2^64: two violations of a channel are the same if it is equal.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.came.wrapping_sub(self.accounted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel() -> ChannelObservation {
        ChannelObservation::new(Channel::parse("price").unwrap())
    }

    #[test]
    fn every_way_of_an_event_keeps_the_books_balanced() {
        let channel = channel();
        for _ in 0..7 {
            channel.receive();
        }
        channel.filter();
        channel.recover(3, 100);
        assert_eq!(
            (channel.pending(), channel.held_in(Place::Memory), channel.held_in(Place::Disk)),
            (10, 7, 3)
        );
        channel.spool(5);
        channel.end(Place::Memory, Outcome::Duplicate, 1);
        channel.end(Place::Memory, Outcome::Dropped(DropReason::Crash), 1);
        channel.end(Place::Disk, Outcome::Stored, 2);
        channel.end(Place::Disk, Outcome::Quarantined, 1);
        channel.end(Place::Disk, Outcome::Dropped(DropReason::SpoolFull), 1);
        assert_eq!((channel.came(), channel.ended(), channel.pending()), (11, 7, 4));
        assert_eq!((channel.held_in(Place::Memory), channel.held_in(Place::Disk)), (0, 4));
        assert_eq!(channel.audit(), None);
    }

    #[test]
    fn an_event_that_ends_twice_or_never_is_a_violation() {
        let channel = channel();
        channel.receive();
        channel.stored.add(1);
        let twice = Violation { channel: Channel::parse("price").unwrap(), came: 1, accounted: 2 };
        assert_eq!(channel.audit(), Some(twice));
        channel.in_memory.left.add(1);
        assert_eq!(channel.audit(), None);
        channel.receive();
        channel.in_memory.left.add(1);
        assert_eq!(channel.audit().map(|lost| lost.missing()), Some(1));
    }

    #[test]
    fn an_event_that_leaves_a_place_where_it_was_not_is_a_violation() {
        let (ended, spooled) = (channel(), channel());
        ended.receive();
        ended.end(Place::Disk, Outcome::Stored, 1);
        assert_eq!(ended.audit().map(|violation| (violation.came, violation.accounted)), Some((1, 2)));
        spooled.spool(1);
        assert_eq!(spooled.audit().map(|violation| (violation.came, violation.accounted)), Some((0, 1)));
    }

    #[test]
    fn ordinals_rise_over_what_was_recovered() {
        let channel = channel();
        assert_eq!((channel.receive(), channel.receive()), (0, 1));
        channel.recover(2, 40);
        assert_eq!(channel.receive(), 41);
        channel.recover(1, 7);
        assert_eq!(channel.receive(), 42);
    }
}
