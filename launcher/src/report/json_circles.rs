//! The JSON document: those who wait, and keep each other waiting.

use serde::Serialize;

use crate::state::wait_graph::Node;

/// One that waits, or keeps others waiting.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Member {
    Thread(u64),
    Greenlet(u64),
    Frame(u64),
}

impl Member {
    /// Each of these.
    pub(crate) fn of_all(nodes: &[Node]) -> Vec<Member> {
        let members = nodes.iter().map(|node| match *node {
            Node::Thread(ident) => Member::Thread(ident),
            Node::Greenlet(id) => Member::Greenlet(id),
            Node::Suspended(frame) => Member::Frame(frame),
        });
        members.collect()
    }
}

/// The identifiers of the threads among these.
pub(crate) fn threads_of(nodes: &[Node]) -> Vec<u64> {
    nodes.iter().filter_map(|node| node.thread()).collect()
}

/// The threads of each circle that has any.
pub(crate) fn of_threads(circles: &[Vec<Node>]) -> Vec<Vec<u64>> {
    let threads = circles.iter().map(|circle| threads_of(circle));
    threads.filter(|circle| !circle.is_empty()).collect()
}
