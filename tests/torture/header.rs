//! The header of a torture program: a docstring, whose first line is its description in the table, and
//! below it comments `# KEY: VALUE`.

use crate::reasons::normalised;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A torture program: one variant of a file in the programs folder.
#[derive(Clone, Debug)]
pub struct Tortured {
    /// The folder of its file.
    pub folder: PathBuf,
    /// The file's name, without `.py`.
    pub name: String,
    /// Its argument, if its header lists variants.
    pub variant: Option<String>,
    /// Its description in the table.
    pub what: String,
    /// How long it lives.
    pub life: Life,
    /// How it ends.
    pub ends: Ends,
    /// The runner kills it with the signal of `ends`, after this time at most.
    pub killed_after: Option<Duration>,
    /// How it reports that it is intact.
    pub prints: Prints,
    /// Which of its processes are asked.
    pub ask: Ask,
    /// What it needs.
    pub needs: Vec<Need>,
    /// Its agent's deadline, where it sets one.
    pub deadline: Option<Duration>,
    /// Acceptable reasons, normalised.
    pub may_say: Vec<String>,
    /// How many activations a start allows, at most.
    pub per_start: Option<u64>,
    /// Whether commands that load into it may be killed.
    pub loaders_are_killed: bool,
    /// Whether it may run on another allocator.
    pub takes_allocators: bool,
}

/// How long a program lives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Life {
    /// Until it is told to stop.
    Steady,
    /// It ends by itself, soon.
    Brief,
}

/// How a program ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ends {
    /// With this exit status.
    Status(i32),
    /// By this signal.
    Signal(i32),
}

/// How a program reports that it is intact.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Prints {
    /// By its last line on standard output.
    Intact,
    /// By the file `intact` in its folder.
    File,
    /// By how it ends; and by that file, if it writes it.
    Nothing,
}

/// Which processes of a program are asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ask {
    /// The process that the runner started.
    Main,
    /// All processes that carry an agent.
    Tree,
}

/// What a program needs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Need {
    /// Root privileges.
    Root,
    /// A C compiler, for the native library.
    Compiler,
}

const SIGNALS: &[(&str, i32)] = &[
    ("SIGHUP", libc::SIGHUP),
    ("SIGINT", libc::SIGINT),
    ("SIGQUIT", libc::SIGQUIT),
    ("SIGILL", libc::SIGILL),
    ("SIGTRAP", libc::SIGTRAP),
    ("SIGABRT", libc::SIGABRT),
    ("SIGBUS", libc::SIGBUS),
    ("SIGFPE", libc::SIGFPE),
    ("SIGKILL", libc::SIGKILL),
    ("SIGUSR1", libc::SIGUSR1),
    ("SIGSEGV", libc::SIGSEGV),
    ("SIGUSR2", libc::SIGUSR2),
    ("SIGPIPE", libc::SIGPIPE),
    ("SIGALRM", libc::SIGALRM),
    ("SIGTERM", libc::SIGTERM),
];

/// A signal's name.
pub fn signal_name(number: i32) -> String {
    let known = SIGNALS.iter().find(|one| one.1 == number);
    known.map_or(format!("signal {number}"), |one| one.0.to_owned())
}

/// The longest description that fits into the table.
const LONGEST: usize = 100;

impl Tortured {
    /// Its name in the table and in trials.
    pub fn title(&self, between: &str) -> String {
        match &self.variant {
            Some(variant) => format!("{}{between}{variant}", self.name),
            None => self.name.clone(),
        }
    }

    /// The programs of a file: one for each variant.
    pub fn parse(folder: &Path, name: &str, text: &str) -> Result<Vec<Tortured>, String> {
        let (what, header) = split(text)?;
        if what.is_empty() || what.len() >= LONGEST {
            return Err(format!(
                "the docstring's first line must have 1 to {} characters",
                LONGEST - 1
            ));
        }
        let mut one = Tortured {
            folder: folder.to_owned(),
            name: name.to_owned(),
            variant: None,
            what,
            life: Life::Steady,
            ends: Ends::Status(0),
            killed_after: None,
            prints: Prints::Intact,
            ask: Ask::Main,
            needs: Vec::new(),
            deadline: None,
            may_say: Vec::new(),
            per_start: None,
            loaders_are_killed: true,
            takes_allocators: true,
        };
        let mut variants = Vec::new();
        let mut seen = HashSet::new();
        for (key, value) in header {
            if key != "may say" && !seen.insert(key) {
                return Err(format!("`{key}` stands there twice"));
            }
            if key == "variants" {
                variants = value.split_whitespace().map(str::to_owned).collect();
            } else {
                one.set(key, value)
                    .ok_or_else(|| format!("`# {key}: {value}` is not understood"))?;
            }
        }
        if one.killed_after.is_some()
            && (one.life == Life::Steady || matches!(one.ends, Ends::Status(_)))
        {
            return Err("`killed after` is for a brief program that ends by a signal".to_owned());
        }
        if variants.is_empty() {
            return Ok(vec![one]);
        }
        let of = |variant| Tortured {
            variant: Some(variant),
            ..one.clone()
        };
        Ok(variants.into_iter().map(of).collect())
    }

    fn set(&mut self, key: &str, value: &str) -> Option<()> {
        match key {
            "life" => {
                self.life = choice(value, &[("steady", Life::Steady), ("brief", Life::Brief)])?
            }
            "ends" => {
                let signal = SIGNALS.iter().find(|one| one.0 == value);
                self.ends = match signal {
                    Some(&(_, number)) => Ends::Signal(number),
                    None => Ends::Status(value.parse().ok()?),
                }
            }
            "killed after" => self.killed_after = Some(seconds(value)?),
            "prints" => {
                let choices = [("nothing", Prints::Nothing), ("file", Prints::File)];
                self.prints = choice(value, &choices)?;
            }
            "ask" => self.ask = choice(value, &[("main", Ask::Main), ("tree", Ask::Tree)])?,
            "needs" => {
                let choices = [("root", Need::Root), ("cc", Need::Compiler)];
                let needs = value.split_whitespace().map(|word| choice(word, &choices));
                self.needs = needs.collect::<Option<_>>()?;
            }
            "deadline" => self.deadline = Some(seconds(value)?),
            "may say" if !value.is_empty() => self.may_say.push(normalised(value)),
            "loaders" => self.loaders_are_killed = choice(value, &[("not killed", false)])?,
            "allocator" => self.takes_allocators = choice(value, &[("its own", false)])?,
            "per start" => self.per_start = Some(value.parse().ok().filter(|&count| count > 0)?),
            _ => return None,
        }
        Some(())
    }
}

fn choice<T: Copy>(value: &str, choices: &[(&str, T)]) -> Option<T> {
    choices.iter().find(|one| one.0 == value).map(|one| one.1)
}

fn seconds(value: &str) -> Option<Duration> {
    let number: f64 = value.parse().ok()?;
    (0.0..=60.0)
        .contains(&number)
        .then(|| Duration::from_secs_f64(number))
}

/// A header's description, and its keys with their values.
type Split<'a> = (String, Vec<(&'a str, &'a str)>);

/// Splits the header of a file, which ends at the first line of code.
fn split(text: &str) -> Result<Split<'_>, String> {
    let mut lines = text
        .lines()
        .skip_while(|line| line.is_empty() || line.starts_with('#'));
    let first = lines.next().unwrap_or_default();
    let quotes = ["\"\"\"", "'''"];
    let quote = quotes.into_iter().find(|quote| first.starts_with(quote));
    let quote = quote.ok_or("the first statement is no docstring in triple quotes")?;
    let first = &first[quote.len()..];
    let what = first.split(quote).next().unwrap_or_default().trim();
    if !first.contains(quote) && !lines.any(|line| line.contains(quote)) {
        return Err("the docstring does not end".to_owned());
    }
    let mut header = Vec::new();
    for line in lines {
        if line.is_empty() {
            continue;
        }
        let Some(comment) = line.strip_prefix('#') else {
            break;
        };
        let Some((key, value)) = comment.split_once(':') else {
            continue;
        };
        // Any other comment with a colon is prose, unless it looks like a key.
        let key = key.trim();
        if key.split(' ').count() <= 2 && key.chars().all(|c| c.is_ascii_lowercase() || c == ' ') {
            header.push((key, value.trim()));
        }
    }
    Ok((what.to_owned(), header))
}

/// The programs of a folder, ordered by name, or all that is wrong with them.
pub fn programs(folder: &Path) -> Result<Vec<Tortured>, String> {
    let entries = std::fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let mut programs = Vec::new();
    let mut wrong = Vec::new();
    for path in paths {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        // The programs' common module is not a program.
        if path.extension().is_none_or(|end| end != "py") || name == "torment" {
            continue;
        }
        let text = std::fs::read_to_string(&path).map_err(|error| error.to_string());
        match text.and_then(|text| Tortured::parse(folder, &name, &text)) {
            Ok(more) => programs.extend(more),
            Err(why) => wrong.push(format!("{}: {why}", path.display())),
        }
    }
    match wrong.is_empty() {
        true => Ok(programs),
        false => Err(wrong.join("\n")),
    }
}
