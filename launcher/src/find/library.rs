//! Where `libsleeper.so` is, and whether the loader can load it into a program.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::system::bounded_file::Budget;
use crate::system::elf::{self, MOST_OF_FILE, Machine};
use crate::system::mapped_file::may_be_code;
use crate::trouble::Trouble;
use protocol::names::{STATE_FUNCTION, VERSION_SECTION, VERSION_TEXT};

/// Environment variable that names the library.
pub const LIBRARY_VARIABLE: &str = "SLEEPER_AGENT_LIB";

const FILE_NAME: &str = "libsleeper.so";

/// The folders in which packages put libraries, below the folder that has `bin`, in the order in which they are
/// looked through: `make install`, tarballs, wheels and Arch have the first; Debian, the Red Hat family and
/// whoever keeps private libraries apart the others.
const FOLDERS: [&str; 6] = [
    "lib",
    MULTIARCH,
    "lib64",
    "lib/sleeper-agent",
    "lib64/sleeper-agent",
    PRIVATE_MULTIARCH,
];

#[cfg(target_arch = "aarch64")]
const MULTIARCH: &str = "lib/aarch64-linux-gnu";
#[cfg(not(target_arch = "aarch64"))]
const MULTIARCH: &str = "lib/x86_64-linux-gnu";
#[cfg(target_arch = "aarch64")]
const PRIVATE_MULTIARCH: &str = "lib/aarch64-linux-gnu/sleeper-agent";
#[cfg(not(target_arch = "aarch64"))]
const PRIVATE_MULTIARCH: &str = "lib/x86_64-linux-gnu/sleeper-agent";

/// What loaders of our machine make of these words in a path (ld.so(8)). A 32-bit loader makes others of them:
/// so one path leads each to a library of its own.
const WORDS: [(&str, &[&str]); 2] = [
    ("$LIB", &[MULTIARCH, "lib64", "lib"]),
    ("$PLATFORM", &[std::env::consts::ARCH]),
];

/// The library that is preloaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Library {
    /// Its path, as the loader gets it: with the words that the loader replaces.
    pub path: PathBuf,
    /// Its path in a program of our machine.
    pub file: PathBuf,
    /// Whether it needs the C library to be glibc.
    pub needs_glibc: bool,
}

/// The library that belongs to this command, as [`find`] finds it.
pub fn own() -> Result<Library, Trouble> {
    let executable = std::env::current_exe().map_err(|error| {
        Trouble::new(
            format!("this command cannot find its own file ({error})"),
            format!("set {LIBRARY_VARIABLE} to the path of libsleeper.so"),
        )
    })?;
    find(std::env::var_os(LIBRARY_VARIABLE).as_deref(), &executable)
}

/// Finds the library and makes sure that the loader can load it: the file `named` in the environment, or
/// the file beside the executable, or in one of the folders where packages put it. The kernel's name for the
/// executable has no symbolic links in it.
pub fn find(named: Option<&OsStr>, executable: &Path) -> Result<Library, Trouble> {
    let Some(name) = named.filter(|name| !name.is_empty()) else {
        return installed(executable);
    };
    let path = std::path::absolute(name).map_err(|error| {
        Trouble::new(
            format!("{LIBRARY_VARIABLE} names no usable path ({error})"),
            "set it to the absolute path of libsleeper.so",
        )
    })?;
    let files = expanded(&path);
    let found = files.iter().find(|file| file.exists());
    check(&path, found.unwrap_or(&files[0]))
}

/// Finds an installed library. Of several the first is taken that goes with this command.
fn installed(executable: &Path) -> Result<Library, Trouble> {
    let folder = executable.parent().unwrap_or(Path::new("/"));
    let prefix = folder.parent().unwrap_or(Path::new("/"));
    let folders = FOLDERS.iter().map(|name| prefix.join(name));
    let places = [folder.to_owned()].into_iter().chain(folders);
    let places: Vec<PathBuf> = places.map(|folder| folder.join(FILE_NAME)).collect();
    let mut first = None;
    for path in places.iter().filter(|path| path.exists()) {
        match check(path, path) {
            Ok(library) => return Ok(library),
            Err(trouble) => first = first.or(Some(trouble)),
        }
    }
    Err(first.unwrap_or_else(|| {
        Trouble::new(
            format!(
                "there is no {FILE_NAME}, neither at {} nor at {}, nor in other folders below {} that packages use",
                places[0].display(),
                places[1].display(),
                prefix.display(),
            ),
            format!("set {LIBRARY_VARIABLE} to its path"),
        )
    }))
}

/// The paths that loaders of our machine may make of a path: at least one.
fn expanded(path: &Path) -> Vec<PathBuf> {
    let Some(text) = path.to_str().filter(|text| text.contains('$')) else {
        return vec![path.to_owned()];
    };
    let mut paths = vec![text.to_owned()];
    for (word, values) in WORDS {
        let mut replaced = Vec::new();
        for path in &paths {
            replaced.extend(values.iter().map(|value| path.replace(word, value)));
        }
        paths = replaced;
        paths.dedup();
    }
    paths.into_iter().map(PathBuf::from).collect()
}

/// Makes sure that the loader can load this file by this path.
fn check(path: &Path, file: &Path) -> Result<Library, Trouble> {
    check_path(file)?;
    let needs_glibc = check_file(file)?;
    Ok(Library {
        path: path.to_owned(),
        file: file.to_owned(),
        needs_glibc,
    })
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

/// Makes sure that a file is our library; returns whether it needs glibc.
fn check_file(path: &Path) -> Result<bool, Trouble> {
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
    let damaged = |error| trouble(format!("{name} is damaged ({error})"));
    let budget = Budget::new(MOST_OF_FILE);
    if elf::symbol_offset(&file, STATE_FUNCTION, &budget)
        .map_err(damaged)?
        .is_none()
    {
        return Err(trouble(format!(
            "{name} is another library (it has no {STATE_FUNCTION})"
        )));
    }
    let version = elf::section(&file, VERSION_SECTION, VERSION_TEXT.len(), &budget);
    // The first libraries have no such section.
    if version
        .map_err(damaged)?
        .is_some_and(|version| version != VERSION_TEXT)
    {
        return Err(Trouble::new(
            format!("the library {name} is of another version than this command"),
            format!(
                "use the commands that were installed with it, or set {LIBRARY_VARIABLE} to the library that was \
                 installed with this one"
            ),
        ));
    }
    if let Err(error) = may_be_code(&file) {
        return Err(Trouble::new(
            format!(
                "the library {name} cannot be mapped into a program ({error}), as on a file system that is \
                 mounted noexec"
            ),
            format!("install it elsewhere, or set {LIBRARY_VARIABLE} to a copy elsewhere"),
        ));
    }
    let needed = elf::needed(&file, &budget).map_err(damaged)?;
    // musl takes this name for its own.
    Ok(needed.iter().any(|name| name != "libc.so.6"))
}

/// The value of `LD_PRELOAD` with the library in it.
#[derive(Debug, PartialEq, Eq)]
pub struct Preload {
    /// The value.
    pub value: Vec<u8>,
    /// Other copies of the library that were in it, and are left out: a program needs one.
    pub left_out: Vec<PathBuf>,
}

/// The value of `LD_PRELOAD` with the library in front of what is preloaded already.
pub fn preload_value(library: &Library, present: Option<&OsStr>) -> Preload {
    let path = library.path.as_os_str().as_bytes();
    let present = present.unwrap_or_default().as_bytes();
    let entries = present.split(|byte| b" :".contains(byte));
    let mut left_out: Vec<PathBuf> = Vec::new();
    let mut is_there = false;
    for entry in entries.clone() {
        let file = Path::new(OsStr::from_bytes(entry));
        // Byte by byte: to `Path` a file and the same with a slash behind it are equal, and the loader finds only the
        // first.
        if entry == path || same_file(file, &library.file) {
            is_there = true;
        } else if is_copy(file) {
            left_out.push(file.to_owned());
        }
    }
    let is_kept = |entry: &&[u8]| {
        let mut others = left_out.iter().map(|other| other.as_os_str());
        others.all(|other| other.as_bytes() != *entry)
    };
    let rest = match left_out.is_empty() {
        true => present.to_vec(),
        false => entries.filter(is_kept).collect::<Vec<_>>().join(&b':'),
    };
    let value = match (is_there, rest.is_empty()) {
        (true, _) => rest,
        (false, true) => path.to_vec(),
        (false, false) => [path, b":", &rest].concat(),
    };
    Preload { value, left_out }
}

fn same_file(one: &Path, other: &Path) -> bool {
    let number = |path: &Path| {
        let data = std::fs::metadata(path).ok()?;
        Some((data.dev(), data.ino()))
    };
    one.is_absolute() && number(one).is_some_and(|one| number(other) == Some(one))
}

/// Whether a file is a copy of our library, of whatever version.
fn is_copy(path: &Path) -> bool {
    if !path.is_absolute() || !path.is_file() {
        return false;
    }
    let Ok(file) = File::open(path) else {
        return false;
    };
    let found = elf::symbol_offset(&file, STATE_FUNCTION, &Budget::new(MOST_OF_FILE));
    found.is_ok_and(|offset| offset.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(present: Option<&str>) -> String {
        let path = PathBuf::from("/lib/libsleeper.so");
        let library = Library {
            file: path.clone(),
            path,
            needs_glibc: false,
        };
        let preload = preload_value(&library, present.map(OsStr::new));
        assert!(preload.left_out.is_empty());
        String::from_utf8(preload.value).expect("text")
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
        // The loader does not find this one.
        assert_eq!(
            value(Some("/lib/libsleeper.so/")),
            "/lib/libsleeper.so:/lib/libsleeper.so/"
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
    fn replaces_words_as_the_loader_does() {
        let found = expanded(Path::new("/usr/$LIB/$PLATFORM/l.so"));
        let machine = std::env::consts::ARCH;
        let path = |folder: &str| PathBuf::from(format!("/usr/{folder}/{machine}/l.so"));
        assert_eq!(found, [path(MULTIARCH), path("lib64"), path("lib")]);
        assert_eq!(expanded(Path::new("/a/$ORIGIN")), [Path::new("/a/$ORIGIN")]);
        assert_eq!(expanded(Path::new("/a")), [Path::new("/a")]);
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
