//! Objects of the standard library's types, and of built-in types that are seldom met: which type it is, and what
//! is in the object, read as it stands.
//!
//! A type of C's is known by its name, its size, and that no class of Python's is one; a class of Python's by its
//! name and its module's. So it does not matter what the program has put in their place in the modules, and a class
//! of the program's is never taken for one of C's.

use std::ffi::c_int;

use crate::agent::hold;
use crate::cpython::deque;
use crate::cpython::dict;
use crate::cpython::fields::Fields;
use crate::cpython::object::{Object, Type};
use crate::cpython::slots;
use crate::cpython::structure::{self, Structure};
use crate::system::hash::Table;
use protocol::layout::{TYPE_SIZE, WORD};

/// One of these types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StandardType {
    Date,
    DateTime,
    Time,
    TimeDelta,
    Deque,
    Array,
    ByteArray,
    Complex,
    Slice,
    XRange,
    Partial,
    Pattern,
    Match,
    File,
    Socket,
    Exception,
    /// Those that may have a file's name, beside their arguments.
    EnvironmentError,
    DefaultDict,
    /// A `struct_time` and its like.
    Structure,
    Decimal,
    Fraction,
    Uuid,
    /// What `socket.socket` makes: it has a [`StandardType::Socket`].
    SocketObject,
    Counter,
    OrderedDict,
}

/// The types of C's: tp_name, and the least and the largest size of their objects behind PyObject_HEAD, in bytes,
/// as they are in 2.6 and 2.7. Where the end of a structure differs, what is read comes before that.
const OF_C: &[(&[u8], usize, usize, StandardType)] = &[
    (b"datetime.datetime", 32, 32, StandardType::DateTime),
    (b"datetime.date", 16, 16, StandardType::Date),
    (b"datetime.time", 24, 24, StandardType::Time),
    (b"datetime.timedelta", 24, 24, StandardType::TimeDelta),
    (deque::NAME, 64, 64, StandardType::Deque),
    (b"array.array", 40, 40, StandardType::Array),
    (b"bytearray", 32, 32, StandardType::ByteArray),
    (b"complex", 16, 16, StandardType::Complex),
    (b"slice", 24, 24, StandardType::Slice),
    (b"xrange", 24, 24, StandardType::XRange),
    (b"functools.partial", 40, 40, StandardType::Partial),
    (b"_sre.SRE_Pattern", 72, 72, StandardType::Pattern),
    (b"_sre.SRE_Match", 72, 72, StandardType::Match),
    (b"file", 112, 136, StandardType::File),
    (b"_socket.socket", 32, 40, StandardType::Socket),
    (
        b"exceptions.EnvironmentError",
        48,
        48,
        StandardType::EnvironmentError,
    ),
    (b"exceptions.BaseException", 24, 24, StandardType::Exception),
    (
        b"collections.defaultdict",
        DEFAULT_FACTORY + WORD,
        DEFAULT_FACTORY + WORD,
        StandardType::DefaultDict,
    ),
];

/// The classes of Python's: module and name.
const OF_PYTHON: &[(&[u8], &[u8], StandardType)] = &[
    (b"decimal", b"Decimal", StandardType::Decimal),
    (b"fractions", b"Fraction", StandardType::Fraction),
    (b"uuid", b"UUID", StandardType::Uuid),
    (b"socket", b"_socketobject", StandardType::SocketObject),
    (b"collections", b"Counter", StandardType::Counter),
    (b"collections", b"OrderedDict", StandardType::OrderedDict),
];

/// So many classes between an object's own and the one that it stores its value as are looked at.
const MOST_CLASSES: usize = 32;

/// The longest date and time, from the hash on: hashcode, hastzinfo, ten bytes, tzinfo (Include/datetime.h).
const HAS_ZONE: usize = WORD;
const DATE_TIME_ZONE: usize = 3 * WORD;
const TIME_ZONE: usize = 2 * WORD;

/// defdictobject (Modules/_collectionsmodule.c): PyDictObject, whose last are eight entries of three words, then
/// default_factory.
const DEFAULT_FACTORY: usize = 29 * WORD;

/// An object of one of these types, or of a derived one.
#[derive(Clone, Copy)]
pub struct Standard<'g> {
    /// Which type it is.
    pub kind: StandardType,
    /// Whether it is of that very type. An exception: of a class that is built in.
    pub exact: bool,
    object: Object<'g>,
}

/// Finds the types of objects: each class is looked at once.
#[derive(Default)]
pub struct StandardTypes {
    known: Table<usize, Option<(StandardType, bool)>>,
}

impl StandardTypes {
    /// This object as one of these types, if it is one.
    pub fn of<'g>(&mut self, fields: Fields<'g>, object: Object<'g>) -> Option<Standard<'g>> {
        let class = fields.type_of(object);
        let known = self.known.get(&class.address()).copied();
        let found = known.unwrap_or_else(|| {
            let found = find(fields, class);
            if self.known.try_reserve(1).is_ok() {
                self.known.insert(class.address(), found);
            }
            found
        });
        found.map(|(kind, exact)| Standard {
            kind,
            exact,
            object,
        })
    }
}

/// The type of C's or the class of Python's that objects of this class store their value as. Objects are laid out
/// as tp_base is, then that one's, and so on (`best_base`, Objects/typeobject.c).
fn find<'g>(fields: Fields<'g>, class: Type<'g>) -> Option<(StandardType, bool)> {
    let bases = std::iter::successors(Some(class), |&base| fields.type_base(base));
    for base in bases.take(MOST_CLASSES) {
        let name = fields.type_name(base);
        let exact = base == class;
        if fields.is_of_python(base) {
            let mut classes = OF_PYTHON.iter().filter(|(_, known, _)| *known == name);
            let found = classes.find(|(module, _, _)| fields.is_from(base, module));
            if let Some(&(_, _, kind)) = found {
                return Some((kind, exact));
            }
            continue;
        }
        if exact && structure::is_structure(fields, base) {
            return Some((StandardType::Structure, true));
        }
        // SAFETY: a type has this field.
        let size = unsafe { fields.word(*base, WORD, TYPE_SIZE) } as usize;
        let size = size.checked_sub(fields.head())?;
        let found = OF_C
            .iter()
            .find(|(known, least, most, _)| *known == name && (*least..=*most).contains(&size));
        if let Some(&(_, _, _, kind)) = found {
            let is_exception = matches!(
                kind,
                StandardType::Exception | StandardType::EnvironmentError
            );
            return Some((kind, exact || is_exception && !fields.is_of_python(class)));
        }
    }
    None
}

/// What is in such an object.
pub enum Parts<'g> {
    /// Year, month and day.
    Date([u32; 3]),
    /// Year, month, day, hour, minute, second and microsecond; and the time zone.
    DateTime([u32; 7], Option<Object<'g>>),
    /// Hour, minute, second and microsecond; and the time zone.
    Time([u32; 4], Option<Object<'g>>),
    /// Days, seconds and microseconds.
    TimeDelta([i32; 3]),
    /// The items, and the most that it takes, if there is a limit.
    Deque(deque::Items<'g>, Option<usize>),
    /// The letter for the type of its items, how large each is, as many as are known, and how many there are.
    Array(u8, usize, &'g [u8], usize),
    /// As many bytes as are known, and how many there are.
    ByteArray(&'g [u8], usize),
    /// The real and the imaginary part.
    Complex(f64, f64),
    /// Start, stop and step.
    Slice([Object<'g>; 3]),
    /// Start, step and length.
    XRange([i64; 3]),
    /// The function, its arguments, and its arguments by name.
    Partial(Object<'g>, Object<'g>, Option<Object<'g>>),
    /// The text, and the flags.
    Pattern(Object<'g>, c_int),
    /// The text, the pattern, and where the match begins and ends.
    Match(Object<'g>, Object<'g>, [isize; 2]),
    File {
        name: Object<'g>,
        mode: Object<'g>,
        is_open: bool,
    },
    Socket {
        fd: c_int,
        family: c_int,
        kind: c_int,
        /// In seconds; below 0: there is none.
        timeout: f64,
    },
    /// The arguments, a tuple, and the name of a file.
    Exception(Object<'g>, Option<Object<'g>>),
    /// What it makes values of.
    DefaultDict(Object<'g>),
    Structure(Structure<'g>),
    Decimal {
        is_negative: bool,
        digits: &'g [u8],
        exponent: Exponent,
    },
    /// The numerator and the denominator.
    Fraction([Object<'g>; 2]),
    Uuid(u128),
    /// The socket of [`StandardType::Socket`], or what is in its place.
    SocketObject(Object<'g>),
    /// A dictionary and no more.
    Counter,
    /// A dictionary, and the first link of the ring that has its keys in order: a list of the links before and after
    /// it, and nothing.
    OrderedDict(Object<'g>),
}

/// The exponent of a `Decimal`.
pub enum Exponent {
    Of(i64),
    Infinity,
    NaN,
    SignallingNaN,
}

impl<'g> Standard<'g> {
    /// The object.
    pub fn object(self) -> Object<'g> {
        self.object
    }

    /// Whether what it stores is text, numbers or other values, rather than a thing that has some.
    pub fn is_plain_value(self) -> bool {
        !matches!(
            self.kind,
            StandardType::Partial
                | StandardType::Pattern
                | StandardType::Match
                | StandardType::File
                | StandardType::Socket
                | StandardType::SocketObject
                | StandardType::Exception
                | StandardType::EnvironmentError
                | StandardType::Slice
                | StandardType::XRange
        )
    }

    /// Whether an object of it may have attributes that its value does not show.
    pub fn has_attributes(self) -> bool {
        !self.exact
            || matches!(
                self.kind,
                StandardType::Exception | StandardType::EnvironmentError
            )
    }

    /// What a `bytearray` or an array has in it.
    pub fn bytes(self, fields: Fields<'g>) -> Option<&'g [u8]> {
        match self.kind {
            StandardType::ByteArray | StandardType::Array => match self.parts(fields)? {
                Parts::ByteArray(bytes, _) | Parts::Array(_, _, bytes, _) => Some(bytes),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether its value is in its slots.
    pub fn is_in_slots(self) -> bool {
        matches!(
            self.kind,
            StandardType::Decimal | StandardType::Fraction | StandardType::SocketObject
        )
    }

    /// What is in it; `None` if that is not as it should be, as in an object that is not finished yet.
    pub fn parts(self, fields: Fields<'g>) -> Option<Parts<'g>> {
        let object = self.object;
        // SAFETY: the object is of this type, which has these fields, and keeps the objects in them.
        unsafe {
            Some(match self.kind {
                StandardType::Date => {
                    let bytes = fields.own_bytes::<2, 16>(object);
                    Parts::Date(date_of(&bytes[HAS_ZONE + 1..]))
                }
                StandardType::DateTime => {
                    let bytes = fields.own_bytes::<3, 24>(object);
                    let data = &bytes[HAS_ZONE + 1..];
                    let ([year, month, day], time) = (date_of(data), time_of(&data[4..]));
                    let zone = fields.zone(object, bytes[HAS_ZONE], DATE_TIME_ZONE);
                    let [hour, minute, second, micro] = time;
                    Parts::DateTime([year, month, day, hour, minute, second, micro], zone)
                }
                StandardType::Time => {
                    let bytes = fields.own_bytes::<2, 16>(object);
                    let zone = fields.zone(object, bytes[HAS_ZONE], TIME_ZONE);
                    Parts::Time(time_of(&bytes[HAS_ZONE + 1..]), zone)
                }
                // The hash, a word, comes before these ints.
                StandardType::TimeDelta => {
                    Parts::TimeDelta([0, 4, 8].map(|at| fields.int(object, 0, WORD + at)))
                }
                StandardType::Deque => {
                    let deque = deque::Deque::assume(object);
                    Parts::Deque(deque::items(fields, deque)?, deque::most(fields, deque)?)
                }
                StandardType::Array => {
                    // arrayobject (Modules/arraymodule.c): ob_item, allocated, ob_descr.
                    let [items, allocated, descriptor] = fields.own_words(object, WORD);
                    let count = fields.count(object, allocated)?;
                    // arraydescr: typecode and itemsize, both ints.
                    let both = (descriptor != 0).then(|| fields.word_at(descriptor))?;
                    let [code, size] = [both as u32, (both >> 32) as u32];
                    let length = count.checked_mul(size as usize)?;
                    let bytes = fields.bytes_elsewhere(items, length)?;
                    Parts::Array(u8::try_from(code).ok()?, size as usize, bytes, count)
                }
                StandardType::ByteArray => {
                    // PyByteArrayObject: ob_exports, an int, ob_alloc, ob_bytes.
                    let [_, allocated, start] = fields.own_words(object, WORD);
                    let count = fields.count(object, allocated)?;
                    Parts::ByteArray(fields.bytes_elsewhere(start, count)?, count)
                }
                StandardType::Complex => {
                    let [real, imaginary] = fields.own_words(object, 0);
                    Parts::Complex(
                        f64::from_bits(real as u64),
                        f64::from_bits(imaginary as u64),
                    )
                }
                StandardType::Slice => {
                    Parts::Slice([0, WORD, 2 * WORD].map(|at| fields.existing(object, 0, at)))
                }
                StandardType::XRange => {
                    let words: [usize; 3] = fields.own_words(object, 0);
                    Parts::XRange(words.map(|word| word as i64))
                }
                StandardType::Partial => Parts::Partial(
                    fields.object(object, 0, 0)?,
                    fields.tuple(fields.object(object, 0, WORD))?,
                    fields.object(object, 0, 2 * WORD),
                ),
                // PatternObject and MatchObject (Modules/sre.h), counted from the end of PyObject_VAR_HEAD.
                StandardType::Pattern => Parts::Pattern(
                    fields.object(object, WORD, 3 * WORD)?,
                    fields.int(object, WORD, 4 * WORD),
                ),
                StandardType::Match => Parts::Match(
                    fields.object(object, WORD, 0)?,
                    fields.object(object, WORD, 2 * WORD)?,
                    [7 * WORD, 8 * WORD].map(|at| fields.word(object, WORD, at) as isize),
                ),
                // PyFileObject (Include/fileobject.h): f_fp, f_name, f_mode.
                StandardType::File => Parts::File {
                    is_open: !fields.word(object, 0, 0).is_null(),
                    name: fields.object(object, 0, WORD)?,
                    mode: fields.object(object, 0, 2 * WORD)?,
                },
                // PySocketSockObject (Modules/socketmodule.h): four ints, a function, sock_timeout.
                StandardType::Socket => Parts::Socket {
                    fd: fields.int(object, 0, 0),
                    family: fields.int(object, 0, 4),
                    kind: fields.int(object, 0, 8),
                    timeout: f64::from_bits(fields.word(object, 0, 3 * WORD) as u64),
                },
                // PyBaseExceptionObject (Include/pyerrors.h): dict, args, message; and in some myerrno, strerror
                // and filename.
                StandardType::Exception => {
                    Parts::Exception(fields.tuple(fields.object(object, 0, WORD))?, None)
                }
                StandardType::EnvironmentError => Parts::Exception(
                    fields.tuple(fields.object(object, 0, WORD))?,
                    fields.object(object, 0, 5 * WORD),
                ),
                StandardType::DefaultDict => {
                    let factory = fields.object(object, 0, DEFAULT_FACTORY);
                    Parts::DefaultDict(factory.unwrap_or(fields.none()))
                }
                StandardType::Structure => Parts::Structure(structure::of(fields, object)?),
                StandardType::Decimal => self.decimal(fields)?,
                StandardType::Fraction => Parts::Fraction([
                    self.slot(fields, b"_numerator")?,
                    self.slot(fields, b"_denominator")?,
                ]),
                StandardType::Uuid => {
                    let own = fields.as_dict(fields.attributes_of(object)?)?;
                    Parts::Uuid(fields.wide_value(dict::named(fields, own, b"int")?)?)
                }
                StandardType::SocketObject => Parts::SocketObject(self.slot(fields, b"_sock")?),
                StandardType::Counter => Parts::Counter,
                StandardType::OrderedDict => {
                    let own = fields.as_dict(fields.attributes_of(object)?)?;
                    Parts::OrderedDict(dict::named(fields, own, b"_OrderedDict__root")?)
                }
            })
        }
    }

    /// What it has in a slot of its class of Python's.
    fn slot(self, fields: Fields<'g>, name: &[u8]) -> Option<Object<'g>> {
        // As long as a look into a class takes.
        hold::spend(50);
        slots::named(fields, self.object, name)
    }

    /// `Decimal` of Lib/decimal.py, 2.6 and 2.7: its digits are a `str`, the exponent is a number, or a letter of
    /// what is no number.
    fn decimal(self, fields: Fields<'g>) -> Option<Parts<'g>> {
        let exponent = self.slot(fields, b"_exp")?;
        let exponent = match fields.str_bytes(exponent) {
            Some(b"F") => Exponent::Infinity,
            Some(b"n") => Exponent::NaN,
            Some(b"N") => Exponent::SignallingNaN,
            _ => Exponent::Of(
                fields
                    .int_value(exponent)
                    .or_else(|| fields.long_value(exponent, 62))?,
            ),
        };
        let digits = fields.str_bytes(self.slot(fields, b"_int")?)?;
        Some(Parts::Decimal {
            is_negative: fields.int_value(self.slot(fields, b"_sign")?)? != 0,
            digits: digits.iter().all(u8::is_ascii_digit).then_some(digits)?,
            exponent,
        })
    }
}

/// Year, month and day, as `date` has them.
fn date_of(data: &[u8]) -> [u32; 3] {
    let [high, low, month, day] = [0, 1, 2, 3].map(|at| u32::from(data[at]));
    [high << 8 | low, month, day]
}

/// Hour, minute, second and microsecond, as `time` and `datetime` have them.
fn time_of(data: &[u8]) -> [u32; 4] {
    let [hour, minute, second, high, middle, low] =
        [0, 1, 2, 3, 4, 5].map(|at| u32::from(data[at]));
    [hour, minute, second, high << 16 | middle << 8 | low]
}

impl<'g> Fields<'g> {
    /// Whether a class of Python's says that it is from this module.
    fn is_from(self, class: Type<'g>, module: &[u8]) -> bool {
        let names = self.type_dict(class).and_then(|names| self.as_dict(names));
        let named = names.and_then(|names| dict::named(self, names, b"__module__"));
        named.is_some_and(|named| self.str_bytes(named) == Some(module))
    }

    /// The first words of an object's own fields.
    ///
    /// # Safety
    /// As for [`Fields::word`].
    unsafe fn own_words<const COUNT: usize>(
        self,
        object: Object<'g>,
        tail: usize,
    ) -> [usize; COUNT] {
        // SAFETY: the caller's promise.
        std::array::from_fn(|index| unsafe { self.word(object, tail, index * WORD) as usize })
    }

    /// The same as bytes.
    ///
    /// # Safety
    /// As for [`Fields::word`].
    unsafe fn own_bytes<const WORDS: usize, const BYTES: usize>(
        self,
        object: Object<'g>,
    ) -> [u8; BYTES] {
        // SAFETY: the caller's promise.
        let words: [usize; WORDS] = unsafe { self.own_words(object, 0) };
        std::array::from_fn(|at| words[at / WORD].to_ne_bytes()[at % WORD])
    }

    /// The time zone of a `time` or a `datetime`, which stands here if there is one: if not, the object is
    /// shorter.
    ///
    /// # Safety
    /// It is such an object.
    unsafe fn zone(self, object: Object<'g>, has_zone: u8, at: usize) -> Option<Object<'g>> {
        // SAFETY: the caller's promise.
        let zone = (has_zone != 0).then(|| unsafe { self.object(object, 0, at) });
        zone.flatten().filter(|&zone| zone != self.none())
    }

    /// How many items an object has (PyObject_VAR_HEAD), which are not more than it has room for.
    ///
    /// # Safety
    /// Its head is such a one.
    unsafe fn count(self, object: Object<'g>, most: usize) -> Option<usize> {
        // SAFETY: the caller's promise.
        Some(unsafe { self.word(object, 0, 0) } as usize).filter(|&count| count <= most)
    }

    /// Bytes that an object has elsewhere, for as long as nobody runs who could change them.
    ///
    /// # Safety
    /// They are there, or the address is 0.
    unsafe fn bytes_elsewhere(self, address: usize, count: usize) -> Option<&'g [u8]> {
        if count == 0 {
            return Some(&[]);
        }
        // SAFETY: the caller's promise; an object is smaller than half of memory.
        (address != 0 && count <= isize::MAX as usize)
            .then(|| unsafe { self.bytes_at(address, count) })
    }

    /// An object, if it is a tuple and of no derived class.
    fn tuple(self, object: Option<Object<'g>>) -> Option<Object<'g>> {
        object.filter(|&object| self.is_exactly(object, self.PyTuple_Type))
    }
}
