//! Whether a comparison may be trusted, and that of sums: it is cheap, covers a whole hour, and never alarms. It only names
//! minutes.

use std::collections::BTreeMap;

use crate::labelled;

/// Clean hours that must agree before it is trusted, or differ before it is given up.
pub const CALIBRATION_HOURS: u32 = 5;
/// Difference of an hour's sums that still agrees: one in this many.
const AGREES_WITHIN: u64 = 1_000;

labelled! {
    /// A comparison whose two sides must be known to mean the same before it is trusted.
    Screen {
        /// Sums of trades by minute.
        Sums = "sums",
        /// Minutes of REST with an event.
        Minutes = "minutes",
        /// Volumes of prices between those of the candles.
        Volumes = "volumes",
        /// The time of the newest state.
        Newest = "newest",
    }
}

/// Contracts of calls and of puts by the start of their minute, in Unix microseconds.
pub type Sums = BTreeMap<u64, [u64; 2]>;

/// Whether the definitions of both sides are known to agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Calibration {
    /// Off until enough hours agree.
    Learning {
        /// Hours in a row that agreed.
        agreed: u32,
        /// Hours that differed.
        differed: u32,
    },
    /// On.
    Trusted,
    /// Off for good: the sums mean different things.
    NotComparable,
}

impl Default for Calibration {
    fn default() -> Calibration {
        Calibration::Learning { agreed: 0, differed: 0 }
    }
}

impl Calibration {
    /// Takes into account whether an hour without a blind minute agreed. Returns whether it has just left
    /// [`Learning`](Calibration::Learning).
    pub fn learn(&mut self, has_agreed: bool) -> bool {
        let Calibration::Learning { agreed, differed } = self else { return false };
        if has_agreed {
            *agreed += 1;
        } else {
            *agreed = 0;
            *differed += 1;
        }
        match (*agreed, *differed) {
            (CALIBRATION_HOURS, _) => *self = Calibration::Trusted,
            (_, CALIBRATION_HOURS) => *self = Calibration::NotComparable,
            _ => return false,
        }
        true
    }
}

fn total(sums: &Sums, side: usize) -> u64 {
    sums.values().map(|volumes| volumes[side]).sum()
}

/// Whether the sums of an hour agree.
#[must_use]
pub fn agree(ours: &Sums, theirs: &Sums) -> bool {
    [0, 1].into_iter().all(|side| {
        let (ours, theirs) = (total(ours, side), total(theirs, side));
        ours.abs_diff(theirs) <= ours.max(theirs) / AGREES_WITHIN
    })
}

/// Returns the minutes of which REST has more than we have, those that lack most first.
#[must_use]
pub fn short_minutes(ours: &Sums, theirs: &Sums) -> Vec<u64> {
    let lack = |(minute, theirs): (&u64, &[u64; 2])| {
        let ours = ours.get(minute)?;
        let lack: u64 = [0, 1].into_iter().map(|side| theirs[side].saturating_sub(ours[side])).sum();
        (lack > 0).then_some((lack, *minute))
    };
    let mut short: Vec<(u64, u64)> = theirs.iter().filter_map(lack).collect();
    short.sort_unstable_by(|a, b| b.cmp(a));
    short.into_iter().map(|(_, minute)| minute).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(volumes: &[[u64; 2]]) -> Sums {
        (0..).zip(volumes.iter().copied()).collect()
    }

    #[test]
    fn five_clean_hours_in_a_row_must_agree_within_a_thousandth() {
        let mut calibration = Calibration::default();
        let (ours, near, far) =
            (sums(&[[10_000, 10_000]]), sums(&[[10_010, 10_000]]), sums(&[[10_011, 10_000]]));
        let learned: Vec<bool> = [&near, &far, &near, &near, &near, &near, &near]
            .map(|theirs| calibration.learn(agree(&ours, theirs)))
            .to_vec();
        assert_eq!(learned, [false, false, false, false, false, false, true]);
        assert_eq!(calibration, Calibration::Trusted);
        assert!(!calibration.learn(agree(&ours, &far)));
    }

    #[test]
    fn sums_that_differ_five_times_are_not_comparable() {
        let mut calibration = Calibration::default();
        let (ours, doubled) = (sums(&[[10, 10]]), sums(&[[20, 20]]));
        assert!((0..4).all(|_| !calibration.learn(agree(&ours, &doubled))));
        assert!(calibration.learn(agree(&ours, &doubled)));
        assert_eq!(calibration, Calibration::NotComparable);
    }

    #[test]
    fn only_what_rest_has_more_of_is_short_and_the_most_first() {
        let ours = sums(&[[5, 5], [5, 5], [5, 5], [9, 9]]);
        let theirs = sums(&[[5, 5], [6, 5], [5, 9], [1, 1]]);
        assert_eq!(short_minutes(&ours, &theirs), [2, 1]);
    }
}
