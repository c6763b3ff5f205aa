//! Where `libsleeper.so` is, and whether the loader can load it into a program.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::system::bounded_file::Budget;
use crate::system::elf::{self, MOST_OF_FILE, Machine};
use crate::trouble::Trouble;
use protocol::names::STATE_FUNCTION;

/// Environment variable that names the library.
pub const LIBRARY_VARIABLE: &str = "SLEEPER_AGENT_LIB";

const FILE_NAME: &str = "libsleeper.so";

/// Finds the library and makes sure that the loader can load it: the file `named` in the environment, or
/// the file beside the executable, or in the `lib` next to its folder.
pub fn find(named: Option<&OsStr>, executable: &Path) -> Result<PathBuf, Trouble> {
    let path = match named.filter(|name| !name.is_empty()) {
        Some(name) => std::path::absolute(name).map_err(|error| {
            Trouble::new(
                format!("{LIBRARY_VARIABLE} names no usable path ({error})"),
                "set it to the absolute path of libsleeper.so",
            )
        })?,
        None => installed(executable)?,
    };
    check_path(&path)?;
    check_file(&path)?;
    Ok(path)
}

fn installed(executable: &Path) -> Result<PathBuf, Trouble> {
    let folder = executable.parent().unwrap_or(Path::new("/"));
    let beside = folder.join(FILE_NAME);
    let in_lib = folder
        .parent()
        .unwrap_or(Path::new("/"))
        .join("lib")
        .join(FILE_NAME);
    let places = [beside, in_lib];
    if let Some(found) = places.iter().find(|path| path.exists()) {
        return Ok(found.clone());
    }
    Err(Trouble::new(
        format!(
            "there is no {FILE_NAME}, neither at {} nor at {}",
            places[0].display(),
            places[1].display()
        ),
        format!("set {LIBRARY_VARIABLE} to its path"),
    ))
}

/// The loader splits `LD_PRELOAD` at spaces and colons and expands `$ORIGIN` and the like, and there is no
/// way to quote them.
fn check_path(path: &Path) -> Result<(), Trouble> {
    let bytes = path.as_os_str().as_bytes();
    let Some(byte) = bytes.iter().find(|byte| b" :$\n".contains(byte)) else {
        return Ok(());
    };
    let name = match byte {
        b' ' => "a space",
        b':' => "a colon",
        b'$' => "a dollar sign",
        _ => "a newline",
    };
    Err(Trouble::new(
        format!(
            "the loader cannot load a library whose path has {name} in it: {}",
            path.display()
        ),
        format!("make a link to it at another path (`ln -s`), and set {LIBRARY_VARIABLE} to that"),
    ))
}

fn check_file(path: &Path) -> Result<(), Trouble> {
    let name = path.display();
    let next = format!("set {LIBRARY_VARIABLE} to the path of libsleeper.so");
    let trouble = |what: String| Trouble::new(what, next.clone());
    if std::fs::metadata(path).is_ok_and(|data| !data.is_file()) {
        return Err(trouble(format!("{name} is no shared library")));
    }
    let file = File::open(path)
        .map_err(|error| trouble(format!("the library {name} cannot be opened ({error})")))?;
    let executable = match elf::read(&file) {
        Ok(Some(executable)) if executable.shared_object => executable,
        Err(error) if file.metadata().is_ok_and(|data| data.is_file()) => {
            return Err(trouble(format!("{name} is damaged ({error})")));
        }
        _ => return Err(trouble(format!("{name} is no shared library"))),
    };
    if let Some(ours) = Machine::ours()
        && executable.machine != ours
    {
        return Err(trouble(format!(
            "{name} is for a {} machine, not for a {ours} one",
            executable.machine
        )));
    }
    match elf::symbol_offset(&file, STATE_FUNCTION, &Budget::new(MOST_OF_FILE)) {
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err(trouble(format!(
            "{name} is another library (it has no {STATE_FUNCTION})"
        ))),
        Err(error) => Err(trouble(format!("{name} is damaged ({error})"))),
    }
}

/// The value of `LD_PRELOAD` with the library in front of what is preloaded already.
pub fn preload_value(library: &Path, present: Option<&OsStr>) -> OsString {
    let library = library.as_os_str().as_bytes();
    let present = present.unwrap_or_default().as_bytes();
    let mut entries = present.split(|byte| b" :".contains(byte));
    if entries.any(|entry| entry == library) {
        return OsString::from_vec(present.to_vec());
    }
    let mut value = library.to_vec();
    if !present.is_empty() {
        value.push(b':');
        value.extend_from_slice(present);
    }
    OsString::from_vec(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    fn value(present: Option<&str>) -> String {
        preload_value(Path::new("/lib/libsleeper.so"), present.map(OsStr::new))
            .into_string()
            .expect("text")
    }

    #[test]
    fn goes_in_front() {
        assert_eq!(value(None), "/lib/libsleeper.so");
        assert_eq!(value(Some("")), "/lib/libsleeper.so");
        assert_eq!(value(Some("/a.so /b.so")), "/lib/libsleeper.so:/a.so /b.so");
    }

    #[test]
    fn is_not_preloaded_twice() {
        for present in [
            "/lib/libsleeper.so",
            "/a.so:/lib/libsleeper.so",
            "/lib/libsleeper.so /b",
        ] {
            assert_eq!(value(Some(present)), present);
        }
        assert_eq!(
            value(Some("/x/lib/libsleeper.so")),
            "/lib/libsleeper.so:/x/lib/libsleeper.so"
        );
    }

    #[test]
    fn refuses_paths_that_the_loader_would_split() {
        for path in ["/my app/l.so", "/a:b/l.so", "/$LIB/l.so", "/a\nb.so"] {
            assert!(check_path(Path::new(path)).is_err(), "{path}");
        }
        assert!(check_path(Path::new("/opt/ünï-cöde/l.so")).is_ok());
    }

    #[test]
    fn says_where_it_looked() {
        let trouble = find(None, Path::new("/no/bin/sa-run")).expect_err("nothing there");
        let text = trouble.to_string();
        assert!(text.contains("/no/bin/libsleeper.so"), "{text}");
        assert!(text.contains("/no/lib/libsleeper.so"), "{text}");
    }

    #[test]
    fn refuses_other_files() {
        let refused = |path: &str| {
            find(Some(OsStr::new(path)), Path::new("/bin/sa-run"))
                .expect_err(path)
                .to_string()
        };
        assert!(refused("/no/such.so").contains("cannot be opened"));
        assert!(refused("/etc/passwd").contains("no shared library"));
        assert!(refused("/proc/self/exe").contains("another library"));
        assert!(refused("/tmp").contains("no shared library"));
    }
}
