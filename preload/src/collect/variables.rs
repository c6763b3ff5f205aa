//! The variables of every frame, with their values as text: what `--locals` and `--globals` ask for.
//!
//! They are taken down on the worker, under the GIL, in the same step as the stacks, and no code of the
//! program's runs; but for objects' own `repr`, where that is asked for: those come last, one by one.
//!
//! They are written as [`Record`]s.

use crate::agent::hold;
use crate::collect::repr::{LONGEST_NAME, SafeRepr};
use crate::collect::stacks::{Names, Thread};
use crate::cpython::api::PyObject;
use crate::cpython::fields::Fields;
use crate::cpython::gil::Gil;
use crate::cpython::object::{Code, Dict, Frame, Object, Owned};
use crate::cpython::{dict, slots, thread_states};
use crate::inspect::attributes;
use crate::inspect::objects::Objects;
use crate::inspect::types::BuiltinType;
use crate::script::undisturbed;
use crate::system::bounded_bytes::Bytes;
use crate::system::futex::Instant;
use crate::system::hash::{Set, Table};
use protocol::question::Question;
use protocol::secrets::HIDDEN;
use protocol::state::Record;

/// The most nested calls that an object's `repr` may make.
const MOST_CALLS: i32 = 400;

/// The most frames of a stack, counted from the innermost, whose variables are taken down.
const MOST_FRAMES: usize = 5000;

/// The longest time, in nanoseconds, for which objects are asked without letting others run in between. Code in
/// C does not let them.
const ALONE: u64 = 10_000_000;

/// Adds the variables of all these stacks, as far as there is time. [`Variables::ask_objects`] goes on, with
/// others let run. `None`, with an exception set, if there is no memory.
pub fn take<'g>(
    objects: Objects<'g>,
    question: &Question,
    threads: &[Thread<'g>],
    variables: &mut Variables,
) -> Option<()> {
    let fields = objects.fields();
    let names = Names::of(fields)?;
    let mut taking = Taking {
        fields,
        question,
        repr: SafeRepr::new(fields, question),
        names: &names,
        variables,
        numbers: Table::default(),
    };
    for thread in threads {
        taking.stack(thread);
    }
    Some(())
}

/// What was taken down.
#[derive(Default)]
pub struct Variables {
    text: Bytes,
    /// The stacks for whose variables the time was too short, by their numbers.
    pub late: Vec<i64>,
    /// Objects whose own `repr` is wanted, with a reference to each. (Not `Owned`, as they are not given back
    /// where the interpreter is taken apart meanwhile.)
    objects: Vec<*mut PyObject>,
}

struct Taking<'a, 'g> {
    fields: Fields<'g>,
    question: &'a Question,
    repr: SafeRepr<'a, 'g>,
    names: &'a Names<'g>,
    variables: &'a mut Variables,
    /// The number of each object among [`Variables::objects`], by its address.
    numbers: Table<usize, usize>,
}

impl<'g> Taking<'_, 'g> {
    fn stack(&mut self, thread: &Thread<'g>) {
        self.variables.number(Record::Thread, thread.ident as u64);
        let fields = self.fields;
        let names = self.names;
        let is_own = move |frame: &Frame<'g>| {
            hold::spend(5) && names.are_own(fields, fields.globals(*frame))
        };
        let frames = fields.frames(Some(thread.innermost)).skip_while(is_own);
        for frame in frames.take(MOST_FRAMES) {
            if self.variables.text.is_full || hold::is_over() {
                break;
            }
            let text = &mut self.variables.text;
            text.record(|out| out.push(&[Record::Frame.letter()]));
            self.frame(frame);
            hold::spend(5);
        }
        let late = &mut self.variables.late;
        if hold::is_over() && late.try_reserve(1).is_ok() {
            late.push(thread.ident);
        }
    }

    fn frame(&mut self, frame: Frame<'g>) {
        let fields = self.fields;
        let code = fields.code(frame);
        let names = fields.names_in_dictionary(frame);
        let globals = fields.as_dict(fields.globals(frame));
        if self.question.locals {
            fields.variables(frame, &mut |name, value| {
                let is_of_class = names.is_some_and(|names| {
                    !fields.has_variable(code, name) && dict::value(fields, *names, name).is_some()
                });
                if !is_of_class {
                    self.variable(Record::Local, name, value);
                }
            });
            if let Some(names) = names {
                self.in_dictionary(code, names);
            }
        }
        if self.question.globals
            && names != globals
            && let Some(globals) = globals
        {
            self.each_of(
                fields.looked_up(code),
                globals,
                &mut |taking, name, value| {
                    taking.variable(Record::Global, name, value);
                },
            );
        }
    }

    /// Names in a dictionary: first those that the frame's code uses, then the rest; without the names that
    /// every module has.
    fn in_dictionary(&mut self, code: Code<'g>, names: Dict<'g>) {
        let fields = self.fields;
        // By their text: a program may have put a name there that is equal to the code's, and not the same
        // object.
        let mut taken: Set<&[u8]> = Set::default();
        let is_shown =
            |taking: &Self, name| !taking.is_special(name) && !fields.has_variable(code, name);
        self.each_of(fields.looked_up(code), names, &mut |taking, name, value| {
            if is_shown(taking, name)
                && taken.try_reserve(1).is_ok()
                && taken.insert(fields.bytes(name).unwrap_or_default())
            {
                taking.variable(Record::Local, name, value);
            }
        });
        for (name, value) in dict::entries(fields, *names) {
            if self.variables.text.is_full {
                break;
            }
            if is_shown(self, name) && !taken.contains(fields.bytes(name).unwrap_or_default()) {
                self.variable(Record::Local, name, value);
            }
        }
    }

    /// Whether this is a name such as `__file__`, or no name at all.
    fn is_special(&self, name: Object<'g>) -> bool {
        let text = self.fields.str_bytes(name);
        text.is_none_or(|name| name.starts_with(b"__"))
    }

    /// Calls `each` with what a dictionary has under these names, a tuple of `str`.
    fn each_of(
        &mut self,
        names: Object<'g>,
        dictionary: Dict<'g>,
        each: &mut dyn FnMut(&mut Self, Object<'g>, Object<'g>),
    ) {
        let fields = self.fields;
        for name in fields.tuple_items(names) {
            if !hold::spend(5) {
                break;
            }
            if let Some(value) = dict::value(fields, *dictionary, name) {
                each(self, name, value);
            }
        }
    }

    fn variable(&mut self, what: Record, name: Object<'g>, value: Object<'g>) {
        if !self.entry(what, name, value) || self.repr.types.of(value).0 != BuiltinType::Other {
            return;
        }
        let standard = self.repr.types.standard(value);
        if standard.is_some_and(|standard| !standard.has_attributes()) {
            return;
        }
        let asks = self.question.repr && !standard.is_some_and(|standard| standard.exact);
        if asks && self.ask_later(value).is_some() {
            return;
        }
        let is_in_slots = standard.is_some_and(|standard| standard.is_in_slots());
        self.attributes(value, !is_in_slots);
    }

    /// Takes down the attributes of an object: those in its dictionary, then those in slots.
    fn attributes(&mut self, object: Object<'g>, slots_too: bool) {
        let fields = self.fields;
        let own = attributes::own(fields, object);
        let mut in_slots = Vec::new();
        let mut left_out = 0;
        slots::each(fields, object, &mut |name, value| {
            if !slots_too {
                return false;
            }
            let is_function = self.repr.types.of(value).0 == BuiltinType::CFunction;
            if is_function
                || in_slots.len() == self.question.items as usize
                || in_slots.try_reserve(1).is_err()
            {
                left_out += usize::from(!is_function);
            } else {
                in_slots.push((name, value));
            }
            true
        });
        let mut names_one = own.is_some_and(|own| self.repr.names_a_secret(*own));
        for &(name, value) in &in_slots {
            names_one |= self.repr.is_name_of_secret(name, value);
        }
        let all = own.map_or(0, |own| dict::size(fields, *own)) + in_slots.len() + left_out;
        let in_dictionary = own.map(|own| self.repr.attributes(own));
        let shown = in_dictionary.into_iter().flatten().chain(in_slots);
        let mut count = 0;
        for (name, value) in shown.take(self.question.items as usize) {
            if hold::is_over() {
                break;
            }
            count += 1;
            let hidden = names_one && self.repr.is_named(name);
            self.hidden_entry(Record::Attribute, name, value, hidden);
        }
        let left_out = all - count.min(all);
        if left_out > 0 {
            self.variables
                .number(Record::AttributesLeftOut, left_out as u64);
        }
    }

    /// Takes down a name and its value; false if the value is secret, or this is no name.
    fn entry(&mut self, what: Record, name: Object<'g>, value: Object<'g>) -> bool {
        self.hidden_entry(what, name, value, false)
    }

    /// The same; `hidden`: whatever its name.
    fn hidden_entry(
        &mut self,
        what: Record,
        name: Object<'g>,
        value: Object<'g>,
        hidden: bool,
    ) -> bool {
        let Some(text) = self.fields.str_bytes(name) else {
            return false;
        };
        if self.variables.text.is_full || !hold::spend(10) {
            return false;
        }
        let hidden = hidden || self.repr.is_hidden(name, value);
        let repr = &mut self.repr;
        self.variables.text.record(|out| {
            out.push(&[what.letter()]);
            out.measured(|out| out.push(&text[..text.len().min(LONGEST_NAME)]));
            out.measured(|out| match hidden {
                true => out.push(HIDDEN.as_bytes()),
                false => repr.show(value, out),
            });
        });
        !hidden
    }

    /// Keeps an object to be asked for its own `repr`; `None` if there is no memory.
    fn ask_later(&mut self, object: Object<'g>) -> Option<()> {
        self.numbers.try_reserve(1).ok()?;
        self.variables.objects.try_reserve(1).ok()?;
        let gil = self.fields.gil()?;
        let objects = &mut self.variables.objects;
        let number = *self.numbers.entry(object.address()).or_insert_with(|| {
            // Given back in `ask_objects`.
            objects.push(gil.own(object).into_ptr());
            objects.len() - 1
        });
        self.variables.number(Record::ReprFollows, number as u64);
        Some(())
    }
}

impl Variables {
    /// Asks objects for their own `repr`, for as long as `is_wanted`: that is the program's code, which may
    /// take any time, let others run, and raise anything. Gives the objects back; an object that only we
    /// still had dies here, as it would have on the thread that let go of it.
    pub fn ask_objects(&mut self, gil: &mut Gil, length: u32, is_wanted: &dyn Fn() -> bool) {
        if self.objects.is_empty() {
            return;
        }
        // The worker's stack is smaller than the program expects of one.
        let calls = thread_states::leave_calls(gil, MOST_CALLS);
        let mut alone_until = Instant::now().after(ALONE);
        for (number, &object) in self.objects.iter().enumerate() {
            if alone_until.left().is_none() {
                undisturbed::let_others_run(gil);
                alone_until = Instant::now().after(ALONE);
            }
            if !gil.initialized() {
                // Being taken apart, it must be left alone.
                break;
            }
            // SAFETY: the reference to the object is ours, and the one that is returned is new.
            let text = is_wanted().then(|| unsafe { Owned::new(gil, (gil.PyObject_Repr)(object)) });
            if let Some(text) = text {
                let whole = text.as_ref().and_then(|text| gil.bytes(text.object()));
                let whole = whole.unwrap_or(b"<its repr raised an exception>");
                let shown = &whole[..whole.len().min(length as usize)];
                self.text.record(|out| {
                    out.push(&[Record::Repr.letter()]);
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

    fn number(&mut self, what: Record, number: u64) {
        self.text.record(|out| {
            out.push(&[what.letter()]);
            out.push(&number.to_ne_bytes());
        });
    }

    /// All of it.
    pub fn finish(self) -> Vec<u8> {
        self.text.finish(&[Record::Cut.letter()])
    }
}
