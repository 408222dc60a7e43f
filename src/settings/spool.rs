//! The settings of the disk queue.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use uw_websocket_actors::settings::{Fsync, SpoolMode, WhenFull};

use super::units;
use super::words::one_of;

/// Minimum share of a shard in the disk queue: it must exceed what the shard's inbox holds in memory.
pub(super) const SHARE_MIN: u64 = 16 * 1024 * 1024;
/// Size of the whole disk queue: more than any suitable disk has is a typo.
const MAX_BYTES: RangeInclusive<u64> = SHARE_MIN..=64 << 40;
/// `SPOOL_KEEP`: zero keeps nothing; Redis loses seconds in a failover, and an hour of the feed is gigabytes.
const KEEP: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(3_600);
/// The interval of `SPOOL_FSYNC`: with a shorter one every append would wait for the disk, as with `always`; before a
/// longer one ends, the kernel writes on its own.
const FSYNC: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(60);

pub(super) fn keep(text: &str) -> Result<Duration, String> {
    units::duration(text, &KEEP)
}

/// Parses a list of folders.
pub(super) fn peer_dirs(text: &str) -> Result<Vec<PathBuf>, String> {
    let dirs = text.split(',').map(str::trim);
    if dirs.clone().any(str::is_empty) {
        return Err("must be a comma list of folders, such as /spool/a,/spool/b".to_owned());
    }
    Ok(dirs.map(PathBuf::from).collect())
}

pub(super) fn max_bytes(text: &str) -> Result<u64, String> {
    units::size(text, &MAX_BYTES)
}

pub(super) fn when_full(text: &str) -> Result<WhenFull, String> {
    one_of(text, WhenFull::ALL, WhenFull::label)
}

/// `overflow` was a mode of earlier builds: the error explains the replacement.
pub(super) fn mode(text: &str) -> Result<SpoolMode, String> {
    if text.eq_ignore_ascii_case("overflow") {
        let reason = "was removed; write always (every event on disk first), or off (memory alone): a backlog on disk is \
                      safe and goes on being written with either";
        return Err(reason.to_owned());
    }
    one_of(text, SpoolMode::ALL, SpoolMode::label)
}

pub(super) fn fsync(text: &str) -> Result<Fsync, String> {
    match text.to_ascii_lowercase().as_str() {
        "always" => Ok(Fsync::Always),
        "never" => Ok(Fsync::Never),
        text => units::duration(text, &FSYNC)
            .map(Fsync::Every)
            .map_err(|reason| format!("{reason}; or always, or never")),
    }
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
    fn peers_are_a_list_of_folders() {
        assert_eq!(peer_dirs("/a, b"), Ok(vec![PathBuf::from("/a"), PathBuf::from("b")]));
        assert!(peer_dirs("/a,,b").is_err());
    }

    #[test]
    fn a_word_is_taken_in_any_case_and_a_wrong_one_is_told_the_right_ones() {
        let read = |text| one_of(text, WhenFull::ALL, WhenFull::label);
        assert_eq!((read("BLOCK"), read("drop_oldest")), (Ok(WhenFull::Block), Ok(WhenFull::DropOldest)));
        assert_eq!(read("drop"), Err("must be one of drop_oldest, block".to_owned()));
    }
}
