//! The death of a thread that nothing restarts: the process ends in order, and the process manager restarts it.
//!
//! A disk queue without its thread would refuse everything, and events would bypass the disk for good.

use std::sync::{Arc, OnceLock};

use slog::{Logger, crit};
use tokio::sync::Notify;

/// The deaths of all threads; clones share them.
#[derive(Clone, Debug, Default)]
pub struct ThreadDeaths(Arc<Told>);

#[derive(Debug, Default)]
struct Told {
    first: OnceLock<String>,
    changed: Notify,
}

impl ThreadDeaths {
    /// Returns a guard to be owned by the thread of this name: if it panics, that is its death.
    #[must_use]
    pub fn guard(&self, name: String, log: Logger) -> ThreadGuard {
        ThreadGuard { deaths: self.clone(), name, log }
    }

    /// Waits for the first death, and returns the name of the thread.
    pub async fn first(&self) -> String {
        loop {
            // created before the check, so that a death in between wakes it
            let changed = self.0.changed.notified();
            if let Some(name) = self.0.first.get() {
                return name.clone();
            }
            changed.await;
        }
    }
}

/// Tells of the death of the thread that owns it.
#[derive(Debug)]
pub struct ThreadGuard {
    deaths: ThreadDeaths,
    name: String,
    log: Logger,
}

impl Drop for ThreadGuard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            crit!(self.log, "thread died"; "thread" => &self.name);
            self.deaths.0.first.get_or_init(|| self.name.clone());
            self.deaths.0.changed.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use slog::{Discard, o};

    use super::*;

    #[test]
    fn a_panic_is_told_of_and_an_end_is_not() {
        let deaths = ThreadDeaths::default();
        let run = |name: &str, ends_well: bool| {
            let guard = deaths.guard(name.to_owned(), Logger::root(Discard, o!()));
            let thread = std::thread::spawn(move || {
                let _guard = guard;
                assert!(ends_well, "a panic that the test asked for");
            });
            assert_eq!(thread.join().is_ok(), ends_well);
        };
        run("well", true);
        assert_eq!(deaths.first().now_or_never(), None);
        let mut waiting = std::pin::pin!(deaths.first());
        assert_eq!(waiting.as_mut().now_or_never(), None);
        run("first", false);
        run("second", false);
        assert_eq!(waiting.now_or_never().as_deref(), Some("first"));
        assert_eq!(deaths.first().now_or_never().as_deref(), Some("first"));
    }
}
