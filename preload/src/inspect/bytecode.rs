//! The instructions of code: one after the other, with the numbers that CPython 2.7 has for them (Include/opcode.h).

/// Instructions below this number take no argument.
const HAVE_ARGUMENT: u8 = 90;
pub const POP_TOP: u8 = 1;
pub const ROT_TWO: u8 = 2;
pub const ROT_THREE: u8 = 3;
pub const DUP_TOP: u8 = 4;
pub const ROT_FOUR: u8 = 5;
pub const GET_ITER: u8 = 68;
pub const BREAK_LOOP: u8 = 80;
pub const WITH_CLEANUP: u8 = 81;
pub const RETURN_VALUE: u8 = 83;
pub const POP_BLOCK: u8 = 87;
pub const END_FINALLY: u8 = 88;
pub const STORE_NAME: u8 = 90;
pub const FOR_ITER: u8 = 93;
pub const LIST_APPEND: u8 = 94;
pub const STORE_GLOBAL: u8 = 97;
pub const LOAD_CONST: u8 = 100;
pub const LOAD_NAME: u8 = 101;
pub const LOAD_ATTR: u8 = 106;
pub const IMPORT_NAME: u8 = 108;
pub const JUMP_FORWARD: u8 = 110;
pub const JUMP_IF_FALSE_OR_POP: u8 = 111;
pub const JUMP_IF_TRUE_OR_POP: u8 = 112;
pub const JUMP_ABSOLUTE: u8 = 113;
pub const POP_JUMP_IF_FALSE: u8 = 114;
pub const POP_JUMP_IF_TRUE: u8 = 115;
pub const LOAD_GLOBAL: u8 = 116;
pub const CONTINUE_LOOP: u8 = 119;
pub const SETUP_LOOP: u8 = 120;
pub const SETUP_EXCEPT: u8 = 121;
pub const SETUP_FINALLY: u8 = 122;
pub const LOAD_FAST: u8 = 124;
pub const STORE_FAST: u8 = 125;
pub const RAISE_VARARGS: u8 = 130;
pub const CALL_FUNCTION: u8 = 131;
pub const LOAD_DEREF: u8 = 136;
pub const STORE_DEREF: u8 = 137;
pub const CALL_FUNCTION_VAR: u8 = 140;
pub const CALL_FUNCTION_VAR_KW: u8 = 142;
pub const SETUP_WITH: u8 = 143;
const EXTENDED_ARG: u8 = 145;

/// Instructions that 2.6 alone has, with numbers that no other one has: a LIST_APPEND that takes the list from the
/// stack, and a jump that leaves its condition there.
pub const APPEND_TO_LIST: u8 = 6;
pub const JUMP_IF: u8 = 254;

/// An instruction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Instruction {
    /// Where it begins: what f_lasti is while it runs, also where it has a long argument.
    pub at: usize,
    /// Its number.
    pub code: u8,
    /// Its argument; 0 if it takes none.
    pub argument: usize,
    /// Where the next one begins.
    pub next: usize,
}

impl Instruction {
    /// Where it jumps to, or where the block ends that it begins.
    pub fn target(&self) -> Option<usize> {
        match self.code {
            FOR_ITER | JUMP_FORWARD | SETUP_LOOP | SETUP_EXCEPT | SETUP_FINALLY | SETUP_WITH => {
                self.next.checked_add(self.argument)
            }
            // The conditional jumps of 2.6 are relative, those of 2.7 are not.
            JUMP_IF => self.next.checked_add(self.argument),
            JUMP_IF_FALSE_OR_POP..=POP_JUMP_IF_TRUE | CONTINUE_LOOP => Some(self.argument),
            _ => None,
        }
    }

    /// How many values a call takes from the stack, what is called among them.
    pub fn taken_by_call(&self) -> Option<usize> {
        let [positional, named] = [self.argument & 0xff, self.argument >> 8 & 0xff];
        let extra = match self.code {
            CALL_FUNCTION => 0,
            CALL_FUNCTION_VAR..CALL_FUNCTION_VAR_KW => 1,
            CALL_FUNCTION_VAR_KW => 2,
            _ => return None,
        };
        Some(1 + positional + 2 * named + extra)
    }
}

/// Instructions as they follow each other in code.
#[derive(Clone)]
pub struct Instructions<'a> {
    text: &'a [u8],
    is_2_6: bool,
    at: usize,
}

/// The instructions of this code, from the one that begins at this place.
pub fn instructions(text: &[u8], is_2_6: bool, at: usize) -> Instructions<'_> {
    Instructions { text, is_2_6, at }
}

impl Iterator for Instructions<'_> {
    type Item = Instruction;

    fn next(&mut self) -> Option<Instruction> {
        let at = self.at;
        let mut high = 0;
        loop {
            let code = number(*self.text.get(self.at)?, self.is_2_6);
            if code < HAVE_ARGUMENT {
                self.at += 1;
                return Some(Instruction {
                    at,
                    code,
                    argument: 0,
                    next: self.at,
                });
            }
            let argument = self.text.get(self.at + 1..self.at + 3)?;
            let argument = u16::from_le_bytes([argument[0], argument[1]]) as usize | high << 16;
            self.at += 3;
            if code != EXTENDED_ARG {
                return Some(Instruction {
                    at,
                    code,
                    argument,
                    next: self.at,
                });
            }
            high = argument & 0xffff;
        }
    }
}

/// The number that stands here for an instruction of either version.
fn number(code: u8, is_2_6: bool) -> u8 {
    match code {
        _ if !is_2_6 => code,
        18 => APPEND_TO_LIST,
        // BUILD_MAP, LOAD_ATTR, COMPARE_OP, IMPORT_NAME, IMPORT_FROM.
        104..=108 => code + 1,
        111 | 112 => JUMP_IF,
        143 => EXTENDED_ARG,
        // What 2.6 does not have: LIST_APPEND, BUILD_MAP, jumps, EXTENDED_ARG, SET_ADD, MAP_ADD of 2.7.
        94 | 109 | 114 | 115 | 145..=147 => 0,
        _ => code,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_instructions_of_both_versions() {
        // EXTENDED_ARG 1, SETUP_LOOP 2, POP_TOP, LOAD_ATTR 5 and half an instruction.
        let of_2_7 = [145, 1, 0, 120, 2, 0, 1, 106, 5, 0, 100];
        let of_2_6 = [143, 1, 0, 120, 2, 0, 1, 105, 5, 0, 100];
        for (text, is_2_6) in [(of_2_7, false), (of_2_6, true)] {
            let all: Vec<Instruction> = instructions(&text, is_2_6, 0).collect();
            let parts = all.iter().map(|one| (one.at, one.code, one.argument));
            let expected = [
                (0, SETUP_LOOP, 0x1_0002),
                (6, POP_TOP, 0),
                (7, LOAD_ATTR, 5),
            ];
            assert_eq!(parts.collect::<Vec<_>>(), expected);
            assert_eq!(all[0].target(), Some(6 + 0x1_0002));
        }
        assert_eq!(instructions(&of_2_7, false, 11).next(), None);
        let call = |code, argument| Instruction {
            at: 0,
            code,
            argument,
            next: 3,
        };
        assert_eq!(call(CALL_FUNCTION, 0x0203).taken_by_call(), Some(8));
        assert_eq!(call(CALL_FUNCTION_VAR_KW, 0).taken_by_call(), Some(3));
        assert_eq!(call(LOAD_CONST, 0).taken_by_call(), None);
    }
}
