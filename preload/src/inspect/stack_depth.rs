//! How many values are on a frame's stack at each of its code's instructions, and in which blocks it is there.
//!
//! The ways through the code are followed from its beginning, as `stackdepth` in Python/compile.c does to find the
//! greatest depth (2.6 and 2.7), but with what the interpreter really does (Python/ceval.c). Where two ways lead to
//! one instruction they must agree, else nothing is known of the code: it was made by hand.

use crate::agent::hold;
use crate::inspect::bytecode::{
    APPEND_TO_LIST, BREAK_LOOP, CALL_FUNCTION, CALL_FUNCTION_VAR, CALL_FUNCTION_VAR_KW,
    CONTINUE_LOOP, DUP_TOP, END_FINALLY, FOR_ITER, GET_ITER, Instruction, JUMP_ABSOLUTE,
    JUMP_FORWARD, JUMP_IF, JUMP_IF_FALSE_OR_POP, JUMP_IF_TRUE_OR_POP, LIST_APPEND, LOAD_CONST,
    LOAD_DEREF, LOAD_FAST, POP_BLOCK, POP_JUMP_IF_FALSE, POP_JUMP_IF_TRUE, POP_TOP, RAISE_VARARGS,
    RETURN_VALUE, ROT_FOUR, ROT_THREE, ROT_TWO, SETUP_EXCEPT, SETUP_FINALLY, SETUP_LOOP,
    SETUP_WITH, STORE_FAST, STORE_NAME, WITH_CLEANUP, instructions,
};

/// Longer code is not followed.
const LONGEST_CODE: usize = 60_000;

/// What stands for an instruction that no way leads to.
const UNREACHED: u16 = u16::MAX;

/// What stands for being in no block.
const OUTSIDE: u16 = u16::MAX;

/// Deeper stacks are none that a compiler makes.
const DEEPEST: usize = 20_000;

/// What a part of the code is in. The first four are blocks of the frame's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Part {
    Loop,
    /// The part of a `try` statement that an `except` looks after.
    Try,
    /// The same of a `finally`.
    TryFinally,
    /// The body of a `with` statement. (In 2.6 it is one of a `finally`.)
    With,
    /// After an exception, which is on the stack, until an `except` has taken it.
    Except,
    /// The part after `finally`. One value is on the stack, or two or three that say why the part before was left.
    Finally,
}

/// A block that an instruction is in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scope {
    pub part: Part,
    /// How many values were on the stack at its beginning.
    pub level: u16,
    /// Where the frame goes at its end.
    pub handler: u32,
    /// The index of the block around it, or [`OUTSIDE`].
    outer: u16,
}

/// What is known before an instruction.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Place {
    depth: u16,
    scope: u16,
}

/// The depth of the stack at all instructions of some code.
pub struct StackDepths {
    /// By the places where instructions begin.
    places: Vec<Place>,
    scopes: Vec<Scope>,
}

impl StackDepths {
    /// Follows all ways through this code. `None` if it is not what a compiler makes, if it is too long, or if
    /// there is no memory.
    pub fn of(text: &[u8], is_2_6: bool) -> Option<StackDepths> {
        if text.len() > LONGEST_CODE || !hold::spend(text.len()) {
            return None;
        }
        let mut places = Vec::new();
        places.try_reserve_exact(text.len()).ok()?;
        let nothing = Place {
            depth: UNREACHED,
            scope: OUTSIDE,
        };
        places.resize(text.len(), nothing);
        let mut walk = Walk {
            known: StackDepths {
                places,
                scopes: Vec::new(),
            },
            begins: Vec::new(),
        };
        walk.reach(
            0,
            Place {
                depth: 0,
                scope: OUTSIDE,
            },
        )?;
        while let Some(at) = walk.begins.pop() {
            let mut way = instructions(text, is_2_6, at);
            loop {
                let instruction = way.next()?;
                match walk.follow(instruction)? {
                    // Another way may have been there before.
                    Some(place) if walk.is_new(instruction.next, place)? => {}
                    _ => break,
                }
            }
        }
        Some(walk.known)
    }

    /// How many values are on the stack before this instruction, where one is in the part after `finally` for each
    /// such part that it is in; and the blocks that it is in, innermost first.
    pub fn at(&self, at: usize) -> Option<(usize, impl Iterator<Item = Scope> + Clone)> {
        let place = self.places.get(at)?;
        if place.depth == UNREACHED {
            return None;
        }
        let scope = |index: u16| self.scopes.get(usize::from(index)).copied();
        let scopes = std::iter::successors(scope(place.scope), move |one| scope(one.outer));
        Some((place.depth.into(), scopes))
    }
}

struct Walk {
    known: StackDepths,
    /// Where ways begin that are not followed yet.
    begins: Vec<usize>,
}

/// Functions here return `None` where the code makes no sense, or there is no memory.
impl Walk {
    fn scope(&self, index: u16) -> Option<Scope> {
        self.known.scopes.get(usize::from(index)).copied()
    }

    fn add_scope(&mut self, scope: Scope) -> Option<u16> {
        let index = u16::try_from(self.known.scopes.len()).ok()?;
        self.known.scopes.try_reserve(1).ok()?;
        self.known.scopes.push(scope);
        (index != OUTSIDE).then_some(index)
    }

    /// Notes what is known at an instruction; whether nothing was known before.
    fn is_new(&mut self, at: usize, place: Place) -> Option<bool> {
        let before = *self.known.places.get(at)?;
        if before.depth == UNREACHED {
            self.known.places[at] = place;
            return Some(true);
        }
        // The body of a `try` statement goes on with the part after `finally`, with one value more on the stack.
        let scope = self.scope(before.scope);
        let goes_on = scope.is_some_and(|scope| {
            scope.part == Part::Finally
                && scope.handler as usize == at
                && scope.outer == place.scope
                && before.depth == place.depth
        });
        (before == place || goes_on).then_some(false)
    }

    /// Notes that a way leads to an instruction.
    fn reach(&mut self, at: usize, place: Place) -> Option<()> {
        if self.is_new(at, place)? {
            self.begins.try_reserve(1).ok()?;
            self.begins.push(at);
        }
        Some(())
    }

    /// Follows an instruction; returns what is known at the next one, if it goes on there.
    fn follow(&mut self, instruction: Instruction) -> Option<Option<Place>> {
        let Place { depth, scope } = self.known.places[instruction.at];
        let inner = self.scope(scope);
        let changed = |by: isize| {
            let depth = usize::from(depth).checked_add_signed(by)?;
            (depth < DEEPEST).then_some(depth as u16)
        };
        let place = |by: isize| {
            Some(Place {
                depth: changed(by)?,
                scope,
            })
        };
        let target = instruction.target();
        let after = match instruction.code {
            RETURN_VALUE | RAISE_VARARGS | BREAK_LOOP | CONTINUE_LOOP => return Some(None),
            JUMP_FORWARD | JUMP_ABSOLUTE => {
                self.reach(target?, place(0)?)?;
                return Some(None);
            }
            JUMP_IF => {
                self.reach(target?, place(0)?)?;
                place(0)?
            }
            JUMP_IF_FALSE_OR_POP | JUMP_IF_TRUE_OR_POP => {
                self.reach(target?, place(0)?)?;
                place(-1)?
            }
            POP_JUMP_IF_FALSE | POP_JUMP_IF_TRUE => {
                self.reach(target?, place(-1)?)?;
                place(-1)?
            }
            FOR_ITER => {
                self.reach(target?, place(-1)?)?;
                place(1)?
            }
            SETUP_LOOP | SETUP_EXCEPT | SETUP_FINALLY | SETUP_WITH => {
                let handler = target?;
                let mut outside = Scope {
                    part: Part::Loop,
                    level: depth,
                    handler: u32::try_from(handler).ok()?,
                    outer: scope,
                };
                let (block, handled, values) = match instruction.code {
                    SETUP_LOOP => (Part::Loop, None, 0),
                    SETUP_EXCEPT => (Part::Try, Some(Part::Except), 3),
                    SETUP_FINALLY => (Part::TryFinally, Some(Part::Finally), 1),
                    _ => (Part::With, Some(Part::Finally), 1),
                };
                let scope = match handled {
                    None => scope,
                    Some(part) => {
                        outside.part = part;
                        self.add_scope(outside)?
                    }
                };
                let depth = changed(values)?;
                self.reach(handler, Place { depth, scope })?;
                outside.part = block;
                Place {
                    // What the beginning of a `with` statement returns.
                    depth: changed(if block == Part::With { 1 } else { 0 })?,
                    scope: self.add_scope(outside)?,
                }
            }
            POP_BLOCK => {
                let inner =
                    inner.filter(|one| !matches!(one.part, Part::Except | Part::Finally))?;
                Place {
                    depth,
                    scope: inner.outer,
                }
            }
            WITH_CLEANUP => {
                // What is called at the end lies below the values that say why.
                let inner = inner.filter(|one| one.part == Part::Finally && one.level > 0)?;
                let scope = self.add_scope(Scope {
                    level: inner.level - 1,
                    ..inner
                })?;
                Place {
                    depth: changed(-1)?,
                    scope,
                }
            }
            END_FINALLY => match inner?.part {
                // It raises the exception again.
                Part::Except => return Some(None),
                Part::Finally if depth == inner?.level + 1 => Place {
                    depth: depth - 1,
                    scope: inner?.outer,
                },
                _ => return None,
            },
            _ => place(effect(instruction)?)?,
        };
        // The exception has been taken from the stack.
        let scope = self.scope(after.scope);
        let taken = scope.filter(|one| one.part == Part::Except && after.depth <= one.level);
        Some(Some(match taken {
            Some(taken) => Place {
                scope: taken.outer,
                ..after
            },
            None => after,
        }))
    }
}

/// By how many values an instruction that does not jump changes the stack (Python/ceval.c, 2.6 and 2.7).
fn effect(instruction: Instruction) -> Option<isize> {
    let argument = isize::try_from(instruction.argument).ok()?;
    Some(match instruction.code {
        // NOP, the unary operators, SLICE+0, GET_ITER, PRINT_NEWLINE, YIELD_VALUE.
        ROT_TWO | ROT_THREE | ROT_FOUR | 9..=15 | 30 | GET_ITER | 72 | 86 => 0,
        POP_TOP | STORE_NAME | STORE_FAST => -1,
        DUP_TOP | LOAD_CONST | LOAD_FAST | LOAD_DEREF => 1,
        // The binary operators.
        19..=29 | 55..=59 | 62..=67 | 75..=79 => -1,
        // SLICE+1 to +3, STORE_SLICE and DELETE_SLICE.
        31 | 32 => -1,
        33 => -2,
        40 => -2,
        41 | 42 => -3,
        43 => -4,
        50 => -1,
        51 | 52 => -2,
        53 => -3,
        // STORE_MAP, STORE_SUBSCR, DELETE_SUBSCR.
        54 => -2,
        60 => -3,
        61 => -2,
        // PRINT_EXPR, PRINT_ITEM, PRINT_ITEM_TO, PRINT_NEWLINE_TO.
        70 | 71 | 74 => -1,
        73 => -2,
        // LOAD_LOCALS, IMPORT_STAR, EXEC_STMT, BUILD_CLASS.
        82 => 1,
        84 => -1,
        85 => -3,
        89 => -2,
        // DELETE_NAME, UNPACK_SEQUENCE, LIST_APPEND.
        91 => 0,
        92 => argument - 1,
        LIST_APPEND => -1,
        APPEND_TO_LIST => -2,
        // STORE_ATTR, DELETE_ATTR, STORE_GLOBAL, DELETE_GLOBAL, DUP_TOPX.
        95 => -2,
        96 | 97 => -1,
        98 => 0,
        99 => argument,
        // LOAD_NAME, BUILD_TUPLE, BUILD_LIST, BUILD_SET, BUILD_MAP, LOAD_ATTR, COMPARE_OP, IMPORT_NAME, IMPORT_FROM.
        101 => 1,
        102..=104 => 1 - argument,
        105 => 1,
        106 => 0,
        107 | 108 => -1,
        109 => 1,
        // LOAD_GLOBAL, DELETE_FAST.
        116 => 1,
        126 => 0,
        CALL_FUNCTION | CALL_FUNCTION_VAR..=CALL_FUNCTION_VAR_KW => {
            1 - instruction.taken_by_call()? as isize
        }
        // MAKE_FUNCTION, BUILD_SLICE, MAKE_CLOSURE, LOAD_CLOSURE, STORE_DEREF.
        132 => -argument,
        133 => 1 - argument,
        134 => -argument - 1,
        135 => 1,
        137 => -1,
        // SET_ADD, MAP_ADD.
        146 => -1,
        147 => -2,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    type Known = Option<(usize, Vec<Part>)>;

    fn depths(text: &[u8]) -> Option<Vec<Known>> {
        let depths = StackDepths::of(text, false)?;
        let at = |at| {
            let (depth, scopes) = depths.at(at)?;
            Some((depth, scopes.map(|scope| scope.part).collect()))
        };
        Some((0..text.len()).map(at).collect())
    }

    #[test]
    fn follows_every_way() {
        // try: f() finally: g()
        let text = [
            122, 11, 0, 116, 0, 0, 131, 0, 0, 1, 87, 100, 0, 0, 116, 1, 0, 131, 0, 0, 1, 88, 100,
            0, 0, 83,
        ];
        let all = depths(&text).expect("a compiler has made it");
        assert_eq!(all[6], Some((1, vec![Part::TryFinally])));
        assert_eq!(all[10], Some((0, vec![Part::TryFinally])));
        assert_eq!(all[14], Some((1, vec![Part::Finally])));
        assert_eq!(all[17], Some((2, vec![Part::Finally])));
        assert_eq!(all[22], Some((0, vec![])));
        assert_eq!(all[25], Some((1, vec![])));
        assert_eq!(all[1], None);
    }

    #[test]
    fn believes_no_code_that_was_made_by_hand() {
        for text in [
            // It takes what is not there; it goes on behind its end; it jumps behind its end.
            &[1, 100, 0, 0, 83][..],
            &[100, 0, 0],
            &[113, 9, 0],
            // Each time round there is one value more.
            &[100, 0, 0, 113, 0, 0],
            // No such instruction; a block ends that has not begun; half an instruction.
            &[200, 0, 0, 83],
            &[87, 100, 0, 0, 83],
            &[100, 0],
            &[],
        ] {
            assert!(depths(text).is_none(), "{text:?}");
        }
    }
}
