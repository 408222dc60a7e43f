//! The settings of the archive.

use std::ops::RangeInclusive;

use super::units;

/// Trading days: four hundred are a year and a half.
const SESSIONS: RangeInclusive<usize> = 1..=400;
/// Size of the archive: less is not a day of any channel, more than any suitable disk has is a typo.
const MAX_BYTES: RangeInclusive<u64> = 16 * 1024 * 1024..=64 << 40;

/// `ARCHIVE_RETENTION`: sessions kept before the current one; `None` is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ArchiveRetention(pub(super) Option<usize>);

pub(super) fn retention(text: &str) -> Result<ArchiveRetention, String> {
    if text.eq_ignore_ascii_case("off") {
        return Ok(ArchiveRetention(None));
    }
    let digits = text.strip_suffix('d').filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()));
    let sessions = digits.and_then(|digits| digits.parse().ok()).filter(|days| SESSIONS.contains(days));
    let Some(sessions) = sessions else { return Err("must be 1d to 400d (trading days), or off".to_owned()) };
    Ok(ArchiveRetention(Some(sessions)))
}

pub(super) fn max_bytes(text: &str) -> Result<u64, String> {
    units::size(text, &MAX_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retention_is_trading_days_or_off() {
        for (text, expected) in [("1d", Some(1)), ("5d", Some(5)), ("400d", Some(400)), ("OFF", None)] {
            assert_eq!(retention(text), Ok(ArchiveRetention(expected)), "{text}");
        }
        for text in ["", "0d", "401d", "5", "+5d", "5h", "5D", "d", "99999999999999999999999d"] {
            assert!(retention(text).unwrap_err().contains("1d to 400d"), "{text}");
        }
    }

    #[test]
    fn a_size_is_at_least_that_of_a_frame_or_two() {
        assert_eq!(max_bytes("64GiB"), Ok(64 << 30));
        assert!(max_bytes("1MiB").is_err());
    }
}
