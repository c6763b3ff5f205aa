//! The values of variables in every frame, as text: what the command shows under `--locals` and
//! `--globals`.
//!
//! Taken down on the worker, under the GIL, in the same step as the stacks, and running none of the
//! program's code; but for objects' own `repr`, where that is asked for: those come last, one by one.
//!
//! Records follow each other: a letter, and what belongs to it. A number is eight bytes, a text four
//! bytes of length and so many more; numbers are in the machine's own byte order.
//!
//! * `T`, the identifier: a thread. Its frames follow, innermost first, without the agent's own.
//! * `F`: a frame. Its variables follow.
//! * `L` or `G`, name, text: a local variable, or a global one.
//! * `A`, name, text: an attribute of the object that is that variable's value.
//! * `N`, the number of attributes that are left out.
//! * `R`, the number of the object: its text comes later, as
//! * `r`, that number, text.
//! * `E`: not all has found room.

use crate::agent::desk;
use crate::agent::failure::Failure;
use crate::collect::repr::{HIDDEN, LONGEST_NAME, SafeRepr};
use crate::cpython::api::PyObject;
use crate::cpython::fields::Fields;
use crate::cpython::gil::Gil;
use crate::cpython::object::{Code, Dict, Frame, Object, Owned};
use crate::cpython::{dict, thread_states};
use crate::inspect::attributes;
use crate::inspect::types::BuiltinType;
use crate::script::raised::raised;
use crate::system::bounded_bytes::Bytes;
use crate::system::hash::{Set, Table};
use protocol::question::Question;

/// So many calls may be made within each other by an object's `repr`.
const MOST_CALLS: i32 = 400;

/// Of one stack so many frames, counted from the innermost.
const MOST_FRAMES: usize = 5000;

/// Takes them all down. Afterwards, holding the GIL but not alone, [`Values::ask_objects`] goes on.
pub fn take<'gil>(gil: &mut Gil<'gil>, wanted: &Question) -> Result<Values, Failure> {
    let mark = gil.new_str(b"_SLEEPER_AGENT").ok_or_else(|| raised(gil))?;
    let fields = Fields::known(gil).ok_or(Failure::NoModules)?;
    let mut taking = Taking {
        fields,
        wanted,
        shower: SafeRepr::new(fields, wanted),
        mark: mark.object(),
        values: Values::default(),
        numbers: Table::default(),
    };
    thread_states::for_each_frame(fields.gil(), &mut |ident, frame| {
        taking.thread(ident, frame);
        !taking.values.text.is_full
    });
    Ok(taking.values)
}

/// What was taken down.
#[derive(Default)]
pub struct Values {
    text: Bytes,
    /// Objects whose own `repr` is wanted, with a reference to each. (Not `Owned`, as they are not given back
    /// where the interpreter is taken apart meanwhile.)
    objects: Vec<*mut PyObject>,
}

struct Taking<'a, 'g> {
    fields: Fields<'g>,
    wanted: &'a Question,
    shower: SafeRepr<'a, 'g>,
    mark: Object<'g>,
    values: Values,
    /// The numbers of the objects.
    numbers: Table<usize, usize>,
}

impl<'g> Taking<'_, 'g> {
    fn thread(&mut self, ident: usize, innermost: Frame<'g>) {
        self.values.number(b'T', ident);
        let fields = self.fields;
        let mark = self.mark;
        let is_own =
            move |frame: &Frame<'g>| dict::value(fields, fields.globals(*frame), mark).is_some();
        let frames = fields.frames(Some(innermost)).skip_while(is_own);
        for frame in frames.take(MOST_FRAMES) {
            if self.values.text.is_full {
                break;
            }
            self.values.text.record(|out| out.push(b"F"));
            self.frame(frame);
        }
    }

    fn frame(&mut self, frame: Frame<'g>) {
        let fields = self.fields;
        let code = fields.code(frame);
        let names = fields.names_in_dictionary(frame);
        let globals = fields.as_dict(fields.globals(frame));
        if self.wanted.locals {
            fields.variables(frame, &mut |name, value| {
                let is_of_class = names.is_some_and(|names| {
                    !fields.has_variable(code, name) && dict::value(fields, *names, name).is_some()
                });
                if !is_of_class {
                    self.variable(b'L', name, value);
                }
            });
            if let Some(names) = names {
                self.in_dictionary(code, names);
            }
        }
        if self.wanted.globals
            && names != globals
            && let Some(globals) = globals
        {
            self.each_of(
                fields.looked_up(code),
                globals,
                &mut |taking, name, value| {
                    taking.variable(b'G', name, value);
                },
            );
        }
    }

    /// Names that are no variables: first what the frame's code names, then the rest; without what
    /// every module has.
    fn in_dictionary(&mut self, code: Code<'g>, names: Dict<'g>) {
        let fields = self.fields;
        // By their text: a program may have put one there that is equal to a code's, and not the same.
        let mut told: Set<&[u8]> = Set::default();
        let is_shown =
            |taking: &Self, name| !taking.is_special(name) && !fields.has_variable(code, name);
        self.each_of(fields.looked_up(code), names, &mut |taking, name, value| {
            if is_shown(taking, name)
                && told.try_reserve(1).is_ok()
                && told.insert(fields.bytes(name).unwrap_or_default())
            {
                taking.variable(b'L', name, value);
            }
        });
        for (name, value) in fields.gil().entries(*names) {
            if self.values.text.is_full {
                break;
            }
            if is_shown(self, name) && !told.contains(fields.bytes(name).unwrap_or_default()) {
                self.variable(b'L', name, value);
            }
        }
    }

    /// Whether this is a name such as `__file__`, or none at all.
    fn is_special(&self, name: Object<'g>) -> bool {
        let text = self.fields.str_bytes(name);
        text.is_none_or(|name| name.starts_with(b"__"))
    }

    /// What is under these names, a tuple of `str`, in a dictionary.
    fn each_of(
        &mut self,
        names: Object<'g>,
        dictionary: Dict<'g>,
        each: &mut dyn FnMut(&mut Self, Object<'g>, Object<'g>),
    ) {
        let fields = self.fields;
        for name in fields.gil().tuple_items(names) {
            if let Some(value) = dict::value(fields, *dictionary, name) {
                each(self, name, value);
            }
        }
    }

    fn variable(&mut self, what: u8, name: Object<'g>, value: Object<'g>) {
        if !self.entry(what, name, value) || self.shower.types.of(value).0 != BuiltinType::Other {
            return;
        }
        if self.wanted.repr && self.ask_later(value).is_some() {
            return;
        }
        let Some(attributes) = attributes::own(self.fields, value) else {
            return;
        };
        let gil = self.fields.gil();
        let mut count = 0;
        for (name, value) in gil.entries(*attributes).take(self.wanted.items as usize) {
            count += 1;
            self.entry(b'A', name, value);
        }
        let all = gil.dict_size(*attributes);
        let left_out = all - count.min(all);
        if left_out > 0 {
            self.values.number(b'N', left_out);
        }
    }

    /// A name and its value; false if that is hidden, or the name is none.
    fn entry(&mut self, what: u8, name: Object<'g>, value: Object<'g>) -> bool {
        let Some(text) = self.fields.str_bytes(name) else {
            return false;
        };
        if self.values.text.is_full {
            return false;
        }
        let hidden = self.shower.is_hidden(name);
        let shower = &mut self.shower;
        self.values.text.record(|out| {
            out.push(&[what]);
            out.measured(|out| out.push(&text[..text.len().min(LONGEST_NAME)]));
            out.measured(|out| match hidden {
                true => out.push(HIDDEN),
                false => shower.show(value, out),
            });
        });
        !hidden
    }

    /// Keeps an object to be asked for its own `repr`; `None` if there is no memory.
    fn ask_later(&mut self, object: Object<'g>) -> Option<()> {
        self.numbers.try_reserve(1).ok()?;
        self.values.objects.try_reserve(1).ok()?;
        let objects = &mut self.values.objects;
        let number = *self.numbers.entry(object.address()).or_insert_with(|| {
            // Given back in `ask_objects`.
            objects.push(self.fields.own(object).into_ptr());
            objects.len() - 1
        });
        self.values.number(b'R', number);
        Some(())
    }
}

impl Values {
    /// Asks objects for their own `repr`, until the request is withdrawn: it is the program's code, and
    /// may take as long as it likes, let others run, and raise what it likes. Gives the objects back;
    /// one that only we still had dies here, as it would have on the thread that let go of it.
    pub fn ask_objects(&mut self, gil: &mut Gil, request: u32, length: u32) {
        if self.objects.is_empty() {
            return;
        }
        // The worker's stack is smaller than the program expects of one.
        let calls = thread_states::leave_calls(gil, MOST_CALLS);
        for (number, &object) in self.objects.iter().enumerate() {
            if !gil.initialized() {
                // Being taken apart, it must be left alone.
                break;
            }
            // SAFETY: the reference to the object is ours, and the one that is returned is new.
            let text = (desk::request() == Some(request))
                .then(|| unsafe { Owned::new(gil, (gil.PyObject_Repr)(object)) });
            if let Some(text) = text {
                let whole = text.as_ref().and_then(|text| gil.bytes(text.object()));
                let whole = whole.unwrap_or(b"<its repr raised an exception>");
                let shown = &whole[..whole.len().min(length as usize)];
                self.text.record(|out| {
                    out.push(b"r");
                    out.push(&(number as u64).to_ne_bytes());
                    out.measured(|out| {
                        out.push(shown);
                        if shown.len() < whole.len() {
                            out.push(b"...");
                        }
                    });
                });
                drop(text);
                gil.clear_exception();
            }
            // SAFETY: the reference is ours, and given back once.
            unsafe { (gil.Py_DecRef)(object) };
        }
        self.objects.clear();
        if gil.initialized() {
            thread_states::set_calls(gil, calls);
        }
    }

    fn number(&mut self, what: u8, number: usize) {
        self.text.record(|out| {
            out.push(&[what]);
            out.push(&(number as u64).to_ne_bytes());
        });
    }

    /// All of it.
    pub fn finish(self) -> Vec<u8> {
        self.text.finish(b"E")
    }
}
