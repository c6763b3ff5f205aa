//! `#!` lines: which program the kernel runs for a script.

/// The interpreter that a `#!` line names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interpreter {
    /// The interpreter's path.
    pub program: String,
    /// Its argument: the kernel passes at most one.
    pub argument: Option<String>,
}

/// The bytes of a file that the kernel looks at.
pub const FIRST_LINE: usize = 256;

/// Reads the `#!` line at the beginning of a file as the kernel does; `None` if there is no such line, or
/// if it names no program.
pub fn first_line(beginning: &[u8]) -> Option<Interpreter> {
    let line = beginning.strip_prefix(b"#!")?;
    let line = line
        .split(|byte| matches!(byte, b'\n' | 0))
        .next()
        .unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let line = line.trim_matches([' ', '\t']);
    let (program, argument) = match line.split_once([' ', '\t']) {
        Some((program, argument)) => (program, argument.trim_matches([' ', '\t'])),
        None => (line, ""),
    };
    (!program.is_empty()).then(|| Interpreter {
        program: program.to_owned(),
        argument: (!argument.is_empty()).then(|| argument.to_owned()),
    })
}

impl Interpreter {
    /// The program in a line like `#!/usr/bin/env program`, unless the line needs the whole of `env` to
    /// understand.
    pub fn through_env(&self) -> Option<&str> {
        if self.program.rsplit('/').next() != Some("env") {
            return None;
        }
        let argument = self.argument.as_deref()?;
        match argument.strip_prefix("-S") {
            Some(words) => words
                .split_ascii_whitespace()
                .find(|word| !word.contains('='))
                .filter(|word| !word.starts_with('-') && !word.contains(['\'', '"', '\\', '$'])),
            None if argument.starts_with('-') || argument.contains('=') => None,
            None => Some(argument),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    fn read(text: &str) -> Option<(String, Option<String>)> {
        first_line(text.as_bytes()).map(|line| (line.program, line.argument))
    }

    #[test]
    fn reads_a_line_as_the_kernel_does() {
        let some = |program: &str, argument: Option<&str>| {
            Some((program.to_owned(), argument.map(str::to_owned)))
        };
        assert_eq!(read("#!/bin/sh\nexit"), some("/bin/sh", None));
        assert_eq!(
            read("#! \t/bin/sh  -e x \nexit"),
            some("/bin/sh", Some("-e x"))
        );
        assert_eq!(read("#!/bin/sh"), some("/bin/sh", None));
        assert_eq!(read("#!/bin/sh\r\n"), some("/bin/sh\r", None));
        assert_eq!(read("#!\n"), None);
        assert_eq!(read("print 1"), None);
        assert_eq!(read(""), None);
    }

    #[test]
    fn sees_through_env() {
        let through = |text: &str| {
            first_line(text.as_bytes()).and_then(|line| line.through_env().map(str::to_owned))
        };
        assert_eq!(
            through("#!/usr/bin/env python2.7\n").as_deref(),
            Some("python2.7")
        );
        assert_eq!(
            through("#!/usr/bin/env -S A=1 python2.7 -u\n").as_deref(),
            Some("python2.7")
        );
        assert_eq!(through("#!/usr/bin/env -i python\n"), None);
        assert_eq!(through("#!/usr/bin/env\n"), None);
        assert_eq!(through("#!/usr/bin/python2.7 x\n"), None);
    }
}
