//! The deb in small Debian systems, which tests/systems/roots.sh has unpacked.

use crate::installation::{Installation, greenlet};
use crate::native::{dpkg, install_deb};
use crate::packages;
use crate::questions::ask_all;
use crate::results::Row;
use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::ptr;
use tests::process::{command, run};
use tests::product::product;

/// The releases, the oldest first.
pub const RELEASES: [&str; 3] = ["bullseye", "bookworm", "trixie"];

fn roots() -> PathBuf {
    product().root.join(".tools/roots")
}

/// The reason why a release cannot be tried here, if there is one.
pub fn lacking(release: &str) -> Option<String> {
    if !roots().join(release).join("complete").exists() {
        let why = fs::read_to_string(roots().join(format!("{release}.missing")));
        let why = why.map(|text| text.trim().to_owned());
        return Some(why.unwrap_or_else(|_| "run `make systems`, which fetches it".to_owned()));
    }
    packages::find(".deb").err()
}

/// Moves this process, which must have no threads yet, into a mount namespace of its own: the kernel takes down
/// what is mounted in it when its last process ends, however that ends. Only root may do so.
pub fn mount_apart() -> Result<(), String> {
    // SAFETY: plain system calls; no other thread shares the file-system state, as there is none.
    unsafe {
        let private = libc::MS_REC | libc::MS_PRIVATE;
        let apart = libc::unshare(libc::CLONE_NEWNS) == 0
            && libc::mount(
                ptr::null(),
                c"/".as_ptr(),
                ptr::null(),
                private,
                ptr::null(),
            ) == 0;
        match apart {
            true => Ok(()),
            false => Err(format!(
                "no mount namespace: {}",
                io::Error::last_os_error()
            )),
        }
    }
}

#[track_caller]
fn mount(source: &str, target: &Path, kind: &str, flags: libc::c_ulong) {
    let text = |bytes: &[u8]| CString::new(bytes).expect("a path has no zero byte");
    let (source, kind) = (text(source.as_bytes()), text(kind.as_bytes()));
    let at = text(target.as_os_str().as_bytes());
    // SAFETY: a plain system call with strings that live until it returns.
    let failed = unsafe {
        libc::mount(
            source.as_ptr(),
            at.as_ptr(),
            kind.as_ptr(),
            flags,
            ptr::null(),
        )
    };
    let why = io::Error::last_os_error();
    assert_eq!(failed, 0, "cannot mount {}: {why}", target.display());
}

/// The deb in a release: installed by dpkg, used by the release's own gdb and C library, and removed.
pub fn release(release: &str) -> Row {
    let root = roots().join(release);
    mount("proc", &root.join("proc"), "proc", 0);
    mount("/dev", &root.join("dev"), "", libc::MS_BIND | libc::MS_REC);
    // What an interrupted run may have left.
    let _ = fs::remove_dir_all(root.join("var/lib/dpkg"));
    let _ = fs::remove_dir_all(root.join("tmp/greenlet"));
    install_deb(&root);
    let installation = Installation {
        name: format!("deb, Debian {release}"),
        bin: "/usr/bin".into(),
        python: "/usr/bin/python2.7".into(),
        greenlet: greenlet().map(|folder| copied(&folder, &root)),
        environment: Vec::new(),
        root: Some(root.clone()),
    };
    let row = Row::new(&installation, ask_all(&installation));
    dpkg(&root, &["--purge", "sleeper-agent"]);
    row
}

/// A copy of a folder in the root, by its path there.
#[track_caller]
fn copied(folder: &Path, root: &Path) -> PathBuf {
    let copy = root.join("tmp/greenlet");
    run(command("cp").arg("-rT").arg(folder).arg(copy)).expect_code(0);
    "/tmp/greenlet".into()
}
