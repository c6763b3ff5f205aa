//! The call that a frame is making, read from its stack of values.
//!
//! How many values are there follows from the frame's code ([`StackDepths`]) and its blocks. While a call is under
//! way what is called and its arguments lie on top (Python/ceval.c, 2.6 and 2.7); once it has returned, its result
//! lies where that was which was called. So where an argument is written, or how it was got, makes no difference.

use std::ffi::c_int;

use crate::cpython::frame_fields::Block;
use crate::cpython::object::{Code, Frame, Object};
use crate::inspect::bytecode::{
    CALL_FUNCTION_VAR, CALL_FUNCTION_VAR_KW, FOR_ITER, GET_ITER, IMPORT_NAME, Instruction,
    LOAD_ATTR, SETUP_EXCEPT, SETUP_FINALLY, SETUP_LOOP, SETUP_WITH, instructions,
};
use crate::inspect::objects::Objects;
use crate::inspect::stack_depth::{Part, StackDepths};
use crate::system::hash::Table;

/// A frame has no more blocks (Include/code.h, CO_MAXBLOCKS), and no compiler puts more of their other parts
/// around an instruction.
const MOST_SCOPES: usize = 48;

/// What `finally` finds on the stack where a `return` or `continue` has left the part before (Python/ceval.c,
/// WHY_RETURN and WHY_CONTINUE).
const LEFT_WITH_A_VALUE: [i64; 2] = [0x8, 0x20];

/// More star arguments than this are not looked at.
const MOST_ARGUMENTS: usize = 255;

/// What is called: the attribute of this name, of this object if it is known.
pub type Called<'g> = (Option<Object<'g>>, &'g [u8]);

/// A call that a frame is making.
#[derive(Default)]
pub struct PythonCall<'g> {
    /// What is called; of a method of a class of Python's what that is bound to; of a `with` block what it will
    /// call at its end; of a loop its iterator.
    pub function: Option<Object<'g>>,
    /// What is called, by name, if it is known.
    pub called: Option<Called<'g>>,
    /// The arguments that are not given by name.
    pub arguments: Vec<Object<'g>>,
}

/// Reads calls, and keeps what it has read of code.
pub struct PendingCalls<'g> {
    objects: Objects<'g>,
    /// By code. Not by what the code is made of, by which it compares.
    depths: Table<usize, Option<StackDepths>>,
}

impl<'g> PendingCalls<'g> {
    /// Nothing has been read yet.
    pub fn new(objects: Objects<'g>) -> Self {
        PendingCalls {
            objects,
            depths: Table::default(),
        }
    }

    /// The instruction that a frame is at.
    fn instruction(&self, frame: Frame<'g>) -> Option<Instruction> {
        let objects = self.objects;
        let text = objects.text(objects.instructions(objects.code(frame)))?;
        let last = usize::try_from(objects.last_instruction(frame)).ok()?;
        instructions(text, objects.is_2_6, last).next()
    }

    /// Whether a frame is at an `import` statement.
    pub fn is_importing(&self, frame: Frame<'g>) -> bool {
        let instruction = self.instruction(frame);
        instruction.is_some_and(|instruction| instruction.code == IMPORT_NAME)
    }

    /// How many values are on a frame's stack, where it is in a call or begins a `with` block; `None` if that is not
    /// known.
    pub fn depth_of(&mut self, frame: Frame<'g>) -> Option<usize> {
        let instruction = self.instruction(frame)?;
        self.depth(frame, instruction)
    }

    /// The call that a frame is making, as far as it is known: none where its code was made by hand.
    pub fn of(&mut self, frame: Frame<'g>) -> PythonCall<'g> {
        self.call(frame).unwrap_or_default()
    }

    fn call(&mut self, frame: Frame<'g>) -> Option<PythonCall<'g>> {
        let objects = self.objects;
        let instruction = self.instruction(frame)?;
        let depth = self.depth(frame, instruction)?;
        // SAFETY: fewer than `depth` values are below each of those that are read here.
        let value = |index: usize| unsafe { objects.stack_value(frame, index) };
        if instruction.code == SETUP_WITH {
            let exit = value(depth.checked_sub(1)?)?;
            return Some(PythonCall {
                function: Some(exit),
                called: objects
                    .owner(exit)
                    .map(|owner| (Some(owner), &b"__enter__"[..])),
                ..PythonCall::default()
            });
        }
        // 2.6 may be at the next of the two instructions already (PREDICT, Python/ceval.c).
        if matches!(instruction.code, FOR_ITER | GET_ITER) {
            return Some(PythonCall {
                function: value(depth.checked_sub(1)?),
                ..PythonCall::default()
            });
        }
        let bottom = depth.checked_sub(instruction.taken_by_call()?)?;
        let function = value(bottom)?;
        let mut call = PythonCall {
            function: Some(function),
            called: self.called(frame, (instruction, bottom), function),
            ..PythonCall::default()
        };
        let positional = instruction.argument & 0xff;
        let star = match instruction.code {
            CALL_FUNCTION_VAR => Some(depth - 1),
            CALL_FUNCTION_VAR_KW => Some(depth - 2),
            _ => None,
        };
        // SAFETY: it is one of the values of the call.
        let star = star.and_then(|index| unsafe { objects.star_arguments(frame, index) });
        let star = star.into_iter().flat_map(|star| objects.tuple_items(star));
        call.arguments
            .try_reserve_exact(positional + MOST_ARGUMENTS)
            .ok()?;
        let given = (bottom + 1..=bottom + positional).map_while(value);
        call.arguments
            .extend(given.chain(star.take(MOST_ARGUMENTS)));
        Some(call)
    }

    /// See [`PythonCall::called`], of a call that has so many values below it.
    fn called(
        &self,
        frame: Frame<'g>,
        (instruction, bottom): (Instruction, usize),
        function: Object<'g>,
    ) -> Option<Called<'g>> {
        let objects = self.objects;
        if let Some(function) = objects.as_c_function(function) {
            let owner = objects.c_function_owner(function);
            let owner = owner.filter(|&owner| owner != objects.none());
            // A module's function has none.
            let owner = owner.or_else(|| objects.module_of(function));
            return Some((owner, objects.c_function_name(function)));
        }
        // Of a method what it is bound to is left: the last attribute that was looked up in its place is its name.
        let code = objects.code(frame);
        let text = objects.text(objects.instructions(code))?;
        let depths = self.depths.get(&code.address())?.as_ref()?;
        let before =
            instructions(text, objects.is_2_6, 0).take_while(|one| one.at < instruction.at);
        let looked_up = before.filter(|one| {
            one.code == LOAD_ATTR && depths.at(one.at).is_some_and(|at| at.0 == bottom + 1)
        });
        let name = objects.tuple_item(objects.looked_up(code), looked_up.last()?.argument)?;
        Some((Some(function), objects.text(name)?))
    }

    /// How many values a frame had on its stack when it came to this instruction, the one that it is at. `None` where
    /// that is not known, or a `with` block that the instruction begins has begun.
    fn depth(&mut self, frame: Frame<'g>, instruction: Instruction) -> Option<usize> {
        let objects = self.objects;
        let code = objects.code(frame);
        let (depth, scopes) = self.depths_of(code)?.at(instruction.at)?;
        let taken = instruction.taken_by_call().unwrap_or(1);
        let mut outermost_last = [None; MOST_SCOPES];
        let mut count = 0;
        for scope in scopes {
            *outermost_last.get_mut(count)? = Some(scope);
            count += 1;
        }
        // What the parts after `finally` have on the stack beyond one value each.
        let mut more = 0;
        let mut blocks = 0;
        for scope in outermost_last[..count].iter().rev().flatten() {
            let level = usize::from(scope.level) + more;
            let kind = match scope.part {
                Part::Loop => SETUP_LOOP,
                Part::Try => SETUP_EXCEPT,
                Part::TryFinally => SETUP_FINALLY,
                Part::With => SETUP_WITH,
                Part::Except => continue,
                Part::Finally => {
                    let below = depth.checked_sub(taken)? + more;
                    more += self.why_finally(frame, level, below)?;
                    continue;
                }
            };
            let expected = Block {
                kind: c_int::from(kind),
                handler: c_int::try_from(scope.handler).ok()?,
                level: level as c_int,
            };
            if objects.block(frame, blocks) != Some(expected) {
                return None;
            }
            blocks += 1;
        }
        let is_there = depth + more <= objects.stack_room(frame) && blocks == objects.blocks(frame);
        is_there.then_some(depth + more)
    }

    /// How many values beyond one the interpreter has put on the stack for the part after `finally`, above `level`
    /// others (Python/ceval.c, END_FINALLY). `below` are below those that the instruction takes, at least.
    fn why_finally(&self, frame: Frame<'g>, level: usize, below: usize) -> Option<usize> {
        let objects = self.objects;
        if below <= level || below >= objects.stack_room(frame) {
            return None;
        }
        // SAFETY: the instruction takes a value at least, which lies above those.
        let [first, second] =
            [level, level + 1].map(|index| unsafe { objects.stack_value(frame, index) });
        let (first, second) = (first?, second?);
        let raised = objects.type_name(objects.type_of(first)) == b"traceback";
        let with_a_value = LEFT_WITH_A_VALUE.contains(&objects.number(second));
        // A number is not called; anything else that the part itself has put there may be one, as an exception may.
        match (raised, with_a_value) {
            (true, true) => None,
            (true, false) => Some(2),
            (false, true) => (below == level + 1).then_some(1),
            (false, false) => Some(0),
        }
    }

    fn depths_of(&mut self, code: Code<'g>) -> Option<&StackDepths> {
        let objects = self.objects;
        let key = code.address();
        if !self.depths.contains_key(&key) {
            self.depths.try_reserve(1).ok()?;
            let text = objects.text(objects.instructions(code));
            let depths = text.and_then(|text| StackDepths::of(text, objects.is_2_6));
            self.depths.insert(key, depths);
        }
        self.depths.get(&key)?.as_ref()
    }
}
