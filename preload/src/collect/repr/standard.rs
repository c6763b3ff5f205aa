//! Text of objects of the standard library's types, by their value: as their own `repr` writes them, or, for what
//! has none that says anything, as Python writes such things.

use std::io::Write;

use crate::collect::repr::containers::Contents;
use crate::collect::repr::{SafeRepr, numbers};
use crate::cpython::numbers::write_float;
use crate::cpython::object::Object;
use crate::cpython::standard_types::{Parts, Standard, StandardType};
use crate::inspect::types::BuiltinType;
use crate::system::bounded_bytes::Bytes;

/// Flags of regular expressions (Lib/sre_constants.py), as `re` names them.
const FLAGS: &[(i32, &str)] = &[
    (2, "re.I"),
    (4, "re.L"),
    (8, "re.M"),
    (16, "re.S"),
    (32, "re.U"),
    (64, "re.X"),
];

/// Families and kinds of sockets.
const FAMILIES: &[(i32, &str)] = &[
    (libc::AF_UNIX, "AF_UNIX"),
    (libc::AF_INET, "AF_INET"),
    (libc::AF_INET6, "AF_INET6"),
    (libc::AF_NETLINK, "AF_NETLINK"),
    (libc::AF_PACKET, "AF_PACKET"),
];
const SOCKET_KINDS: &[(i32, &str)] = &[
    (libc::SOCK_STREAM, "SOCK_STREAM"),
    (libc::SOCK_DGRAM, "SOCK_DGRAM"),
    (libc::SOCK_RAW, "SOCK_RAW"),
    (libc::SOCK_SEQPACKET, "SOCK_SEQPACKET"),
];

impl<'g> SafeRepr<'_, 'g> {
    /// Writes an object of one of these types; of a class of the program's with its name before. False, and nothing
    /// written, for any other object.
    pub(super) fn standard(&mut self, object: Object<'g>, depth: usize, out: &mut Bytes) -> bool {
        let fields = self.fields;
        let Some(standard) = self.types.standard(object) else {
            return self.named_tuple(object, depth, out);
        };
        let Some(parts) = standard.parts(fields) else {
            return false;
        };
        if let Parts::Exception(arguments, file) = parts {
            self.exception(object, arguments, file, depth, out);
        } else if standard.exact {
            self.parts(standard, parts, depth, out);
        } else {
            // Only its class knows what the value means.
            self.named(b"<", object, b" ", out);
            self.parts(standard, parts, depth, out);
            out.push(b">");
        }
        true
    }

    /// A named tuple: a class that derives from `tuple` and names its fields.
    fn named_tuple(&mut self, object: Object<'g>, depth: usize, out: &mut Bytes) -> bool {
        if self.types.of(object).0 != BuiltinType::Tuple {
            return false;
        }
        let class = self.fields.type_of(object);
        let names = self.hiding.fields_of(class);
        let Some(contents) = names.and_then(|names| self.of_named_tuple(object, names)) else {
            return false;
        };
        self.class(class, out);
        self.contents(object, contents, ["(", ")"], depth, out);
        true
    }

    fn parts(&mut self, standard: Standard<'g>, parts: Parts<'g>, depth: usize, out: &mut Bytes) {
        let object = standard.object();
        match parts {
            Parts::Date([year, month, day]) => {
                let _ = write!(out, "datetime.date({year}, {month}, {day})");
            }
            Parts::DateTime([year, month, day, hour, minute, second, micro], zone) => {
                let _ = write!(
                    out,
                    "datetime.datetime({year}, {month}, {day}, {hour}, {minute}"
                );
                self.end_of_time(second, micro, zone, depth, out);
            }
            Parts::Time([hour, minute, second, micro], zone) => {
                let _ = write!(out, "datetime.time({hour}, {minute}");
                self.end_of_time(second, micro, zone, depth, out);
            }
            Parts::TimeDelta([days, seconds, micro]) => {
                let _ = write!(out, "datetime.timedelta({days}");
                let _ = match (seconds, micro) {
                    (0, 0) => write!(out, ")"),
                    (_, 0) => write!(out, ", {seconds})"),
                    _ => write!(out, ", {seconds}, {micro})"),
                };
            }
            Parts::Deque(items, most) => {
                self.contents(
                    object,
                    Contents::of_deque(items),
                    ["deque([", "]"],
                    depth,
                    out,
                );
                if let Some(most) = most {
                    let _ = write!(out, ", maxlen={most}");
                }
                out.push(b")");
            }
            Parts::Array(code, size, bytes, count) => self.array(code, size, bytes, count, out),
            Parts::ByteArray(bytes, count) => {
                out.push(b"bytearray(");
                let one = |index| u32::from(bytes[index]);
                self.quoted("b", (bytes.len(), count), one, out);
                out.push(b")");
            }
            Parts::Complex(real, imaginary) => {
                numbers::complex(real, imaginary, self.fields.is_2_6, out)
            }
            Parts::Slice(parts) => {
                out.push(b"slice");
                self.values(&parts, depth, out);
            }
            Parts::XRange([start, step, length]) => {
                let end = start.wrapping_add(length.wrapping_mul(step));
                let _ = match (start, step) {
                    (0, 1) => write!(out, "xrange({end})"),
                    (_, 1) => write!(out, "xrange({start}, {end})"),
                    _ => write!(out, "xrange({start}, {end}, {step})"),
                };
            }
            Parts::Partial(function, arguments, keywords) => {
                out.push(b"functools.partial(");
                self.value(Some(function), depth + 1, out);
                let arguments = self.of_tuple(arguments);
                let keywords = keywords.and_then(|keywords| self.fields.as_dict(keywords));
                let keywords = keywords.map(|keywords| self.of_keywords(keywords));
                for contents in [Some(arguments), keywords].into_iter().flatten() {
                    if !contents.is_empty() {
                        self.contents(object, contents, [", ", ""], depth, out);
                    }
                }
                out.push(b")");
            }
            Parts::Pattern(text, flags) => self.pattern(text, flags, depth, out),
            Parts::Match(text, pattern, span) => {
                self.found(object, text, pattern, span, depth, out)
            }
            Parts::File {
                name,
                mode,
                is_open,
            } => {
                out.push(if is_open {
                    b"<open file "
                } else {
                    b"<closed file "
                });
                self.value(Some(name), depth + 1, out);
                out.push(b", mode ");
                self.value(Some(mode), depth + 1, out);
                self.end_at(object, out);
            }
            Parts::Socket {
                fd,
                family,
                kind,
                timeout,
            } => {
                out.push(b"<socket, ");
                if fd < 0 {
                    out.push(b"closed");
                    return self.end_at(object, out);
                }
                let _ = write!(out, "fd {fd}, ");
                constant(family, FAMILIES, "family", out);
                out.push(b", ");
                let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
                constant(kind & !flags, SOCKET_KINDS, "type", out);
                if timeout == 0.0 {
                    out.push(b", non-blocking");
                } else if timeout > 0.0 {
                    out.push(b", timeout ");
                    write_float(timeout, self.fields.is_2_6, out);
                    out.push(b" s");
                }
                self.end_at(object, out);
            }
            Parts::SocketObject(inner) => {
                let inner_is_one = self
                    .types
                    .standard(inner)
                    .filter(|inner| inner.kind == StandardType::Socket)
                    .and_then(|inner| inner.parts(self.fields));
                match inner_is_one {
                    Some(parts) => self.parts(standard, parts, depth, out),
                    // `close` puts an object in its place that refuses everything (Lib/socket.py).
                    None if self.class_name_is(inner, b"_closedsocket") => {
                        out.push(b"<socket, closed");
                        self.end_at(object, out);
                    }
                    None => {
                        out.push(b"<socket of ");
                        self.value(Some(inner), depth + 1, out);
                        self.end_at(object, out);
                    }
                }
            }
            Parts::Exception(arguments, file) => {
                self.exception(object, arguments, file, depth, out);
            }
            Parts::DefaultDict(factory) => {
                out.push(b"defaultdict(");
                self.value(Some(factory), depth + 1, out);
                out.push(b", ");
                self.container(BuiltinType::Dict, object, depth, out);
                out.push(b")");
            }
            Parts::Structure(structure) => {
                self.class(self.fields.type_of(object), out);
                let contents = Contents::of_structure(structure);
                self.contents(object, contents, ["(", ")"], depth, out);
            }
            Parts::Decimal {
                is_negative,
                digits,
                exponent,
            } => {
                let room = self.end.saturating_sub(out.len());
                out.push(b"Decimal('");
                numbers::decimal(is_negative, digits, exponent, room, out);
                out.push(b"')");
            }
            Parts::Fraction(parts) => {
                out.push(b"Fraction");
                self.values(&parts, depth, out);
            }
            Parts::Uuid(number) => {
                let part = |from: u32, digits: u32| number >> from & ((1 << (4 * digits)) - 1);
                let [a, b, c] = [part(96, 8), part(80, 4), part(64, 4)];
                let [d, e] = [part(48, 4), part(0, 12)];
                let _ = write!(out, "UUID('{a:08x}-{b:04x}-{c:04x}-{d:04x}-{e:012x}')");
            }
            Parts::OrderedDict(root) => {
                let contents = self.in_order(object, root);
                self.contents(object, contents, ["OrderedDict({", "})"], depth, out);
            }
            Parts::Counter => {
                out.push(b"Counter(");
                self.container(BuiltinType::Dict, object, depth, out);
                out.push(b")");
            }
        }
    }

    /// An exception: its class and its arguments.
    fn exception(
        &mut self,
        object: Object<'g>,
        arguments: Object<'g>,
        file: Option<Object<'g>>,
        depth: usize,
        out: &mut Bytes,
    ) {
        let class = self.fields.type_of(object);
        let name = self.fields.type_name(class);
        match name.strip_prefix(b"exceptions.") {
            Some(name) if !self.fields.is_of_python(class) => out.push(name),
            _ => self.class(class, out),
        }
        let contents = self.of_tuple(arguments);
        self.contents(object, contents, ["(", ""], depth, out);
        if let Some(file) = file.filter(|&file| file != self.fields.none()) {
            out.push(b", ");
            self.value(Some(file), depth + 1, out);
        }
        out.push(b")");
    }

    /// The seconds of a time and what follows them, as far as they are not 0.
    fn end_of_time(
        &mut self,
        second: u32,
        micro: u32,
        zone: Option<Object<'g>>,
        depth: usize,
        out: &mut Bytes,
    ) {
        let _ = match (second, micro) {
            (0, 0) => Ok(()),
            (_, 0) => write!(out, ", {second}"),
            _ => write!(out, ", {second}, {micro}"),
        };
        if let Some(zone) = zone {
            out.push(b", tzinfo=");
            self.value(Some(zone), depth + 1, out);
        }
        out.push(b")");
    }

    /// A few values in brackets.
    fn values(&mut self, values: &[Object<'g>], depth: usize, out: &mut Bytes) {
        for (index, &value) in values.iter().enumerate() {
            out.push(if index == 0 { b"(" } else { b", " });
            self.value(Some(value), depth + 1, out);
        }
        out.push(b")");
    }

    fn pattern(&mut self, text: Object<'g>, flags: i32, depth: usize, out: &mut Bytes) {
        out.push(b"re.compile(");
        self.value(Some(text), depth + 1, out);
        let mut between = ", ";
        for (flag, name) in FLAGS {
            if flags & flag != 0 {
                let _ = write!(out, "{between}{name}");
                between = " | ";
            }
        }
        out.push(b")");
    }

    /// What a regular expression has found, and where.
    fn found(
        &mut self,
        object: Object<'g>,
        text: Object<'g>,
        pattern: Object<'g>,
        [start, end]: [isize; 2],
        depth: usize,
        out: &mut Bytes,
    ) {
        let fields = self.fields;
        out.push(b"<match ");
        if let (Ok(from), Ok(to)) = (usize::try_from(start), usize::try_from(end)) {
            let count = to.saturating_sub(from);
            if let Some(bytes) = fields.str_bytes(text).filter(|bytes| to <= bytes.len()) {
                let one = |index: usize| u32::from(bytes[from + index]);
                self.quoted("", (count, count), one, out);
                out.push(b" ");
            } else if let Some(text) = fields.as_unicode(text) {
                let characters = fields.characters(text);
                let known = characters.count().saturating_sub(from).min(count);
                let one = |index: usize| characters.at(from + index);
                self.quoted("u", (known, count), one, out);
                out.push(b" ");
            }
        }
        let _ = write!(out, "at {start} to {end}, of ");
        let pattern = self.types.standard(pattern);
        match pattern.and_then(|pattern| pattern.parts(fields)) {
            Some(Parts::Pattern(text, flags)) => self.pattern(text, flags, depth, out),
            _ => out.push(b"?"),
        }
        self.end_at(object, out);
    }

    /// The items of an array: text, or numbers as far as there is room for them.
    fn array(&mut self, code: u8, size: usize, bytes: &[u8], count: usize, out: &mut Bytes) {
        let _ = write!(out, "array('{}'", char::from(code));
        let items = bytes.chunks_exact(size.max(1));
        let known = items.len();
        let one = |index: usize| numbers::unsigned(&bytes[index * size..][..size]) as u32;
        if count == 0 || size == 0 {
            return out.push(b")");
        }
        out.push(b", ");
        match code {
            b'c' => self.quoted("", (known, count), one, out),
            b'u' => self.quoted("u", (known, count), one, out),
            _ => {
                out.push(b"[");
                for (index, bytes) in items.enumerate() {
                    if index > 0 {
                        out.push(b", ");
                    }
                    if self.items == 0 || out.len() >= self.end {
                        let _ = write!(out, "... {} more", count - index);
                        break;
                    }
                    self.items -= 1;
                    numbers::of_array(code, bytes, self.fields.is_2_6, out);
                }
                out.push(b"]");
            }
        }
        out.push(b")");
    }

    fn end_at(&self, object: Object<'g>, out: &mut Bytes) {
        let _ = write!(out, " at {:#x}>", object.address());
    }

    /// Whether an object's class, of either style, has this name.
    fn class_name_is(&self, object: Object<'g>, name: &[u8]) -> bool {
        let fields = self.fields;
        match fields.old_class_of(object) {
            Some(class) => {
                let class = fields.old_class(class).and_then(|class| class.name);
                class.and_then(|class| fields.str_bytes(class)) == Some(name)
            }
            None => fields.type_name(fields.type_of(object)) == name,
        }
    }
}

/// A constant by its name, or by its number.
fn constant(number: i32, names: &[(i32, &str)], what: &str, out: &mut Bytes) {
    let known = names.iter().find(|(known, _)| *known == number);
    let _ = match known {
        Some((_, name)) => write!(out, "{name}"),
        None => write!(out, "{what} {number}"),
    };
}
