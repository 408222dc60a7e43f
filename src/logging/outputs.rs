//! Drains that never fail: lost records are counted.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use slog::{Drain, Level, Never, OwnedKVList, Record};

/// The destination of formatted lines.
pub(super) type Output = Box<dyn Drain<Ok = (), Err = io::Error> + Send>;

/// Passes records on; refused records are counted.
pub(super) struct CountLost<D> {
    drain: D,
    lost: Arc<AtomicU64>,
}

impl<D> CountLost<D> {
    pub(super) fn new(drain: D, lost: Arc<AtomicU64>) -> CountLost<D> {
        CountLost { drain, lost }
    }
}

impl<D: Drain> Drain for CountLost<D> {
    type Ok = ();
    type Err = Never;

    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<(), Never> {
        if self.drain.log(record, values).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    fn is_enabled(&self, level: Level) -> bool {
        self.drain.is_enabled(level)
    }
}

/// Writes each record to every output, whether or not another one fails.
pub(super) struct Outputs(Vec<CountLost<Output>>);

impl Outputs {
    pub(super) fn new(outputs: Vec<Output>, lost: &Arc<AtomicU64>) -> Outputs {
        Outputs(outputs.into_iter().map(|output| CountLost::new(output, lost.clone())).collect())
    }
}

impl Drain for Outputs {
    type Ok = ();
    type Err = Never;

    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<(), Never> {
        self.0.iter().try_for_each(|output| output.log(record, values))
    }
}
