//! The wall clock, and the clock of silence. In tests a file may contain an offset of either, so that the one can step
//! and the other run ahead while the service runs; without the feature `fault-injection` they are the system's clocks,
//! at no cost.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Returns the wall-clock time in Unix microseconds.
#[must_use]
pub fn unix_micros() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    skewed(u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX))
}

/// Returns the instant by which silence is measured, which tests can put ahead of the system's: ten minutes of silence
/// need not last ten minutes.
#[must_use]
pub fn silence_instant(instant: Instant) -> Instant {
    ahead(instant)
}

#[cfg(not(feature = "fault-injection"))]
mod system {
    use super::Instant;

    #[inline]
    pub(super) fn skewed(unix_us: u64) -> u64 {
        unix_us
    }

    #[inline]
    pub(super) fn ahead(instant: Instant) -> Instant {
        instant
    }
}

#[cfg(feature = "fault-injection")]
use file::{ahead, skewed};
#[cfg(not(feature = "fault-injection"))]
use system::{ahead, skewed};

#[cfg(feature = "fault-injection")]
mod file {
    use std::path::{Path, PathBuf};
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
    use std::time::{Duration, Instant};

    /// Names the file with the seconds to add to the clock, as text. An absent or invalid file adds nothing.
    const VARIABLE: &str = "UW_WEBSOCKET_CLOCK_OFFSET_FILE";

    /// Names the file with the seconds by which the clock of silence is ahead, read at each look.
    const SILENCE_VARIABLE: &str = "UW_WEBSOCKET_SILENCE_AHEAD_FILE";

    /// Interval between two reads of the file: a step takes effect almost immediately, and a hot path reads the file at
    /// most fifty times per second.
    const LOOK_EVERY_US: u64 = 20_000;

    static FILE: LazyLock<Option<PathBuf>> = LazyLock::new(|| std::env::var_os(VARIABLE).map(PathBuf::from));
    static SILENCE_FILE: LazyLock<Option<PathBuf>> =
        LazyLock::new(|| std::env::var_os(SILENCE_VARIABLE).map(PathBuf::from));
    static LOOKED_AT_US: AtomicU64 = AtomicU64::new(0);
    static OFFSET_US: AtomicI64 = AtomicI64::new(0);

    /// Returns the system's time as the service is to see it.
    pub(super) fn skewed(unix_us: u64) -> u64 {
        let Some(file) = &*FILE else { return unix_us };
        if unix_us.abs_diff(LOOKED_AT_US.load(Relaxed)) >= LOOK_EVERY_US {
            LOOKED_AT_US.store(unix_us, Relaxed);
            OFFSET_US.store(offset_us(file), Relaxed);
        }
        unix_us.saturating_add_signed(OFFSET_US.load(Relaxed))
    }

    /// Returns the instant as the watch over silence is to see it.
    pub(super) fn ahead(instant: Instant) -> Instant {
        let Some(file) = &*SILENCE_FILE else { return instant };
        instant + Duration::from_micros(offset_us(file).unsigned_abs())
    }

    pub(super) fn offset_us(file: &Path) -> i64 {
        let seconds = std::fs::read_to_string(file).ok().and_then(|text| text.trim().parse::<i64>().ok());
        seconds.unwrap_or_default().saturating_mul(1_000_000)
    }
}

#[cfg(all(test, feature = "fault-injection"))]
mod tests {
    use super::*;

    #[test]
    fn the_file_says_by_how_many_seconds_the_clock_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("offset");
        assert_eq!(file::offset_us(&path), 0, "no file");
        for (text, offset) in [("-3600\n", -3_600_000_000), ("5", 5_000_000), ("soon", 0), ("", 0)] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(file::offset_us(&path), offset, "{text}");
        }
    }

    #[test]
    fn without_the_variables_the_clocks_are_right() {
        assert_eq!(skewed(1), 1);
        let now = Instant::now();
        assert_eq!(silence_instant(now), now);
    }
}
