//! The product under test: the release build, as users get it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Where the built files are.
pub struct Product {
    /// The root of the work tree.
    pub root: PathBuf,
    /// `libsleeper.so`.
    pub library: PathBuf,
    /// `sa-run`.
    pub sa_run: PathBuf,
    /// `sa-list`.
    pub list: PathBuf,
    /// `sleeper_agent_activate`.
    pub activate: PathBuf,
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
        let release = target.join("release");
        let file = |name: &str| {
            let path = release.join(name);
            match fs::metadata(&path) {
                Ok(found) if found.is_file() => Ok(path),
                _ => Err(format!(
                    "{} is not built: run `make test`, or `cargo build --release` first",
                    path.display()
                )),
            }
        };
        Ok(Product {
            library: file("libsleeper.so")?,
            sa_run: file("sa-run")?,
            list: file("sa-list")?,
            activate: file("sleeper_agent_activate")?,
            root,
        })
    }

    /// A program to wake, from tests/targets.
    pub fn target(&self, name: &str) -> PathBuf {
        self.root.join("tests/targets").join(name)
    }

    /// The folder of the optional import's Python module.
    pub fn shim(&self) -> PathBuf {
        self.root.join("py-shim")
    }
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
