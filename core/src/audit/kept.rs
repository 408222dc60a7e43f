//! The identities that are kept of events as they arrive.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use serde::Deserialize;

use super::{MINUTE_US, Subject};
use crate::time::parse_iso;

/// Time for which minutes are kept, in microseconds: an hour, the time to its judgement, and the second answer.
pub const KEPT_US: u64 = 110 * MINUTE_US;
/// Identities that are kept over all subjects: 16 MiB, or 100 minutes of 330 events per second. Beyond it a minute is
/// not judged by identity.
pub const MAX_KEPT: usize = 2_000_000;
/// Bits of an identity's hash; the upper 16 have the milliseconds of its time within the minute.
const HASH_BITS: u32 = 48;
const HASH_MASK: u64 = (1 << HASH_BITS) - 1;

/// A minute of a subject.
#[derive(Clone, Debug, Default)]
pub struct Minute {
    /// Contracts of calls and of puts.
    pub volumes: [u64; 2],
    ids: Vec<u64>,
    /// Whether identities are missing because there was no room.
    pub is_cut: bool,
}

/// The minutes of all subjects.
#[derive(Debug)]
pub struct Kept {
    subjects: Vec<(Subject, BTreeMap<u64, Minute>)>,
    ids: usize,
    /// Events without the fields that the audit needs, or of a time that is too old or ahead.
    pub unread: u64,
}

#[derive(Deserialize)]
struct Trade<'p> {
    #[serde(borrow)]
    id: Cow<'p, str>,
    executed_at: u64,
    size: u64,
    #[serde(borrow)]
    option_type: Cow<'p, str>,
}

#[derive(Deserialize)]
struct Alert<'p> {
    #[serde(borrow)]
    id: Cow<'p, str>,
}

#[derive(Deserialize)]
struct Headline<'p> {
    #[serde(borrow)]
    headline: Cow<'p, str>,
    #[serde(borrow)]
    timestamp: Cow<'p, str>,
}

/// Returns the hash of an identity, of [`HASH_BITS`] bits: two of a million are equal once in 500 cases.
fn hash(id: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish() & HASH_MASK
}

fn minute_of(at_us: u64) -> u64 {
    at_us - at_us % MINUTE_US
}

impl Kept {
    /// Keeps events of these subjects.
    #[must_use]
    pub fn new(subjects: Vec<Subject>) -> Kept {
        let subjects = subjects.into_iter().map(|subject| (subject, BTreeMap::new())).collect();
        Kept { subjects, ids: 0, unread: 0 }
    }

    /// Returns the position of the subject that an event of a channel and ticker belongs to.
    #[must_use]
    pub fn position(&self, channel: &str, ticker: Option<&str>) -> Option<usize> {
        self.subjects.iter().position(|(subject, _)| match subject {
            Subject::Trades(ours) => channel == "option_trades" && ticker == Some(ours),
            Subject::Alerts(ours) => {
                channel == "flow-alerts" && (ours.is_empty() || ours.iter().any(|ours| ticker == Some(ours)))
            }
            Subject::News => channel == "news",
        })
    }

    /// Keeps an event that arrived at `received_us`.
    pub fn note(&mut self, position: usize, payload: &[u8], received_us: u64) {
        let Some((subject, _)) = self.subjects.get(position) else { return };
        let read = match subject {
            Subject::Trades(_) => serde_json::from_slice::<Trade<'_>>(payload).ok().map(|trade| {
                let side = usize::from(trade.option_type == "put");
                (trade.id, trade.executed_at.saturating_mul(1_000), Some((side, trade.size)))
            }),
            Subject::Alerts(_) => {
                serde_json::from_slice::<Alert<'_>>(payload).ok().map(|alert| (alert.id, received_us, None))
            }
            Subject::News => serde_json::from_slice::<Headline<'_>>(payload)
                .ok()
                .and_then(|news| Some((news.headline, parse_iso(&news.timestamp)?, None))),
        };
        let possible = received_us.saturating_sub(KEPT_US)..received_us.saturating_add(MINUTE_US);
        match read.filter(|(_, at_us, _)| possible.contains(at_us)) {
            Some((id, at_us, sized)) => self.keep(position, (&id, at_us), sized),
            None => self.unread += 1,
        }
    }

    fn keep(&mut self, position: usize, (id, at_us): (&str, u64), sized: Option<(usize, u64)>) {
        let has_room = self.ids < MAX_KEPT;
        let minute = self.subjects[position].1.entry(minute_of(at_us)).or_default();
        if has_room {
            let ms = at_us % MINUTE_US / 1_000;
            minute.ids.push(ms << HASH_BITS | hash(id));
            self.ids += 1;
        } else {
            minute.is_cut = true;
        }
        if let Some((side, size)) = sized {
            minute.volumes[side] = minute.volumes[side].saturating_add(size);
        }
    }

    /// Forgets what no judgement needs any more at `now_us`.
    pub fn forget(&mut self, now_us: u64) {
        let oldest = minute_of(now_us.saturating_sub(KEPT_US));
        for (_, minutes) in &mut self.subjects {
            let newer = minutes.split_off(&oldest);
            let older = std::mem::replace(minutes, newer);
            self.ids -= older.values().map(|minute| minute.ids.len()).sum::<usize>();
        }
    }

    /// Returns the subjects.
    pub fn subjects(&self) -> impl Iterator<Item = &Subject> {
        self.subjects.iter().map(|(subject, _)| subject)
    }

    /// Returns a minute by its start, in Unix microseconds.
    #[must_use]
    pub fn minute(&self, position: usize, start_us: u64) -> Option<&Minute> {
        self.subjects.get(position)?.1.get(&start_us)
    }

    fn between(&self, position: usize, from_us: u64, to_us: u64) -> impl Iterator<Item = (u64, u64)> {
        let minutes = self.subjects[position].1.range(minute_of(from_us)..to_us.max(1));
        let all = minutes.flat_map(|(start, minute)| {
            minute.ids.iter().map(move |id| (start + (id >> HASH_BITS) * 1_000, id & HASH_MASK))
        });
        all.filter(move |(at_us, _)| (from_us..to_us).contains(at_us))
    }

    /// Returns the sorted hashes of the events from `from_us` to before `to_us`; what came twice is there once.
    #[must_use]
    pub fn hashes(&self, position: usize, from_us: u64, to_us: u64) -> Vec<u64> {
        let mut hashes: Vec<u64> = self.between(position, from_us, to_us).map(|(_, hash)| hash).collect();
        hashes.sort_unstable();
        hashes.dedup();
        hashes
    }

    /// Whether all identities from `from_us` to before `to_us` were kept.
    #[must_use]
    pub fn is_whole(&self, position: usize, from_us: u64, to_us: u64) -> bool {
        let mut minutes = self.subjects[position].1.range(minute_of(from_us)..to_us.max(1));
        minutes.all(|(_, minute)| !minute.is_cut)
    }
}

/// Whether sorted hashes have that of an identity.
#[must_use]
pub fn has(hashes: &[u64], id: &str) -> bool {
    hashes.binary_search(&hash(id)).is_ok()
}

/// Returns how many sorted hashes are of none of these identities.
#[must_use]
pub fn others<'a>(hashes: &[u64], ids: impl Iterator<Item = &'a str>) -> u64 {
    let mut theirs: Vec<u64> = ids.map(hash).collect();
    theirs.sort_unstable();
    hashes.iter().filter(|hash| theirs.binary_search(hash).is_err()).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON_US: u64 = 1_791_212_400_000_000;

    fn trade(id: &str, at_ms: u64, size: u64) -> String {
        format!(r#"{{"id":"{id}","executed_at":{at_ms},"size":{size},"option_type":"put","price":"1.2"}}"#)
    }

    #[test]
    fn trades_are_kept_by_the_minute_of_their_execution_whenever_they_come() {
        let mut kept = Kept::new(vec![Subject::Trades("SPY".to_owned())]);
        assert_eq!(kept.position("option_trades", Some("QQQ")), None);
        let spy = kept.position("option_trades", Some("SPY")).unwrap();
        let at_ms = NOON_US / 1_000;
        kept.note(spy, trade("a", at_ms + 5, 3).as_bytes(), NOON_US + HOUR_LATER);
        kept.note(spy, trade("b", at_ms + 59_999, 4).as_bytes(), NOON_US);
        kept.note(spy, trade("c", at_ms + 60_000, 9).as_bytes(), NOON_US + 2 * MINUTE_US);
        kept.note(spy, b"{}", NOON_US);
        assert_eq!((kept.minute(spy, NOON_US).unwrap().volumes, kept.unread), ([0, 7], 1));
        let hashes = kept.hashes(spy, NOON_US, NOON_US + 59_999_000);
        assert!(has(&hashes, "a") && !has(&hashes, "b") && !has(&hashes, "c"));
        assert_eq!(others(&hashes, ["a"].into_iter()), 0);
        assert_eq!(others(&hashes, ["b"].into_iter()), 1);
    }

    const HOUR_LATER: u64 = super::super::HOUR_US;

    #[test]
    fn what_is_old_is_forgotten_and_what_has_no_room_is_known_to_be_missing() {
        let mut kept = Kept::new(vec![Subject::News]);
        let news = |n: usize| format!(r#"{{"headline":"{n}","timestamp":"2026-10-05T15:00:00Z"}}"#);
        kept.ids = MAX_KEPT - 1;
        kept.note(0, news(1).as_bytes(), NOON_US);
        assert!(kept.is_whole(0, NOON_US, NOON_US + 1));
        kept.note(0, news(2).as_bytes(), NOON_US);
        assert!(!kept.is_whole(0, NOON_US, NOON_US + 1));
        kept.forget(NOON_US + KEPT_US + MINUTE_US);
        assert_eq!((kept.ids, kept.minute(0, NOON_US).is_none()), (MAX_KEPT - 1, true));
    }
}
