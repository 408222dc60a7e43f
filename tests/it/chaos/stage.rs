//! What all threads of a run share: its time, what has been done, and whether anything has failed.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use super::ledger::Gap;
use crate::support::service::Probe;

/// Between two looks at whether the run is over.
const POLL: Duration = Duration::from_millis(10);

/// The process that runs now.
#[derive(Clone, Debug)]
pub(crate) struct Living {
    /// How many there were before it.
    pub(crate) life: usize,
    pub(crate) probe: Probe,
}

/// What happened so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    /// Every action, with when it began or ended.
    pub(crate) acts: Vec<(Duration, String)>,
    /// How often each kind of action was done.
    pub(crate) counts: BTreeMap<String, u64>,
    /// What was in the ledger before Redis forgot it.
    pub(crate) forgotten_gaps: Vec<Gap>,
    /// Actions that have begun and not ended.
    active: usize,
    /// When the last of them ended.
    healed_at: Option<Instant>,
}

/// Shared by all threads of a run.
pub(crate) struct Stage {
    began: Instant,
    length: Duration,
    is_over: AtomicBool,
    living: Mutex<Option<Living>>,
    record: Mutex<Record>,
    failures: Mutex<Vec<String>>,
}

impl Stage {
    /// A stage on which there is trouble for so long.
    pub(crate) fn new(length: Duration) -> Stage {
        Stage {
            began: Instant::now(),
            length,
            is_over: AtomicBool::new(false),
            living: Mutex::default(),
            record: Mutex::default(),
            failures: Mutex::default(),
        }
    }

    /// Whether no more trouble is to be made.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(SeqCst) || self.began.elapsed() >= self.length
    }

    /// Waits; false when the time of trouble has ended meanwhile.
    pub(crate) fn rest(&self, pause: Duration) -> bool {
        self.rest_while(pause, || ())
    }

    /// The same, and does something every now and then.
    pub(crate) fn rest_while(&self, pause: Duration, mut each: impl FnMut()) -> bool {
        let began = Instant::now();
        while began.elapsed() < pause && !self.is_over() {
            each();
            std::thread::park_timeout(POLL);
        }
        !self.is_over()
    }

    /// Notes the beginning of an action.
    pub(crate) fn begin(&self, lane: &str, kind: &str, text: &str) {
        let mut record = self.record.lock().unwrap();
        record.acts.push((self.began.elapsed(), format!("{lane}: {text}")));
        *record.counts.entry(format!("{lane} {kind}")).or_default() += 1;
        record.active += 1;
    }

    /// Notes its end.
    pub(crate) fn end(&self, lane: &str) {
        let mut record = self.record.lock().unwrap();
        record.acts.push((self.began.elapsed(), format!("{lane}: ended")));
        record.active -= 1;
        record.healed_at = Some(Instant::now());
    }

    /// Notes what Redis is about to forget of the ledger.
    pub(crate) fn note_gaps(&self, gaps: Vec<Gap>) {
        self.record.lock().unwrap().forgotten_gaps.extend(gaps);
    }

    /// When the last action ended, if none is under way.
    pub(crate) fn healed_at(&self) -> Option<Instant> {
        let record = self.record.lock().unwrap();
        record.healed_at.filter(|_| record.active == 0)
    }

    /// What has been done so far.
    pub(crate) fn record(&self) -> Record {
        self.record.lock().unwrap().clone()
    }

    /// Notes that a promise was broken, and ends the trouble.
    pub(crate) fn fail(&self, what: String) {
        self.failures.lock().unwrap().push(what);
        self.is_over.store(true, SeqCst);
    }

    /// Broken promises so far.
    pub(crate) fn failures(&self) -> Vec<String> {
        self.failures.lock().unwrap().clone()
    }

    /// The process that runs now, if one does.
    pub(crate) fn living(&self) -> Option<Living> {
        self.living.lock().unwrap().clone()
    }

    /// Another process runs, or none.
    pub(crate) fn set_living(&self, living: Option<Living>) {
        *self.living.lock().unwrap() = living;
    }

    /// Runs a part of the run. If it panics, the others end too.
    pub(crate) fn play<T>(&self, part: impl FnOnce() -> T) -> T {
        struct EndsAll<'s>(&'s Stage);
        impl Drop for EndsAll<'_> {
            fn drop(&mut self) {
                if std::thread::panicking() {
                    self.0.is_over.store(true, SeqCst);
                }
            }
        }
        let _ends_all = EndsAll(self);
        part()
    }
}
