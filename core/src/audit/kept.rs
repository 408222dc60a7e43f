//! The identities that are kept of events as they arrive.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use serde::Deserialize;

use super::{AuditSubject, MINUTE_US};
use crate::backfill::key;
use crate::channel::fill::{KeyField, KeyKind, RowIdentity};
use crate::time::parse_iso;

/// Time for which minutes are kept, in microseconds: an hour, the time to its judgement, and the second answer.
pub const KEPT_US: u64 = 110 * MINUTE_US;
/// Identities that are kept over all subjects: 16 MiB, or 100 minutes of 330 events per second. Beyond it a minute is
/// not judged by identity.
pub const MAX_KEPT: usize = 2_000_000;
/// Bits of an identity's hash; the upper 16 have the milliseconds of its time within the minute.
const HASH_BITS: u32 = 48;
const HASH_MASK: u64 = (1 << HASH_BITS) - 1;

const fn exposure(name: &'static str) -> KeyField {
    KeyField { row: name, event: name, kind: KeyKind::Decimal }
}

/// The values that an exposure and REST's point have in common.
const EXPOSURES: RowIdentity = RowIdentity::Shared(&[
    exposure("gamma_per_one_percent_move_oi"),
    exposure("charm_per_one_percent_move_oi"),
    exposure("vanna_per_one_percent_move_oi"),
    exposure("gamma_per_one_percent_move_vol"),
    exposure("charm_per_one_percent_move_vol"),
    exposure("vanna_per_one_percent_move_vol"),
    exposure("gamma_per_one_percent_move_dir"),
    exposure("charm_per_one_percent_move_dir"),
    exposure("vanna_per_one_percent_move_dir"),
]);

/// Returns a hash of the values of an exposure or of a point; `None` if it lacks one.
#[must_use]
pub fn values(point: &key::Object) -> Option<u64> {
    key::of_row(EXPOSURES, point).map(|hash| hash & HASH_MASK)
}

/// A minute of a subject.
#[derive(Clone, Debug, Default)]
pub struct Minute {
    /// Contracts of calls and of puts.
    pub volumes: [u64; 2],
    /// Of prices: the time of the newest, in Unix microseconds, and the volume of the session by then.
    pub newest: Option<(u64, u64)>,
    ids: Vec<u64>,
    /// Whether identities are missing because there was no room.
    pub is_cut: bool,
}

/// What is kept of a subject.
#[derive(Clone, Debug)]
struct Series {
    subject: AuditSubject,
    minutes: BTreeMap<u64, Minute>,
    newest_us: u64,
}

/// The minutes of all subjects.
#[derive(Debug)]
pub struct KeptIdentities {
    series: Vec<Series>,
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

#[derive(Deserialize)]
struct Price {
    time: u64,
    vol: Option<u64>,
}

#[derive(Deserialize)]
struct Strike {
    timestamp: u64,
}

/// What is read of an event.
struct Noted {
    at_us: u64,
    /// Of an event that is kept by itself.
    hash: Option<u64>,
    /// Side and size of a trade.
    sized: Option<(usize, u64)>,
    /// Volume of the session.
    volume: Option<u64>,
}

impl Noted {
    fn new(at_us: u64, hash: Option<u64>) -> Noted {
        Noted { at_us, hash, sized: None, volume: None }
    }

    /// Reads an event; `None` if it lacks what the audit needs.
    fn read(subject: &AuditSubject, payload: &[u8], received_us: u64) -> Option<Noted> {
        Some(match subject {
            AuditSubject::Trades(_) => {
                let trade: Trade<'_> = serde_json::from_slice(payload).ok()?;
                let side = usize::from(trade.option_type == "put");
                let noted = Noted::new(trade.executed_at.saturating_mul(1_000), Some(hash(&trade.id)));
                Noted { sized: Some((side, trade.size)), ..noted }
            }
            AuditSubject::Alerts(_) => {
                let alert: Alert<'_> = serde_json::from_slice(payload).ok()?;
                Noted::new(received_us, Some(hash(&alert.id)))
            }
            AuditSubject::News => {
                let news: Headline<'_> = serde_json::from_slice(payload).ok()?;
                Noted::new(parse_iso(&news.timestamp)?, Some(hash(&news.headline)))
            }
            AuditSubject::Price(_) => {
                let price: Price = serde_json::from_slice(payload).ok()?;
                // no row has its identity: its time is what is compared
                Noted { volume: price.vol, ..Noted::new(price.time.saturating_mul(1_000), Some(0)) }
            }
            AuditSubject::Gex(_) => {
                let point: key::Object = serde_json::from_slice(payload).ok()?;
                Noted::new(key::time_us(&point, "timestamp")?, Some(values(&point).unwrap_or_default()))
            }
            // thousands per wave: only the time of the newest is kept
            AuditSubject::Strikes(_) | AuditSubject::StrikesByExpiry(_) => {
                let strike: Strike = serde_json::from_slice(payload).ok()?;
                Noted::new(strike.timestamp.saturating_mul(1_000), None)
            }
        })
    }
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

impl KeptIdentities {
    /// Keeps events of these subjects.
    #[must_use]
    pub fn new(subjects: Vec<AuditSubject>) -> KeptIdentities {
        let series = |subject| Series { subject, minutes: BTreeMap::new(), newest_us: 0 };
        KeptIdentities { series: subjects.into_iter().map(series).collect(), ids: 0, unread: 0 }
    }

    /// Returns the position of the subject that an event of a channel and ticker belongs to.
    #[must_use]
    pub fn position(&self, channel: &str, ticker: Option<&str>) -> Option<usize> {
        self.series.iter().position(|Series { subject, .. }| {
            channel == subject.channel()
                && match subject {
                    AuditSubject::Alerts(ours) => {
                        ours.is_empty() || ours.iter().any(|ours| ticker == Some(ours))
                    }
                    AuditSubject::News => true,
                    _ => ticker == subject.ticker(),
                }
        })
    }

    /// Keeps an event that arrived at `received_us`.
    pub fn note(&mut self, position: usize, payload: &[u8], received_us: u64) {
        let Some(Series { subject, .. }) = self.series.get(position) else { return };
        let possible = received_us.saturating_sub(KEPT_US)..received_us.saturating_add(MINUTE_US);
        match Noted::read(subject, payload, received_us).filter(|noted| possible.contains(&noted.at_us)) {
            Some(noted) => self.keep(position, &noted),
            None => self.unread += 1,
        }
    }

    fn keep(&mut self, position: usize, noted: &Noted) {
        let series = &mut self.series[position];
        series.newest_us = series.newest_us.max(noted.at_us);
        let Some(hash) = noted.hash else { return };
        let minute = series.minutes.entry(minute_of(noted.at_us)).or_default();
        if self.ids < MAX_KEPT {
            let ms = noted.at_us % MINUTE_US / 1_000;
            minute.ids.push(ms << HASH_BITS | hash);
            self.ids += 1;
        } else {
            minute.is_cut = true;
        }
        if let Some((side, size)) = noted.sized {
            minute.volumes[side] = minute.volumes[side].saturating_add(size);
        }
        if let Some(volume) = noted.volume {
            minute.newest = minute.newest.max(Some((noted.at_us, volume)));
        }
    }

    /// Forgets what no judgement needs any more at `now_us`.
    pub fn forget(&mut self, now_us: u64) {
        let oldest = minute_of(now_us.saturating_sub(KEPT_US));
        for Series { minutes, .. } in &mut self.series {
            let newer = minutes.split_off(&oldest);
            let older = std::mem::replace(minutes, newer);
            self.ids -= older.values().map(|minute| minute.ids.len()).sum::<usize>();
        }
    }

    /// Returns the subjects.
    pub fn subjects(&self) -> impl Iterator<Item = &AuditSubject> {
        self.series.iter().map(|series| &series.subject)
    }

    /// Returns a minute by its start, in Unix microseconds.
    #[must_use]
    pub fn minute(&self, position: usize, start_us: u64) -> Option<&Minute> {
        self.series.get(position)?.minutes.get(&start_us)
    }

    fn between(&self, position: usize, from_us: u64, to_us: u64) -> impl Iterator<Item = (u64, u64)> {
        let minutes = self.series[position].minutes.range(minute_of(from_us)..to_us.max(1));
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

    /// Whether there is an event from `from_us` to before `to_us`.
    #[must_use]
    pub fn has_any(&self, position: usize, from_us: u64, to_us: u64) -> bool {
        self.between(position, from_us, to_us).next().is_some()
    }

    /// Returns the time of the newest event, in Unix microseconds; 0 if there was none.
    #[must_use]
    pub fn newest_us(&self, position: usize) -> u64 {
        self.series.get(position).map_or(0, |series| series.newest_us)
    }

    /// Whether all identities from `from_us` to before `to_us` were kept.
    #[must_use]
    pub fn is_whole(&self, position: usize, from_us: u64, to_us: u64) -> bool {
        let mut minutes = self.series[position].minutes.range(minute_of(from_us)..to_us.max(1));
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
        let mut kept = KeptIdentities::new(vec![AuditSubject::Trades("SPY".to_owned())]);
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

    #[test]
    fn of_prices_the_volume_by_minute_is_kept_and_of_strikes_the_newest_time() {
        let subjects = vec![AuditSubject::Price("SPY".to_owned()), AuditSubject::Strikes("SPY".to_owned())];
        let mut kept = KeptIdentities::new(subjects);
        let at_ms = NOON_US / 1_000;
        for (ms, vol) in [(59_000, "9"), (1_000, "5"), (60_000, "12"), (61_000, "null")] {
            let price = format!(r#"{{"close":"1.5","time":{},"vol":{vol}}}"#, at_ms + ms);
            kept.note(0, price.as_bytes(), NOON_US + 2 * MINUTE_US);
        }
        let newest = |minute| kept.minute(0, minute).unwrap().newest;
        assert_eq!(newest(NOON_US), Some((NOON_US + 59_000_000, 9)));
        assert_eq!(newest(NOON_US + MINUTE_US), Some((NOON_US + 60_000_000, 12)));
        assert!(
            kept.has_any(0, NOON_US, NOON_US + 1_000_001) && !kept.has_any(0, NOON_US, NOON_US + 1_000_000)
        );
        for ms in [3_000, 2_000] {
            kept.note(1, format!(r#"{{"timestamp":{}}}"#, at_ms + ms).as_bytes(), NOON_US + 4_000_000);
        }
        assert_eq!((kept.newest_us(1), kept.minute(1, NOON_US).is_none()), (NOON_US + 3_000_000, true));
        assert_eq!((kept.position("gex_strike", Some("SPY")), kept.position("price", None)), (Some(1), None));
    }

    const HOUR_LATER: u64 = super::super::HOUR_US;

    #[test]
    fn what_is_old_is_forgotten_and_what_has_no_room_is_known_to_be_missing() {
        let mut kept = KeptIdentities::new(vec![AuditSubject::News]);
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
