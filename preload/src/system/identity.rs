//! The numbers of this process and of the calling thread.

use crate::system::filter::{self, Call};
use crate::system::proc_file;

/// This process's ID: asked for each time, so it is right in a forked child too. Any thread, interrupted or
/// not.
pub fn process_id() -> i32 {
    // A filter may answer it with an error, before that is known.
    let asked = filter::may(Call::ProcessId).then(|| std::process::id() as i32);
    let id = asked.filter(|&id| id > 0);
    id.unwrap_or_else(|| first_number(c"/proc/self/stat"))
}

/// The calling thread's ID. Any thread, interrupted or not.
pub fn this_thread_id() -> i32 {
    // SAFETY: a system call that takes no argument and touches no memory.
    let asked = filter::may(Call::ThreadId).then(|| unsafe { libc::gettid() });
    let id = asked.filter(|&id| id > 0);
    id.unwrap_or_else(|| first_number(c"/proc/thread-self/stat"))
}

/// The number with which a file begins; 0 if it cannot be read.
fn first_number(path: &std::ffi::CStr) -> i32 {
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
        let agree = || first_number(c"/proc/thread-self/stat") == this_thread_id();
        assert!(std::thread::spawn(agree).join().expect("it ends"));
    }
}
