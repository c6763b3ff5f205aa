//! `sa-list`: which programs carry an agent?

use serde::{Serialize, Serializer};
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use launcher::find::carriers::{self, Carrier, Whom};
use launcher::options::list::{Arguments, Format};
use launcher::printable::{self, InJson, Printable};
use launcher::secrets::Secrets;
use launcher::start;
use launcher::system::standard_output::{self, StandardOutput};
use launcher::system::{interrupt, supervisor, users};

/// The JSON document.
#[derive(Serialize)]
struct Document<'a> {
    /// Changes when the meaning of a key does.
    version: u32,
    processes: Processes<'a>,
}

/// A list, of which each entry is made as it is written.
struct Processes<'a>(&'a [Carrier]);

impl Serialize for Processes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|one| Listed {
            pid: one.alive.process.pid,
            uid: one.user,
            user: users::name(one.user),
            python: one.python.as_deref(),
            threads: one.threads,
            uptime_seconds: one.uptime.as_secs_f64(),
            command: shown_command(one),
        }))
    }
}

/// A process in the document.
#[derive(Serialize)]
struct Listed<'a> {
    pid: i32,
    uid: u32,
    user: String,
    python: Option<&'a str>,
    threads: usize,
    uptime_seconds: f64,
    command: Vec<String>,
}

fn main() -> ExitCode {
    let arguments: Arguments = match start::arguments(1, 2) {
        Ok(arguments) => arguments,
        Err(status) => return ExitCode::from(status),
    };
    supervisor::start();
    let status = list(&arguments);
    supervisor::leave(status);
    ExitCode::from(status)
}

/// Prints the list, and returns the exit status.
fn list(arguments: &Arguments) -> u8 {
    let carriers = match carriers::all(Whom::Carriers) {
        Ok(carriers) => carriers,
        Err(trouble) => return fail(&trouble.to_string()),
    };
    // One process may have to be asked for all of them.
    users::look_up(&carriers.iter().map(|one| one.user).collect::<Vec<_>>());
    if let Some(signal) = interrupt::asked_to_stop() {
        return 128 + signal as u8;
    }
    let shown = match arguments.format() {
        Format::Text => table(&carriers),
        Format::Json => document(&carriers),
    };
    if let Err(error) = StandardOutput.write_all(shown.as_bytes()) {
        if standard_output::is_broken() {
            return 1;
        }
        return fail(&format!("the list could not be written ({error})"));
    }
    0
}

fn fail(what: &str) -> u8 {
    // If nobody can read the line, nothing is left to do.
    let _ = writeln!(io::stderr(), "sa-list: {what}");
    1
}

/// A line for each process, in columns of the widths needed; the command comes last.
fn table(carriers: &[Carrier]) -> String {
    let head = ["PID", "USER", "PYTHON", "THREADS", "UPTIME", "COMMAND"].map(str::to_owned);
    let rows = carriers.iter().map(|one| {
        [
            one.alive.process.pid.to_string(),
            Printable(&users::name(one.user)).to_string(),
            Printable(one.python.as_deref().unwrap_or("-")).to_string(),
            one.threads.to_string(),
            clock(one.uptime),
            printable::command_line(&shown_command(one)),
        ]
    });
    let rows: Vec<[String; 6]> = std::iter::once(head).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let [pid, user, python, threads, uptime] =
        [0, 1, 2, 3, 4].map(|column| width(column).unwrap_or(0));
    let line = |row: &[String; 6]| {
        let [a, b, c, d, e, command] = row;
        format!("{a:>pid$}  {b:<user$}  {c:<python$}  {d:>threads$}  {e:>uptime$}  {command}\n")
    };
    rows.iter().map(line).collect()
}

/// The command line of a process, without its secrets.
fn shown_command(carrier: &Carrier) -> Vec<String> {
    Secrets::default().command_line(carrier.command.arguments())
}

/// As `ps` shows an elapsed time: `[[days-]hours:]minutes:seconds`.
fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    let (minutes, hours, days) = (seconds / 60 % 60, seconds / 3600 % 24, seconds / 86_400);
    let short = format!("{minutes:02}:{:02}", seconds % 60);
    match (days, hours) {
        (0, 0) => short,
        (0, hours) => format!("{hours:02}:{short}"),
        (days, hours) => format!("{days}-{hours:02}:{short}"),
    }
}

fn document(carriers: &[Carrier]) -> String {
    let document = Document {
        version: 1,
        processes: Processes(carriers),
    };
    let text = serde_json::to_string_pretty(&document);
    let text = text.expect("numbers and text can always be written");
    // JSON allows many characters unescaped that have an effect on a terminal.
    format!("{}\n", InJson(&text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use launcher::find::target::Alive;
    use launcher::system::process::{CommandLine, Process};
    fn carrier() -> Carrier {
        Carrier {
            alive: Alive {
                process: Process { pid: 4711 },
                started: 1,
            },
            user: 0,
            python: None,
            threads: 12,
            uptime: Duration::from_millis(61_500),
            command: CommandLine::of("python2.7\0a\nb\u{9b}\0".into(), false),
        }
    }

    #[test]
    fn every_process_has_a_line() {
        let shown = table(&[carrier()]);
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines.len(), 2, "{shown}");
        assert_eq!(lines[0], " PID  USER  PYTHON  THREADS  UPTIME  COMMAND");
        assert_eq!(
            lines[1],
            r"4711  root  -            12   01:01  python2.7 a\nb\u{9b}"
        );
    }

    #[test]
    fn shows_times_as_ps_does() {
        let shown = |seconds| clock(Duration::from_secs(seconds));
        assert_eq!(shown(5), "00:05");
        assert_eq!(shown(3_725), "01:02:05");
        assert_eq!(shown(180_000), "2-02:00:00");
    }

    #[test]
    fn a_document_can_be_read_again() {
        let text = document(&[carrier()]);
        let read: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let one = &read["processes"][0];
        assert_eq!(read["version"], 1);
        assert_eq!(one["python"], serde_json::Value::Null);
        assert_eq!(one["command"][1], "a\nb\u{9b}");
        assert!(text.contains("\\u009b"), "{text}");
        assert_eq!(one["uptime_seconds"], 61.5);
    }
}
