//! Who could end a wait: threads of this process or of another, or whole processes.

use crate::state::descriptor::Descriptor;
use crate::state::wait::Wait;
use crate::state::wait_graph::{self, WaitGraph};
use protocol::state::WaitKind;

/// A thread of a process: its PID and its identifier.
pub(crate) type Node = (i32, u64);

/// Who could end a wait.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Waker {
    /// This thread.
    Thread(Node),
    /// The main thread of this process, by ending.
    Main(i32),
    /// Any thread of this process.
    Process(i32),
    /// Whoever holds this lock of multiprocessing, by its index.
    Lock(usize),
}

/// Those who could end this wait of a thread of this process; none if they are not known.
pub(crate) fn wakers(pid: i32, graph: &WaitGraph, wait: &Wait) -> Vec<Waker> {
    // A command line shows that it is the process's child here, and not another with its number.
    if let (WaitKind::Child, Some(child @ 1..), Some(_)) = (wait.kind, wait.child, &wait.command) {
        return vec![Waker::Main(child)];
    }
    if let [descriptor] = &wait.descriptors[..]
        && wait.others == Some(0)
        && wait.epoll.is_none()
    {
        return wakers_by_descriptor(pid, descriptor);
    }
    let holders = graph.holders(wait).into_iter();
    let holders = holders.map(|holder| match holder {
        wait_graph::Node::Thread(ident) => Some(Waker::Thread((pid, ident))),
        // Whether that could go on is not known here.
        wait_graph::Node::Greenlet(_) | wait_graph::Node::Suspended(_) => None,
    });
    holders.collect::<Option<Vec<Waker>>>().unwrap_or_default()
}

fn wakers_by_descriptor(pid: i32, descriptor: &Descriptor) -> Vec<Waker> {
    let found = descriptor
        .other_end
        .as_ref()
        .or(descriptor.held_by.as_ref());
    let Some(found) = found.filter(|found| found.complete && found.more == 0) else {
        return Vec::new();
    };
    let others = found.processes.iter().map(|one| Waker::Process(one.pid));
    let own = found.own.then_some(Waker::Process(pid));
    others.chain(own).collect()
}
