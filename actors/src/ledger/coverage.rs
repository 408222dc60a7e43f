//! What one connection receives and what it misses, topic by topic.
//!
//! Knows no clock: all times are handed in, as Unix microseconds. What is missing since the same moment for the same
//! reason is one outage, and an outage of a family becomes **one** gap that names its topics:
//!
//! * when all of them are back, or
//! * [`STRAGGLERS`] after the first of them was, or when a join is overdue. Then those that are still missing are in it
//!   too, up to its end, and go on from there as [`GapReason::Unjoined`], in an interval of their own; or
//! * at once when the session ends or is not read any more: what was missed up to here is on record before more is, so
//!   that a gap of what is missed next does not lie within this one.
//!
//! Every moment in which a topic that had been received was not is in one gap. A gap may say a little more, up to
//! [`STRAGGLERS`] for a topic that was back before its siblings: to fetch something twice does less harm than to miss
//! it. A topic that was never received has no gap before its first session, unless a process died that may have begun to
//! receive it.

use uw_websocket_core::event::Family;

use super::gap::{Gap, GapReason, OpenGap};

/// How long a gap waits for the last of its topics, in microseconds: as long as a join may take to be acknowledged.
pub const STRAGGLERS: u64 = 30_000_000;

/// The reach of the topics of a connection.
#[derive(Debug)]
pub struct Coverage {
    topics: Vec<Covered>,
    session_since: Option<u64>,
    /// Outages of which some topics are back.
    ending: Vec<Ending>,
    closed: Vec<Gap>,
}

/// A topic and how it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Covered {
    /// Such as `price:SPY`.
    pub topic: String,
    /// The family that it belongs to.
    pub family: Family,
    /// How it is.
    pub reach: Reach,
}

/// Whether a topic reaches us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It never has: nobody knows what is missing before the first time.
    New,
    /// It does.
    Receiving,
    /// It does not.
    Missing(Outage),
}

/// Since when and why something is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outage {
    /// The last moment before.
    pub since: u64,
    /// Why.
    pub reason: GapReason,
    /// More, for people.
    pub detail: String,
}

/// An outage that has begun to end.
#[derive(Debug)]
struct Ending {
    family: Family,
    outage: Outage,
    /// Those that are back.
    topics: Vec<String>,
    /// When the last of them was.
    to: u64,
    /// When the first of them was.
    begun_at: u64,
}

impl Outage {
    /// Whether both are the same outage; what they say of it may differ.
    fn is(&self, other: &Outage) -> bool {
        (self.since, self.reason) == (other.since, other.reason)
    }
}

impl Coverage {
    /// The topics of a connection as they are before it has done anything.
    #[must_use]
    pub fn new(topics: Vec<Covered>) -> Coverage {
        Coverage { topics, session_since: None, ending: Vec::new(), closed: Vec::new() }
    }

    /// A session was opened.
    pub fn opened(&mut self, at: u64) {
        self.session_since = Some(at);
    }

    /// The join of a topic was acknowledged.
    pub fn joined(&mut self, topic: &str, at: u64) {
        // one that comes too late for the others is not to prolong their gap
        self.tick(at);
        let Some(covered) = self.topics.iter_mut().find(|covered| covered.topic == topic) else { return };
        let family = covered.family;
        if let Reach::Missing(outage) = std::mem::replace(&mut covered.reach, Reach::Receiving) {
            self.came_back(family, &outage, topic.to_owned(), at);
        }
    }

    /// The join of a topic was not acknowledged in time; `why` is for people.
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

    /// The session, or the actor that had it, ended at `now`; nothing came after `since`. Without a session before, what
    /// is missing goes on missing.
    pub fn lost(&mut self, since: u64, now: u64, reason: GapReason, detail: &str) {
        self.session_since = None;
        let missing = |since| Reach::Missing(Outage { since, reason, detail: detail.to_owned() });
        // what was not read ends here, and not to be connected begins
        self.end_blocked(now, &missing(now));
        self.write_all();
        for covered in self.topics.iter_mut().filter(|covered| covered.reach == Reach::Receiving) {
            covered.reach = missing(since);
        }
    }

    /// The socket has not been read since `since`.
    pub fn blocked(&mut self, since: u64) {
        self.write_all();
        for covered in self.topics.iter_mut().filter(|covered| covered.reach == Reach::Receiving) {
            let detail = "no room in the inbox of a shard".to_owned();
            covered.reach = Reach::Missing(Outage { since, reason: GapReason::Blocked, detail });
        }
    }

    /// The socket is read again.
    pub fn resumed(&mut self, at: u64) {
        self.end_blocked(at, &Reach::Receiving);
    }

    /// Ends the outages that have waited for their last topics for long enough.
    pub fn tick(&mut self, now: u64) {
        // a clock that was set back counts as a long wait, not as a negative one
        let is_due = |ending: &Ending| now.abs_diff(ending.begun_at) >= STRAGGLERS;
        while let Some(position) = self.ending.iter().position(is_due) {
            let Ending { family, ref outage, to, .. } = self.ending[position];
            let outage = outage.clone();
            if outage.reason == GapReason::Unjoined {
                // those that are still missing have an interval of their own already
                self.write(position);
            } else {
                let next = Reach::Missing(unjoined(to, "no answer to the join"));
                self.conclude(family, &outage, to, &next);
            }
        }
    }

    /// The gaps that have ended since the last call.
    pub fn take_closed(&mut self) -> Vec<Gap> {
        std::mem::take(&mut self.closed)
    }

    /// The topics as they are.
    #[must_use]
    pub fn topics(&self) -> &[Covered] {
        &self.topics
    }

    /// The gaps that wait for the last of their topics, as they would be if they did not.
    pub fn ending(&self) -> impl Iterator<Item = Gap> + '_ {
        self.ending.iter().map(Ending::gap)
    }

    /// A topic of an outage is back; the gap is complete when it was the last one.
    fn came_back(&mut self, family: Family, outage: &Outage, topic: String, at: u64) {
        let position = self.ending_of(family, outage, at);
        let ending = &mut self.ending[position];
        ending.topics.push(topic);
        ending.to = ending.to.max(at);
        if !self.topics.iter().any(|covered| covered.misses(family, outage)) {
            self.write(position);
        }
    }

    /// Ends an outage at `to` for all its topics, of which those that are not back go on as `next`.
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

    /// The position of the end of an outage, which begins at `at` if it has not begun.
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

    /// What is back goes missing again: its gaps end before, without those that are still missing.
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

/// The outages of these topics as gaps that are open.
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
