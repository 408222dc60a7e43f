//! How long a thread has waited for a processor: a busy machine is not a blocked thread.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::Instant;

/// The file of a thread in which Linux counts its waits.
#[derive(Clone, Debug, Default)]
pub(super) struct ProcessorWait(Arc<OnceLock<PathBuf>>);

impl ProcessorWait {
    /// Names the calling thread, once.
    pub(super) fn is_of_this_thread(&self) {
        let thread = rustix::thread::gettid();
        self.0.get_or_init(|| format!("/proc/self/task/{}/schedstat", thread.as_raw_nonzero()).into());
    }

    /// Returns the sum of all waits that have ended; zero if no thread is named, or where the system does not tell.
    fn total(&self) -> Duration {
        let text = self.0.get().and_then(|path| fs::read_to_string(path).ok()).unwrap_or_default();
        // nanoseconds on a processor, nanoseconds of waiting, number of time slices
        let waited = text.split(' ').nth(1).and_then(|waited| waited.parse().ok());
        Duration::from_nanos(waited.unwrap_or_default())
    }
}

/// The rounds that a thread could have used: those in which it ran or slept, and not those in which it waited for a
/// processor.
#[derive(Debug)]
pub(super) struct OwnRounds {
    wait: ProcessorWait,
    at: Instant,
    waited: Duration,
    /// Seconds that are not counted yet; negative after a wait that was longer than the time since the last look.
    credit: f64,
}

impl OwnRounds {
    pub(super) fn new(wait: ProcessorWait) -> OwnRounds {
        OwnRounds { wait, at: Instant::now(), waited: Duration::ZERO, credit: 0.0 }
    }

    /// Whether this round counts: the thread has had the time of one since the last that did. Call it once per round.
    pub(super) fn counts(&mut self, tick: Duration) -> bool {
        self.counts_at(Instant::now(), self.wait.total(), tick)
    }

    fn counts_at(&mut self, now: Instant, waited: Duration, tick: Duration) -> bool {
        let tick = tick.as_secs_f64();
        let own =
            now.duration_since(self.at).as_secs_f64() - waited.saturating_sub(self.waited).as_secs_f64();
        (self.at, self.waited) = (now, waited);
        // rounds that were missed are not made up for
        self.credit += own.min(tick);
        let counts = self.credit >= tick;
        if counts {
            self.credit -= tick;
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use rustix::thread::{CpuSet, sched_getcpu, sched_setaffinity};

    use super::*;

    const S: Duration = Duration::from_secs(1);

    /// How many of these rounds count; each takes `seconds`, in `waited` of which the thread waits.
    fn counted(rounds: u32, seconds: f64, waited: f64) -> usize {
        let mut own = OwnRounds::new(ProcessorWait::default());
        let begin = own.at;
        let round = |n: u32, seconds: f64| Duration::from_secs_f64(seconds * f64::from(n));
        (1..=rounds).filter(|n| own.counts_at(begin + round(*n, seconds), round(*n, waited), S)).count()
    }

    #[test]
    fn rounds_of_a_thread_that_waits_for_a_processor_count_in_part() {
        assert_eq!(counted(100, 1.0, 0.0), 100);
        assert_eq!(counted(100, 1.0, 0.75), 25);
        assert_eq!(counted(100, 1.0, 1.0), 0);
        assert_eq!(counted(100, 3.0, 0.0), 100, "the supervisor has missed rounds");
        assert_eq!(counted(100, 3.0, 2.5), 50);
    }

    #[test]
    fn a_wait_that_is_told_at_its_end_counts_too() {
        let mut own = OwnRounds::new(ProcessorWait::default());
        let mut now = own.at;
        let mut round = |waited: u64| {
            now += S;
            own.counts_at(now, S * u32::try_from(waited).unwrap(), S)
        };
        assert_eq!([0, 0, 3, 3, 3, 3].map(&mut round), [true, true, false, false, false, true]);
    }

    #[test]
    fn a_thread_that_shares_a_processor_is_seen_to_wait() {
        let wait = ProcessorWait::default();
        assert_eq!(wait.total(), Duration::ZERO, "no thread is named");
        if !fs::read_to_string("/proc/self/schedstat").is_ok_and(|text| !text.starts_with("0 ")) {
            return eprintln!("skipped: this system does not tell");
        }
        let (end, ended) = mpsc::channel::<()>();
        let spin = move |ended: &mpsc::Receiver<()>| {
            while ended.try_recv() == Err(mpsc::TryRecvError::Empty) {
                std::hint::spin_loop();
            }
        };
        let (watched, (end_other, other_ended)) = (wait.clone(), mpsc::channel::<()>());
        let busy = thread::spawn(move || {
            let mut one = CpuSet::new();
            one.set(sched_getcpu());
            sched_setaffinity(None, &one).unwrap();
            watched.is_of_this_thread();
            // it has the same processor
            let other = thread::spawn(move || spin(&other_ended));
            spin(&ended);
            other.join().unwrap();
        });
        while wait.total() < Duration::from_millis(20) {
            thread::park_timeout(Duration::from_millis(1));
            assert!(!busy.is_finished());
        }
        drop((end, end_other));
        busy.join().unwrap();
    }
}
