//! The place of a file: `<session date>/<channel>/<hour>.jsonl.zst`, by the time of receipt in New York; that of fetched rows
//! is `<session date>/backfill/<channel>/<hour>.jsonl.zst`, by their own time.

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use crate::calendar::{day_of, iso_date, new_york_hour, session_date};
use crate::event::Channel;

/// The end of every file's name.
const ENDING: &str = ".jsonl.zst";
/// The folder of a day's fetched rows; no channel has this name.
pub(super) const FETCHED: &str = "backfill";
/// Hours of a day.
const HOURS: u8 = 24;

/// The path of a file below the archive's folder, in the order of time within a channel.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FilePath {
    /// The date in New York, in days since 1970-01-01.
    pub date: i32,
    /// Whether it has rows that were fetched over REST.
    pub is_fetched: bool,
    /// The channel.
    pub channel: Arc<str>,
    /// The hour in New York, 0 to 23; the hour that the clocks repeat in autumn is one file.
    pub hour: u8,
}

impl FilePath {
    /// Parses a path below the archive's folder; `None` if it is none of ours.
    #[must_use]
    pub fn parse(path: &Path) -> Option<FilePath> {
        let mut parts = path.iter().map(|part| part.to_str());
        let (date, first) = (parts.next()??, parts.next()??);
        let is_fetched = first == FETCHED;
        let channel = if is_fetched { parts.next()?? } else { first };
        let file = parts.next()??;
        let hour = file.strip_suffix(ENDING).filter(|hour| hour.bytes().all(|digit| digit.is_ascii_digit()));
        let hour = hour.filter(|hour| hour.len() == 2)?.parse().ok()?;
        let date = day_of(date).filter(|day| iso_date(*day) == date)?;
        let is_channel = Channel::parse(channel).is_ok() && channel != FETCHED;
        let is_ours = parts.next().is_none() && hour < HOURS && is_channel;
        is_ours.then(|| FilePath { date, is_fetched, channel: channel.into(), hour })
    }

    /// Returns the name of its day's folder.
    #[must_use]
    pub fn day(&self) -> String {
        iso_date(self.date)
    }

    /// Returns its folder below that of its day.
    #[must_use]
    pub fn folder(&self) -> String {
        if self.is_fetched { format!("{FETCHED}/{}", self.channel) } else { self.channel.to_string() }
    }
}

impl fmt::Display for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{:02}{ENDING}", iso_date(self.date), self.folder(), self.hour)
    }
}

/// Finds the date and the hour of times, most of which are in the hour of the one before: one comparison per call.
#[derive(Clone, Debug)]
pub struct HourClock {
    place: (i32, u8),
    covers: Range<u64>,
}

impl Default for HourClock {
    fn default() -> HourClock {
        HourClock { place: (0, 0), covers: 0..0 }
    }
}

impl HourClock {
    /// Returns date and hour in New York of a time in Unix microseconds.
    pub fn place(&mut self, received_us: u64) -> (i32, u8) {
        // New York's offset is a whole number of hours
        const HOUR_US: u64 = 3_600_000_000;
        if !self.covers.contains(&received_us) {
            let begin = received_us - received_us % HOUR_US;
            self.covers = begin..begin.saturating_add(HOUR_US);
            self.place = (session_date(received_us / 1000), new_york_hour(received_us / 1000));
        }
        self.place
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::time::parse_iso;

    #[test]
    fn a_path_is_that_of_the_receipt_in_new_york() {
        let mut clock = HourClock::default();
        for (at, expected) in [
            ("2026-01-02T14:30:00Z", "2026-01-02/price/09.jsonl.zst"),
            ("2026-07-01T03:59:59.999999Z", "2026-06-30/price/23.jsonl.zst"),
            ("2026-07-01T04:00:00Z", "2026-07-01/price/00.jsonl.zst"),
            ("2026-03-08T06:59:59Z", "2026-03-08/price/01.jsonl.zst"),
            ("2026-03-08T07:00:00Z", "2026-03-08/price/03.jsonl.zst"),
            ("2026-11-01T05:30:00Z", "2026-11-01/price/01.jsonl.zst"),
            ("2026-11-01T06:30:00Z", "2026-11-01/price/01.jsonl.zst"),
        ] {
            let (date, hour) = clock.place(parse_iso(at).unwrap());
            let path = FilePath { date, is_fetched: false, channel: "price".into(), hour };
            assert_eq!(path.to_string(), expected, "{at}");
            assert_eq!(FilePath::parse(Path::new(expected)), Some(path.clone()));
            let fetched = FilePath { is_fetched: true, ..path };
            let expected = expected.replace("price", "backfill/price");
            assert_eq!(fetched.to_string(), expected);
            assert_eq!(FilePath::parse(Path::new(&expected)), Some(fetched));
        }
    }

    #[test]
    fn what_is_not_a_file_of_the_archive_is_none() {
        for path in [
            "checkpoint",
            "2026-01-02/price",
            "2026-01-02/price/9.jsonl.zst",
            "2026-01-02/price/24.jsonl.zst",
            "2026-01-02/price/+9.jsonl.zst",
            "2026-1-2/price/09.jsonl.zst",
            "2026-01-02/pr ice/09.jsonl.zst",
            "2026-01-02/price/09.jsonl",
            "2026-01-02/price/09.jsonl.zst/x",
            "2026-01-02/backfill/09.jsonl.zst",
            "2026-01-02/backfill/backfill/09.jsonl.zst",
            "2026-01-02/price/backfill/09.jsonl.zst",
            "../price/09.jsonl.zst",
        ] {
            assert_eq!(FilePath::parse(Path::new(path)), None, "{path}");
        }
    }

    proptest! {
        #[test]
        fn the_clock_agrees_with_the_calendar(times in prop::collection::vec(1_420_070_400_000_u64..2_366_841_600_000, 1..20)) {
            let mut clock = HourClock::default();
            for ms in times {
                for ms in [ms, ms + 1, ms + 1_800_000, ms + 3_600_000] {
                    prop_assert_eq!(clock.place(ms * 1000), (session_date(ms), new_york_hour(ms)));
                }
            }
        }
    }
}
