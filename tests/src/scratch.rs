//! Folders that go away with their owner.

use crate::process::{command, run};
use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// A new empty folder, removed when dropped.
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes a folder that every user may read: some tests look into it as another user.
    pub fn new() -> Scratch {
        use std::os::unix::fs::PermissionsExt;
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("sleeper-test-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        Scratch(path)
    }

    /// Writes a file into it and returns its path.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// Writes a program into it, which any user may run, and returns its path. A separate process writes
    /// it: if we had the file open for writing, a child that another thread starts would briefly have it open
    /// too, and the kernel runs no file that is open for writing ("Text file busy").
    #[track_caller]
    pub fn program(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        let mut install = command("install");
        install
            .args(["-m", "755"])
            .arg(self.write(&format!("{name}.text"), content));
        run(install.arg(&path)).expect_code(0);
        path
    }
}

impl Default for Scratch {
    fn default() -> Scratch {
        Scratch::new()
    }
}

impl Deref for Scratch {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A copy of a program in this folder, which any user may run. A separate process makes it, as in
/// [`Scratch::program`].
#[track_caller]
pub fn copied(program: &Path, folder: &Path) -> PathBuf {
    let copy = folder.join(program.file_name().expect("a file's path"));
    run(command("cp").arg(program).arg(&copy)).expect_code(0);
    copy
}
