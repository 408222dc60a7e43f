//! Points in time on the command line.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use uw_websocket_core::event::EntryId;

use crate::settings::units;

/// The longest time ago.
const EVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// A moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// The beginning.
    Beginning,
    /// A duration before now.
    Ago(Duration),
    /// In Unix milliseconds.
    At(u64),
}

impl When {
    /// Reads `15m`, `2025-05-16T14:30:00Z`, `2025-05-16` (its beginning in UTC) or `-`.
    pub(super) fn parse(text: &str) -> Result<When, String> {
        if text == "-" {
            return Ok(When::Beginning);
        }
        if let Ok(ago) = units::duration(text, &(Duration::ZERO..=EVER)) {
            return Ok(When::Ago(ago));
        }
        let at = text.parse::<Timestamp>().ok().or_else(|| beginning_of(text));
        at.and_then(|at| u64::try_from(at.as_millisecond()).ok()).map(When::At).ok_or_else(|| {
            "must be a duration such as 15m, 6h, 1d, a time such as 2025-05-16T14:30:00Z or 2025-05-16, or `-` for the \
             beginning"
                .to_owned()
        })
    }

    /// In Unix milliseconds.
    pub(super) fn unix_ms(self, now_ms: u64) -> u64 {
        match self {
            When::Beginning => 0,
            When::Ago(ago) => now_ms.saturating_sub(u64::try_from(ago.as_millis()).unwrap_or(u64::MAX)),
            When::At(ms) => ms,
        }
    }

    /// Returns the ID before the first one of the moment: entries above it are of that time or later.
    pub(super) fn id_before(self, now_ms: u64) -> EntryId {
        let ms = self.unix_ms(now_ms);
        ms.checked_sub(1).map_or_else(EntryId::default, |ms| EntryId { ms, seq: u64::MAX })
    }
}

/// Parses the beginning of a day in UTC. The library would also accept a time of day, and ignore it.
fn beginning_of(day: &str) -> Option<Timestamp> {
    let day: Date = Some(day).filter(|day| day.len() == "2025-05-16".len())?.parse().ok()?;
    day.to_zoned(TimeZone::UTC).ok().map(|midnight| midnight.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_an_age_a_time_a_day_or_the_beginning() {
        for (text, expected) in [
            ("-", Some(When::Beginning)),
            ("15m", Some(When::Ago(Duration::from_secs(900)))),
            ("1970-01-01T00:00:01.5Z", Some(When::At(1_500))),
            ("2025-05-16T10:30:00-04:00", Some(When::At(1_747_405_800_000))),
            ("2025-05-16", Some(When::At(1_747_353_600_000))),
            ("1969-01-01T00:00:00Z", None),
            ("yesterday", None),
            ("2025-05-16T10:30:00", None),
            ("", None),
        ] {
            assert_eq!(When::parse(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn entries_of_the_moment_itself_are_after_the_id() {
        let id = When::At(1_500).id_before(0);
        assert!(id < EntryId { ms: 1_500, seq: 0 } && id > EntryId { ms: 1_499, seq: u64::MAX - 1 });
        assert_eq!(When::Beginning.id_before(9), EntryId::default());
        assert_eq!(When::Ago(Duration::from_secs(1)).unix_ms(1_700), 700);
        assert_eq!(When::Ago(Duration::from_secs(9)).unix_ms(1_700), 0);
    }
}
