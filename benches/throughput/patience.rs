//! Waiting: every wait has a bound and ends at once on a signal, so that nothing is left running.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

use crate::failure::{Doing, Failure};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// From here on SIGINT and SIGTERM end the next wait instead of the process.
pub(crate) fn watch_signals() -> Result<(), Failure> {
    let runtime =
        Builder::new_current_thread().enable_all().build().doing("starting a runtime for signals")?;
    let (interrupt, terminate) = {
        let _entered = runtime.enter();
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    };
    let mut interrupt = interrupt.doing("watching SIGINT")?;
    let mut terminate = terminate.doing("watching SIGTERM")?;
    thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
        });
        INTERRUPTED.store(true, Ordering::Relaxed);
    });
    Ok(())
}

/// Fails when a signal came.
pub(crate) fn check_interrupted() -> Result<(), Failure> {
    if INTERRUPTED.load(Ordering::Relaxed) { Err(Failure::Interrupted) } else { Ok(()) }
}

/// Does nothing for a while.
#[expect(clippy::disallowed_methods, reason = "nothing else runs on the thread of the comparison")]
pub(crate) fn rest(pause: Duration) {
    thread::sleep(pause);
}

/// Calls `probe` every `pause` until it gives something, at most for `patience`; `what` is waited for.
pub(crate) fn wait_for<T>(
    what: &str,
    patience: Duration,
    pause: Duration,
    mut probe: impl FnMut() -> Result<Option<T>, Failure>,
) -> Result<T, Failure> {
    let start = Instant::now();
    loop {
        check_interrupted()?;
        if let Some(found) = probe()? {
            return Ok(found);
        }
        if start.elapsed() > patience {
            return Err(Failure::TooLate { waiting_for: what.to_owned(), seconds: patience.as_secs() });
        }
        rest(pause);
    }
}
