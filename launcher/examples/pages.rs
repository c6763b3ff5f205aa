//! Writes the man pages and the shell completions of the commands: `pages FOLDER`.
//!
//! Made from the clap definitions in `launcher::options`, by `make build`. An example and no part of the
//! commands, so that they do not carry what makes it.

use clap::{Command, CommandFactory};
use clap_complete::{Shell, generate};
use clap_mangen::Man;
use launcher::options;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1) else {
        eprintln!("usage: pages FOLDER");
        return ExitCode::from(2);
    };
    match write_all(folder.as_ref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pages: {error}");
            ExitCode::FAILURE
        }
    }
}

fn write_all(folder: &Path) -> io::Result<()> {
    let commands = [
        options::run::Arguments::command(),
        options::list::Arguments::command(),
        options::activate::Arguments::command(),
        options::load::Arguments::command(),
    ];
    let names = commands.each_ref().map(|one| one.get_name().to_owned());
    let create = |folder: &Path, name: &str| {
        fs::create_dir_all(folder)?;
        File::create(folder.join(name))
    };
    for (mut command, name) in commands.into_iter().zip(&names) {
        let others = names.iter().filter(|other| *other != name);
        let page = page(&command, others)?;
        create(&folder.join("man"), &format!("{name}.1"))?.write_all(&page)?;
        let completions = folder.join("completions");
        for (shell, subfolder, file) in [
            (Shell::Bash, "bash", name.clone()),
            (Shell::Zsh, "zsh", format!("_{name}")),
            (Shell::Fish, "fish", format!("{name}.fish")),
        ] {
            let mut file = create(&completions.join(subfolder), &file)?;
            generate(shell, &mut command, name, &mut file);
        }
    }
    Ok(())
}

/// The man page of a command, which names the other commands at its end.
fn page<'a>(command: &Command, others: impl Iterator<Item = &'a String>) -> io::Result<Vec<u8>> {
    let man = Man::new(command.clone());
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    let help = command.get_after_help().map(|help| help.to_string());
    for paragraph in help.unwrap_or_default().split("\n\n") {
        write_paragraph(&mut page, paragraph)?;
    }
    let others: Vec<String> = others
        .map(|other| format!("\\fB{}\\fR(1)", escaped(other)))
        .collect();
    writeln!(page, ".SH \"SEE ALSO\"\n{}", others.join(", "))?;
    Ok(page)
}

/// A paragraph of the help's end. Its first words may say which section it is; its indented lines stay
/// lines.
fn write_paragraph(page: &mut Vec<u8>, paragraph: &str) -> io::Result<()> {
    let (mut paragraph, mut section) = (paragraph, None);
    for (words, heading) in [("Examples:", "EXAMPLES"), ("Exit status:", "EXIT STATUS")] {
        if let Some(rest) = paragraph.strip_prefix(words) {
            (paragraph, section) = (rest.trim_start_matches('\n'), Some(heading));
        }
    }
    match section {
        Some(heading) => writeln!(page, ".SH \"{heading}\"")?,
        None => writeln!(page, ".PP")?,
    }
    let mut indented = false;
    for line in paragraph.lines() {
        if line.starts_with("  ") != indented {
            indented = !indented;
            writeln!(page, "{}", if indented { ".nf" } else { ".fi" })?;
        }
        let line = if indented { line } else { line.trim_start() };
        writeln!(page, "{}", escaped(line))?;
    }
    if indented {
        writeln!(page, ".fi")?;
    }
    Ok(())
}

/// A line as roff shows it.
fn escaped(line: &str) -> String {
    let line = line.replace('\\', "\\e").replace('-', "\\-");
    match line.starts_with(['.', '\'']) {
        true => format!("\\&{line}"),
        false => line,
    }
}
