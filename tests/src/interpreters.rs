//! The CPython 2.6 and 2.7 interpreters of this machine, with what each says about itself.

use crate::process::{command, run_within};
use crate::product::product;
use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// One real interpreter.
#[derive(Clone, Debug)]
pub struct Interpreter {
    /// The executable.
    pub path: PathBuf,
    /// Major and minor version.
    pub version: (u32, u32),
    /// The whole `sys.version`, on one line.
    pub full_version: String,
    /// Whether it counts all references (`Py_TRACE_REFS`).
    pub debug: bool,
    /// The libpython that it is linked with, unless it is a static build.
    pub libpython: Option<PathBuf>,
    /// The libpython that a program embedding this version would use: the interpreter's own, or the
    /// library that comes with a static build.
    pub embeddable: Option<PathBuf>,
    /// Its libpython to be linked statically.
    pub archive: Option<PathBuf>,
    /// `sys.prefix`.
    pub prefix: PathBuf,
    /// The ending of an extension module's file name: `.so`, in debug builds often `_d.so`.
    pub extension_suffix: String,
    /// The folder of libraries that its modules need and this system no longer has.
    pub libraries: Option<PathBuf>,
    /// Its name in trials: `py2.7-shared`, `py2.7-static-debug`, …
    pub label: String,
}

impl Interpreter {
    /// Sets the environment that this interpreter needs on a command that starts it.
    pub fn equip<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        if let Some(libraries) = &self.libraries {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        command
    }

    /// Whether every user may run it.
    pub fn is_for_anyone(&self) -> bool {
        let may_pass = |path: &Path| {
            fs::metadata(path).is_ok_and(|entry| entry.permissions().mode() & 0o001 != 0)
        };
        self.path.ancestors().all(may_pass)
    }

    /// This interpreter, to be started without the agent.
    pub fn command(&self) -> Command {
        let mut command = command(&self.path);
        self.equip(&mut command);
        command
    }
}

/// The interpreters found, and those missing.
pub struct Found {
    /// Usable interpreters, each once.
    pub interpreters: Vec<Interpreter>,
    /// A line for each kind of interpreter that is missing here.
    pub missing: Vec<String>,
    /// A line for each interpreter named in `SLEEPER_TEST_PYTHONS` that can't be used.
    pub unusable: Vec<String>,
}

impl Found {
    /// Prints the interpreters found, and those missing.
    pub fn announce(&self) {
        println!("interpreters:");
        for one in &self.interpreters {
            let path = one.path.display();
            println!("  {:<22} {path}  ({})", one.label, one.full_version);
        }
        for line in self.missing.iter().chain(&self.unusable) {
            println!("  missing: {line}");
        }
    }

    /// The reason why these interpreters cannot be tested, if there is one.
    pub fn trouble(&self) -> Option<String> {
        if !self.unusable.is_empty() {
            return Some(format!(
                "{MORE_VARIABLE} names what is no usable CPython 2.6 or 2.7"
            ));
        }
        let seven = self.interpreters.iter().any(|one| one.version == (2, 7));
        (!seven).then(|| {
            format!(
                "there is no CPython 2.7 on this machine. Put one on the PATH, install one with \
                 pyenv, or name it in {MORE_VARIABLE}."
            )
        })
    }
}

/// Environment variable with more interpreters to use, separated by colons.
pub const MORE_VARIABLE: &str = "SLEEPER_TEST_PYTHONS";

const QUESTIONS: &str = r#"
import imp, os, sys
tell = lambda key, value: sys.stdout.write('%s=%s\n' % (key, value))
tell('version', '%d.%d' % sys.version_info[:2])
tell('full', sys.version.replace('\n', ' '))
tell('executable', os.path.realpath(sys.executable))
tell('debug', hasattr(sys, 'gettotalrefcount'))
tell('prefix', sys.prefix)
for line in open('/proc/self/maps'):
    if 'libpython' in line and '.so' in line:
        tell('libpython', line.split(None, 5)[5].strip())
        break
for suffix, mode, kind in imp.get_suffixes():
    if kind == imp.C_EXTENSION and not suffix.startswith('module'):
        tell('suffix', suffix)
        break
"#;

fn ask(path: &Path) -> Result<Interpreter, String> {
    if !path.exists() {
        return Err("no such file".to_owned());
    }
    let libraries = path
        .starts_with(debian_folder())
        .then(debian_libraries)
        .flatten();
    let mut question = command(path);
    question.args(["-c", QUESTIONS]);
    let ended = run_within(&mut question, Duration::from_secs(20));
    if !ended.status.success() {
        let said = ended.err();
        let said = said.lines().next().unwrap_or("nothing");
        return Err(format!("{}, saying: {said}", ended.status));
    }
    let out = ended.out();
    let told: HashMap<&str, &str> = out.lines().filter_map(|l| l.split_once('=')).collect();
    let get = |key: &str| told.get(key).copied();
    let version = match get("version") {
        Some("2.6") => (2, 6),
        Some("2.7") => (2, 7),
        other => return Err(format!("it is Python {}", other.unwrap_or("unknown"))),
    };
    let debug = get("debug") == Some("True");
    let libpython = get("libpython").map(PathBuf::from);
    let beside = |folder: &PathBuf| folder.join("libpython2.7.so.1.0");
    let embeddable = libpython.clone().or_else(|| {
        let beside = libraries.as_ref().map(beside);
        beside.filter(|path| !debug && path.exists())
    });
    let kind = if libpython.is_some() {
        "shared"
    } else {
        "static"
    };
    let tail = if debug { "-debug" } else { "" };
    let prefix = PathBuf::from(get("prefix").unwrap_or_default());
    Ok(Interpreter {
        archive: archive(&prefix, version, debug),
        path: get("executable").map_or(path.to_owned(), PathBuf::from),
        version,
        full_version: get("full").unwrap_or_default().to_owned(),
        debug,
        libpython,
        embeddable,
        prefix,
        extension_suffix: get("suffix").unwrap_or(".so").to_owned(),
        libraries,
        label: format!("py{}.{}-{kind}{tail}", version.0, version.1),
    })
}

/// The archive of an interpreter's objects below its prefix. Debian has both builds' in one folder.
fn archive(prefix: &Path, (major, minor): (u32, u32), debug: bool) -> Option<PathBuf> {
    let names: &[&str] = if debug { &["_d.a", ".a"] } else { &[".a"] };
    let below = fs::read_dir(prefix.join(format!("lib/python{major}.{minor}"))).ok()?;
    let folders: Vec<PathBuf> = below.flatten().map(|entry| entry.path()).collect();
    let found = |ending: &&str| {
        let archives = folders
            .iter()
            .map(|folder| folder.join(format!("libpython{major}.{minor}{ending}")));
        archives.into_iter().find(|path| path.exists())
    };
    names.iter().find_map(found)
}

/// The folder into which tests/interpreters/debian.sh unpacks Debian's own 2.7.
fn debian_folder() -> PathBuf {
    product().root.join(".tools/debian-python2.7")
}

/// The folder in it that is named after the architecture, such as usr/lib/x86_64-linux-gnu.
fn debian_libraries() -> Option<PathBuf> {
    let entries = fs::read_dir(debian_folder().join("usr/lib")).ok()?;
    let mut paths = entries.flatten().map(|entry| entry.path());
    paths.find(|path| path.to_string_lossy().contains("-linux-"))
}

/// Paths at which an interpreter may be found.
fn likely_places() -> Vec<PathBuf> {
    let names = ["python2.7", "python2.6", "python2"];
    let mut places = Vec::new();
    for folder in std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()) {
        places.extend(names.iter().map(|name| folder.join(name)));
    }
    let pyenv = std::env::var_os("PYENV_ROOT")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".pyenv")));
    if let Some(Ok(entries)) = pyenv.map(|root| fs::read_dir(root.join("versions"))) {
        let mut versions: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        versions.sort();
        for version in versions {
            let name = version.file_name().unwrap().to_string_lossy().into_owned();
            if name.starts_with("2.6") || name.starts_with("2.7") {
                places.push(version.join("bin").join(format!("python{}", &name[..3])));
            }
        }
    }
    let debian = debian_folder().join("usr/bin");
    places.extend([debian.join("python2.7"), debian.join("python2.7-dbg")]);
    places
}

/// Finds all interpreters.
pub fn find() -> Found {
    let mut found = Found {
        interpreters: Vec::new(),
        missing: Vec::new(),
        unusable: Vec::new(),
    };
    let mut add = |interpreter: Interpreter| {
        let list = &mut found.interpreters;
        if list.iter().any(|known| known.path == interpreter.path) {
            return;
        }
        let same = |known: &&Interpreter| {
            known.label == interpreter.label
                || known.label.starts_with(&format!("{}-#", interpreter.label))
        };
        let label = match list.iter().filter(same).count() {
            0 => interpreter.label.clone(),
            count => format!("{}-#{}", interpreter.label, count + 1),
        };
        list.push(Interpreter {
            label,
            ..interpreter
        });
    };
    let more = std::env::var_os(MORE_VARIABLE).unwrap_or_default();
    for path in std::env::split_paths(&more).filter(|path| !path.as_os_str().is_empty()) {
        match ask(&path) {
            Ok(interpreter) => add(interpreter),
            Err(why) => found.unusable.push(format!("{}: {why}", path.display())),
        }
    }
    // A name on the PATH may be a wrapper for a version that is not installed: no error.
    for path in likely_places() {
        if let Ok(interpreter) = ask(&path) {
            add(interpreter);
        }
    }
    found.missing = missing(&found.interpreters);
    found
}

/// Any interpreter.
pub fn any() -> Interpreter {
    find().interpreters.remove(0)
}

/// The interpreter to measure on: the first CPython 2.7 that is not a debug build.
pub fn to_measure() -> Result<Interpreter, String> {
    let mut found = find().interpreters.into_iter();
    found
        .find(|one| one.version == (2, 7) && !one.debug)
        .ok_or_else(|| "there is no CPython 2.7 on this machine that is no debug build".to_owned())
}

fn missing(interpreters: &[Interpreter]) -> Vec<String> {
    let debian = fs::read_to_string(product().root.join(".tools/debian-python2.7.missing"))
        .unwrap_or_else(|_| "run `make test`, which fetches Debian's own".to_owned());
    let debian = debian.trim();
    let set = format!("set {MORE_VARIABLE}");
    let has = |test: &dyn Fn(&Interpreter) -> bool| interpreters.iter().any(test);
    let seven = |one: &Interpreter| one.version == (2, 7);
    let mut missing = Vec::new();
    if !has(&|one| seven(one) && one.libpython.is_some()) {
        missing.push(format!("py2.7-shared: none found ({set})"));
    }
    if !has(&|one| seven(one) && one.libpython.is_none() && !one.debug) {
        missing.push(format!("py2.7-static: none found ({set}; {debian})"));
    }
    if !has(&|one| seven(one) && one.debug) {
        missing.push(format!("py2.7-debug: none found ({set}; {debian})"));
    }
    if !has(&|one| one.version == (2, 6)) {
        missing.push(format!("py2.6: none found ({set})"));
    }
    missing
}
