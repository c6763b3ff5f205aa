//! Source lines, read without the GIL and without a thread state.
//!
//! A file may lie on a file system that does not respond. A thread that waits for it here holds nothing
//! of the interpreter, so the program may run, fork and end meanwhile as if there were no agent. (Python's
//! own reading would wait with a thread state that `Py_Finalize` frees.)
//!
//! The lines are those that linecache would give. It reads a file anew if its size or time differs. If
//! there is no such file, it looks for the name along `sys.path`; that happens to a script that was started
//! by a relative name and has changed its folder since, as most daemons do. Lines that are not found here
//! linecache may still find, in a zip file.

use std::ffi::CStr;
use std::ops::Range;

use crate::system::filter::{self, Call};

/// A line to read.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// The file's name, as its code object has it.
    pub file: &'a [u8],
    /// The line, from 1.
    pub line: i64,
    /// The caller's number for this line.
    pub index: usize,
    /// Whether the module has a loader, which may know the line if there is no such file.
    pub has_loader: bool,
}

/// Where a file is looked for if there is none by its name.
#[derive(Default)]
pub struct SearchPath {
    /// The folders' names in order, each followed by a NUL.
    folders: Vec<u8>,
    /// Whether every name is looked for, by its last part alone, as in CPython 2.6. From 2.7 on only
    /// relative names are, by the whole name (`updatecache`, Lib/linecache.py).
    by_last_part: bool,
}

impl SearchPath {
    /// A path without folders.
    pub fn new(by_last_part: bool) -> SearchPath {
        SearchPath {
            folders: Vec::new(),
            by_last_part,
        }
    }

    /// Adds a folder. Leaves it out if its name holds a NUL, or if there is no memory.
    pub fn add(&mut self, folder: &[u8]) {
        if !folder.contains(&0) && self.folders.try_reserve(folder.len() + 1).is_ok() {
            self.folders.extend_from_slice(folder);
            self.folders.push(0);
        }
    }

    /// Opens the first file found; an error if there is none.
    fn open(&self, name: &[u8]) -> Result<Option<File>, ()> {
        let name = match name.iter().rposition(|&byte| byte == b'/') {
            Some(slash) if self.by_last_part => &name[slash + 1..],
            _ => name,
        };
        if name.is_empty() || name.starts_with(b"/") {
            return Err(());
        }
        let folders = self.folders.split(|&byte| byte == 0);
        // Behind the last NUL there is no folder.
        let count = folders.clone().count().saturating_sub(1);
        let mut found = folders.take(count).map(|folder| File::open(folder, name));
        found.find(Result::is_ok).unwrap_or(Err(()))
    }
}

/// The lines that were found. If memory runs out, there are fewer, and nothing else happens.
#[derive(Default)]
pub struct Lines {
    text: Vec<u8>,
    found: Vec<(usize, Range<usize>)>,
}

/// Longer lines are cut, in bytes.
pub const LONGEST_LINE: usize = 64 << 10;
/// A file is read up to this length, in bytes.
const LONGEST_FILE: usize = 64 << 20;
/// A file is read in pieces of this size, in bytes, on the reader's stack.
const CHUNK: usize = 32 << 10;

/// Stands in place of each line where no file may be opened.
const UNREAD: &[u8] = b"(source not read: the agent could start no thread that reads files)";

impl Lines {
    /// Reads the lines of these places. Places of one file must stand together; they are sorted by line.
    ///
    /// On the reader, holding nothing: it does input and output, and allocates.
    pub fn read(places: &mut [Place<'_>], path: &SearchPath) -> Lines {
        let mut lines = Lines::default();
        for places in places.chunk_by_mut(|one, other| one.file == other.file) {
            places.sort_unstable_by_key(|place| place.line);
            lines.read_file(places, path);
        }
        lines
    }

    /// What stands for the lines of these places where no thread may open a file.
    pub fn unread(places: &[Place<'_>]) -> Lines {
        let mut lines = Lines::default();
        if lines.text.try_reserve(UNREAD.len()).is_ok() {
            lines.text.extend_from_slice(UNREAD);
        }
        for place in places {
            let range = match is_in_no_file(place.file) {
                true => 0..0,
                false => 0..lines.text.len(),
            };
            lines.add(place.index, range);
        }
        lines
    }

    /// The places' numbers and lines, without line ends. A line that nothing can find, not even linecache,
    /// is empty.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &[u8])> {
        let text = |range: &Range<usize>| self.text.get(range.clone()).unwrap_or_default();
        self.found
            .iter()
            .map(move |(index, range)| (*index, text(range)))
    }

    fn read_file(&mut self, places: &[Place<'_>], path: &SearchPath) {
        let Some(first) = places.first() else {
            return;
        };
        let name = first.file;
        if is_in_no_file(name) {
            return;
        }
        // linecache asks a module's loader before it searches. Where the search is by the last part alone,
        // it could find a wrong file, so linecache has to do it. Where it is by the whole name, it finds
        // the file that the loader would read.
        let left_to_linecache = path.by_last_part && places.iter().any(|place| place.has_loader);
        let search = |()| match left_to_linecache {
            true => Err(()),
            false => path.open(name),
        };
        match File::open(b"", name).or_else(search) {
            Ok(Some(file)) => self.read_lines(&file, places),
            // Not a regular file. Reading a pipe would wait, and take what is meant for another reader.
            Ok(None) => self.nothing_for(places),
            // linecache does not search for an absolute name either; only a loader may know the line.
            Err(()) if name.starts_with(b"/") => {
                let bare = |place: &&Place<'_>| !place.has_loader;
                for place in places.iter().filter(bare) {
                    self.nothing_for(std::slice::from_ref(place));
                }
            }
            Err(()) => {}
        }
    }

    /// Adds an empty line for each place.
    fn nothing_for(&mut self, places: &[Place<'_>]) {
        for place in places {
            self.add(place.index, 0..0);
        }
    }

    fn add(&mut self, index: usize, range: Range<usize>) {
        if self.found.try_reserve(1).is_ok() {
            self.found.push((index, range));
        }
    }

    /// Reads the places' lines. Line ends are \n, \r and \r\n, as for Python's mode "rU".
    fn read_lines(&mut self, file: &File, mut places: &[Place<'_>]) {
        let mut chunk = [0; CHUNK];
        let mut start = self.text.len();
        // Places at line 0 or below get an empty line.
        places = self.line_ended(places, 0, start);
        let mut line = 1;
        let mut after_return = false;
        let mut total = 0;
        while !places.is_empty() {
            let count = file.read(&mut chunk);
            let ended = count == 0 || total >= LONGEST_FILE;
            total += count;
            for &byte in &chunk[..count] {
                if std::mem::replace(&mut after_return, byte == b'\r') && byte == b'\n' {
                    continue;
                }
                if byte == b'\n' || byte == b'\r' {
                    places = self.line_ended(places, line, start);
                    line += 1;
                    start = self.text.len();
                } else if places.first().is_some_and(|place| place.line == line)
                    && self.text.len() - start < LONGEST_LINE
                    && self.text.try_reserve(1).is_ok()
                {
                    self.text.push(byte);
                }
            }
            if ended {
                places = self.line_ended(places, line, start);
                self.nothing_for(places);
                return;
            }
        }
    }

    /// Adds the line that ends here for all places at that line; returns the places that remain.
    fn line_ended<'a, 'b>(
        &mut self,
        mut places: &'b [Place<'a>],
        line: i64,
        start: usize,
    ) -> &'b [Place<'a>] {
        while let Some((place, rest)) = places.split_first() {
            if place.line > line {
                break;
            }
            let range = if place.line == line && line > 0 {
                start..self.text.len()
            } else {
                0..0
            };
            self.add(place.index, range);
            places = rest;
        }
        places
    }
}

/// Whether code with this name of a file was never in one, as linecache has it too.
fn is_in_no_file(name: &[u8]) -> bool {
    name.is_empty() || name.starts_with(b"<") && name.ends_with(b">")
}

/// A regular file, open for reading.
struct File(libc::c_int);

impl File {
    /// Opens a file; `None` if it is no regular file or cannot be read, an error if there is none. An empty
    /// folder stands for the process's current one.
    fn open(folder: &[u8], name: &[u8]) -> Result<Option<File>, ()> {
        let slash: &[u8] = match folder.last() {
            None | Some(b'/') => b"",
            Some(_) => b"/",
        };
        let mut path = [0; libc::PATH_MAX as usize];
        let mut length = 0;
        for part in [folder, slash, name] {
            let place = path.get_mut(length..length + part.len()).ok_or(())?;
            place.copy_from_slice(part);
            length += part.len();
        }
        let path = CStr::from_bytes_until_nul(&path).map_err(|_| ())?;
        if path.count_bytes() != length {
            return Err(());
        }
        if !filter::may(Call::Stat) || !filter::may(Call::StatOpen) {
            return Ok(None);
        }
        let flags = libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NOCTTY | libc::O_NONBLOCK;
        // SAFETY: the path ends in NUL. The kernel writes to `status`, a local for which zeros are valid.
        // The new descriptor belongs to the `File`, which closes it.
        unsafe {
            let mut status = std::mem::zeroed::<libc::stat>();
            // This comes before the opening: opening a device may have an effect.
            if libc::stat(path.as_ptr(), &mut status) != 0 {
                return Err(());
            }
            if status.st_mode & libc::S_IFMT != libc::S_IFREG {
                return Ok(None);
            }
            let descriptor = libc::open(path.as_ptr(), flags);
            if descriptor < 0 {
                // linecache does not look for another file either.
                return Ok(None);
            }
            let file = File(descriptor);
            let regular = libc::fstat(descriptor, &mut status) == 0
                && status.st_mode & libc::S_IFMT == libc::S_IFREG;
            Ok(regular.then_some(file))
        }
    }

    /// The number of bytes read; 0 at the end of the file or after an error.
    fn read(&self, chunk: &mut [u8]) -> usize {
        // SAFETY: the kernel writes to `chunk` only, no more than its length.
        let count = unsafe { libc::read(self.0, chunk.as_mut_ptr().cast(), chunk.len()) };
        usize::try_from(count).unwrap_or(0)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // SAFETY: `open` opened the descriptor, and it is closed only here.
        unsafe { libc::close(self.0) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    fn place(file: &[u8], line: i64, index: usize) -> Place<'_> {
        Place {
            file,
            line,
            index,
            has_loader: false,
        }
    }

    #[test]
    fn finds_lines_whatever_ends_them() {
        let path = std::env::temp_dir().join(format!("sleeper-sources-{}", std::process::id()));
        let long = "x".repeat(2 * CHUNK);
        let text = format!("one\r\n\ttwo\rthree\n\n{long}\nlast");
        std::fs::write(&path, text).expect("a file");
        let name = path.to_str().expect("a name").as_bytes();
        let mut places: Vec<Place> = [2, 1, 3, 99, 4, 6, 5, 0, -1, 2]
            .iter()
            .enumerate()
            .map(|(index, &line)| place(name, line, index))
            .collect();
        let lines = Lines::read(&mut places, &SearchPath::default());
        std::fs::remove_file(&path).expect("it is ours");
        let mut found: Vec<_> = lines.iter().collect();
        found.sort();
        let expected: [&[u8]; 10] = [
            b"\ttwo",
            b"one",
            b"three",
            b"",
            b"",
            b"last",
            long.as_bytes(),
            b"",
            b"",
            b"\ttwo",
        ];
        assert!(found == expected.into_iter().enumerate().collect::<Vec<_>>());
    }

    #[test]
    fn leaves_to_linecache_what_only_that_may_find() {
        let with_loader = Place {
            has_loader: true,
            ..place(b"/no/such.zip/module.py", 1, 4)
        };
        let mut places = [
            place(b"", 1, 0),
            place(b"<string>", 1, 1),
            place(b"no_such_module.py", 1, 2),
            place(b"a\0b", 1, 3),
            with_loader,
        ];
        let nowhere = SearchPath::default();
        assert_eq!(Lines::read(&mut places, &nowhere).iter().count(), 0);
        // Nothing finds the first; the other two are no regular files.
        let mut places = [
            place(b"/no/such/module.py", 1, 5),
            place(b"/dev/zero", 1, 6),
            place(b"/", 1, 7),
        ];
        let lines = Lines::read(&mut places, &nowhere);
        let nothing: &[u8] = b"";
        let found: Vec<_> = lines.iter().collect();
        assert_eq!(found, [(5, nothing), (6, nothing), (7, nothing)]);
    }

    #[test]
    fn says_what_it_may_not_read() {
        let places = [
            place(b"a.py", 1, 3),
            place(b"<string>", 1, 4),
            place(b"b.py", 7, 5),
        ];
        let lines = Lines::unread(&places);
        let found: Vec<_> = lines.iter().collect();
        assert_eq!(found, [(3, UNREAD), (4, &b""[..]), (5, UNREAD)]);
    }

    #[test]
    fn looks_along_the_path_as_linecache_does() {
        let folder = std::env::temp_dir().join(format!("sleeper-path-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("package")).expect("a folder");
        std::fs::write(folder.join("module.py"), "first\n").expect("a file");
        std::fs::write(folder.join("package/module.py"), "second\n").expect("a file");
        let found = |by_last_part, name: &[u8]| {
            let mut path = SearchPath::new(by_last_part);
            path.add(b"/no/such/folder");
            path.add(b"a\0b");
            path.add(folder.to_str().expect("a name").as_bytes());
            let lines = Lines::read(&mut [place(name, 1, 0)], &path);
            lines.iter().next().map(|(_, line)| line.to_vec())
        };
        let line = |text: &[u8]| Some(text.to_vec());
        for by_last_part in [false, true] {
            assert_eq!(found(by_last_part, b"module.py"), line(b"first"));
            assert_eq!(found(by_last_part, b"no_such_module.py"), None);
        }
        assert_eq!(found(false, b"package/module.py"), line(b"second"));
        assert_eq!(found(true, b"package/module.py"), line(b"first"));
        assert_eq!(found(false, b"/gone/module.py"), line(b""));
        assert_eq!(found(true, b"/gone/module.py"), line(b"first"));
        // The file may be in a zip file, so linecache must look.
        let mut path = SearchPath::new(true);
        path.add(folder.to_str().expect("a name").as_bytes());
        let zipped = Place {
            has_loader: true,
            ..place(b"/app.zip/module.py", 1, 0)
        };
        assert_eq!(Lines::read(&mut [zipped], &path).iter().count(), 0);
        std::fs::remove_dir_all(&folder).expect("it is ours");
    }
}
