//! The types of the observations' values: written by one actor, read by any thread, with relaxed atomics.

use std::marker::PhantomData;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering, Ordering::Relaxed, fence};

use serde::{Serialize, Serializer};
use uw_websocket_core::labelled::Labelled;
use uw_websocket_core::time::iso_utc;

use crate::sync::lock;
use crate::wall_clock::unix_micros;

/// An atomic number; a clone is independent and has the same value.
#[derive(Debug, Default)]
pub(super) struct Number(AtomicU64);

impl Number {
    pub(super) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    pub(super) fn set(&self, n: u64) {
        self.0.store(n, Relaxed);
    }

    /// Returns the previous number.
    pub(super) fn add(&self, n: u64) -> u64 {
        self.0.fetch_add(n, Relaxed)
    }

    pub(super) fn raise_to(&self, n: u64) {
        self.0.fetch_max(n, Relaxed);
    }
}

impl Clone for Number {
    fn clone(&self) -> Number {
        Number(AtomicU64::new(self.get()))
    }
}

/// A count that only grows.
#[derive(Clone, Debug, Default)]
pub struct Count(Number);

impl Count {
    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.add(n);
    }

    /// Adds `n`; returns whether the count was zero.
    pub fn add_first(&self, n: u64) -> bool {
        self.0.add(n) == 0
    }

    /// Returns the count.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.get()
    }

    /// Updates a copy to the current count of `original`.
    pub(super) fn refresh(&self, original: &Count) {
        self.0.set(original.get());
    }
}

/// Returns the difference of both counts; zero if more has left than entered.
pub(super) fn depth(entered: &Count, left: &Count) -> u64 {
    let left = left.get();
    fence(Ordering::Acquire); // anything that left had entered: read in this order, no depth is negative
    entered.get().saturating_sub(left)
}

/// A growing number of microseconds, shown in seconds.
#[derive(Clone, Debug, Default)]
pub struct Micros(Number);

impl Micros {
    /// Adds microseconds.
    pub fn add(&self, us: u64) {
        self.0.add(us);
    }

    /// Returns the microseconds.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.get()
    }

    /// Returns the value in seconds.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.get() as f64 / 1e6
    }
}

/// A number that goes up and down.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Number);

impl Gauge {
    /// Sets the number.
    pub fn set(&self, n: u64) {
        self.0.set(n);
    }

    /// Changes one of the summands from one value to another.
    pub fn change(&self, from: u64, to: u64) {
        self.0.add(to.wrapping_sub(from));
    }

    /// Returns the number.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.get()
    }
}

/// A Boolean, shown as 1 or 0 in metrics.
#[derive(Clone, Debug, Default)]
pub struct Flag(Number);

impl Flag {
    /// Sets the flag.
    pub fn set(&self, is_so: bool) {
        self.0.set(u64::from(is_so));
    }

    /// Returns the flag.
    #[must_use]
    pub fn get(&self) -> bool {
        self.0.get() != 0
    }
}

/// A moment in Unix microseconds; zero is "never".
#[derive(Clone, Debug, Default)]
pub struct Moment(Number);

impl Moment {
    /// Sets the moment.
    pub fn set(&self, unix_us: u64) {
        self.0.set(unix_us);
    }

    /// Sets the moment to the current time.
    pub fn set_now(&self) {
        self.set(unix_micros());
    }

    /// Resets the moment to "never".
    pub fn clear(&self) {
        self.set(0);
    }

    /// Returns the moment in Unix microseconds; `None` if it never occurred.
    #[must_use]
    pub fn get(&self) -> Option<u64> {
        Some(self.0.get()).filter(|at| *at > 0)
    }
}

/// One count per value of `L`.
#[derive(Clone, Debug)]
pub struct CountsBy<L>(Vec<Count>, PhantomData<L>);

impl<L: Labelled> CountsBy<L> {
    /// Returns the count of a value.
    #[must_use]
    pub fn of(&self, value: L) -> &Count {
        &self.0[value.position()]
    }

    /// Returns the sum of all counts.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.0.iter().map(Count::get).sum()
    }

    /// Iterates over the counts with the labels of their values.
    pub(super) fn by_label(&self) -> impl Iterator<Item = (&'static str, u64)> {
        L::ALL.iter().zip(&self.0).map(|(value, count)| (value.label(), count.get()))
    }
}

impl<L: Labelled> Default for CountsBy<L> {
    fn default() -> CountsBy<L> {
        CountsBy(L::ALL.iter().map(|_| Count::default()).collect(), PhantomData)
    }
}

/// A state set by its actor and read by others; initially the first one.
#[derive(Debug)]
pub struct StateCell<S>(AtomicU8, PhantomData<S>);

impl<S: Labelled> StateCell<S> {
    /// Sets the state.
    pub fn set(&self, state: S) {
        self.0.store(u8::try_from(state.position()).unwrap_or_default(), Relaxed);
    }

    /// Returns the state.
    #[must_use]
    pub fn get(&self) -> S {
        S::ALL[usize::from(self.0.load(Relaxed))]
    }
}

impl<S> Default for StateCell<S> {
    fn default() -> StateCell<S> {
        StateCell(AtomicU8::new(0), PhantomData)
    }
}

macro_rules! serialized {
    ($($cell:ty: |$value:ident| $shown:expr;)*) => {$(
        impl Serialize for $cell {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let $value = self;
                $shown.serialize(serializer)
            }
        }
    )*};
}

serialized! {
    Count: |count| count.get();
    Micros: |micros| micros.seconds();
    Gauge: |gauge| gauge.get();
    Flag: |flag| flag.get();
    Moment: |moment| moment.get().map(iso_utc);
}

impl<L: Labelled> Serialize for CountsBy<L> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.by_label())
    }
}

impl<L: Labelled> Serialize for StateCell<L> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.get().label())
    }
}

/// Serializes the value in a mutex.
pub(crate) fn unlocked<T: Serialize, S: Serializer>(
    value: &Mutex<T>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    lock(value).serialize(serializer)
}
