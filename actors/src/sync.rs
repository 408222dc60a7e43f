//! Locks.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks a mutex of plain values, which remain valid if another holder panics.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
