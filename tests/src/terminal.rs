//! A pseudo-terminal for a command's output.

use std::ffi::CStr;
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread;

use crate::ended::Ended;
use crate::process::run;

/// Runs a command to its end with a terminal as standard output, and returns also the terminal's text.
#[track_caller]
pub fn run_on_terminal(command: &mut Command) -> (Ended, String) {
    // Close-on-exec: programs that other trials start meanwhile would keep the terminal open.
    let open = |path: &str| {
        let mut options = OpenOptions::new();
        options.read(true).write(true).custom_flags(libc::O_NOCTTY);
        options.open(path).expect("a pseudo-terminal")
    };
    let master = open("/dev/ptmx");
    let slave = open(&name_of_slave(&master));
    let number = slave.as_raw_fd();
    // SAFETY: a plain system call, which a forked child may make; the descriptor is open until then.
    unsafe {
        command.pre_exec(move || match libc::dup2(number, 1) {
            1 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        });
    }
    let reader = thread::spawn(move || {
        let mut told = Vec::new();
        // Reading ends with EIO when nobody has the other side open.
        let _ = (&master).read_to_end(&mut told);
        told
    });
    let ended = run(command);
    drop(slave);
    let told = reader.join().unwrap();
    let told = String::from_utf8_lossy(&told).replace("\r\n", "\n");
    (ended, told)
}

fn name_of_slave(master: &File) -> String {
    let mut name = [0; 64];
    // SAFETY: the descriptor is a pseudo-terminal, and its name is shorter than the array, whose length
    // the call gets.
    let name = unsafe {
        assert_eq!(libc::unlockpt(master.as_raw_fd()), 0);
        let failed = libc::ptsname_r(master.as_raw_fd(), name.as_mut_ptr(), name.len());
        assert_eq!(failed, 0);
        CStr::from_ptr(name.as_ptr())
    };
    name.to_str().unwrap().to_owned()
}
