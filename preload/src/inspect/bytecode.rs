//! The instructions of a line of code.

/// Instructions (Include/opcode.h, 2.6 and 2.7). Those below this number take no argument.
const HAVE_ARGUMENT: u8 = 90;
pub const POP_TOP: u8 = 1;
pub const ROT_TWO: u8 = 2;
pub const DUP_TOP: u8 = 4;
pub const STORE_NAME: u8 = 90;
pub const LOAD_CONST: u8 = 100;
pub const LOAD_NAME: u8 = 101;
pub const LOAD_GLOBAL: u8 = 116;
pub const LOAD_FAST: u8 = 124;
pub const STORE_FAST: u8 = 125;
pub const CALL_FUNCTION: u8 = 131;
pub const LOAD_DEREF: u8 = 136;

/// The instructions whose numbers differ between versions, and those that jump: by so many bytes, or to a
/// place.
pub struct Numbers {
    pub load_attribute: u8,
    pub import_name: u8,
    pub setup_with: Option<u8>,
    extended_argument: u8,
    jumps_by: &'static [u8],
    jumps_to: &'static [u8],
}

pub static NUMBERS_2_6: Numbers = Numbers {
    load_attribute: 105,
    import_name: 107,
    setup_with: None,
    extended_argument: 143,
    jumps_by: &[93, 110, 111, 112, 120, 121, 122],
    jumps_to: &[113, 119],
};
pub static NUMBERS_2_7: Numbers = Numbers {
    load_attribute: 106,
    import_name: 108,
    setup_with: Some(143),
    extended_argument: 145,
    jumps_by: &[93, 110, 120, 121, 122, 143],
    jumps_to: &[111, 112, 113, 114, 115, 119],
};

/// Longer code is not read: all of it would have to be searched for jumps into the line from elsewhere.
const LONGEST_CODE: usize = 8000;

/// A line of code: instructions with their arguments.
pub type Line = Vec<(u8, usize)>;

/// The instructions of the line that contains the instruction at `last`, up to that one. `None` if that one
/// calls nothing, or if the interpreter may have reached it in another way than along the line.
pub fn line(numbers: &Numbers, text: &[u8], table: &[u8], last: usize) -> Option<Line> {
    let instruction = *text.get(last)?;
    let calls = instruction == CALL_FUNCTION || Some(instruction) == numbers.setup_with;
    if text.len() > LONGEST_CODE || !calls {
        return None;
    }
    let start = start_of_line(table, last);
    let mut line = Line::new();
    let mut position = 0;
    while let Some(&instruction) = text.get(position) {
        let (argument, next) = match instruction < HAVE_ARGUMENT {
            true => (0, position + 1),
            false => match text.get(position + 1..position + 3) {
                Some(&[low, high]) => (usize::from(low) + 256 * usize::from(high), position + 3),
                _ => break,
            },
        };
        if instruction == numbers.extended_argument {
            return None;
        }
        let target = if numbers.jumps_by.contains(&instruction) {
            next + argument
        } else if numbers.jumps_to.contains(&instruction) {
            argument
        } else {
            0
        };
        let leaves = target != 0
            && (start..last).contains(&position)
            && Some(instruction) != numbers.setup_with;
        if start < target && target <= last || leaves {
            return None;
        }
        if (start..=last).contains(&position) {
            line.try_reserve(1).ok()?;
            line.push((instruction, argument));
        }
        position = next;
    }
    Some(line)
}

/// Where the line begins that contains this instruction (Objects/lnotab_notes.txt).
fn start_of_line(table: &[u8], at: usize) -> usize {
    let mut position = 0;
    let mut start = 0;
    for pair in table.chunks_exact(2) {
        position += usize::from(pair[0]);
        if position > at {
            break;
        }
        if pair[1] != 0 {
            start = position;
        }
    }
    start
}

#[cfg(test)]
mod tests {
    use super::*;
    /// LOAD_GLOBAL 1, LOAD_CONST 2, CALL_FUNCTION 1, POP_TOP: a line after six bytes of another.
    const LINE: [u8; 10] = [
        LOAD_GLOBAL,
        1,
        0,
        LOAD_CONST,
        2,
        0,
        CALL_FUNCTION,
        1,
        0,
        POP_TOP,
    ];
    const TABLE: [u8; 4] = [0, 1, 6, 1];

    fn read(first: &[u8], table: &[u8], last: usize) -> Option<Line> {
        line(&NUMBERS_2_7, &[first, &LINE].concat(), table, last)
    }

    #[test]
    fn reads_the_line_up_to_the_call() {
        const NOTHING: [u8; 6] = [LOAD_CONST, 0, 0, LOAD_CONST, 0, 0];
        let call = [(LOAD_GLOBAL, 1), (LOAD_CONST, 2), (CALL_FUNCTION, 1)];
        assert_eq!(read(&NOTHING, &TABLE, 12), Some(call.to_vec()));
        // All in one line.
        assert_eq!(read(&NOTHING, &[0, 1], 12).map(|line| line.len()), Some(5));
        // The instruction calls nothing, or does not exist.
        for last in [6, 15, 16, 100] {
            assert_eq!(read(&NOTHING, &TABLE, last), None, "{last}");
        }
    }

    #[test]
    fn refuses_a_line_that_jumps_lead_into_or_out_of() {
        /// JUMP_FORWARD, POP_JUMP_IF_FALSE.
        const BY: u8 = 110;
        const TO: u8 = 114;
        for (first, there) in [
            // To the line's beginning, into the line, and past it.
            ([BY, 3, 0, LOAD_CONST, 0, 0], true),
            ([BY, 6, 0, LOAD_CONST, 0, 0], false),
            ([TO, 6, 0, LOAD_CONST, 0, 0], true),
            ([TO, 12, 0, LOAD_CONST, 0, 0], false),
            ([TO, 13, 0, LOAD_CONST, 0, 0], true),
            (
                [LOAD_CONST, 0, 0, NUMBERS_2_7.extended_argument, 1, 0],
                false,
            ),
        ] {
            assert_eq!(read(&first, &TABLE, 12).is_some(), there, "{first:?}");
        }
        let long = vec![POP_TOP; LONGEST_CODE];
        assert_eq!(read(&long, &[], LONGEST_CODE + 6), None);
    }

    #[test]
    fn lines_begin_where_the_table_says() {
        // The table has steps of 300 bytes and 300 lines in pieces.
        let table = [0, 1, 255, 0, 45, 255, 0, 45, 2, 1];
        let starts = [0, 299, 300, 301, 302, 303].map(|at| start_of_line(&table, at));
        assert_eq!(starts, [0, 0, 300, 300, 302, 302]);
    }
}
