//! What is asked and answered, and what follows.

use super::blind::Blind;
use super::evidence::{NoEvidence, Rows};
use super::kept::KeptIdentities;
use super::screen::{Screen, Sums};
use super::series::Points;

/// What to ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EvidenceWanted {
    /// The sums of a ticker's trades.
    Sums,
    /// The rows from one time to before another, in Unix microseconds.
    Rows {
        /// The first instant.
        from_us: u64,
        /// The first instant after the last.
        to_us: u64,
    },
    /// The rows of the minutes of the day that holds this hour.
    Minutes {
        /// The start of the hour, Unix microseconds.
        hour_us: u64,
    },
    /// The newest state.
    Newest,
}

/// A question to REST.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditQuestion {
    /// The position of the subject.
    pub position: usize,
    /// What to ask for.
    pub asked: EvidenceWanted,
    pub(super) due_us: u64,
    pub(super) redrawn: u32,
    /// What the first answer had and we had not.
    pub(super) suspected: Option<Rows>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditAnswer {
    /// Sums by minute.
    Sums(Sums),
    /// All rows of the interval.
    Rows(Rows),
    /// Rows by minute.
    Minutes(Points),
    /// The time of the newest state, in Unix microseconds.
    Newest(u64),
    /// None now: no budget, or no connection.
    Later,
    /// One that proves nothing.
    Nothing(NoEvidence),
}

/// The result of an hour.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HourReport {
    /// The start of the hour, Unix microseconds.
    pub hour_us: u64,
    /// Rows of REST that were compared.
    pub checked: u64,
    /// Those of them that we have.
    pub agreed: u64,
    /// Those that two answers have and we have not.
    pub missing: u64,
    /// Events that we have and REST has not.
    pub extra: u64,
    /// Exposures of equal time and other values.
    pub differing: u64,
    /// Minutes of the hour that were not judged.
    pub skipped: u64,
    /// Intervals without evidence.
    pub unproven: u64,
}

/// Events that the feed has not delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unseen {
    /// The position of the subject.
    pub position: usize,
    /// The times of the first and the last of them, in Unix microseconds.
    pub between: (u64, u64),
    /// Their number; of prices and exposures the rows of REST that no event stands for.
    pub events: u64,
}

/// What follows from an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A loss.
    Unseen(Unseen),
    /// The end of an hour of the subject at this position.
    Report(usize, HourReport),
    /// A comparison of the subject at this position is trusted from now on.
    Calibrated(usize, Screen),
    /// It is given up.
    NotComparable(usize, Screen),
}

/// What is known of the events.
#[derive(Clone, Copy, Debug)]
pub struct ReceivedEvents<'a> {
    /// What has arrived.
    pub kept: &'a KeptIdentities,
    /// By subject: what is not judged.
    pub blind: &'a [Blind],
    /// The present in Unix microseconds.
    pub now_us: u64,
}
