//! Everything that is in Redis against everything that was sent and everything that the service said.

use std::collections::{BTreeMap, BTreeSet};

use super::ledger::{self, Gap};
use super::lives::Past;
use super::run::FOREIGN;
use super::summary::Totals;
use super::traffic::{CONNECTIONS, Frame, TARGETS, payload_of};
use super::verdict::{Verdict, judge, judge_family};
use super::watch::Seen;
use crate::support::RedisServer;
use crate::support::oracle::{entries, streams_of};

struct Comparison<'r> {
    redis: &'r RedisServer,
    gaps: Vec<Gap>,
    offsets: &'r [i64],
    past: &'r Past,
    seen: &'r Seen,
}

/// Places of frames that are not in their streams.
#[derive(Default)]
struct Missing {
    unread: BTreeSet<u64>,
    excused: BTreeSet<u64>,
}

/// Compares; the error is the first promise that was broken. The service's clock may have been off by one of `offsets`, in
/// seconds.
pub(crate) fn compare(
    offsets: &[i64],
    redis: &RedisServer,
    journals: &[Vec<Frame>],
    past: &Past,
    seen: &Seen,
) -> Result<Totals, String> {
    let gaps = ledger::with_forgotten(&ledger::gaps(redis), &past.forgotten_gaps)?;
    let comparison = Comparison { redis, gaps, offsets, past, seen };
    let mut totals = Totals::default();
    for (connection, journal) in CONNECTIONS.iter().zip(journals) {
        let missing = comparison.compare_family(journal, &mut totals)?;
        judge_family(journal, &(&missing.unread | &missing.excused), &past.rough_of(connection))?;
        comparison.compare_with_counts(journal, &missing)?;
        let events = journal.iter().filter(|frame| !frame.is_repeated).count() as u64;
        totals.sent += events;
        totals.repeated += journal.len() as u64 - events;
        totals.unread += missing.unread.len() as u64;
        totals.forgotten += missing.excused.len() as u64;
    }
    Ok(totals)
}

impl Comparison<'_> {
    /// Compares the streams of a family, whose events may be in several of them.
    fn compare_family(&self, journal: &[Frame], totals: &mut Totals) -> Result<Missing, String> {
        let mut streams: BTreeMap<String, Vec<Frame>> = BTreeMap::new();
        let mut destinations: Vec<usize> = Vec::new();
        for frame in journal {
            let names = streams_of(frame.topic, &payload_of(frame.topic, frame.n), &TARGETS);
            destinations.push(names.len());
            for name in names {
                streams.entry(name).or_default().push(*frame);
            }
        }
        let (mut missing, mut times) = (Missing::default(), BTreeMap::<u64, usize>::new());
        for (name, frames) in &streams {
            let verdict = self.compare_stream(name, frames)?;
            totals.entries += verdict.stored;
            for frame in verdict.unread.iter().chain(&verdict.excused) {
                *times.entry(frame.place).or_default() += 1;
            }
            missing.unread.extend(verdict.unread.iter().map(|frame| frame.place));
            missing.excused.extend(verdict.excused.iter().map(|frame| frame.place));
        }
        // one transaction writes an event to all its streams
        let frames = journal.iter().zip(destinations);
        let partly = |(frame, destinations): &(&Frame, usize)| {
            times.get(&frame.place).is_some_and(|n| n != destinations)
        };
        match frames.into_iter().find(partly) {
            Some((frame, _)) => {
                Err(format!("an event is in some of its streams and not in others: {frame:?}"))
            }
            None => Ok(missing),
        }
    }

    fn compare_stream(&self, name: &str, frames: &[Frame]) -> Result<Verdict, String> {
        let all = entries(self.redis, &format!("uw:ws:{name}"));
        if !all.is_sorted_by(|a, b| a.id < b.id) {
            return Err(format!("the ids of {name} do not rise"));
        }
        let ours = all.into_iter().map(|entry| entry.payload).filter(|payload| payload != FOREIGN.as_bytes());
        let ours: Vec<Vec<u8>> = ours.collect();
        let is_excused = |frame: &Frame| self.is_known(frame, Gap::is_redis_lost);
        let verdict = judge(frames, &ours, |frame| payload_of(frame.topic, frame.n), is_excused)
            .map_err(|error| format!("{name}: {error}"))?;
        let unknown = verdict.unread.iter().find(|frame| !self.is_known(frame, |_| true));
        match unknown {
            Some(frame) => {
                Err(format!("{name}: the ledger does not tell of {frame:?}; it has {:?}", self.gaps))
            }
            None => Ok(verdict),
        }
    }

    fn is_known(&self, frame: &Frame, is_right: impl Fn(&Gap) -> bool) -> bool {
        self.gaps.iter().any(|gap| is_right(gap) && gap.covers(frame, self.offsets))
    }

    /// What the service said it had read and had on disk is there, or was a duplicate.
    fn compare_with_counts(&self, journal: &[Frame], missing: &Missing) -> Result<(), String> {
        let channel_of = |frame: &Frame| frame.topic.split(':').next().unwrap_or_default().to_owned();
        let mut kept: BTreeMap<(usize, String), u64> = BTreeMap::new();
        for frame in journal {
            let key = (self.past.life_of(frame.session), channel_of(frame));
            *kept.entry(key).or_default() += u64::from(!missing.unread.contains(&frame.place));
        }
        for ((life, channel), kept) in kept {
            let Some(seen) = self.seen.read.get(&life) else { continue };
            let read = seen.events.get(&channel).copied().unwrap_or(0);
            if kept + seen.not_on_disk < read {
                return Err(format!(
                    "life {life} had read {read} events of {channel}, {} of all channels were not on disk, but only {kept} were kept",
                    seen.not_on_disk
                ));
            }
        }
        Ok(())
    }
}
