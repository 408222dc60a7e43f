//! How much longer than usual things take on this machine now: the limits of tests follow it.
//!
//! A limit is chosen for a machine that does nothing else. It is stretched by what a piece of work takes by the clock on the
//! wall against what it takes of the processor, the starts and ends of threads included. A busy machine makes a test wait
//! longer and fails none; a test that hangs ends as early as ever where nothing else runs.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// Processor time of a piece of the work: longer than the system lets a thread run while others wait.
const PIECE: Duration = Duration::from_millis(10);
/// Enough of them to meet what else runs, and few enough to cost a test nothing.
const PIECES: u32 = 5;
/// A measurement says nothing of the load that comes later.
const YOUNG: Duration = Duration::from_secs(5);
/// On a machine that is slower than this no test can tell a hang.
const MOST: f64 = 16.0;

/// When it was measured last, and the most that it has been.
static SLOWNESS: Mutex<Option<(Instant, f64)>> = Mutex::new(None);

/// The limit on this machine.
pub(crate) fn stretched(limit: Duration) -> Duration {
    let mut slowness = SLOWNESS.lock().unwrap_or_else(PoisonError::into_inner);
    let (_, most) = match *slowness {
        Some(young) if young.0.elapsed() < YOUNG => young,
        older => {
            let most = older.map_or(1.0, |(_, most)| most).max(measure());
            *slowness.insert((Instant::now(), most))
        }
    };
    limit.mul_f64(most)
}

/// Whether so much time has passed on this machine.
pub(crate) fn has_passed(since: Instant, limit: Duration) -> bool {
    // the machine is measured by those only who have waited for long
    since.elapsed() > limit && since.elapsed() > stretched(limit)
}

fn measure() -> f64 {
    let began = Instant::now();
    for _ in 0..PIECES {
        std::thread::spawn(|| while processor_time() < PIECE {}).join().expect("the work is done");
    }
    (began.elapsed().as_secs_f64() / (PIECE * PIECES).as_secs_f64()).clamp(1.0, MOST)
}

/// What this thread has used.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).expect("it is not negative")
}
