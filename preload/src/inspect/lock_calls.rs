//! The calls in some code that acquire a lock or release it, as far as the code names the lock plainly.
//!
//! The instructions are read in order, as if each were run, and the names in them are looked up as they are now.

use crate::agent::hold;
use crate::cpython::dict;
use crate::cpython::object::{Code, Frame, Object};
use crate::inspect::bytecode::{
    CALL_FUNCTION, DUP_TOP, END_FINALLY, FOR_ITER, Instruction, LOAD_ATTR, LOAD_CONST, LOAD_DEREF,
    LOAD_FAST, LOAD_GLOBAL, LOAD_NAME, POP_TOP, ROT_TWO, SETUP_EXCEPT, SETUP_FINALLY, SETUP_LOOP,
    SETUP_WITH, STORE_DEREF, STORE_FAST, STORE_GLOBAL, STORE_NAME, instructions,
};
use crate::inspect::locks::is_acquire;
use crate::inspect::objects::Objects;

/// Longer code is not read, in bytes.
const LONGEST_CODE: usize = 20_000;

/// A function that acquires a lock for others to use is short, in bytes.
const LONGEST_FUNCTION: usize = 120;

/// So many values on the stack are followed.
const MOST_VALUES: usize = 8;

/// A call that acquires a lock or releases it.
#[derive(Clone, Copy)]
pub struct LockCall<'g> {
    /// Where it stands in the code.
    pub at: usize,
    /// Where the statement ends that it is, if it is one.
    pub end: usize,
    pub acquires: bool,
    /// The lock; `None` if it is not known which.
    pub lock: Option<Object<'g>>,
    /// The variable that leads to it.
    pub root: Root,
}

/// A variable: the instruction that stores into it, and its argument.
pub type Root = (u8, usize);

/// What is met in code.
pub enum Step<'g> {
    Call(LockCall<'g>),
    /// A jump forward, over instructions that may not have been run: from here, to there.
    Jump(usize, usize),
    /// The beginning of a block: where it stands, and where it ends.
    Block(usize, usize),
    /// A variable gets another value.
    Stored(Root),
    /// The end of a part after `finally`.
    End,
}

/// What is on the stack.
#[derive(Clone, Copy)]
enum Value<'g> {
    Unknown,
    Known(Object<'g>, Root),
    /// A method that acquires a lock, or releases it.
    Method(bool, Option<Object<'g>>, Root),
}

/// What leads to no variable.
const NOWHERE: Root = (0, 0);

/// Where names are looked up.
#[derive(Clone, Copy)]
enum Names<'g> {
    Of(Frame<'g>),
    /// Of a function that is called with this as its only argument, if with any: its global names.
    Called(Object<'g>, Option<Object<'g>>),
}

impl<'g> Objects<'g> {
    /// Whether this code may acquire locks: it looks up a name such as `acquire` or `release`.
    pub fn may_acquire(self, code: Code<'g>) -> bool {
        let names = self.tuple_items(self.looked_up(code));
        let mut names = names.take_while(|_| hold::spend(2));
        names.any(|name| {
            let name = self.text(name).unwrap_or_default();
            name.len() < 40
                && name
                    .windows(6)
                    .any(|part| matches!(part, b"cquire" | b"elease"))
        })
    }

    /// What a frame's code has between two places.
    pub fn lock_calls(
        self,
        frame: Frame<'g>,
        places: std::ops::Range<usize>,
        each: &mut dyn FnMut(Step<'g>),
    ) {
        self.read_calls(self.code(frame), Names::Of(frame), places, each);
    }

    fn read_calls(
        self,
        code: Code<'g>,
        names: Names<'g>,
        places: std::ops::Range<usize>,
        each: &mut dyn FnMut(Step<'g>),
    ) {
        let Some(text) = self.text(self.instructions(code)) else {
            return;
        };
        if text.len() > LONGEST_CODE || !hold::spend(text.len()) {
            return;
        }
        let mut stack = [Value::Unknown; MOST_VALUES];
        let mut depth = 0;
        let all = instructions(text, self.is_2_6, places.start);
        let mut all = all.take_while(|one| one.at < places.end).peekable();
        while let Some(instruction) = all.next() {
            if !hold::spend(4) {
                return;
            }
            match instruction.code {
                LOAD_CONST | LOAD_FAST | LOAD_DEREF | LOAD_GLOBAL | LOAD_NAME
                    if depth < MOST_VALUES =>
                {
                    let stores = match instruction.code {
                        LOAD_FAST => STORE_FAST,
                        LOAD_DEREF => STORE_DEREF,
                        LOAD_GLOBAL => STORE_GLOBAL,
                        LOAD_NAME => STORE_NAME,
                        _ => 0,
                    };
                    let root = (stores, instruction.argument);
                    let value = self.loaded(code, names, instruction);
                    stack[depth] = value.map_or(Value::Unknown, |value| Value::Known(value, root));
                    depth += 1;
                }
                LOAD_ATTR if depth > 0 => {
                    let name = self.tuple_item(self.looked_up(code), instruction.argument);
                    stack[depth - 1] = self.looked_up_in(stack[depth - 1], name);
                }
                DUP_TOP if (1..MOST_VALUES).contains(&depth) => {
                    stack[depth] = stack[depth - 1];
                    depth += 1;
                }
                ROT_TWO if depth > 1 => stack.swap(depth - 1, depth - 2),
                POP_TOP if depth > 0 => depth -= 1,
                STORE_FAST | STORE_NAME | STORE_GLOBAL | STORE_DEREF => {
                    depth = depth.saturating_sub(1);
                    each(Step::Stored((instruction.code, instruction.argument)));
                }
                END_FINALLY => {
                    depth = 0;
                    each(Step::End);
                }
                CALL_FUNCTION if instruction.argument < depth => {
                    depth -= instruction.argument;
                    let waits = match (instruction.argument, stack[depth]) {
                        (0, _) => true,
                        (_, Value::Known(first, _)) => {
                            self.is_true(first) || self.number(first) == 1
                        }
                        _ => false,
                    };
                    let call = match stack[depth - 1] {
                        Value::Method(acquires, lock, root) if waits || !acquires => {
                            Some((acquires, lock, root))
                        }
                        Value::Known(function, root) if instruction.argument == 0 => {
                            let call = self.called_for(function, names);
                            call.map(|(acquires, lock)| (acquires, lock, root))
                        }
                        _ => None,
                    };
                    stack[depth - 1] = Value::Unknown;
                    let end = all.peek().filter(|next| next.code == POP_TOP);
                    if let Some((acquires, lock, root)) = call {
                        each(Step::Call(LockCall {
                            at: instruction.at,
                            end: end.map_or(0, |pop| pop.next),
                            acquires,
                            lock,
                            root,
                        }));
                    }
                }
                SETUP_LOOP | SETUP_EXCEPT | SETUP_FINALLY | SETUP_WITH => {
                    let target = instruction.target().unwrap_or(0);
                    each(Step::Block(instruction.at, target));
                }
                _ => {
                    depth = 0;
                    let target = instruction.target().unwrap_or(0);
                    if target > instruction.at && instruction.code != FOR_ITER {
                        each(Step::Jump(instruction.at, target));
                    }
                }
            }
        }
    }

    fn loaded(
        self,
        code: Code<'g>,
        names: Names<'g>,
        instruction: Instruction,
    ) -> Option<Object<'g>> {
        let [variables, cells, free] = self.variable_names(code);
        let argument = instruction.argument;
        let variable = |name| match names {
            Names::Of(frame) => self.variable(frame, self.text(name)?),
            Names::Called(_, this) => this.filter(|_| argument == 0),
        };
        match instruction.code {
            LOAD_CONST => self.tuple_item(self.constants(code), argument),
            LOAD_FAST => variable(self.tuple_item(variables, argument)?),
            LOAD_DEREF => {
                let name = match argument.checked_sub(self.tuple_size(cells)) {
                    None => self.tuple_item(cells, argument)?,
                    Some(argument) => self.tuple_item(free, argument)?,
                };
                match names {
                    Names::Of(frame) => self.variable(frame, self.text(name)?),
                    Names::Called(..) => None,
                }
            }
            _ => {
                let name = self.tuple_item(self.looked_up(code), argument)?;
                let (own, globals) = match names {
                    Names::Of(frame) => {
                        let own = self.names_in_dictionary(frame).map(|own| *own);
                        (
                            own.filter(|_| instruction.code == LOAD_NAME),
                            self.globals(frame),
                        )
                    }
                    Names::Called(globals, _) => (None, globals),
                };
                let mut places = own.into_iter().chain([globals]);
                places.find_map(|place| dict::value(self.fields(), place, name))
            }
        }
    }

    fn looked_up_in(self, value: Value<'g>, name: Option<Object<'g>>) -> Value<'g> {
        let Some(text) = name.and_then(|name| self.text(name)) else {
            return Value::Unknown;
        };
        let acquires = is_acquire(text);
        let releases = matches!(text, b"release" | b"release_lock" | b"__exit__");
        match value {
            Value::Known(object, root) if acquires || releases => {
                Value::Method(acquires, self.locked_by(object, text), root)
            }
            Value::Known(object, root) => {
                let own = self.attribute(object, text);
                own.map_or(Value::Unknown, |own| Value::Known(own, root))
            }
            _ if acquires || releases => Value::Method(acquires, None, NOWHERE),
            _ => Value::Unknown,
        }
    }

    /// The lock that an object's method of this name acquires or releases: the object itself, where it is a lock of
    /// C's or of threading's; or what the method is bound to, as a Condition's is; or what the method's own code names.
    fn locked_by(self, object: Object<'g>, method: &[u8]) -> Option<Object<'g>> {
        if self.is_lock_of_c(object) {
            return Some(object);
        }
        if let Some(own) = self.attribute(object, method) {
            return self.owner(own);
        }
        let function = self.method_of(object, method)?;
        let code = self.function_code(function)?;
        let module = self.text(dict::named(
            self.fields(),
            self.as_dict(self.function_globals(function)?)?,
            b"__name__",
        ));
        if module == Some(b"threading") {
            return Some(object);
        }
        let globals = self.function_globals(function)?;
        let found = self.only_call(code, Names::Called(globals, Some(object)));
        found.and_then(|(_, lock)| lock)
    }

    /// What a function without arguments does: `logging._acquireLock()`.
    fn called_for(
        self,
        function: Object<'g>,
        names: Names<'g>,
    ) -> Option<(bool, Option<Object<'g>>)> {
        // Not one that such a function calls itself.
        if let Names::Called(..) = names {
            return None;
        }
        let code = self.function_code(function)?;
        let globals = self.function_globals(function)?;
        self.only_call(code, Names::Called(globals, None))
    }

    /// The one call in a short function that acquires or releases a lock.
    fn only_call(self, code: Code<'g>, names: Names<'g>) -> Option<(bool, Option<Object<'g>>)> {
        let length = self.text(self.instructions(code))?.len();
        if length > LONGEST_FUNCTION {
            return None;
        }
        let mut found = None;
        let mut count = 0;
        self.read_calls(code, names, 0..length, &mut |step| {
            if let Step::Call(call) = step {
                count += 1;
                found = Some((call.acquires, call.lock));
            }
        });
        found.filter(|(_, lock)| count == 1 && lock.is_some())
    }
}
