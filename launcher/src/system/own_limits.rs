//! What this command itself may take: memory and descriptors.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Lets all threads of this command take their memory from one place, so that what one of them gives back is there
/// for the next. To be called before the first thread is started.
///
/// By itself glibc gives a new thread a place of its own, up to eight for each processor (`arena_get2`,
/// malloc/arena.c, 2.36), and what is freed in one of them is of no use in the others. Each question has a thread: so
/// what a command takes would grow with the processors of its machine, to several times what is in use.
pub fn share_memory() {
    // SAFETY: it changes a number in the C library's allocator, which no other thread uses yet. If it fails, all
    // stays as it was.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1)
    };
}

/// How many descriptors a question has open at a time: a socket that listens, a connection, a file; and, as few
/// debuggers run at a time, not even one more.
const OF_QUESTION: u64 = 4;

/// How many descriptors are for the command itself, and for debuggers.
const OF_COMMAND: u64 = 100;

/// Takes as many descriptors as so many questions need, if the system allows that, and returns for how many
/// questions at a time there are some: one at least.
pub fn questions_at_a_time(most: usize) -> usize {
    let need = OF_QUESTION * most as u64 + OF_COMMAND;
    let limit = getrlimit(Resource::Nofile);
    let allowed = |limit: Option<u64>| limit.unwrap_or(need).min(need);
    let mut current = allowed(limit.current);
    if current < need {
        let raised = Rlimit {
            current: Some(allowed(limit.maximum)),
            ..limit
        };
        if setrlimit(Resource::Nofile, raised).is_ok() {
            current = allowed(raised.current);
        }
    }
    let left = current.saturating_sub(OF_COMMAND.min(current / 2));
    usize::try_from(left / OF_QUESTION).map_or(most, |count| count.clamp(1, most))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_always_one_question() {
        assert_eq!(questions_at_a_time(1), 1);
        assert!((1..=1000).contains(&questions_at_a_time(1000)));
    }
}
