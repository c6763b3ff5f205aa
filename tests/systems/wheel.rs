//! The wheel, installed by pip: into virtualenvs of Python 2.7, and into an environment of Python 3.

use crate::installation::{self, Installation};
use crate::packages::{are_gone, are_installed, package};
use crate::questions::ask_all;
use crate::results::Row;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tests::ask::woken;
use tests::ended::Ended;
use tests::interpreters::Interpreter;
use tests::process::{command, run, run_within};
use tests::product::product;
use tests::scratch::Scratch;

/// The last pip for Python 2.7, which virtualenv brings along.
pub const LAST_PIP: &str = "20.3.4";

/// Older pips, which tests/systems/pips.sh fetches.
pub const OLD_PIPS: [&str; 2] = ["8.1.2", "9.0.3"];

/// How long pip or virtualenv may take: seconds, on a machine that does nothing else.
const INSTALLING: Duration = Duration::from_secs(300);

fn pips() -> PathBuf {
    product().root.join(".tools/pips")
}

/// The Python 2.7 for virtualenvs, or why there can be none.
pub fn python() -> Result<Interpreter, String> {
    if !pips().join("complete").exists() {
        return Err("`make test`, which fetches virtualenv, could not".to_owned());
    }
    let mut found = installation::pythons().iter();
    let can_make_them = |one: &&Interpreter| {
        let modules = "import distutils.core, ensurepip, zlib";
        let mut ask = one.command();
        one.version == (2, 7) && !one.debug && run(ask.args(["-c", modules])).status.success()
    };
    found
        .find(can_make_them)
        .cloned()
        .ok_or_else(|| "no Python 2.7 here can make virtualenvs".to_owned())
}

/// An environment, removed when dropped.
pub struct Environment {
    folder: Scratch,
    /// The Python 2.7 to run under what is installed there.
    python: Interpreter,
}

impl Environment {
    /// A virtualenv of Python 2.7 with this pip.
    #[track_caller]
    pub fn of_2(pip: &str) -> Environment {
        let python = python().unwrap_or_else(|why| panic!("{why}"));
        let folder = Scratch::new();
        let mut make = python.command();
        make.env("PYTHONPATH", pips().join("virtualenv"))
            .env("VIRTUALENV_OVERRIDE_APP_DATA", folder.join("app-data"))
            .args(["-m", "virtualenv"])
            .arg(folder.join("env"))
            // Only what is needed, and nothing from the network.
            .args([
                "--no-setuptools",
                "--no-wheel",
                "--no-download",
                "--no-periodic-update",
            ])
            .args(["--pip", pip, "--extra-search-dir"])
            .arg(pips());
        run_within(&mut make, INSTALLING).expect_code(0);
        let path = folder.join("env/bin/python");
        let python = Interpreter { path, ..python };
        let environment = Environment { folder, python };
        let told = environment.pip(&["--version"]).out();
        assert!(told.starts_with(&format!("pip {pip} ")), "{told}");
        environment
    }

    /// An environment of Python 3, and a Python 2.7 outside of it.
    #[track_caller]
    pub fn of_3() -> Environment {
        let folder = Scratch::new();
        let mut make = command("python3");
        make.args(["-m", "venv"]).arg(folder.join("env"));
        run_within(&mut make, INSTALLING).expect_code(0);
        let python = installation::python();
        Environment { folder, python }
    }

    /// The path of something in it.
    pub fn join(&self, place: &str) -> PathBuf {
        self.folder.join("env").join(place)
    }

    /// Its pip, run with these arguments.
    #[track_caller]
    pub fn pip(&self, arguments: &[&str]) -> Ended {
        let mut pip = command(self.join("bin/python"));
        pip.args(["-m", "pip", "--disable-pip-version-check"]);
        let ended = run_within(pip.args(arguments), INSTALLING);
        ended.expect_code(0);
        ended
    }

    /// Installs the wheel.
    #[track_caller]
    pub fn install(&self) {
        let wheel = package(".whl");
        let wheel = wheel.to_str().expect("the target folder's path is text");
        self.pip(&[
            "install",
            "--no-index",
            "--no-deps",
            "--no-cache-dir",
            wheel,
        ]);
        are_installed(
            &self.join("bin"),
            &self.join("share"),
            "site-functions",
            "LICENSE",
        );
    }

    /// The installation in it.
    pub fn installation(&self, name: &str) -> Installation {
        Installation::here(name, self.join("bin"), &self.python)
    }
}

/// The wheel in a virtualenv of 2.7: the commands, the import, and that pip removes all of it.
pub fn with_pip(pip: &str) -> Row {
    let environment = Environment::of_2(pip);
    environment.install();
    let installation = environment.installation(&format!("wheel, Python 2.7, pip {pip}"));
    let row = Row::new(&installation, ask_all(&installation));
    imports(
        environment.python.command(),
        &environment.join("bin/sleeper_agent_activate"),
    );
    environment.pip(&["uninstall", "-y", "sleeper-agent"]);
    are_gone(&[
        &environment.join("bin"),
        &environment.join("lib"),
        &environment.join("lib/python2.7/site-packages"),
        &environment.join("share/man/man1"),
    ]);
    row
}

/// Checks `import sleeper_agent`, in a program without the library: the function, and a question from outside.
#[track_caller]
pub fn imports(mut python: Command, activate: &Path) {
    let code = "
import sys
import sleeper_agent
def waiting_here():
    sys.stdout.write(sleeper_agent._get_state_info())
    sys.stdout.write('ready\\n')
    sys.stdout.flush()
    sys.stdin.readline()
waiting_here()
sys.exit(7)
";
    let program = woken(python.args(["-c", code]));
    let out = program.out();
    assert!(out.starts_with("### Thread "), "{out}");
    assert!(out.contains("line 5, in waiting_here\n"), "{out}");
    let mut ask = command(activate);
    let ended = run(ask.args(["--via", "wake"]).arg(program.pid().to_string()));
    ended.expect_code(0);
    assert!(ended.out().contains(", in waiting_here\n"), "{ended:?}");
    program.ends_well();
}

/// The wheel in an environment of Python 3: the commands, for a Python 2.7 outside of it.
pub fn with_python_3() -> Row {
    let environment = Environment::of_3();
    environment.install();
    let told = environment.pip(&["--version"]).out();
    let pip = told.split(' ').nth(1).unwrap_or_default().to_owned();
    let installation = environment.installation(&format!("wheel, Python 3, pip {pip}"));
    Row::new(&installation, ask_all(&installation))
}

/// Whether there is a Python 3 that makes environments.
pub fn lacks_python_3() -> Option<String> {
    let modules = "import ensurepip, venv";
    let found = std::process::Command::new("python3")
        .args(["-c", modules])
        .output();
    let usable = found.is_ok_and(|output| output.status.success());
    (!usable).then(|| "no python3 with venv".to_owned())
}

/// Every file of the wheel is in RECORD, with the hash and the length that it has.
pub fn its_record_is_right() {
    let code = "
import base64, hashlib, sys, zipfile
archive = zipfile.ZipFile(sys.argv[1])
names = archive.namelist()
assert len(set(names)) == len(names), names
record = [name for name in names if name.endswith('.dist-info/RECORD')][0]
told = {}
for line in archive.read(record).decode('utf-8').splitlines():
    name, digest, length = line.rsplit(',', 2)
    told[name] = digest, length
assert sorted(told) == sorted(names), (sorted(told), sorted(names))
assert told.pop(record) == ('', '')
for name, (digest, length) in told.items():
    data = archive.read(name)
    made = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip('=')
    assert digest == 'sha256=' + made, name
    assert int(length) == len(data), name
wheel = archive.read(record.replace('RECORD', 'WHEEL')).decode()
tags = [line[5:] for line in wheel.splitlines() if line.startswith('Tag: ')]
pythons, abi, platforms = sys.argv[1][:-4].split('-')[-3:]
named = ['%s-%s-%s' % (a, abi, b) for a in pythons.split('.') for b in platforms.split('.')]
assert tags == named, (tags, named)
";
    let python = installation::python();
    let mut check = python.command();
    let ended = run(check.args(["-c", code]).arg(package(".whl")));
    ended.expect_code(0);
}
