//! Places in the program's code, copied, so that none of its objects is kept for them.

use std::ops::Range;

use crate::files::sources;
use crate::system::hash::Table;

/// Places, numbered in the order in which they were added.
#[derive(Default)]
pub struct Places {
    /// The names of files and functions, one after the other.
    text: Vec<u8>,
    /// Where each name is, by the address of its object.
    names: Table<usize, Range<usize>>,
    places: Vec<Place>,
    /// How many modules' loaders there are.
    loaders: usize,
}

/// A place.
pub struct Place {
    file: Range<usize>,
    function: Range<usize>,
    /// The line.
    pub line: i64,
    /// If the module has a loader, which may know the source: its number, counted from 0.
    pub loader: Option<usize>,
}

/// A name: the address of its object, which stays alive while places are added, and its text.
pub type Name<'a> = (usize, &'a [u8]);

impl Places {
    /// Adds a place; `None` if there is no memory.
    pub fn add(&mut self, [file, function]: [Name; 2], line: i64, has_loader: bool) -> Option<()> {
        self.places.try_reserve(1).ok()?;
        let place = Place {
            file: self.name(file)?,
            function: self.name(function)?,
            line,
            loader: has_loader.then_some(self.loaders),
        };
        self.loaders += usize::from(has_loader);
        self.places.push(place);
        Some(())
    }

    /// Adds all of these behind them, with numbers that follow theirs; `None` if there is no memory. None is
    /// added to them later.
    pub fn append(&mut self, more: Places) -> Option<()> {
        let (start, loaders) = (self.text.len(), self.loaders);
        self.text.try_reserve(more.text.len()).ok()?;
        self.places.try_reserve(more.places.len()).ok()?;
        self.text.extend_from_slice(&more.text);
        let moved = |range: Range<usize>| range.start + start..range.end + start;
        self.places
            .extend(more.places.into_iter().map(|place| Place {
                file: moved(place.file),
                function: moved(place.function),
                line: place.line,
                loader: place.loader.map(|number| number + loaders),
            }));
        self.loaders += more.loaders;
        Some(())
    }

    fn name(&mut self, (address, text): Name) -> Option<Range<usize>> {
        if let Some(range) = self.names.get(&address) {
            return Some(range.clone());
        }
        self.names.try_reserve(1).ok()?;
        self.text.try_reserve(text.len()).ok()?;
        let start = self.text.len();
        self.text.extend_from_slice(text);
        let range = start..self.text.len();
        self.names.insert(address, range.clone());
        Some(range)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Place> {
        self.places.iter()
    }

    /// The place of this number.
    pub fn at(&self, index: usize) -> &Place {
        &self.places[index]
    }

    /// The name of a place's file.
    pub fn file(&self, place: &Place) -> &[u8] {
        &self.text[place.file.clone()]
    }

    /// The name of its function.
    pub fn function(&self, place: &Place) -> &[u8] {
        &self.text[place.function.clone()]
    }

    /// The places as lines that are wanted, file by file; none, where there is no memory for it.
    pub fn wanted(&self) -> Vec<sources::Place<'_>> {
        let mut wanted = Vec::new();
        if wanted.try_reserve_exact(self.len()).is_ok() {
            wanted.extend(
                self.iter()
                    .enumerate()
                    .map(|(index, place)| sources::Place {
                        file: self.file(place),
                        line: place.line,
                        index,
                        has_loader: place.loader.is_some(),
                    }),
            );
        }
        wanted.sort_unstable_by_key(|place| (place.file, place.index));
        wanted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn puts_the_places_of_a_file_together() {
        let mut places = Places::default();
        let (b, a, f): (Name, Name, Name) = ((16, b"b.py"), (32, b"a.py"), (48, b"f"));
        for (file, line) in [(b, 1), (a, 2), (b, 3)] {
            assert!(places.add([file, f], line, line == 2).is_some());
        }
        let wanted: Vec<_> = places
            .wanted()
            .iter()
            .map(|place| {
                (
                    place.file.to_vec(),
                    place.line,
                    place.index,
                    place.has_loader,
                )
            })
            .collect();
        let (a, b) = (b"a.py".to_vec(), b"b.py".to_vec());
        assert_eq!(
            wanted,
            [(a, 2, 1, true), (b.clone(), 1, 0, false), (b, 3, 2, false)]
        );
        assert!(places.iter().all(|place| places.function(place) == b"f"));
        let mut more = Places::default();
        assert!(more.add([(16, b"c.py"), (32, b"g")], 4, true).is_some());
        assert!(places.append(more).is_some());
        let last = places.at(3);
        assert_eq!(
            (places.file(last), places.function(last)),
            (&b"c.py"[..], &b"g"[..])
        );
        assert_eq!((last.line, last.loader), (4, Some(1)));
    }
}
