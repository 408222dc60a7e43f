//! The coverage of one connection: received and missing topics.
//!
//! Has no clock: all times are passed in, as Unix microseconds. Topics missing since the same moment for the same
//! reason form one outage, and an outage of a family becomes **one** gap that lists its topics:
//!
//! * when all of them are back, or
//! * [`STRAGGLERS`] after the first of them is back, or when a join is overdue. The gap then includes the topics still
//!   missing, up to its end; from there they continue as [`GapReason::Unjoined`], in a gap of their own; or
//! * immediately when the session ends or is no longer read: the gap so far is recorded first, so that the next one does
//!   not lie within it.
//!
//! Every moment in which a previously received topic was not received is in exactly one gap. A gap may over-report, by
//! up to [`STRAGGLERS`] for a topic that was back before its siblings: fetching something twice does less harm than
//! missing it. A topic that was never received has no gap before its first session, unless a crashed process may have
//! begun to receive it.

use uw_websocket_core::event::Family;

use super::gap::{Gap, GapReason, OpenGap};

/// Time for which a gap waits for the last of its topics, in microseconds: the time limit for acknowledging a join.
pub const STRAGGLERS: u64 = 30_000_000;

/// The coverage of the topics of a connection.
#[derive(Debug)]
pub struct Coverage {
    topics: Vec<Covered>,
    session_since: Option<u64>,
    /// Outages of which only some topics are back.
    ending: Vec<Ending>,
    closed: Vec<Gap>,
}

/// A topic and its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Covered {
    /// For example `price:SPY`.
    pub topic: String,
    /// The family of the topic.
    pub family: Family,
    /// Its state.
    pub reach: Reach,
}

/// Whether a topic is received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Never received: what was missed before the first time is unknown.
    New,
    /// Received.
    Receiving,
    /// Not received.
    Missing(Outage),
}

/// The beginning and the cause of an outage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outage {
    /// The last moment before the outage.
    pub since: u64,
    /// The cause.
    pub reason: GapReason,
    /// More, for people.
    pub detail: String,
}

/// An outage of which the first topics are back.
#[derive(Debug)]
struct Ending {
    family: Family,
    outage: Outage,
    /// The topics that are back.
    topics: Vec<String>,
    /// Time at which the last of them was back.
    to: u64,
    /// Time at which the first of them was back.
    begun_at: u64,
}

impl Outage {
    /// Returns whether both are the same outage; their details may differ.
    fn is(&self, other: &Outage) -> bool {
        (self.since, self.reason) == (other.since, other.reason)
    }
}

impl Coverage {
    /// Creates the coverage of a connection that has not started yet.
    #[must_use]
    pub fn new(topics: Vec<Covered>) -> Coverage {
        Coverage { topics, session_since: None, ending: Vec::new(), closed: Vec::new() }
    }

    /// Notes that a session was opened.
    pub fn opened(&mut self, at: u64) {
        self.session_since = Some(at);
    }

    /// Notes that the join of a topic was acknowledged.
    pub fn joined(&mut self, topic: &str, at: u64) {
        // a topic that is back too late for the others must not extend their gap
        self.tick(at);
        let Some(covered) = self.topics.iter_mut().find(|covered| covered.topic == topic) else { return };
        let family = covered.family;
        if let Reach::Missing(outage) = std::mem::replace(&mut covered.reach, Reach::Receiving) {
            self.came_back(family, &outage, topic.to_owned(), at);
        }
    }

    /// Notes that the join of a topic was not acknowledged in time; `why` is for people.
    pub fn overdue(&mut self, topic: &str, why: &str) {
        let Some(since) = self.session_since else { return };
        let Some(covered) = self.topics.iter_mut().find(|covered| covered.topic == topic) else { return };
        match covered.reach.clone() {
            Reach::New => covered.reach = Reach::Missing(unjoined(since, why)),
            Reach::Missing(outage) if outage.reason != GapReason::Unjoined => {
                let family = covered.family;
                let begun = self.ending.iter().find(|e| e.family == family && e.outage.is(&outage));
                let to = begun.map_or(since, |ending| ending.to).max(outage.since);
                self.conclude(family, &outage, to, &Reach::Missing(unjoined(to, why)));
            }
            Reach::Receiving | Reach::Missing(_) => {}
        }
    }

    /// Notes that the session, or its actor, ended at `now`; nothing was received after `since`. Without a session the
    /// open outages continue.
    pub fn lost(&mut self, since: u64, now: u64, reason: GapReason, detail: &str) {
        self.session_since = None;
        let missing = |since| Reach::Missing(Outage { since, reason, detail: detail.to_owned() });
        // the blocked interval ends here, and the disconnected one begins
        self.end_blocked(now, &missing(now));
        self.write_all();
        for covered in self.topics.iter_mut().filter(|covered| covered.reach == Reach::Receiving) {
            covered.reach = missing(since);
        }
    }

    /// Notes that the socket has not been read since `since`.
    pub fn blocked(&mut self, since: u64) {
        self.write_all();
        for covered in self.topics.iter_mut().filter(|covered| covered.reach == Reach::Receiving) {
            let detail = "no room in the inbox of a shard".to_owned();
            covered.reach = Reach::Missing(Outage { since, reason: GapReason::Blocked, detail });
        }
    }

    /// Notes that the socket is read again.
    pub fn resumed(&mut self, at: u64) {
        self.end_blocked(at, &Reach::Receiving);
    }

    /// Closes the outages that have waited long enough for their last topics.
    pub fn tick(&mut self, now: u64) {
        // a clock that was set back counts as a long wait, not a negative one
        let is_due = |ending: &Ending| now.abs_diff(ending.begun_at) >= STRAGGLERS;
        while let Some(position) = self.ending.iter().position(is_due) {
            let Ending { family, ref outage, to, .. } = self.ending[position];
            let outage = outage.clone();
            if outage.reason == GapReason::Unjoined {
                // the topics still missing already have a gap of their own
                self.write(position);
            } else {
                let next = Reach::Missing(unjoined(to, "no answer to the join"));
                self.conclude(family, &outage, to, &next);
            }
        }
    }

    /// Takes the gaps closed since the last call.
    pub fn take_closed(&mut self) -> Vec<Gap> {
        std::mem::take(&mut self.closed)
    }

    /// Returns the topics with their states.
    #[must_use]
    pub fn topics(&self) -> &[Covered] {
        &self.topics
    }

    /// Returns the gaps waiting for the last of their topics, as they would be if closed now.
    pub fn ending(&self) -> impl Iterator<Item = Gap> + '_ {
        self.ending.iter().map(Ending::gap)
    }

    /// Notes that a topic of an outage is back; if it was the last one, closes the gap.
    fn came_back(&mut self, family: Family, outage: &Outage, topic: String, at: u64) {
        let position = self.ending_of(family, outage, at);
        let ending = &mut self.ending[position];
        ending.topics.push(topic);
        ending.to = ending.to.max(at);
        if !self.topics.iter().any(|covered| covered.misses(family, outage)) {
            self.write(position);
        }
    }

    /// Closes an outage at `to` for all its topics; those not back continue as `next`.
    fn conclude(&mut self, family: Family, outage: &Outage, to: u64, next: &Reach) {
        let position = self.ending_of(family, outage, to);
        for covered in self.topics.iter_mut().filter(|covered| covered.misses(family, outage)) {
            covered.reach = next.clone();
            self.ending[position].topics.push(covered.topic.clone());
        }
        self.write(position);
    }

    fn end_blocked(&mut self, at: u64, next: &Reach) {
        let blocked = |topics: &[Covered]| {
            topics.iter().find_map(|covered| match &covered.reach {
                Reach::Missing(outage) if outage.reason == GapReason::Blocked => {
                    Some((covered.family, outage.clone()))
                }
                _ => None,
            })
        };
        while let Some((family, outage)) = blocked(&self.topics) {
            self.conclude(family, &outage, at, next);
        }
    }

    /// Returns the position of an outage among the ending ones; it begins to end at `at` if it has not yet.
    fn ending_of(&mut self, family: Family, outage: &Outage, at: u64) -> usize {
        let begun = self.ending.iter().position(|ending| ending.family == family && ending.outage.is(outage));
        begun.unwrap_or_else(|| {
            let (outage, topics) = (outage.clone(), Vec::new());
            self.ending.push(Ending { family, outage, topics, to: at, begun_at: at });
            self.ending.len() - 1
        })
    }

    fn write(&mut self, position: usize) {
        let ending = self.ending.remove(position);
        self.closed.push(ending.gap());
    }

    /// Closes the gaps of topics that go missing again, without the topics still missing.
    fn write_all(&mut self) {
        self.closed.extend(self.ending.drain(..).map(|ending| ending.gap()));
    }
}

impl Covered {
    fn misses(&self, family: Family, outage: &Outage) -> bool {
        self.family == family && matches!(&self.reach, Reach::Missing(own) if own.is(outage))
    }
}

impl Ending {
    fn gap(&self) -> Gap {
        let mut topics = self.topics.clone();
        topics.sort();
        let between = (self.outage.since, self.to);
        Gap::new(self.family, topics, between, self.outage.reason).with_detail(&self.outage.detail)
    }
}

/// Converts the outages of these topics to open gaps.
#[must_use]
pub fn open_gaps<'c>(topics: impl IntoIterator<Item = &'c Covered>) -> Vec<OpenGap> {
    let mut open: Vec<OpenGap> = Vec::new();
    for Covered { topic, family, reach } in topics {
        let Reach::Missing(Outage { since, reason, detail }) = reach else { continue };
        let is_same =
            |gap: &&mut OpenGap| (gap.family, gap.from_us, gap.reason) == (*family, *since, *reason);
        match open.iter_mut().find(is_same) {
            Some(gap) => gap.channels.push(topic.clone()),
            None => open.push(OpenGap {
                family: *family,
                channels: vec![topic.clone()],
                from_us: *since,
                reason: *reason,
                detail: detail.clone(),
            }),
        }
    }
    open
}

fn unjoined(since: u64, why: &str) -> Outage {
    Outage { since, reason: GapReason::Unjoined, detail: why.to_owned() }
}

#[cfg(test)]
mod tests;
