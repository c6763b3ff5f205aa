//! Checks the code against the plan of the house: `cargo test -p tests --test rooms`, a part of
//! `make lint`.
//!
//! Each crate is a house, each folder in it a room. No two files import each other in a circle; no
//! room imports from a room above it; every room says at its door what enters and what leaves. What a
//! `#[cfg(test)]` module imports does not count.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};

/// A crate: its name, the folder of its sources, and its rooms and single files from the top down.
struct House {
    name: &'static str,
    folder: &'static str,
    rooms: &'static [&'static str],
}

const HOUSES: [House; 3] = [
    House {
        name: "preload",
        folder: "preload/src",
        rooms: &[
            "entry",
            "crew",
            "ask",
            "collect",
            "suspended",
            "script",
            "inspect",
            "files",
            "cpython",
            "agent",
            "system",
        ],
    },
    House {
        name: "protocol",
        folder: "preload/protocol/src",
        rooms: &[],
    },
    House {
        name: "launcher",
        folder: "launcher/src",
        rooms: &[
            "bin", "start", "watch", "bring_in", "report", "ask", "native", "state", "load",
            "find", "run", "system", "options",
        ],
    },
];

/// A house as it is built: what each file imports. Files are named by their module paths, such as
/// `ask::gdb::driver`; the binaries by `bin::NAME`.
struct Plan {
    imports: BTreeMap<String, BTreeSet<String>>,
}

impl Plan {
    fn of(house: &House) -> Plan {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("..")
            .join(house.folder);
        let files = files_below(&root);
        let modules: BTreeMap<String, PathBuf> = files
            .into_iter()
            .map(|file| {
                (
                    module_of(file.strip_prefix(&root).expect("it is below")),
                    file,
                )
            })
            .collect();
        let imports = modules.iter().map(|(module, file)| {
            let text = fs::read_to_string(file).expect("a source file is text");
            let parsed = syn::parse_file(&text);
            let parsed = parsed.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            let mut named = Named {
                // The binaries are crates of their own, which import the library by its name.
                roots: ["crate", house.name],
                paths: Vec::new(),
            };
            named.visit_file(&parsed);
            let imported = named.paths.iter().filter_map(|path| owner(&modules, path));
            let imported = imported.filter(|other| other != module && !other.is_empty());
            (module.clone(), imported.collect())
        });
        Plan {
            imports: imports.collect(),
        }
    }

    /// Whether one file reaches another through its imports.
    fn reaches(&self, from: &str, to: &str) -> bool {
        let mut seen = BTreeSet::new();
        let mut next = vec![from];
        while let Some(file) = next.pop() {
            for other in &self.imports[file] {
                if other == to {
                    return true;
                }
                if seen.insert(other) {
                    next.push(other);
                }
            }
        }
        false
    }
}

/// The longest prefix of a path that is a file of the house. The rest names an item in that file.
fn owner(modules: &BTreeMap<String, PathBuf>, path: &[String]) -> Option<String> {
    let lengths = (0..=path.len()).rev();
    let mut parts = lengths.map(|length| path[..length].join("::"));
    parts.find(|part| modules.contains_key(part))
}

fn module_of(file: &Path) -> String {
    let parts = file
        .iter()
        .map(|part| part.to_str().expect("file names are text"));
    let path = parts.collect::<Vec<_>>().join("::");
    let path = path.strip_suffix(".rs").expect("only sources are listed");
    match path
        .strip_suffix("mod")
        .map(|path| path.trim_end_matches(':'))
    {
        Some(folder) if folder.is_empty() || path.ends_with("::mod") => folder.to_owned(),
        _ if path == "lib" => String::new(),
        _ => path.to_owned(),
    }
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|why| panic!("{}: {why}", folder.display()));
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.expect("the folder can be read").path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            files.push(path);
        }
    }
    files
}

/// Collects all paths that begin at the root of the crate, in `use` items and elsewhere.
struct Named {
    roots: [&'static str; 2],
    paths: Vec<Vec<String>>,
}

impl Named {
    fn add_tree(&mut self, before: &[String], tree: &syn::UseTree) {
        let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        match tree {
            syn::UseTree::Path(path) => self.add_tree(&with(&path.ident), &path.tree),
            syn::UseTree::Name(name) => self.add(with(&name.ident)),
            syn::UseTree::Rename(name) => self.add(with(&name.ident)),
            syn::UseTree::Glob(_) => self.add(before.to_vec()),
            syn::UseTree::Group(group) => {
                for tree in &group.items {
                    self.add_tree(before, tree);
                }
            }
        }
    }

    fn add(&mut self, path: Vec<String>) {
        if path
            .first()
            .is_some_and(|root| self.roots.contains(&&**root))
        {
            self.paths.push(path[1..].to_vec());
        }
    }
}

impl<'ast> Visit<'ast> for Named {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        let is_test = |attribute: &syn::Attribute| {
            attribute.path().is_ident("cfg")
                && attribute
                    .parse_args::<syn::Ident>()
                    .is_ok_and(|what| what == "test")
        };
        if !module.attrs.iter().any(is_test) {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.add_tree(&[], &item.tree);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.add(
            path.segments
                .iter()
                .map(|part| part.ident.to_string())
                .collect(),
        );
        visit::visit_path(self, path);
    }
}

#[test]
fn no_two_files_import_each_other_in_a_circle() {
    for house in &HOUSES {
        let plan = Plan::of(house);
        let mut circles = Vec::new();
        for (file, imported) in &plan.imports {
            let back = imported.iter().filter(|other| plan.reaches(other, file));
            circles.extend(back.map(|other| format!("{file} -> {other}")));
        }
        assert!(
            circles.is_empty(),
            "{}: these imports are parts of circles:\n{}",
            house.folder,
            circles.join("\n")
        );
    }
}

#[test]
fn no_room_imports_from_a_room_above_it() {
    for house in &HOUSES {
        let floor = |file: &str| {
            let room = file.split("::").next().unwrap_or(file);
            house
                .rooms
                .iter()
                .position(|one| *one == room)
                .unwrap_or(house.rooms.len())
        };
        let plan = Plan::of(house);
        let mut upwards = Vec::new();
        for (file, imported) in &plan.imports {
            let above = imported.iter().filter(|other| floor(other) < floor(file));
            upwards.extend(above.map(|other| format!("{file} -> {other}")));
        }
        assert!(
            upwards.is_empty(),
            "{}: these imports run upwards:\n{}",
            house.folder,
            upwards.join("\n")
        );
        let rooms: BTreeSet<&str> = plan
            .imports
            .keys()
            .filter_map(|file| file.split("::").next())
            .collect();
        for room in house.rooms {
            assert!(rooms.contains(room), "{}: there is no {room}", house.folder);
        }
    }
}

#[test]
fn every_room_says_what_enters_and_what_leaves() {
    for house in &HOUSES {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("..")
            .join(house.folder);
        for file in files_below(&root) {
            if !file.ends_with("mod.rs") {
                continue;
            }
            let text = fs::read_to_string(&file).expect("a source file is text");
            let door: String = text
                .lines()
                .take_while(|line| line.starts_with("//!"))
                .collect();
            for word in ["Enters", "Leaves"] {
                assert!(
                    door.contains(word),
                    "{}: its //! lacks {word}: …",
                    file.display()
                );
            }
        }
    }
}
