//! The lock that this crate uses, in one place so that the model test can replace it.
//!
//! In unit tests it is loom's, which works only inside `loom::model`. So unit tests are of pure code or in `model`; all
//! other code that takes the lock is tested from outside, in `tests/it`.

use std::sync::PoisonError;

#[cfg(test)]
pub(crate) use loom::sync::Mutex;
#[cfg(test)]
use loom::sync::MutexGuard;
#[cfg(not(test))]
pub(crate) use std::sync::Mutex;
#[cfg(not(test))]
use std::sync::MutexGuard;

/// Takes the lock, also after a panic elsewhere.
///
/// No lock of this crate is held while foreign code runs, except for the clone of a waker. Each critical section leaves
/// its data consistent before it can panic, so poison carries no information here.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
