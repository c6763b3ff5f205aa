//! Where `sa-run` finds the library, what it says where the loader would not preload it, and which
//! libraries it brings along.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;
use tests::ask::sa_run;
use tests::compile::compile;
use tests::plain_case;
use tests::process::{Program, command, run};
use tests::procfs::{self, wait_command};
use tests::product::product;
use tests::scratch::{Scratch, copied};

plain_case!(finds_the_library);
fn finds_the_library() {
    let folder = Scratch::new();
    for name in ["bin", "lib", "alone"] {
        fs::create_dir(folder.join(name)).unwrap();
    }
    let question = ["sh", "-c", "echo \"$LD_PRELOAD\""];
    for name in ["bin", "alone"] {
        copied(&product().sa_run, &folder.join(name));
    }
    fs::copy(&product().library, folder.join("lib/libsleeper.so")).unwrap();
    let ended = run(command(folder.join("bin/sa-run")).args(question));
    ended.expect_code(0);
    let found = ended.out();
    let real = fs::canonicalize(found.trim()).unwrap();
    assert_eq!(
        real,
        fs::canonicalize(folder.join("lib/libsleeper.so")).unwrap()
    );
    assert!(!found.contains(' '));

    // Through a symbolic link, as in a folder on the PATH.
    symlink(folder.join("bin/sa-run"), folder.join("link")).unwrap();
    run(command(folder.join("link")).arg("true")).expect_code(0);

    fs::copy(&product().library, folder.join("bin/libsleeper.so")).unwrap();
    let ended = run(command(folder.join("bin/sa-run")).args(question));
    assert!(
        ended.out().contains("/bin/libsleeper.so"),
        "beside it comes first"
    );

    fs::create_dir(folder.join("no")).unwrap();
    let alone = folder.join("no/sub");
    fs::create_dir(&alone).unwrap();
    copied(&product().sa_run, &alone);
    let ended = run(command(alone.join("sa-run")).args(question));
    ended.expect_refusal(125, &["libsleeper.so", "SLEEPER_AGENT_LIB"]);
}

plain_case!(names_the_library);
fn names_the_library() {
    let folder = Scratch::new();
    let copy = folder.join("another-name.so");
    fs::copy(&product().library, &copy).unwrap();
    let ended = run(sa_run()
        .args(["sh", "-c", "echo $LD_PRELOAD"])
        .env("SLEEPER_AGENT_LIB", &copy));
    ended.expect_code(0);
    assert_eq!(ended.out().trim(), copy.display().to_string());
    let ended = run(sa_run().arg("true").env("SLEEPER_AGENT_LIB", "/no/such.so"));
    ended.expect_refusal(125, &["/no/such.so", "SLEEPER_AGENT_LIB"]);
}

plain_case!(unloadable_paths);
fn unloadable_paths() {
    let folder = Scratch::new();
    for (name, word) in [("a b", "space"), ("a:b", "colon")] {
        let copy = folder.join(name).join("libsleeper.so");
        fs::create_dir(folder.join(name)).unwrap();
        fs::copy(&product().library, &copy).unwrap();
        let ended = run(sa_run().arg("true").env("SLEEPER_AGENT_LIB", &copy));
        ended.expect_refusal(125, &[word]);
    }
}

plain_case!(static_program, Compiler);
fn static_program() {
    let folder = Scratch::new();
    let program = compile("static.c", &folder, &["-static"]);
    let ended = run(sa_run().arg(&program));
    ended.expect_refusal(125, &["static"]);
}

plain_case!(other_word_size);
/// The ELF header of a 32-bit program shows that the loader would not preload the library.
fn other_word_size() {
    let folder = Scratch::new();
    let loader = b"/lib/ld-linux.so.2\0";
    let mut head = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let mut push = |numbers: &[u32]| {
        head.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
    };
    // Executable for an Intel 80386, version 1; entry, program headers at 52, no sections.
    push(&[2 | 3 << 16, 1, 0, 52, 0, 0]);
    // Sizes: this header 52, a program header 32; there is one program header.
    push(&[52 | 32 << 16, 1, 0]);
    // The program header: the loader's name follows it.
    let length = loader.len() as u32;
    push(&[3, 84, 84, 84, length, length, 4, 1]);
    head.extend(loader);
    let path = folder.program("thirty-two", head);
    let ended = run(sa_run().arg(&path));
    ended.expect_refusal(125, &["32"]);
}

plain_case!(set_user_id, Root);
fn set_user_id() {
    let folder = Scratch::new();
    let copy = copied(Path::new("/bin/true"), &folder);
    chown(&copy, Some(65534), None).unwrap();
    fs::set_permissions(&copy, Permissions::from_mode(0o4755)).unwrap();
    let ended = run(sa_run().arg(&copy));
    ended.expect_refusal(125, &["set-user-ID"]);
}

plain_case!(brings_nothing_else);
/// In a process that is not Python the library brings no other library with it: each would add its
/// load time to every process.
fn brings_nothing_else() {
    let mapped = |cat: &Program| -> Vec<String> {
        let maps = procfs::read(cat.pid(), "maps");
        let path = |line: &str| line.find('/').map(|at| line[at..].to_owned());
        let mut files: Vec<String> = maps.lines().filter_map(path).collect();
        files.dedup();
        files.sort();
        files.dedup();
        files
    };
    let bare = Program::start(&mut command("cat"));
    let with = Program::start(sa_run().arg("cat"));
    for cat in [&bare, &with] {
        wait_command(cat.pid(), "cat");
    }
    let library = fs::canonicalize(&product().library).unwrap();
    let mut expected = mapped(&bare);
    expected.push(library.display().to_string());
    expected.sort();
    assert_eq!(mapped(&with), expected);
    assert_eq!(procfs::tasks(with.pid()).len(), 1);
}
