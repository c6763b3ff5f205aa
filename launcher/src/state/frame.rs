//! Stacks and their frames.

use std::sync::Arc;

/// A stack, outermost frame first. Many threads often share one, and most frames stand in many stacks: a
/// stack takes four bytes for each of its frames, and its copy takes none.
#[derive(Clone, Debug, Default)]
pub struct Stack {
    /// Indices of `known`.
    frames: Arc<[u32]>,
    known: Arc<Vec<Frame>>,
}

/// An entry of a stack.
#[derive(Clone, Debug, Hash, PartialEq)]
pub enum Frame {
    /// A frame.
    At(Place),
    /// Stands for frames that are missing, and says why.
    Mark(String),
}

/// A line of source that a frame is at.
#[derive(Clone, Debug, Hash, PartialEq)]
pub struct Place {
    /// The file name that the code was compiled with.
    pub file: String,
    /// The number of the line, from 1; 0 if it could not be read.
    pub line: i64,
    /// The name of the function.
    pub function: String,
    /// The text of the line; empty if it is not available. String literals that look like secrets are
    /// hidden.
    pub source: String,
}

impl Stack {
    /// A stack of frames that no other has.
    pub fn of(frames: Vec<Frame>) -> Stack {
        Stack {
            frames: (0..frames.len() as u32).collect(),
            known: Arc::new(frames),
        }
    }

    /// A stack at these lines of one function.
    #[cfg(test)]
    pub(crate) fn at_lines(lines: &[i64]) -> Stack {
        let frame = |&line: &i64| {
            Frame::At(Place {
                file: "a.py".to_owned(),
                line,
                function: "f".to_owned(),
                source: String::new(),
            })
        };
        Stack::of(lines.iter().map(frame).collect())
    }

    /// A stack of frames that stand in `known`. Indices that are not there stand for no frame.
    pub fn among(known: &Arc<Vec<Frame>>, frames: Arc<[u32]>) -> Stack {
        Stack {
            frames,
            known: Arc::clone(known),
        }
    }

    /// The number of its frames.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Its frames, outermost first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Frame> + Clone {
        self.frames
            .iter()
            .filter_map(|&at| self.known.get(at as usize))
    }

    /// What tells this stack from others, but for equal ones, while it exists.
    pub fn identity(&self) -> (*const u32, *const Frame) {
        (self.frames.as_ptr(), self.known.as_ptr())
    }
}

impl PartialEq for Stack {
    fn eq(&self, other: &Stack) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Place {
    /// Whether its code is the program's own: not that of the standard library, nor of an installed package. Such
    /// files are below `lib/python2.7`, or in a folder of packages of Debian's.
    pub fn is_own(&self) -> bool {
        let mut folders = self.file.split('/');
        folders.next_back();
        let mut above = "";
        !folders.any(|folder| {
            let is_library = folder.starts_with("python") && above.starts_with("lib")
                || folder == "python27.zip"
                || folder == "python26.zip";
            above = folder;
            is_library || PACKAGES.contains(&folder)
        })
    }
}

/// Folders of installed packages.
const PACKAGES: [&str; 4] = ["site-packages", "dist-packages", "pymodules", "pyshared"];

impl Frame {
    /// The place that it is at, unless it stands for missing frames.
    pub fn place(&self) -> Option<&Place> {
        match self {
            Frame::At(place) => Some(place),
            Frame::Mark(_) => None,
        }
    }

    /// The memory that it takes, in bytes.
    pub fn size(&self) -> usize {
        let text = match self {
            Frame::At(place) => place.file.len() + place.function.len() + place.source.len(),
            Frame::Mark(what) => what.len(),
        };
        // Each text is an allocation of its own. A vector that grows may be twice as long as it must.
        2 * size_of::<Frame>() + text + 3 * 16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_own_code_from_libraries() {
        let place = |file: &str| Place {
            file: file.to_owned(),
            line: 1,
            function: "f".to_owned(),
            source: String::new(),
        };
        for own in [
            "app.py",
            "/srv/lib/app.py",
            "/opt/python2.7/app.py",
            "<string>",
            "/srv/site-packages",
        ] {
            assert!(place(own).is_own(), "{own}");
        }
        for foreign in [
            "/usr/lib/python2.7/threading.py",
            "/opt/lib64/python2.6/logging/__init__.py",
            "venv/lib/python2.7/site-packages/a.py",
            "/usr/share/pyshared/a.py",
        ] {
            assert!(!place(foreign).is_own(), "{foreign}");
        }
    }

    #[test]
    fn stacks_share_their_frames() {
        let mark = |what: &str| Frame::Mark(what.to_owned());
        let known = Arc::new(vec![mark("a"), mark("b")]);
        let stack = Stack::among(&known, Arc::new([1, 0, 7, 1]));
        assert_eq!(stack.iter().count(), 3);
        assert_eq!(stack, Stack::of(vec![mark("b"), mark("a"), mark("b")]));
        assert_eq!(stack.clone().identity(), stack.identity());
        assert!(Stack::default().is_empty());
    }
}
