//! Files that a process chooses: what the commands open of them, and for how long.

use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tests::bounded::{Bounded, bounded};
use tests::compile::compile_hostile;
use tests::everyone::looked_at;
use tests::plain_case;
use tests::process::{Program, command, run};
use tests::product::product;
use tests::scratch::Scratch;
use tests::trials::skipped;
use tests::users::{HOSTILE, as_user};

const MEGABYTE: u64 = 1 << 20;

/// A program of [`HOSTILE`] that maps files from a folder of its own (`programs/mapper.c`).
struct Mapper {
    program: Program,
    folder: PathBuf,
    _scratch: Scratch,
}

/// Starts it in this mode.
#[track_caller]
fn mapper(mode: &str, more: &[&str]) -> Mapper {
    let scratch = Scratch::new();
    let mapper = compile_hostile("mapper.c", &scratch, &[]);
    let folder = scratch.join("files");
    std::fs::create_dir(&folder).unwrap();
    chown(&folder, Some(HOSTILE), Some(HOSTILE)).unwrap();
    let mut start = command(mapper);
    start.arg(mode).arg(&folder).args(more);
    let program = Program::start(as_user(&mut start, HOSTILE)).ready();
    Mapper {
        program,
        folder,
        _scratch: scratch,
    }
}

impl Mapper {
    /// Lists it and asks it: neither takes long, or much memory.
    #[track_caller]
    fn takes_no_toll(&self) {
        let pid = self.program.pid().to_string();
        let list = list();
        let line = |line: &str| line.trim_start().starts_with(&format!("{pid} "));
        assert!(list.ended.out().lines().any(line), "{}", list.ended.out());
        for way in ["gdb", "wake"] {
            let mut ask = command(&product().activate);
            ask.args(["--timeout", "3", "--via", way, &pid]);
            let asked = bounded(&mut ask, Duration::from_secs(8));
            assert!(asked.took < Duration::from_secs(4), "{way}: {asked:?}");
            assert!(asked.peak < 200 * MEGABYTE, "{way}: {asked:?}");
            asked.ended.expect_code(1);
        }
    }
}

/// What `sa-list` takes beside hostile programs.
#[track_caller]
fn list() -> Bounded {
    let _looked = looked_at();
    let listed = bounded(&mut command(&product().list), Duration::from_secs(8));
    listed.ended.expect_code(0);
    assert!(listed.took < Duration::from_secs(1), "{listed:?}");
    assert!(listed.peak < 50 * MEGABYTE, "{listed:?}");
    listed
}

plain_case!(leases, Root);
/// To open a file under a lease waits for 45 s, unless one says that one does not wait.
fn leases() {
    let mapper = mapper("leases", &[]);
    mapper.takes_no_toll();
    let pid = mapper.program.pid().to_string();
    let mut ask = command(&product().activate);
    let asked = run(ask.args(["--via", "gdb", &pid]));
    let words = ["libsleeper.so cannot be read: somebody holds a lease on it; "];
    asked.expect_refusal(1, &words);
}

plain_case!(tables_of_two_gigabytes, Root);
fn tables_of_two_gigabytes() {
    mapper("sparse", &[]).takes_no_toll();
}

plain_case!(two_hundred_interpreters, Root);
fn two_hundred_interpreters() {
    mapper("elves", &[]).takes_no_toll();
}

plain_case!(twenty_thousand_deleted_files, Root);
fn twenty_thousand_deleted_files() {
    mapper("deleted", &[]).takes_no_toll();
}

plain_case!(maps_of_200_megabytes, Root);
fn maps_of_200_megabytes() {
    mapper("paths", &[]).takes_no_toll();
    // In a process that has the library gdb would be started, and would read all of them.
    let mapper = mapper("paths", &[product().library.to_str().unwrap()]);
    mapper.takes_no_toll();
    let pid = mapper.program.pid().to_string();
    let asked = run(command(&product().activate).arg(&pid));
    let words = [
        &format!("/proc/{pid}/maps) is longer than 32 MB"),
        "ask --via wake",
    ];
    asked.expect_refusal(1, &words);
}

plain_case!(names_that_lead_elsewhere, Root);
/// At the path where the mapped file should be, in the process's own root, is a link or a pipe. Only who may not
/// open the mapped file itself looks there: here, root without CAP_SYS_ADMIN, as in most containers.
fn names_that_lead_elsewhere() {
    if Command::new("strace").arg("-V").output().is_err() {
        println!("{}", skipped("names_that_lead_elsewhere", "no strace"));
        return;
    }
    let targets = [
        "/proc/kmsg",
        "/dev/zero",
        "/etc/shadow",
        "../../../../../../../proc/kmsg",
        "pipe",
    ];
    for leads_to in targets {
        let mapper = mapper("rooted", &[leads_to]);
        let pid = mapper.program.pid().to_string();
        let list = [product().list.to_str().unwrap()];
        let ask = [product().activate.to_str().unwrap(), "--timeout", "3", &pid];
        for arguments in [&list[..], &ask[..]] {
            let _looked = looked_at();
            for contained in [false, true] {
                let mut opened = opened(arguments, contained, &mapper.folder);
                opened.retain(|path| !is_proper(path, &mapper.folder));
                assert_eq!(opened, [""; 0], "{leads_to}, {arguments:?}, {contained}");
            }
        }
    }
}

/// Whether a command may open this file beside a program with files in this folder: the mapped file; programs and
/// libraries, which are mapped into this program and, for `sa-list`, into anybody's; what `/proc` says of processes; names of users; what the loader and the C library need.
fn is_proper(path: &str, folder: &Path) -> bool {
    let path = Path::new(path);
    if let Ok(name) = path.strip_prefix(folder) {
        return name == Path::new("libsleeper.so");
    }
    if path.starts_with("/proc") {
        return path != Path::new("/proc/kmsg");
    }
    let is_program = |mode: u32| mode & 0o111 != 0;
    // `getent`, which knows users' names, reads the null device, and what it is told by the others.
    let of_users = ["/etc/passwd", "/etc/nsswitch.conf", "/dev/null"].map(Path::new);
    of_users.contains(&path)
        || path.starts_with("/sys/devices/system/cpu")
        || path.to_string_lossy().contains(".so")
        || std::fs::metadata(path).is_ok_and(|data| data.is_file() && is_program(data.mode()))
}

/// The files that a command has opened, where only named (O_PATH) does not count, with the paths that the kernel
/// gives them. `contained`: without the capability to look at what other processes have mapped.
fn opened(arguments: &[&str], contained: bool, folder: &Path) -> Vec<String> {
    let trace = folder.with_extension("trace");
    let mut strace = command("strace");
    strace
        .args(["-f", "-y", "-qq", "-e", "trace=open,openat,openat2", "-o"])
        .arg(&trace)
        .args(arguments);
    if contained {
        // SAFETY: plain system calls, which a forked child may make.
        unsafe {
            strace.pre_exec(|| {
                const CAP_SYS_ADMIN: u64 = 21;
                const CAP_CHECKPOINT_RESTORE: u64 = 40;
                for capability in [CAP_SYS_ADMIN, CAP_CHECKPOINT_RESTORE] {
                    libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0);
                }
                Ok(())
            });
        }
    }
    let asked = bounded(&mut strace, Duration::from_secs(10));
    assert!(
        asked.took < Duration::from_secs(5),
        "{arguments:?}: {asked:?}"
    );
    let text = std::fs::read_to_string(&trace).unwrap();
    let opened = text.lines().filter_map(|line| {
        let (call, result) = line.rsplit_once(" = ")?;
        let path = result.split_once('<')?.1.strip_suffix('>')?;
        (!call.contains("O_PATH")).then(|| path.to_owned())
    });
    opened.collect()
}
