//! Values in the format of CPython 2's `marshal` (version 0; Python/marshal.c, 2.6 and 2.7).
//!
//! The library writes it with [`MarshalWriter`], which makes no Python objects. The commands read it
//! with [`parse`], which takes nothing in it for granted.

/// A value. What a list or a dictionary holds is read only when it is looked at, from the bytes that it
/// stands in: a value takes no memory, whatever it holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// `None`.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// An `int`, or a `long` of 64 bits.
    Number(i64),
    /// A `str`, or a `unicode` in UTF-8. The bytes stay where they are.
    Text(&'a [u8]),
    /// A tuple or a list.
    List(List<'a>),
    /// A dictionary.
    Pairs(Pairs<'a>),
}

/// How deep values may be nested. The library's are not nested as deep.
const DEEPEST: usize = 32;

/// Reads a value, and returns it with the bytes behind it; `None` if these bytes are no value.
pub fn parse(bytes: &[u8]) -> Option<(Value<'_>, &[u8])> {
    let mut reader = Reader { rest: bytes };
    let value = reader.value(DEEPEST)?;
    Some((value, reader.rest))
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take<const COUNT: usize>(&mut self) -> Option<[u8; COUNT]> {
        let (taken, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*taken)
    }

    fn count(&mut self) -> Option<usize> {
        usize::try_from(i32::from_le_bytes(self.take()?)).ok()
    }

    /// Reads a count and as many bytes.
    fn counted(&mut self) -> Option<&'a [u8]> {
        let count = self.count()?;
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    /// Reads a `long`: the number of its digits, negative if the number is, and the digits, 15 bits each.
    fn long(&mut self) -> Option<i64> {
        let count = i32::from_le_bytes(self.take()?);
        // More digits than that do not fit.
        let digits = Some(count.unsigned_abs()).filter(|&digits| digits <= 8)?;
        let mut number: i128 = 0;
        for digit in 0..digits {
            number |= i128::from(u16::from_le_bytes(self.take()?) & 0x7fff) << (15 * digit);
        }
        i64::try_from(if count < 0 { -number } else { number }).ok()
    }

    fn value(&mut self, depth: usize) -> Option<Value<'a>> {
        let depth = depth.checked_sub(1)?;
        Some(match self.take()? {
            [b'N'] => Value::None,
            [b'T'] => Value::Bool(true),
            [b'F'] => Value::Bool(false),
            [b'i'] => Value::Number(i32::from_le_bytes(self.take()?).into()),
            [b'I'] => Value::Number(i64::from_le_bytes(self.take()?)),
            [b'l'] => Value::Number(self.long()?),
            [b's' | b'u'] => Value::Text(self.counted()?),
            [b'(' | b'['] => {
                let count = self.count()?;
                let all = self.rest;
                // The count may promise more than there is: then this ends where the bytes do.
                for _ in 0..count {
                    self.value(depth)?;
                }
                let items = &all[..all.len() - self.rest.len()];
                Value::List(List { count, items })
            }
            [b'{'] => {
                let all = self.rest;
                while *self.rest.first()? != b'0' {
                    self.value(depth)?;
                    self.value(depth)?;
                }
                let pairs = &all[..all.len() - self.rest.len()];
                self.take::<1>()?;
                Value::Pairs(Pairs { pairs })
            }
            _ => return None,
        })
    }
}

/// The items of a tuple or a list, which have been checked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct List<'a> {
    count: usize,
    items: &'a [u8],
}

impl<'a> List<'a> {
    /// How many there are.
    pub fn len(self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.count == 0
    }

    /// Reads them, one after the other.
    pub fn iter(self) -> impl Iterator<Item = Value<'a>> {
        let mut reader = Reader { rest: self.items };
        std::iter::from_fn(move || reader.value(DEEPEST))
    }

    /// All of them, if there are as many.
    pub fn exactly<const COUNT: usize>(self) -> Option<[Value<'a>; COUNT]> {
        let mut values = [Value::None; COUNT];
        if self.count != COUNT {
            return None;
        }
        for (place, value) in values.iter_mut().zip(self.iter()) {
            *place = value;
        }
        Some(values)
    }
}

/// The pairs of a dictionary, which have been checked.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pairs<'a> {
    pairs: &'a [u8],
}

impl<'a> Pairs<'a> {
    /// Reads keys with their values, one pair after the other.
    pub fn iter(self) -> impl Iterator<Item = (Value<'a>, Value<'a>)> {
        let mut reader = Reader { rest: self.pairs };
        std::iter::from_fn(move || Some((reader.value(DEEPEST)?, reader.value(DEEPEST)?)))
    }
}

impl<'a> Value<'a> {
    /// The value under a key of a dictionary.
    pub fn get(&self, key: &str) -> Option<Value<'a>> {
        let mut pairs = self.pairs()?.iter();
        let is_it = |other: &Value| matches!(other, Value::Text(text) if *text == key.as_bytes());
        pairs.find(|(key, _)| is_it(key)).map(|(_, value)| value)
    }

    /// The values under several keys of a dictionary, which is read once for all of them.
    pub fn all_of<const COUNT: usize>(&self, keys: [&str; COUNT]) -> [Option<Value<'a>>; COUNT] {
        let mut found = [None; COUNT];
        for (key, value) in self.pairs().into_iter().flat_map(Pairs::iter) {
            let Value::Text(key) = key else { continue };
            let place = keys.iter().position(|one| one.as_bytes() == key);
            if let Some(place) = place.and_then(|place| found.get_mut(place)) {
                place.get_or_insert(value);
            }
        }
        found
    }

    /// The items of a tuple or a list.
    pub fn list(&self) -> Option<List<'a>> {
        match self {
            Value::List(list) => Some(*list),
            _ => None,
        }
    }

    /// The pairs of a dictionary.
    pub fn pairs(&self) -> Option<Pairs<'a>> {
        match self {
            Value::Pairs(pairs) => Some(*pairs),
            _ => None,
        }
    }

    /// A number, if it fits into this type.
    pub fn number<N: TryFrom<i64>>(&self) -> Option<N> {
        match self {
            Value::Number(number) => N::try_from(*number).ok(),
            _ => None,
        }
    }

    /// The bytes of a text.
    pub fn bytes(&self) -> Option<&'a [u8]> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A text, no longer than [`LONGEST_TEXT`]: what is beyond that is left out. Bytes that are not UTF-8
    /// become U+FFFD.
    pub fn text(&self) -> Option<String> {
        let text = self.bytes()?;
        let shown = &text[..text.len().min(LONGEST_TEXT)];
        Some(String::from_utf8_lossy(shown).into_owned())
    }

    /// Whether it is `True`.
    pub fn is_true(&self) -> bool {
        *self == Value::Bool(true)
    }
}

/// The longest text of a value that [`Value::text`] reads, in bytes. The library's are not as long.
pub const LONGEST_TEXT: usize = 8 << 10;

/// Writes values, one after the other. Where memory runs out, nothing is written any more, and
/// [`MarshalWriter::finish`] says so.
#[derive(Default)]
pub struct MarshalWriter {
    bytes: Vec<u8>,
    /// Whether memory ran out: then what is written is of no use.
    is_broken: bool,
}

impl MarshalWriter {
    /// Appends bytes: a value that has been marshalled elsewhere.
    pub fn raw(&mut self, more: &[u8]) {
        self.is_broken |= self.bytes.try_reserve(more.len()).is_err();
        if !self.is_broken {
            self.bytes.extend_from_slice(more);
        }
    }

    /// Appends an `int`.
    pub fn number(&mut self, number: i64) {
        match i32::try_from(number) {
            Ok(small) => self.letter(b'i', small.to_le_bytes()),
            Err(_) => self.letter(b'I', number.to_le_bytes()),
        }
    }

    /// Appends a `str`, which is shorter than 2 GiB.
    pub fn text(&mut self, text: &[u8]) {
        self.letter(b's', (text.len() as i32).to_le_bytes());
        self.raw(text);
    }

    /// Appends a key of a dictionary. Its value follows.
    pub fn key(&mut self, key: &str) {
        self.text(key.as_bytes());
    }

    /// Appends `True` or `False`.
    pub fn truth(&mut self, truth: bool) {
        self.raw(if truth { b"T" } else { b"F" });
    }

    /// Appends `None`.
    pub fn none(&mut self) {
        self.raw(b"N");
    }

    /// Begins a list of this many values, which follow.
    pub fn list(&mut self, count: usize) {
        self.letter(b'[', (count as i32).to_le_bytes());
    }

    /// Begins a dictionary. Pairs of a key and a value follow, until [`MarshalWriter::end`].
    pub fn pairs(&mut self) {
        self.raw(b"{");
    }

    /// Ends a dictionary.
    pub fn end(&mut self) {
        self.raw(b"0");
    }

    /// All that was written; `None` if memory ran out.
    pub fn finish(self) -> Option<Vec<u8>> {
        (!self.is_broken).then_some(self.bytes)
    }

    fn letter<const COUNT: usize>(&mut self, letter: u8, rest: [u8; COUNT]) {
        self.raw(&[letter]);
        self.raw(&rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn reads_what_python_writes() {
        // marshal.dumps({'a': (1, [None, True, u'\xe9']), 'b': -2**40, 'c': 140000000000000L}, 0)
        let bytes = b"{s\x01\0\0\0a(\x02\0\0\0i\x01\0\0\0[\x03\0\0\0NTu\x02\0\0\0\xc3\xa9\
            s\x01\0\0\0bI\0\0\0\0\0\xff\xff\xffs\x01\0\0\0cl\x04\0\0\0\0@\x89\x14Q}\x03\x000";
        let (value, rest) = parse(bytes).expect("a value");
        assert_eq!(rest, b"");
        let list = value.get("a").and_then(|value| value.list());
        let [number, list] = list.and_then(List::exactly).expect("two items");
        assert_eq!(number.number(), Some(1_u8));
        let last = list.list().and_then(|list| list.iter().last());
        assert_eq!(last.and_then(|text| text.text()).as_deref(), Some("é"));
        let [b, c, d] = value.all_of(["b", "c", "d"]);
        assert_eq!(b.and_then(|value| value.number()), Some(-1_i64 << 40));
        assert_eq!(
            c.and_then(|value| value.number()),
            Some(140_000_000_000_000_i64)
        );
        assert_eq!((d, value.get("d"), value.get("b")), (None, None, b));
    }

    #[test]
    fn returns_the_bytes_behind_a_value() {
        assert_eq!(parse(b"NTF"), Some((Value::None, &b"TF"[..])));
    }

    #[test]
    fn refuses_what_is_no_value() {
        let deep = b"(\x01\0\0\0".repeat(100);
        for bytes in [
            &b""[..],
            b"i\x01\0",
            b"s\xff\xff\xff\x7fabc",
            b"s\xff\xff\xff\xffabc",
            b"{NN",
            b"l\x10\0\0\0",
            b"g",
            b"[\xff\xff\xff\x7fNN",
            &deep,
        ] {
            assert_eq!(parse(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn texts_are_read_to_a_limit() {
        let long = vec![b'x'; 2 * LONGEST_TEXT];
        let text = Value::Text(&long).text().expect("a text");
        assert_eq!(text.len(), LONGEST_TEXT);
    }

    #[test]
    fn writes_as_marshal_does() {
        let mut words = MarshalWriter::default();
        words.pairs();
        words.text(b"a");
        words.list(4);
        words.number(-2);
        words.number(1 << 40);
        words.truth(true);
        words.none();
        words.end();
        // marshal.dumps({'a': [-2, 1 << 40, True, None]}, 0)
        let expected = b"{s\x01\0\0\0a[\x04\0\0\0i\xfe\xff\xff\xffI\0\0\0\0\0\x01\0\0TN0";
        assert_eq!(words.finish().as_deref(), Some(&expected[..]));
    }
}
