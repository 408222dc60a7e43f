//! The settings of the disk queue.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use uw_websocket_actors::settings::{Fsync, SpoolMode, SpoolSettings, WhenFull, WriterSettings};

use super::checks::Checks;
use super::raw::RawSettings;
use super::units;

/// A shard's share of the disk queue, at least: less than what its inbox holds in memory would be no queue behind it.
const SHARE_MIN: u64 = 16 * 1024 * 1024;
/// The whole disk queue: more than any disk that this runs on is a slip of the pen.
const MAX_BYTES: RangeInclusive<u64> = SHARE_MIN..=64 << 40;
/// `SPOOL_KEEP`: zero keeps nothing; what Redis loses in a failover is seconds, and an hour of the feed is gigabytes.
const KEEP: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(3_600);
/// The interval of `SPOOL_FSYNC`: below it every append would wait for the disk, which `always` says plainly; above it
/// the kernel has long written by itself.
const FSYNC: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(60);

pub(super) fn spool(
    raw: &RawSettings,
    writers: Option<&WriterSettings>,
    checks: &mut Checks,
) -> Option<SpoolSettings> {
    let mode = checks.read("SPOOL_MODE", &raw.spool_mode, mode);
    let keep = checks.seconds("SPOOL_KEEP", &raw.spool_keep, &KEEP);
    let max_bytes = max_bytes(raw, writers, checks);
    let when_full = checks
        .read("SPOOL_WHEN_FULL", &raw.spool_when_full, |text| one_of(text, WhenFull::ALL, WhenFull::label));
    let fsync = checks.read("SPOOL_FSYNC", &raw.spool_fsync, fsync);
    Some(SpoolSettings {
        dir: PathBuf::from(&raw.spool_dir),
        mode: mode?,
        keep: keep?,
        max_bytes: max_bytes?,
        when_full: when_full?,
        fsync: fsync?,
    })
}

/// The whole is split evenly over the shards, and each share must be of use.
fn max_bytes(raw: &RawSettings, writers: Option<&WriterSettings>, checks: &mut Checks) -> Option<u64> {
    let least = SHARE_MIN * writers.map_or(1, |writers| writers.shards as u64);
    checks.read("SPOOL_MAX_BYTES", &raw.spool_max_bytes, |text| {
        let bytes = units::size(text, &MAX_BYTES)?;
        if bytes >= least {
            return Ok(bytes);
        }
        let (least, share) = (units::shown_size(least), units::shown_size(SHARE_MIN));
        Err(format!("must be at least {least}: it is split over WRITER_SHARDS, and each needs {share}"))
    })
}

/// `overflow` was a mode of earlier builds: whoever still names it is told how to go on.
fn mode(text: &str) -> Result<SpoolMode, String> {
    if text.eq_ignore_ascii_case("overflow") {
        let reason = "was removed; write always (every event on disk first), or off (memory alone): a backlog on disk is \
                      safe and goes on being written with either";
        return Err(reason.to_owned());
    }
    one_of(text, SpoolMode::ALL, SpoolMode::label)
}

fn fsync(text: &str) -> Result<Fsync, String> {
    match text.to_ascii_lowercase().as_str() {
        "always" => Ok(Fsync::Always),
        "never" => Ok(Fsync::Never),
        text => units::duration(text, &FSYNC)
            .map(Fsync::Every)
            .map_err(|reason| format!("{reason}; or always, or never")),
    }
}

/// The value with this label, in any case.
fn one_of<T: Copy>(text: &str, all: &[T], label: impl Fn(T) -> &'static str) -> Result<T, String> {
    let found = all.iter().find(|value| label(**value).eq_ignore_ascii_case(text));
    found.copied().ok_or_else(|| {
        let labels: Vec<_> = all.iter().map(|value| label(*value)).collect();
        format!("must be one of {}", labels.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fsync_is_a_word_or_an_interval() {
        assert_eq!(fsync("Always"), Ok(Fsync::Always));
        assert_eq!(fsync("never"), Ok(Fsync::Never));
        assert_eq!(fsync("250ms"), Ok(Fsync::Every(Duration::from_millis(250))));
        assert_eq!(fsync("1"), Ok(Fsync::Every(Duration::from_secs(1))));
        for text in ["0", "1ms", "2m", "sometimes", ""] {
            assert!(fsync(text).unwrap_err().ends_with("or always, or never"), "{text}");
        }
    }

    #[test]
    fn whoever_names_the_mode_that_was_removed_is_told_what_to_write_and_that_nothing_is_lost() {
        let reason = mode("Overflow").unwrap_err();
        for told in
            ["was removed", "write always", "or off", "a backlog on disk is safe and goes on being written"]
        {
            assert!(reason.contains(told), "{reason}");
        }
        assert_eq!(mode("on"), Err("must be one of always, off".to_owned()));
    }

    #[test]
    fn a_word_is_taken_in_any_case_and_a_wrong_one_is_told_the_right_ones() {
        let read = |text| one_of(text, WhenFull::ALL, WhenFull::label);
        assert_eq!((read("BLOCK"), read("drop_oldest")), (Ok(WhenFull::Block), Ok(WhenFull::DropOldest)));
        assert_eq!(read("drop"), Err("must be one of drop_oldest, block".to_owned()));
    }
}
