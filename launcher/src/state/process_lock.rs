//! Locks and semaphores of the module multiprocessing, which processes share.

use crate::state::wait::Wait;
use protocol::marshal::Value;
use protocol::state::WaitKind;

/// The most of one process that are read: the library names fewer.
const MOST: usize = 10_000;

/// A lock or semaphore, as one process has it.
#[derive(Clone, Debug, PartialEq)]
pub struct ProcessLock {
    /// The address of the object (`id()`).
    pub id: u64,
    /// The address of the semaphore, which threads wait on in the kernel.
    pub address: u64,
    /// What it is.
    pub kind: WaitKind,
    /// The semaphore's value.
    pub value: i64,
    /// How often this process has acquired it, less how often it has released it.
    pub count: i64,
    /// The identifier of its thread that has acquired it last, if it holds it.
    pub owner: Option<u64>,
    /// The file that the semaphore is in, and where in it, if that is looked up: the same in all processes.
    pub place: Option<(String, u64)>,
}

impl ProcessLock {
    /// Reads the list of [`PROCESS_LOCKS`](protocol::state::document::PROCESS_LOCKS), if it is there.
    pub(crate) fn parse_all(list: Option<Value>) -> Vec<ProcessLock> {
        let list = list.and_then(|list| list.list());
        let items = list.into_iter().flat_map(|list| list.iter()).take(MOST);
        items.filter_map(|item| ProcessLock::parse(&item)).collect()
    }

    fn parse(value: &Value) -> Option<ProcessLock> {
        let [id, address, kind, most, value, count, owner] = value.list()?.exactly()?;
        // RECURSIVE_MUTEX and SEMAPHORE (Modules/_multiprocessing/multiprocessing.h): a lock is a semaphore of at most 1.
        let kind = match (kind.number::<i64>()?, most.number::<i64>()?) {
            (0, _) => WaitKind::ProcessRLock,
            (_, 1) => WaitKind::ProcessLock,
            _ => WaitKind::ProcessSemaphore,
        };
        let count = count.number()?;
        let value = value.number()?;
        // A semaphore may be released by who has not acquired it, as conditions do: it has no holder.
        let has_holder = kind != WaitKind::ProcessSemaphore && count > 0 && value == 0;
        Some(ProcessLock {
            id: id.number()?,
            address: address.number()?,
            kind,
            value,
            count,
            owner: owner.number().filter(|_| has_holder),
            place: None,
        })
    }

    /// The wait of a thread that waits for it.
    pub(crate) fn wait(&self, limited: bool) -> Wait {
        Wait {
            id: Some(self.id),
            owner: self.owner,
            count: (self.kind == WaitKind::ProcessRLock).then_some(self.count),
            value: Some(self.value),
            limited: Some(limited),
            ..Wait::of_kind(self.kind)
        }
    }
}
