//! The numbers of this process and of the calling thread.

use std::ffi::CStr;

use crate::system::filter::{self, Call};
use crate::system::proc_file;

/// This process's ID: asked for each time, so it is right in a forked child too. Any thread, interrupted or
/// not.
pub fn process_id() -> i32 {
    // A filter may answer it with an error, before that is known.
    let asked = filter::may(Call::ProcessId).then(|| std::process::id() as i32);
    let id = asked.filter(|&id| id > 0);
    id.or_else(|| linked_number(c"/proc/self"))
        .unwrap_or_else(|| first_number(c"/proc/self/stat"))
}

/// The calling thread's ID. Any thread, interrupted or not.
pub fn this_thread_id() -> i32 {
    // SAFETY: a system call that takes no argument and touches no memory.
    let asked = filter::may(Call::ThreadId).then(|| unsafe { libc::gettid() });
    let id = asked.filter(|&id| id > 0);
    id.or_else(|| linked_number(c"/proc/thread-self"))
        .unwrap_or_else(|| first_number(c"/proc/thread-self/stat"))
}

/// The number with which a link's target ends; `None` if it cannot be read. It opens nothing.
fn linked_number(path: &CStr) -> Option<i32> {
    let mut target = [0; 64];
    if !filter::may(Call::ReadLink) {
        return None;
    }
    let count = proc_file::link(path, &mut target)?;
    let target = target.get(..count)?;
    let last = target.rsplit(|&byte| byte == b'/').next()?;
    let id = std::str::from_utf8(last).ok()?.parse().ok();
    id.filter(|&id| id > 0)
}

/// The number with which a file begins; 0 if it cannot be read.
fn first_number(path: &CStr) -> i32 {
    let mut text = [0; 64];
    let text = proc_file::read(path, &mut text).unwrap_or_default();
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |number, digit| number * 10 + i32::from(digit - b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_numbers_in_proc_too() {
        assert_eq!(first_number(c"/proc/self/stat"), process_id());
        assert_eq!(linked_number(c"/proc/self"), Some(process_id()));
        assert_eq!(linked_number(c"/proc/self/exe"), None);
        let agree = || {
            let id = this_thread_id();
            first_number(c"/proc/thread-self/stat") == id
                && linked_number(c"/proc/thread-self") == Some(id)
        };
        assert!(std::thread::spawn(agree).join().expect("it ends"));
    }
}
