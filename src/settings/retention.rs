//! `STREAM_RETENTION`: trading days, plain time, or no limit.

use std::ops::RangeInclusive;
use std::time::Duration;

use uw_websocket_core::settings::Retention;

/// Trading days: thirty of them are six weeks.
const SESSIONS: RangeInclusive<usize> = 1..=30;
/// Plain time: old entries are removed once per minute, and retention for more than a year needs no limit.
const SPANS: RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(8_784 * 3_600);

/// Parses the age limit. Days are whole trading days; plain time requires a unit, since the variable's name states
/// none.
pub(super) fn retention(text: &str) -> Result<Retention, String> {
    if text.eq_ignore_ascii_case("off") {
        return Ok(Retention::Off);
    }
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let span = |unit_seconds: u64| {
        let seconds = number.parse::<u64>().ok()?.checked_mul(unit_seconds)?;
        Some(Duration::from_secs(seconds)).filter(|span| SPANS.contains(span)).map(Retention::Span)
    };
    let retention = match unit {
        "d" => number.parse().ok().filter(|sessions| SESSIONS.contains(sessions)).map(Retention::Sessions),
        "h" => span(3_600),
        "m" => span(60),
        "s" => span(1),
        _ => None,
    };
    retention.ok_or_else(|| {
        "must be 1d to 30d (trading days), a time such as 90m or 6h from 60s to 8784h, or off".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn reads(text: &str, expected: Retention) {
        assert_eq!(retention(text), Ok(expected), "{text}");
    }

    #[test]
    fn days_are_trading_days() {
        reads("1d", Retention::Sessions(1));
        reads("30d", Retention::Sessions(30));
    }

    #[test]
    fn other_units_are_plain_time() {
        reads("90m", Retention::Span(Duration::from_secs(5_400)));
        reads("6h", Retention::Span(Duration::from_secs(21_600)));
        reads("24h", Retention::Span(Duration::from_secs(86_400)));
        reads("60s", Retention::Span(Duration::from_secs(60)));
        reads("8784h", Retention::Span(*SPANS.end()));
    }

    #[test]
    fn the_limit_can_be_switched_off() {
        reads("off", Retention::Off);
        reads("OFF", Retention::Off);
    }

    #[test]
    fn what_is_no_age_is_refused_with_what_would_be() {
        for text in [
            "",
            "d",
            "0d",
            "31d",
            "1.5d",
            "1w",
            "-1h",
            "-1d",
            "+1d",
            "1",
            "3600",
            "0",
            "59s",
            "250ms",
            "0m",
            "8785h",
            "1h30m",
            "1 d",
            "1D",
            "none",
            "99999999999999999999d",
            "99999999999999999h",
            "٣d",
        ] {
            let reason = retention(text).expect_err(text);
            assert!(
                reason.contains("1d to 30d") && reason.contains("6h") && reason.contains("off"),
                "{reason}"
            );
        }
    }
}
