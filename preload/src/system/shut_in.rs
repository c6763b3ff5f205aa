//! A thread of the agent's shuts itself in: from then on it makes the system calls that an answer needs, and
//! no other. It opens no file, starts no program, and reaches no other process but by a local socket.

use std::ffi::{c_int, c_long};
use std::mem::offset_of;

use crate::system::credentials;

/// System calls that it may make with any arguments: memory, waits, the ends of threads, its socket. What the
/// C library does to change users has to work on each thread.
const ALLOWED: [c_long; 50] = [
    libc::SYS_futex,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigaction,
    libc::SYS_restart_syscall,
    libc::SYS_clock_gettime,
    libc::SYS_gettimeofday,
    libc::SYS_nanosleep,
    libc::SYS_clock_nanosleep,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_sched_yield,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_connect,
    libc::SYS_getsockopt,
    libc::SYS_recvfrom,
    libc::SYS_sendto,
    libc::SYS_poll,
    libc::SYS_ppoll,
    libc::SYS_close,
    libc::SYS_close_range,
    libc::SYS_fcntl,
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setgroups,
    libc::SYS_setfsuid,
    libc::SYS_setfsgid,
    libc::SYS_capset,
    libc::SYS_capget,
    libc::SYS_arch_prctl,
    libc::SYS_membarrier,
    libc::SYS_getrandom,
];

/// System calls that it may make if the first argument is this.
const ALLOWED_WITH: [(c_long, c_int); 3] = [
    (libc::SYS_socket, libc::AF_UNIX),
    (libc::SYS_prctl, libc::PR_SET_NAME),
    (libc::SYS_prctl, libc::PR_GET_DUMPABLE),
];

/// System calls that it may make to its own process: the first argument is a process.
const ALLOWED_HERE: [c_long; 3] = [
    libc::SYS_tgkill,
    libc::SYS_process_vm_readv,
    libc::SYS_rt_sigqueueinfo,
];

/// AUDIT_ARCH_X86_64 (include/uapi/linux/audit.h).
const ARCHITECTURE: u32 = 0xc000_003e;

/// A program of the kernel's filter machine (include/uapi/linux/filter.h).
struct Program {
    code: [libc::sock_filter; LONGEST],
    length: usize,
}

const LONGEST: usize = 160;

impl Program {
    fn push(&mut self, code: u32, jump_if: u8, jump_else: u8, value: u32) {
        if let Some(place) = self.code.get_mut(self.length) {
            *place = libc::sock_filter {
                code: code as u16,
                jt: jump_if,
                jf: jump_else,
                k: value,
            };
        }
        self.length += 1;
    }

    fn load(&mut self, offset: usize) {
        self.push(
            libc::BPF_LD | libc::BPF_W | libc::BPF_ABS,
            0,
            0,
            offset as u32,
        );
    }

    /// Returns `verdict` if the loaded value is this.
    fn on(&mut self, value: u32, verdict: u32) {
        self.skip_unless(value, 1);
        self.verdict(verdict);
    }

    /// Leaves out this many instructions unless the loaded value is this.
    fn skip_unless(&mut self, value: u32, count: u8) {
        self.push(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, count, value);
    }

    fn verdict(&mut self, verdict: u32) {
        self.push(libc::BPF_RET | libc::BPF_K, 0, 0, verdict);
    }
}

/// Shuts the calling thread in, for good; false if the kernel has no filters. Threads that it starts are
/// shut in too. `process` is this process.
pub fn this_thread(process: i32) -> bool {
    credentials::give_up_all();
    let mut program = Program {
        code: [libc::sock_filter {
            code: 0,
            jt: 0,
            jf: 0,
            k: 0,
        }; LONGEST],
        length: 0,
    };
    write(&mut program, process);
    if program.length > LONGEST {
        return false;
    }
    let filter = libc::sock_fprog {
        len: program.length as u16,
        filter: program.code.as_mut_ptr(),
    };
    // SAFETY: the kernel copies the program, a local. The filter binds this thread, one of the agent's, and
    // those that it starts.
    unsafe {
        let mode = libc::SECCOMP_MODE_FILTER;
        libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const filter) == 0
    }
}

fn write(program: &mut Program, process: i32) {
    let refused = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
    let allowed = libc::SECCOMP_RET_ALLOW;
    let number = offset_of!(libc::seccomp_data, nr);
    // The lower half of an argument, on a little-endian machine.
    let argument = offset_of!(libc::seccomp_data, args);
    program.load(offset_of!(libc::seccomp_data, arch));
    program.skip_unless(ARCHITECTURE, 1);
    program.push(libc::BPF_JMP | libc::BPF_JA, 0, 0, 1);
    program.verdict(refused);
    program.load(number);
    for call in ALLOWED {
        program.on(call as u32, allowed);
    }
    // The C library falls back to `clone`, whose flags can be looked at.
    program.on(
        libc::SYS_clone3 as u32,
        libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32,
    );
    for (call, first) in ALLOWED_WITH {
        program.skip_unless(call as u32, 3);
        program.load(argument);
        program.on(first as u32, allowed);
        program.load(number);
    }
    for call in ALLOWED_HERE {
        program.skip_unless(call as u32, 4);
        program.load(argument);
        program.on(process as u32, allowed);
        program.verdict(refused);
    }
    program.skip_unless(libc::SYS_clone as u32, 4);
    program.load(argument);
    program.push(
        libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K,
        0,
        1,
        libc::CLONE_THREAD as u32,
    );
    program.verdict(allowed);
    program.verdict(refused);
    program.verdict(refused);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn does_what_an_answer_needs_and_nothing_else() {
        let thread = std::thread::spawn(|| {
            assert!(this_thread(std::process::id() as i32));
            let refusal = std::fs::File::open("/dev/null").expect_err("no file is opened");
            assert_eq!(refusal.raw_os_error(), Some(libc::EPERM));
            // SAFETY: signal 0 is never sent.
            let signalled = |process| unsafe { libc::kill(process, 0) };
            assert_eq!(signalled(std::process::id() as i32), -1);
            assert!(std::net::TcpListener::bind("127.0.0.1:0").is_err());
            assert!(std::os::unix::net::UnixStream::connect("/no/such/socket").is_err());
            std::thread::spawn(|| 7)
                .join()
                .expect("a thread may be started")
        });
        assert_eq!(thread.join().expect("it passes"), 7);
        assert!(std::fs::File::open("/dev/null").is_ok());
    }
}
