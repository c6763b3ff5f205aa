//! The product under test: the release build, as users get it.
//!
//! No test runs a file at its place in the work tree, which may lie anywhere: the file is staged first
//! (see `stage.rs`).

use crate::process::{command, run};
use crate::stage;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The paths of the built files.
pub struct Product {
    /// The root of the work tree.
    pub root: PathBuf,
    /// Cargo's target folder.
    pub target: PathBuf,
    /// `libsleeper.so`, staged.
    pub library: PathBuf,
    /// `sa-run`, staged.
    pub sa_run: PathBuf,
    /// `sa-list`, staged.
    pub list: PathBuf,
    /// `sa-load`, staged.
    pub load: PathBuf,
    /// `sleeper_agent_activate`, staged.
    pub activate: PathBuf,
    /// The test programs, tests/targets, staged.
    pub targets: PathBuf,
    /// The torture programs, tests/torture/programs, staged.
    pub torture_programs: PathBuf,
    /// The hostile programs, tests/hostile/programs, staged.
    hostile_programs: PathBuf,
    stage: PathBuf,
}

impl Product {
    fn find() -> Result<Product, String> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .unwrap()
            .to_owned();
        // This program is TARGET/PROFILE/deps/NAME, wherever TARGET is.
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let target = program.ancestors().nth(3).unwrap_or(&root).to_owned();
        let stage = stage::make()?;
        let file = |name: &str| {
            let path = target.join("release").join(name);
            match fs::metadata(&path) {
                Ok(found) if found.is_file() => stage::place(&path, &stage),
                _ => Err(format!(
                    "{} is not built: run `make test`, or `make build` first",
                    path.display()
                )),
            }
        };
        let programs =
            |name: &str| stage::place_programs(&root.join("tests").join(name), &stage.join(name));
        Ok(Product {
            library: file("libsleeper.so")?,
            sa_run: file("sa-run")?,
            list: file("sa-list")?,
            load: file("sa-load")?,
            activate: file("sleeper_agent_activate")?,
            targets: programs("targets")?,
            torture_programs: programs("torture/programs")?,
            hostile_programs: programs("hostile/programs")?,
            target,
            root,
            stage,
        })
    }

    /// A test program from tests/targets.
    pub fn target(&self, name: &str) -> PathBuf {
        self.targets.join(name)
    }

    /// A hostile program from tests/hostile/programs.
    pub fn hostile(&self, name: &str) -> PathBuf {
        self.hostile_programs.join(name)
    }

    /// Stages another built file in a folder of this name, and returns its new path.
    #[track_caller]
    pub fn stage(&self, built: &Path, folder: &str) -> PathBuf {
        let folder = self.stage.join(folder);
        fs::create_dir_all(&folder).unwrap();
        stage::place(built, &folder).unwrap_or_else(|why| panic!("{why}"))
    }

    /// A test build of the library with this feature (`preload/Cargo.toml`), staged. It is built here, beside the
    /// product, and without optimisation, which is quick.
    #[track_caller]
    pub fn library_with(&self, feature: &str) -> PathBuf {
        let target = self.target.join(feature);
        let mut cargo = command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo
            .args(["build", "--quiet", "-p", "preload", "--features", feature])
            .arg("--target-dir")
            .arg(&target)
            .current_dir(&self.root);
        run(&mut cargo).expect_code(0);
        self.stage(&target.join("debug/libsleeper.so"), feature)
    }

    /// The folder of the optional import's Python module.
    pub fn shim(&self) -> PathBuf {
        self.root.join("py-shim")
    }
}

/// The product, or the reason why it cannot be tested.
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
