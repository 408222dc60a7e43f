//! Exponential backoff with jitter.

use std::time::Duration;

/// Maximum deviation of a delay from its nominal length, as a fraction: enough that children and services that failed
/// together do not restart together.
const JITTER: f64 = 0.2;

/// Delays that double from an initial to a maximum one. The random generator is a parameter, so a seed determines the
/// whole sequence.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    max: Duration,
    nominal: Duration,
}

impl Backoff {
    /// Creates delays around `first`, twice that, and so on, none longer than `max`. A `first` above `max` counts as
    /// `max`.
    #[must_use]
    pub fn new(first: Duration, max: Duration) -> Backoff {
        let first = first.min(max);
        Backoff { first, max, nominal: first }
    }

    /// Returns the next delay: within a fifth of its nominal length, and at most the maximum. At the cap delays are
    /// still spread, below it.
    pub fn next(&mut self, rng: &mut fastrand::Rng) -> Duration {
        let shortest = self.nominal.mul_f64(1.0 - JITTER);
        let longest = self.nominal.saturating_add(self.nominal.mul_f64(JITTER)).min(self.max);
        self.nominal = self.nominal.saturating_mul(2).min(self.max);
        let spread = longest.saturating_sub(shortest).mul_f64(rng.f64());
        shortest.saturating_add(spread).min(self.max)
    }

    /// Restarts from the first delay, once the operation has succeeded.
    pub fn reset(&mut self) {
        self.nominal = self.first;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn doubles_to_the_cap_and_starts_again_after_reset() {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));
        let mut nominal = 100.0;
        for _ in 0..12 {
            let delay = backoff.next(&mut rng).as_secs_f64() * 1000.0;
            assert!(
                delay >= nominal * 0.799 && delay <= (nominal * 1.201).min(10_000.0),
                "{delay} at {nominal}"
            );
            nominal = (nominal * 2.0_f64).min(10_000.0);
        }
        backoff.reset();
        assert!(backoff.next(&mut rng) <= Duration::from_millis(121));
    }

    #[test]
    fn delays_at_the_cap_are_spread() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut backoff = Backoff::new(Duration::from_secs(5), Duration::from_secs(5));
        let mut delays: Vec<Duration> = (0..50).map(|_| backoff.next(&mut rng)).collect();
        delays.sort();
        delays.dedup();
        assert!(delays.len() > 40, "{} different delays of 50", delays.len());
    }

    proptest! {
        #[test]
        fn no_delay_leaves_the_bounds(
            first_ms in 0_u64..100_000,
            max_ms in 0_u64..100_000,
            seed: u64,
            steps in 1_usize..40,
        ) {
            let (first, max) = (Duration::from_millis(first_ms), Duration::from_millis(max_ms));
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut backoff = Backoff::new(first, max);
            for step in 0..steps {
                let factor = 1_u32.checked_shl(u32::try_from(step).unwrap()).unwrap_or(u32::MAX);
                let nominal = first.saturating_mul(factor).min(max);
                let delay = backoff.next(&mut rng);
                prop_assert!(delay <= max);
                prop_assert!(delay >= nominal.mul_f64(0.799), "{:?} below {:?}", delay, nominal);
                prop_assert!(delay <= nominal.mul_f64(1.201), "{:?} above {:?}", delay, nominal);
            }
        }

        #[test]
        fn any_duration_is_accepted(first: Duration, max: Duration, seed: u64) {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut backoff = Backoff::new(first, max);
            for _ in 0..5 {
                prop_assert!(backoff.next(&mut rng) <= max);
            }
        }
    }
}
