//! The lock that this crate uses, in one place so that the model test can put its own in its stead.

pub(crate) use std::sync::Mutex;
use std::sync::{MutexGuard, PoisonError};

/// Locks, also after a panic elsewhere.
///
/// No lock of this crate is held while foreign code runs, and each critical section leaves its data consistent
/// before it can panic, so poison carries no information here.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
