//! The files of the commands, as `make build` leaves them.

use object::read::elf::ElfFile64;
use object::{Object, ObjectSection};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use tests::plain_case;
use tests::product::product;

const COMMANDS: [&str; 3] = ["sa-list", "sa-run", "sleeper_agent_activate"];

/// The most bytes of a command. (Without link-time optimisation it has some more.)
const LARGEST: usize = 3_300_000;

fn built(name: &str) -> PathBuf {
    product().target.join("release").join(name)
}

/// Whether a static program can be built here.
fn has_static_libc() -> bool {
    let told = Command::new("cc").arg("-print-file-name=libc.a").output();
    told.is_ok_and(|told| told.stdout.starts_with(b"/"))
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|one| one == word)
}

plain_case!(static_and_small);
fn static_and_small() {
    for name in COMMANDS {
        let bytes = fs::read(built(name)).unwrap();
        assert!(bytes.len() <= LARGEST, "{name}: {} bytes", bytes.len());
        let file: ElfFile64 = ElfFile64::parse(&*bytes).unwrap();
        assert!(file.section_by_name(".symtab").is_none(), "{name}");
        assert!(!file.has_debug_symbols(), "{name}");
        if !has_static_libc() {
            eprintln!("there is no libc.a here, so {name} is not static");
            continue;
        }
        assert!(file.section_by_name(".interp").is_none(), "{name}");
        assert!(file.imports().unwrap().next().is_none(), "{name}");
        // The name service would load the modules of the machine (launcher/src/system/name_service.rs).
        assert!(!contains(&bytes, b"libnss_"), "{name}");
        let debug = fs::read(built(&format!("{name}.debug"))).unwrap();
        let debug: ElfFile64 = ElfFile64::parse(&*debug).unwrap();
        let linked = object::Object::symbols(&debug)
            .filter(object::ObjectSymbol::is_definition)
            .filter_map(|symbol| object::ObjectSymbol::name(&symbol).ok())
            .filter(|name| name.starts_with("__nss_") || name.starts_with("_nss_"));
        assert_eq!(linked.collect::<Vec<_>>(), [""; 0], "{name}");
    }
}

plain_case!(symbols_beside_it);
/// Where gdb looks for them: the link names the file, and has its checksum.
fn symbols_beside_it() {
    for name in COMMANDS {
        let bytes = fs::read(built(name)).unwrap();
        let file: ElfFile64 = ElfFile64::parse(&*bytes).unwrap();
        let (link, checksum) = file.gnu_debuglink().unwrap().expect("a link");
        assert_eq!(link, format!("{name}.debug").as_bytes());
        let debug = fs::read(built(&format!("{name}.debug"))).unwrap();
        assert_eq!(crc(&debug), checksum, "{name}");
        let debug: ElfFile64 = ElfFile64::parse(&*debug).unwrap();
        assert_eq!(debug.build_id().unwrap(), file.build_id().unwrap());
        let lines = debug.section_by_name(".debug_line").expect("lines");
        assert!(lines.size() > 1000, "{name}");
    }
}

/// The checksum of a debug link (CRC-32; "Debugging Information in Separate Files", gdb's manual).
fn crc(bytes: &[u8]) -> u32 {
    let table: Vec<u32> = (0..256_u32)
        .map(|one| {
            (0..8).fold(one, |rest, _| match rest & 1 {
                0 => rest >> 1,
                _ => rest >> 1 ^ 0xedb8_8320,
            })
        })
        .collect();
    !bytes.iter().fold(!0, |rest, byte| {
        table[usize::from(rest as u8 ^ byte)] ^ rest >> 8
    })
}
