//! A client's connection: its topics, unwritten frames, and misbehaviours.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use tokio::sync::Notify;

use crate::frames::{self, Opcode};
use crate::misbehaviour::{Alteration, MisbehaviourKind, OddFrame};
use crate::odd;

/// Whether a session takes another event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// It takes the event.
    Yes,
    /// It drops the event, on request.
    Drops,
    /// Not until the client reads.
    Full,
    /// Never again, or not while its misbehaviour lasts.
    Gone,
}

/// How a session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// After writing what is unwritten.
    Flush,
    /// At once with a TCP reset.
    Reset,
}

/// A client's connection.
#[derive(Debug)]
pub(super) struct Session {
    /// Number of its handshake, from 1.
    pub(super) number: u64,
    /// Unwritten frames.
    outbox: RefCell<Vec<u8>>,
    topics: RefCell<Vec<String>>,
    kinds: RefCell<Vec<MisbehaviourKind>>,
    /// Whether `kinds` is not empty; spares every event a borrow.
    misbehaves: Cell<bool>,
    /// Whether it was opened on the documentation's path, where it answers only pings.
    is_on_docs_path: bool,
    events: Cell<u64>,
    /// Value of `events` when `kinds` was set: faults due after a number of events count from there.
    events_before: Cell<u64>,
    dropped: Cell<u64>,
    withheld: Cell<u64>,
    odd_frames: Cell<u64>,
    pongs: Cell<u64>,
    /// Whether an announced frame was begun, which never ends.
    muted: Cell<bool>,
    ending: Cell<Option<Ending>>,
    outgoing: Notify,
    changed: Notify,
}

/// Counts of a session.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SessionCounts {
    pub(super) frames: u64,
    pub(super) dropped: u64,
    pub(super) withheld: u64,
    pub(super) odd_frames: u64,
    pub(super) pongs: u64,
}

impl Session {
    pub(super) fn new(number: u64, is_on_docs_path: bool, kinds: Vec<MisbehaviourKind>) -> Session {
        let session = Session {
            number,
            outbox: RefCell::default(),
            topics: RefCell::default(),
            kinds: RefCell::default(),
            misbehaves: Cell::new(false),
            is_on_docs_path,
            events: Cell::new(0),
            events_before: Cell::new(0),
            dropped: Cell::new(0),
            withheld: Cell::new(0),
            odd_frames: Cell::new(0),
            pongs: Cell::new(0),
            muted: Cell::new(false),
            ending: Cell::new(None),
            outgoing: Notify::new(),
            changed: Notify::new(),
        };
        session.misbehave(kinds);
        session
    }

    /// Sets its misbehaviours.
    pub(super) fn misbehave(&self, kinds: Vec<MisbehaviourKind>) {
        if *self.kinds.borrow() == kinds {
            return;
        }
        self.events_before.set(self.events.get());
        self.misbehaves.set(!kinds.is_empty());
        self.kinds.replace(kinds);
        self.changed.notify_waiters();
        self.apply_due(b"[\"", b"");
    }

    /// Events since its misbehaviours were set.
    fn events_since(&self) -> u64 {
        self.events.get() - self.events_before.get()
    }

    /// Returns the first answer of `choose` over its misbehaviours.
    pub(super) fn find<T>(&self, choose: impl FnMut(&MisbehaviourKind) -> Option<T>) -> Option<T> {
        self.kinds.borrow().iter().find_map(choose)
    }

    fn has(&self, is: impl Fn(&MisbehaviourKind) -> bool) -> bool {
        self.misbehaves.get() && self.kinds.borrow().iter().any(is)
    }

    /// Whether it answers only pings.
    pub(super) fn is_silent(&self) -> bool {
        self.is_on_docs_path || self.has(|kind| matches!(kind, MisbehaviourKind::Silent))
    }

    pub(super) fn answers_pings(&self) -> bool {
        !self.has(|kind| matches!(kind, MisbehaviourKind::NoPong))
    }

    /// Whether it neither reads nor writes.
    pub(super) fn is_frozen(&self) -> bool {
        self.has(|kind| matches!(kind, MisbehaviourKind::Freeze(after) if self.events_since() >= *after))
    }

    pub(super) fn counts(&self) -> SessionCounts {
        SessionCounts {
            frames: self.events.get(),
            dropped: self.dropped.get(),
            withheld: self.withheld.get(),
            odd_frames: self.odd_frames.get(),
            pongs: self.pongs.get(),
        }
    }

    pub(super) fn count_pong(&self) {
        self.pongs.set(self.pongs.get() + 1);
    }

    pub(super) fn topics(&self) -> Vec<String> {
        self.topics.borrow().clone()
    }

    pub(super) fn has_joined(&self, topic: &str) -> bool {
        self.topics.borrow().iter().any(|joined| joined == topic)
    }

    pub(super) fn join(&self, topic: &str) {
        if !self.has_joined(topic) {
            self.topics.borrow_mut().push(topic.to_owned());
        }
    }

    pub(super) fn leave(&self, topic: &str) {
        self.topics.borrow_mut().retain(|joined| joined != topic);
    }

    /// Tells whether it takes an event while fewer than `limit` bytes are unwritten.
    #[inline]
    pub(super) fn room(&self, limit: usize) -> Room {
        let unwritten = self.outbox.borrow().len();
        if self.ending.get().is_some() || self.muted.get() {
            return Room::Gone;
        }
        if self.misbehaves.get() {
            if self.is_silent() || self.is_frozen() {
                return Room::Gone;
            }
            let drops = self.find(|kind| match kind {
                MisbehaviourKind::DropWhenSlow(bytes) => Some(*bytes),
                _ => None,
            });
            if let Some(bytes) = drops {
                return if unwritten < bytes { Room::Yes } else { Room::Drops };
            }
        }
        if unwritten < limit { Room::Yes } else { Room::Full }
    }

    /// Appends an event, between `prefix` (`["topic",`) and a bracket.
    #[inline]
    pub(super) fn deliver(&self, prefix: &[u8], payload: &[u8]) {
        if self.misbehaves.get() {
            self.deliver_misbehaving(prefix, payload);
            return;
        }
        let mut outbox = self.outbox.borrow_mut();
        if outbox.is_empty() {
            self.outgoing.notify_one();
        }
        frames::put_event(&mut outbox, prefix, payload);
        self.events.set(self.events.get() + 1);
    }

    /// Counts an event dropped on request.
    pub(super) fn drop_event(&self) {
        self.dropped.set(self.dropped.get() + 1);
    }

    fn deliver_misbehaving(&self, prefix: &[u8], payload: &[u8]) {
        if self.withholds(prefix) {
            self.withheld.set(self.withheld.get() + 1);
            return;
        }
        let number = self.events_since() + 1;
        let pings = self.find(|kind| match kind {
            MisbehaviourKind::Alter(Alteration::Fragments, every) if number.is_multiple_of(*every) => {
                Some(false)
            }
            MisbehaviourKind::Alter(Alteration::FragmentsWithPings, every)
                if number.is_multiple_of(*every) =>
            {
                Some(true)
            }
            _ => None,
        });
        match pings {
            Some(pings) => {
                let message = [prefix, payload, b"]"].concat();
                self.write(|out| frames::put_fragments(out, &message, pings));
            }
            None => self.write(|out| frames::put_event(out, prefix, payload)),
        }
        self.events.set(self.events.get() + 1);
        self.apply_due(prefix, payload);
    }

    /// Whether the next event, which begins with `prefix`, is one that it never sends.
    fn withholds(&self, prefix: &[u8]) -> bool {
        let number = self.events.get() + self.withheld.get() + 1;
        let is_of = |channel: &str| {
            let rest = prefix.strip_prefix(b"[\"").and_then(|rest| rest.strip_prefix(channel.as_bytes()));
            rest.is_some_and(|rest| matches!(rest.first(), Some(b':' | b'"')))
        };
        self.has(|kind| match kind {
            MisbehaviourKind::Withhold { every, channel } => {
                number.is_multiple_of(*every) && channel.as_deref().is_none_or(is_of)
            }
            _ => false,
        })
    }

    /// Applies the faults that are due after this number of events.
    fn apply_due(&self, prefix: &[u8], payload: &[u8]) {
        let events = self.events_since();
        for kind in self.kinds.borrow().iter() {
            match kind {
                MisbehaviourKind::Odd(odd, every) if events > 0 && events.is_multiple_of(*every) => {
                    self.send_odd(*odd);
                }
                MisbehaviourKind::Close { code, after } if events == *after => self.close(*code),
                MisbehaviourKind::Oversized { bytes, after } if events == *after => {
                    self.announce(*bytes, prefix);
                }
                MisbehaviourKind::Cut(after) if events == *after => self.cut(prefix, payload),
                _ => {}
            }
        }
    }

    /// Appends a frame that is not an event.
    pub(super) fn send_odd(&self, odd: OddFrame) {
        let number = self.odd_frames.get() + 1;
        self.odd_frames.set(number);
        let topics = self.topics.borrow();
        let topic = topics.first().map_or("option_trades", String::as_str);
        self.write(|out| odd::put(out, odd, topic, number));
    }

    /// Announces a frame that never ends.
    fn announce(&self, bytes: u64, start: &[u8]) {
        self.write(|out| frames::put_announced(out, bytes, start));
        self.muted.set(true);
    }

    /// Ends the connection after half a frame.
    fn cut(&self, prefix: &[u8], payload: &[u8]) {
        self.write(|out| {
            let mut frame = Vec::new();
            frames::put_event(&mut frame, prefix, payload);
            out.extend_from_slice(frame.get(..frame.len() / 2).unwrap_or_default());
        });
        self.end(Ending::Flush);
    }

    /// Ends the connection with a close frame.
    pub(super) fn close(&self, code: u16) {
        self.write(|out| frames::put_close(out, code, ""));
        self.end(Ending::Flush);
    }

    /// Appends a whole frame.
    pub(super) fn send(&self, opcode: Opcode, payload: &[u8]) {
        self.write(|out| frames::put_frame(out, opcode, payload));
    }

    fn write(&self, put: impl FnOnce(&mut Vec<u8>)) {
        if self.ending.get().is_none() && !self.muted.get() && !self.is_frozen() {
            put(&mut self.outbox.borrow_mut());
            self.outgoing.notify_one();
        }
    }

    /// Starts closing.
    pub(super) fn end(&self, ending: Ending) {
        if self.ending.get() != Some(Ending::Reset) {
            self.ending.set(Some(ending));
        }
        self.outgoing.notify_one();
        self.changed.notify_waiters();
    }

    pub(super) fn ending(&self) -> Option<Ending> {
        self.ending.get()
    }

    /// Waits until the session starts to close.
    pub(super) async fn ends(self: &Rc<Session>) -> Ending {
        loop {
            if let Some(ending) = self.ending.get() {
                return ending;
            }
            self.changed.notified().await;
        }
    }

    /// Waits until it is reset.
    pub(super) async fn is_reset(self: &Rc<Session>) {
        while self.ending.get() != Some(Ending::Reset) {
            self.changed.notified().await;
        }
    }

    /// Waits until its misbehaviours change or it starts to close.
    pub(super) async fn changes(&self) {
        self.changed.notified().await;
    }

    /// Waits while it is frozen.
    pub(super) async fn thaws(self: &Rc<Session>) {
        while self.is_frozen() {
            self.changed.notified().await;
        }
    }

    /// Waits for frames and swaps them with the empty `written`, which stays empty when the session has ended.
    pub(super) async fn take_outgoing(self: &Rc<Session>, written: &mut Vec<u8>) {
        while self.outbox.borrow().is_empty() && self.ending.get().is_none() {
            self.outgoing.notified().await;
        }
        std::mem::swap(&mut *self.outbox.borrow_mut(), written);
    }
}
