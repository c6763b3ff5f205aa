//! Files for `--diff`, which may hold anything: they take neither much memory nor long.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use tests::bounded::{Bounded, bounded};
use tests::plain_case;
use tests::process::command;
use tests::product::product;
use tests::scratch::Scratch;

/// The most memory that the command may take, in bytes.
const MOST: u64 = 200 << 20;

/// Compares two files. The output goes through a pipe into `filter`, a shell command, whose output is returned in
/// its place.
#[track_caller]
fn compared(old: &Path, new: &Path, filter: &str) -> Bounded {
    let mut shell = command("bash");
    let script = format!("exec \"$0\" --each --diff \"$@\" > >({filter})");
    shell
        .args(["-c", &script])
        .arg(&product().activate)
        .args([old, new]);
    let compared = bounded(&mut shell, Duration::from_secs(20));
    assert!(compared.peak < MOST, "{} MB", compared.peak >> 20);
    compared
}

fn document(pid: usize, command: &str, threads: &str) -> String {
    format!("{{\"version\":1,\"pid\":{pid},\"command\":[{command}],\"threads\":[{threads}]}}\n")
}

plain_case!(long_and_deep_files);
fn long_and_deep_files() {
    let folder = Scratch::new();
    let small = folder.write("small.json", document(7, "\"a\"", ""));
    let deep = format!("{{\"version\":1,\"x\":{}", "[".repeat(250 << 20));
    let texts = format!("\"{}\"", "\",\"".repeat(8 << 20));
    let thread = |part: &str| format!("{{\"ident\":1,\"holds\":[],\"frames\":[]{part}}}");
    let holders = format!(
        ",\"waits_for\":{{\"kind\":\"lock\",\"candidates\":[],\"holders\":[{}1]}}",
        "1,".repeat(20 << 20)
    );
    let too_long = "a text or a list in it has more than 1 MB, which is more than is read; ";
    for (text, words) in [
        (deep, "this is no snapshot (its end is missing); "),
        (
            document(7, &format!("\"{}\"", "A".repeat(150 << 20)), ""),
            too_long,
        ),
        (document(7, &texts, ""), too_long),
        (document(7, "", &thread(&holders)), too_long),
    ] {
        let file = folder.write("large.json", text);
        let refused = compared(&small, &file, "cat");
        refused.ended.expect_refusal(1, &["large.json: ", words]);
    }
}

plain_case!(many_of_everything);
fn many_of_everything() {
    let folder = Scratch::new();
    let frames = |one: &dyn Fn(usize) -> String, count: usize| {
        let frames: Vec<String> = (0..count).map(one).collect();
        let frames = frames.join(",");
        document(
            7,
            "",
            &format!("{{\"ident\":1,\"holds\":[],\"frames\":[{frames}]}}"),
        )
    };
    let list = |one: &dyn Fn(usize) -> String, count: usize| {
        (0..count).map(one).collect::<Vec<_>>().join(",")
    };
    let different = frames(&|at| format!("{{\"mark\":\"{at}\"}}"), 2 << 20);
    let holds = list(
        &|at| format!("{{\"id\":{at},\"file\":\"\",\"line\":1}}"),
        20_000,
    );
    let holding = list(
        &|at| format!("{{\"ident\":{at},\"holds\":[{holds}],\"frames\":[]}}"),
        150,
    );
    let names = list(
        &|at| {
            let name = "n".repeat(900_000);
            format!("{{\"ident\":{at},\"name\":\"{name}\",\"holds\":[],\"frames\":[]}}")
        },
        150,
    );
    let documents = |count: usize| (0..count).map(|pid| document(pid, "", "")).collect();
    let small = folder.write("small.json", document(7, "", ""));
    for (text, is_compared) in [
        (frames(&|_| "{\"mark\":\"\"}".to_owned(), 3 << 20), true),
        (different, false),
        (document(7, "", &holding), false),
        (document(7, "", &names), false),
        (documents(60_000), true),
        (documents(1_000_000), false),
        (document(7, "", "").repeat(500_000), true),
    ] {
        let file = folder.write("large.json", text);
        let compared = compared(&small, &file, "wc -l");
        let ended = &compared.ended;
        assert_eq!(ended.status.success(), is_compared, "{ended:?}");
        let said = ended.err();
        assert_eq!(said.is_empty(), is_compared, "{said}");
        assert!(
            is_compared || said.contains("large.json: there is no memory for all that is in it: "),
            "{said}"
        );
    }
}

plain_case!(honest_files_are_compared_whole);
fn honest_files_are_compared_whole() {
    // 2,000 threads with stacks of their own, of 1,000 places; and 20 whose frames all differ.
    for (threads, places) in [(2_000, 1_000), (20, 10_000)] {
        let mut text = String::new();
        for ident in 0..threads {
            let comma = if ident == 0 { "" } else { "," };
            let _ = write!(
                text,
                "{comma}{{\"ident\":{ident},\"tid\":{ident},\"holds\":[],\"frames\":["
            );
            for frame in 0..500 {
                let comma = if frame == 0 { "" } else { "," };
                let line = (ident * 500 + frame) % places;
                let _ = write!(
                    text,
                    "{comma}{{\"file\":\"/usr/lib/app/module.py\",\"line\":{line},\
                     \"function\":\"function\",\"source\":\"return f(x)\",\"locals\":null}}"
                );
            }
            text.push_str("]}");
        }
        let folder = Scratch::new();
        let file = folder.write("state.json", document(7, "\"a\"", &text));
        let compared = compared(&file, &file, "grep -c '^= File \"'");
        compared.ended.expect_code(0);
        let frames: usize = compared.ended.out().trim().parse().expect("a number");
        assert_eq!(frames, threads * 500);
    }
}

plain_case!(forged_lines);
fn forged_lines() {
    let folder = Scratch::new();
    let forged = "\"=== PID 1: /sbin/init\", \"\\ufe0f=== PID 1: /sbin/init\"";
    let text = document(7, "\"a\"", "").replace('}', &format!(",\"left_out\":[{forged}]}}"));
    let file = folder.write("forged.json", text);
    let compared = compared(&file, &file, "cat");
    compared.ended.expect_code(0);
    let out = compared.ended.out();
    assert_eq!(out.matches("\n\\u{3d}== PID 1: ").count(), 1, "{out}");
    assert_eq!(out.matches("\n\\u{fe0f}=== PID 1: ").count(), 1, "{out}");
    assert_eq!(out.matches("\n=== PID 1: ").count(), 0, "{out}");
}
