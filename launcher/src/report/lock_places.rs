//! Looks up which semaphores the locks of multiprocessing are, so that they can be told in several processes: by the file
//! that is mapped.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::state::process_lock::ProcessLock;
use crate::state::thread::Thread;
use crate::system::maps;
use crate::system::process::Process;
use crate::system::supervisor;

/// The most time that is spent on one process.
const MOST_TIME: Duration = Duration::from_millis(250);

/// Completes those locks of a process that its threads wait for, or hold, as far as that is done by `until`. A thread of
/// its own looks, as in [`crate::report::resolve`].
pub fn look_up(process: Process, locks: &mut [ProcessLock], threads: &[Thread], until: Instant) {
    let waits = threads.iter().filter_map(|thread| thread.wait.as_ref());
    let waited: Vec<u64> = waits.filter_map(|wait| wait.id).collect();
    let mut wanted: Vec<&mut ProcessLock> = locks
        .iter_mut()
        .filter(|lock| lock.owner.is_some() || waited.contains(&lock.id))
        .collect();
    if wanted.is_empty() {
        return;
    }
    let (sender, found) = mpsc::sync_channel(1);
    let builder = thread::Builder::new().name("lock-places".to_owned());
    let look = move || {
        let _ = sender.send(maps::regions(process));
    };
    if builder.spawn(look).is_err() {
        // The system grants no thread: the answer does without.
        return;
    }
    let until = until.min(Instant::now() + MOST_TIME);
    match found.recv_timeout(until.saturating_duration_since(Instant::now())) {
        Ok(Ok(regions)) => {
            for lock in &mut wanted {
                let region = maps::region_at(&regions, lock.address);
                // The C library gives the file a name of its own before it has the one that was asked for
                // (nptl/sem_open.c), and multiprocessing removes it: so its name is used once.
                let place = region.filter(|region| region.name.starts_with('/'));
                lock.place = place.map(|region| {
                    let offset = region.offset + (lock.address - region.start);
                    (region.name.clone(), offset)
                });
            }
        }
        Ok(Err(_)) => {}
        Err(_) => supervisor::note_stuck(),
    }
}
