//! The product under test: the release build, as users get it.
//!
//! No test runs anything at its place in the work tree, for that may lie anywhere: the loader preloads
//! no library whose path has a space or a colon in it, other users may not be allowed in, and programs
//! print their own paths. So what is run is staged in a folder below the one for temporary files,
//! whose path is short and plain, and is removed as the runner exits.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Where the built files are.
pub struct Product {
    /// The root of the work tree.
    pub root: PathBuf,
    /// Where cargo builds.
    pub target: PathBuf,
    /// `libsleeper.so`, staged.
    pub library: PathBuf,
    /// `sa-run`, staged.
    pub sa_run: PathBuf,
    /// `sa-list`, staged.
    pub list: PathBuf,
    /// `sleeper_agent_activate`, staged.
    pub activate: PathBuf,
    /// The programs to wake, tests/targets, staged.
    pub targets: PathBuf,
    /// The programs to torment, tests/torture/programs, staged.
    pub torture_programs: PathBuf,
    stage: PathBuf,
}

impl Product {
    fn find() -> Result<Product, String> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .unwrap()
            .to_owned();
        // This program is TARGET/PROFILE/deps/NAME, wherever TARGET was put.
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let target = program.ancestors().nth(3).unwrap_or(&root).to_owned();
        let stage = make_stage()?;
        let file = |name: &str| {
            let path = target.join("release").join(name);
            match fs::metadata(&path) {
                Ok(found) if found.is_file() => place(&path, &stage),
                _ => Err(format!(
                    "{} is not built: run `make test`, or `make build` first",
                    path.display()
                )),
            }
        };
        let programs = |name: &str| place_all(&root.join("tests").join(name), &stage.join(name));
        Ok(Product {
            library: file("libsleeper.so")?,
            sa_run: file("sa-run")?,
            list: file("sa-list")?,
            activate: file("sleeper_agent_activate")?,
            targets: programs("targets")?,
            torture_programs: programs("torture/programs")?,
            target,
            root,
            stage,
        })
    }

    /// A program to wake, from tests/targets.
    pub fn target(&self, name: &str) -> PathBuf {
        self.targets.join(name)
    }

    /// Stages another file that was built, in a folder of this name, and returns its path there.
    #[track_caller]
    pub fn stage(&self, built: &Path, folder: &str) -> PathBuf {
        let folder = self.stage.join(folder);
        fs::create_dir_all(&folder).unwrap();
        place(built, &folder).unwrap_or_else(|why| panic!("{why}"))
    }

    /// The folder of the optional import's Python module.
    pub fn shim(&self) -> PathBuf {
        self.root.join("py-shim")
    }
}

/// The stage of this process, for [`remove_stage`].
static STAGE: OnceLock<PathBuf> = OnceLock::new();

/// Makes the folder, which every user may enter.
fn make_stage() -> Result<PathBuf, String> {
    let temporary = std::env::temp_dir();
    if temporary
        .as_os_str()
        .as_bytes()
        .iter()
        .any(|byte| b" :$\n".contains(byte))
    {
        return Err(format!(
            "the loader preloads nothing from {}: set TMPDIR to a path without spaces, colons and \
             dollar signs",
            temporary.display()
        ));
    }
    let stage = temporary.join(format!("sleeper-stage-{}", std::process::id()));
    let trouble = |error: io::Error| format!("{}: {error}", stage.display());
    // That of a runner that was killed, and had this number.
    let _ = fs::remove_dir_all(&stage);
    fs::create_dir(&stage).map_err(trouble)?;
    fs::set_permissions(&stage, Permissions::from_mode(0o755)).map_err(trouble)?;
    // As the kernel tells of it.
    let stage = fs::canonicalize(&stage).map_err(trouble)?;
    if STAGE.set(stage.clone()).is_ok() {
        // SAFETY: the function is one of C's convention and takes nothing.
        unsafe { libc::atexit(remove_stage) };
    }
    Ok(stage)
}

extern "C" fn remove_stage() {
    if let Some(stage) = STAGE.get() {
        let _ = fs::remove_dir_all(stage);
    }
}

/// Links a file into a folder, or copies it where that cannot be, and returns its new path.
fn place(file: &Path, folder: &Path) -> Result<PathBuf, String> {
    let placed = folder.join(file.file_name().unwrap_or_default());
    let _ = fs::remove_file(&placed);
    fs::hard_link(file, &placed)
        .or_else(|_| fs::copy(file, &placed).map(|_| ()))
        .map_err(|error| format!("{}: {error}", placed.display()))?;
    Ok(placed)
}

/// Copies all Python files of a folder into a new one.
fn place_all(from: &Path, into: &Path) -> Result<PathBuf, String> {
    let copy = || -> io::Result<()> {
        fs::create_dir_all(into)?;
        for entry in fs::read_dir(from)? {
            let path = entry?.path();
            if path.extension().is_some_and(|end| end == "py") {
                fs::copy(&path, into.join(path.file_name().unwrap_or_default()))?;
            }
        }
        Ok(())
    };
    copy().map_err(|error| format!("{}: {error}", from.display()))?;
    Ok(into.to_owned())
}

/// The product, or why it can't be tested.
pub fn find() -> Result<&'static Product, String> {
    static PRODUCT: OnceLock<Result<Product, String>> = OnceLock::new();
    PRODUCT
        .get_or_init(Product::find)
        .as_ref()
        .map_err(Clone::clone)
}

/// The product.
pub fn product() -> &'static Product {
    find().unwrap_or_else(|why| panic!("{why}"))
}
