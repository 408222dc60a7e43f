//! Locks.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks a mutex of plain values, which a panic of another holder leaves readable.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
