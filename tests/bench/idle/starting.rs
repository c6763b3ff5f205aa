//! How much longer a process takes from start to end with the library: turn by turn with a process
//! without the library, and a process with an empty library.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;
use tests::compile::have_compiler;
use tests::interpreters::Interpreter;
use tests::measured::{median, verdict};
use tests::process::run;
use tests::product::product;
use tests::scratch::Scratch;

/// How much longer a process that is not Python may take, in milliseconds.
const GOAL: f64 = 0.1;

/// Measures and prints the difference.
pub fn measure(python: &Interpreter) {
    let folder = Scratch::new();
    let empty = empty_library(&folder);
    println!(
        "  {:<30}{:>12}{:>12}{:>12}{:>12}",
        "start to end", "without", "empty", "with", "more"
    );
    let programs: [(&str, &Path, &[&str], usize); 2] = [
        ("/bin/true", Path::new("/bin/true"), &[], 2000),
        (
            "python -E -S -c pass",
            &python.path,
            &["-E", "-S", "-c", "pass"],
            300,
        ),
    ];
    for (name, program, arguments, turns) in programs {
        let libraries = [None, empty.as_deref(), Some(&*product().library)];
        let mut took: [Vec<f64>; 3] = Default::default();
        for _ in 0..turns {
            for (library, took) in libraries.iter().zip(&mut took) {
                took.push(once(python, program, arguments, *library));
            }
        }
        let [without, with_empty, with] = took.map(median);
        let more = with - without;
        let shown = match empty {
            Some(_) => format!("{with_empty:.3} ms"),
            None => "no cc".to_owned(),
        };
        println!("  {name:<30}{without:>9.3} ms{shown:>12}{with:>9.3} ms{more:>9.3} ms");
        if arguments.is_empty() {
            println!("  goal: at most {GOAL} ms more: {}", verdict(more <= GOAL));
        }
    }
}

/// How long one run takes, in milliseconds.
fn once(python: &Interpreter, program: &Path, arguments: &[&str], library: Option<&Path>) -> f64 {
    let mut command = Command::new(program);
    command.args(arguments).env_clear().stdin(Stdio::null());
    python.equip(&mut command);
    if let Some(library) = library {
        command.env("LD_PRELOAD", library);
    }
    let begun = Instant::now();
    let status = command.status();
    let took = begun.elapsed().as_secs_f64() * 1e3;
    assert!(status.is_ok_and(|status| status.success()), "{command:?}");
    took
}

/// An empty library, if there is a compiler to build it.
fn empty_library(folder: &Scratch) -> Option<std::path::PathBuf> {
    if !have_compiler() {
        return None;
    }
    let source = folder.write("empty.c", "int nothing;\n");
    let library = folder.join("empty.so");
    let mut cc = tests::process::command("cc");
    run(cc
        .args(["-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(source))
    .expect_code(0);
    Some(library)
}
