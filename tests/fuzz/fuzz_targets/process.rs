//! `/proc/PID/status`, `stat` and `environ`, and the version in an interpreter's file.

#![no_main]

use launcher::find::python_version::version_in;
use launcher::system::process::{parse_command_line, parse_deadline, parse_stat, parse_status};
use libfuzzer_sys::fuzz_target;
use protocol::names::{DEADLINE_LONGEST_SECONDS, DEADLINE_SECONDS, DEADLINE_VARIABLE};

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    if let Some(version) = version_in(data) {
        assert!(version.starts_with("2.6") || version.starts_with("2.7"));
        assert!(
            data.windows(version.len())
                .any(|part| part == version.as_bytes())
        );
    } else {
        let written = [data, b"\0", b"2.7.18\0"].concat();
        assert!(version_in(&written).is_some());
    }
    parse_status(&text);
    parse_stat(&text);
    allowed(parse_deadline(data));
    for cut in [false, true] {
        let arguments = parse_command_line(data, cut);
        assert!(cut || arguments.is_some() == data.iter().any(|byte| *byte != 0));
        let arguments = arguments.unwrap_or_default();
        let size: usize = arguments.iter().map(String::len).sum();
        assert!(arguments.len() <= 1001 && size <= 3 * data.len() + 20);
    }

    // A name may contain anything but a newline, which the kernel escapes.
    let name: String = text
        .chars()
        .filter(|character| !"\n\r".contains(*character))
        .collect();
    let status = format!(
        "Name:\t{name}\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t41\nNgid:\t0\nPid:\t42\nPPid:\t7\n\
         TracerPid:\t9\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\n"
    );
    let found = parse_status(&status).expect("it is whole");
    assert_eq!(found.name, name.trim());
    assert_eq!((found.state, found.process), ('S', 41));
    assert_eq!((found.parent, found.tracer), (7, 9));
    assert_eq!(found.users, [1, 2, 3]);
    let rest: Vec<String> = (3..53).map(|field| field.to_string()).collect();
    let stat = format!("42 ({text}) {}\n", rest.join(" "));
    assert_eq!(parse_stat(&stat).expect("a whole stat").started, 22);

    // The last entry of the environment, after the fuzzed entries.
    if !text.contains(DEADLINE_VARIABLE) {
        let environment = [data, b"\0", DEADLINE_VARIABLE.as_bytes(), b"=7.5\0X=1\0"].concat();
        assert_eq!(parse_deadline(&environment), 7.5);
    }
    let environment = [DEADLINE_VARIABLE.as_bytes(), b"=", data].concat();
    allowed(parse_deadline(&environment));
});

fn allowed(seconds: f64) {
    assert!((DEADLINE_SECONDS..=DEADLINE_LONGEST_SECONDS).contains(&seconds));
}
