//! The crash limit. Pure: the time is a parameter.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::settings::RestartSettings;

/// The recent crashes of all children, counted like OTP's one-for-one supervisor: more than `intensity` within
/// `period` ends restarting.
#[derive(Debug)]
pub struct RestartPolicy {
    settings: RestartSettings,
    /// Crashes of the last period, oldest first; at most `intensity + 1`.
    crashes: VecDeque<Instant>,
}

/// The reaction to a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartVerdict {
    /// Restart the child.
    Restart {
        /// Crashes in the period, this one included.
        crashes: usize,
    },
    /// Restarting does not help; the parent decides.
    GiveUp {
        /// Crashes in the period, this one included.
        crashes: usize,
    },
}

impl RestartPolicy {
    /// Creates a policy without crashes.
    #[must_use]
    pub fn new(settings: RestartSettings) -> RestartPolicy {
        RestartPolicy { settings, crashes: VecDeque::new() }
    }

    /// Returns the period in which crashes add up; a child that has lived as long counts as healthy again.
    #[must_use]
    pub fn period(&self) -> Duration {
        self.settings.period
    }

    /// Counts a crash at `now`, which must not precede earlier ones. A crash exactly one period ago is forgotten.
    pub fn crashed(&mut self, now: Instant) -> RestartVerdict {
        while self.crashes.front().is_some_and(|at| now.duration_since(*at) >= self.settings.period) {
            self.crashes.pop_front();
        }
        self.crashes.push_back(now);
        let crashes = self.crashes.len();
        let limit = usize::try_from(self.settings.intensity).unwrap_or(usize::MAX);
        if crashes > limit {
            // later crashes are judged too, in constant memory
            self.crashes.pop_front();
            return RestartVerdict::GiveUp { crashes };
        }
        RestartVerdict::Restart { crashes }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn policy(intensity: u32, period_seconds: u64) -> RestartPolicy {
        RestartPolicy::new(RestartSettings { intensity, period: Duration::from_secs(period_seconds) })
    }

    #[test]
    fn gives_up_at_one_more_than_the_intensity() {
        let (mut policy, now) = (policy(2, 60), Instant::now());
        assert_eq!(policy.crashed(now), RestartVerdict::Restart { crashes: 1 });
        assert_eq!(policy.crashed(now), RestartVerdict::Restart { crashes: 2 });
        assert_eq!(policy.crashed(now), RestartVerdict::GiveUp { crashes: 3 });
    }

    #[test]
    fn crashes_spread_over_more_than_the_period_go_on_for_ever() {
        let (mut policy, start) = (policy(2, 60), Instant::now());
        for crash in 0..100 {
            let verdict = policy.crashed(start + Duration::from_secs(crash * 30));
            assert!(matches!(verdict, RestartVerdict::Restart { .. }), "crash {crash}: {verdict:?}");
        }
    }

    #[test]
    fn an_intensity_of_zero_allows_no_crash() {
        assert_eq!(policy(0, 60).crashed(Instant::now()), RestartVerdict::GiveUp { crashes: 1 });
    }

    proptest! {
        /// The verdict matches a naive count.
        #[test]
        fn judges_as_a_count_of_the_window_does(
            intensity in 0_u32..6,
            period in 1_u64..50,
            pauses in prop::collection::vec(0_u64..20, 1..60),
        ) {
            let (mut policy, start) = (policy(intensity, period), Instant::now());
            let mut at = 0;
            let mut all = Vec::new();
            for pause in pauses {
                at += pause;
                all.push(at);
                let in_window = all.iter().filter(|crash| at - **crash < period).count();
                match policy.crashed(start + Duration::from_secs(at)) {
                    RestartVerdict::Restart { crashes } => {
                        prop_assert_eq!(crashes, in_window);
                        prop_assert!(in_window <= intensity as usize);
                    }
                    RestartVerdict::GiveUp { .. } => prop_assert!(in_window > intensity as usize),
                }
                prop_assert!(policy.crashes.len() <= intensity as usize);
            }
        }
    }
}
