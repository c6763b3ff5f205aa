//! Trials that look at all processes of this machine, and trials whose processes keep whoever looks waiting: never both
//! at a time.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

static LOOKS: RwLock<()> = RwLock::new(());

/// While this is held, nobody in this runner keeps us waiting: for what lists all processes within a time.
pub fn looked_at() -> RwLockReadGuard<'static, ()> {
    LOOKS.read().unwrap_or_else(PoisonError::into_inner)
}

/// While this is held, a process of ours may keep waiting whoever looks at all of them.
pub fn kept_waiting() -> RwLockWriteGuard<'static, ()> {
    LOOKS.write().unwrap_or_else(PoisonError::into_inner)
}
