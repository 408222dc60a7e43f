//! Parsers of booleans, counts, durations and sizes. An error states the valid form.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

/// Parses the REST fetcher's booleans, in any case.
pub fn boolean(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" | "t" | "y" => Ok(true),
        "false" | "0" | "no" | "off" | "f" | "n" => Ok(false),
        _ => Err("must be true, 1, yes, on or false, 0, no, off".to_owned()),
    }
}

/// Parses a whole number in `range`.
pub fn count<N>(text: &str, range: &RangeInclusive<N>) -> Result<N, String>
where
    N: FromStr + PartialOrd + Display,
{
    let number = text.parse().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| format!("must be a whole number from {} to {}", range.start(), range.end()))
}

/// Parses a duration in `range`: `250ms`, `5s`, `5m`, `6h`, `1d`, or a bare number of seconds; decimals are allowed.
pub fn duration(text: &str, range: &RangeInclusive<Duration>) -> Result<Duration, String> {
    duration_in(("seconds", 1.0), text, range)
}

/// Does the same for a variable whose name states milliseconds.
pub fn milliseconds(text: &str, range: &RangeInclusive<Duration>) -> Result<Duration, String> {
    duration_in(("milliseconds", 0.001), text, range)
}

/// Parses a duration; a bare number is in this unit, given in seconds.
fn duration_in(
    (unit, bare_seconds): (&str, f64),
    text: &str,
    range: &RangeInclusive<Duration>,
) -> Result<Duration, String> {
    let number_len = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(number_len);
    let unit_seconds = match suffix {
        "ms" => Some(0.001),
        "" => Some(bare_seconds),
        "s" => Some(1.0),
        "m" => Some(60.0),
        "h" => Some(3_600.0),
        "d" => Some(86_400.0),
        _ => None,
    };
    let number: Option<f64> = number.parse().ok();
    let seconds = unit_seconds.zip(number).map(|(unit_seconds, number)| unit_seconds * number);
    let duration = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    duration.filter(|duration| range.contains(duration)).ok_or_else(|| {
        format!(
            "must be a duration such as 250ms, 5s, 5m, 6h, 1d, or a number of {unit}, from {:?} to {:?}",
            range.start(),
            range.end()
        )
    })
}

/// The units of sizes, largest first.
const SIZE_UNITS: [(&str, u64); 4] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

/// Parses a size in `range`: `512MiB`, `4GiB`, or a bare number of bytes; whole numbers only.
pub fn size(text: &str, range: &RangeInclusive<u64>) -> Result<u64, String> {
    let number_len = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, suffix) = text.split_at(number_len);
    let of_unit = SIZE_UNITS.iter().find(|(name, _)| *name == suffix).map(|(_, bytes)| *bytes);
    let unit = if suffix.is_empty() { Some(1) } else { of_unit };
    let bytes = unit.zip(number.parse::<u64>().ok()).and_then(|(unit, number)| unit.checked_mul(number));
    bytes.filter(|bytes| range.contains(bytes)).ok_or_else(|| {
        let (least, most) = (shown_size(*range.start()), shown_size(*range.end()));
        format!("must be a size such as 512MiB, 4GiB, or a number of bytes, from {least} to {most}")
    })
}

/// Formats a size in the largest unit that gives a whole number.
#[must_use]
pub fn shown_size(bytes: u64) -> String {
    let unit = SIZE_UNITS.iter().find(|(_, unit)| bytes > 0 && bytes.is_multiple_of(*unit));
    unit.map_or_else(|| format!("{bytes} bytes"), |(name, unit)| format!("{}{name}", bytes / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    #[track_caller]
    fn seconds(text: &str, expected: Option<Duration>) {
        assert_eq!(duration(text, &(Duration::ZERO..=DAY)).ok(), expected, "{text}");
    }

    #[test]
    fn durations_take_a_unit_or_are_seconds() {
        seconds("250ms", Some(Duration::from_millis(250)));
        seconds("5.0", Some(Duration::from_secs(5)));
        seconds("5", Some(Duration::from_secs(5)));
        seconds("1.5m", Some(Duration::from_secs(90)));
        seconds("6h", Some(Duration::from_secs(21_600)));
        seconds("1d", Some(DAY));
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in
            ["", "s", "-5", "5 s", "5sec", "1e3", "nan", "inf", "1..5", "2d", "99999999999999999999d", "٥s"]
        {
            seconds(text, None);
        }
    }

    #[test]
    fn a_refused_duration_says_what_would_be_valid() {
        let range = Duration::from_millis(10)..=DAY;
        let reason = duration("0", &range).unwrap_err();
        assert!(reason.contains("number of seconds, from 10ms to 86400s"), "{reason}");
    }

    #[test]
    fn sizes_take_binary_units_or_are_bytes() {
        let all = 0..=u64::MAX;
        for (text, bytes) in [("4GiB", 4 << 30), ("512MiB", 512 << 20), ("1KiB", 1024), ("2TiB", 2 << 40)] {
            assert_eq!(size(text, &all), Ok(bytes), "{text}");
        }
        assert_eq!((size("1024", &all), size("0", &all)), (Ok(1024), Ok(0)));
    }

    #[test]
    fn what_is_no_size_is_refused() {
        let all = 0..=u64::MAX;
        for text in
            ["", "GiB", "4GB", "4G", "4gib", "4 GiB", "1.5GiB", "-1", "1e3", "99999999999TiB", "٤GiB", "+1"]
        {
            assert!(size(text, &all).is_err(), "{text}");
        }
    }

    #[test]
    fn a_refused_size_says_what_would_be_valid() {
        let reason = size("1", &((16 << 20)..=(1 << 40))).unwrap_err();
        assert!(reason.ends_with("or a number of bytes, from 16MiB to 1TiB"), "{reason}");
        assert_eq!((shown_size(0), shown_size(1025)), ("0 bytes".to_owned(), "1025 bytes".to_owned()));
    }

    #[test]
    fn booleans_are_those_of_the_fetcher() {
        for text in ["true", "TRUE", "1", "yes", "On", "t", "Y"] {
            assert_eq!(boolean(text), Ok(true), "{text}");
        }
        for text in ["false", "0", "NO", "off", "f", "n"] {
            assert_eq!(boolean(text), Ok(false), "{text}");
        }
        assert!(boolean("enabled").is_err());
    }

    #[test]
    fn counts_stay_in_their_range() {
        assert_eq!(count("10", &(1..=10_usize)), Ok(10));
        for text in ["0", "11", "-1", "1.0", "ten", ""] {
            assert_eq!(
                count(text, &(1..=10_usize)),
                Err("must be a whole number from 1 to 10".to_owned()),
                "{text}"
            );
        }
    }
}
