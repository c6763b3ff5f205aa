//! Filters of system calls, as the kernel hands them out: programs of the classic BPF (seccomp(2),
//! Documentation/networking/filter.rst), run here on a call that nobody has made yet.

/// An instruction (`struct sock_filter`, include/uapi/linux/filter.h).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Instruction {
    /// What it does.
    pub code: u16,
    /// How many instructions a jump passes over if its condition holds.
    pub jump_true: u8,
    /// And if it does not.
    pub jump_false: u8,
    /// A constant, or a place.
    pub value: u32,
}

/// A call that a filter judges (`struct seccomp_data`, include/uapi/linux/seccomp.h).
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// The number of the system call.
    pub number: i32,
    /// The address of the instruction that makes it.
    pub counter: u64,
    /// Its arguments.
    pub arguments: [u64; 6],
}

/// AUDIT_ARCH_X86_64.
const ARCHITECTURE: u32 = 0xc000_003e;

/// The size of what a filter sees of a call.
const SEEN: u32 = 64;

impl Call {
    /// The word of 32 bits at this place of what a filter sees.
    fn word(&self, place: u32) -> Option<u32> {
        let half = |word: u64, place: u32| match place % 8 {
            0 => Some(word as u32),
            4 => Some((word >> 32) as u32),
            _ => None,
        };
        match place {
            0 => Some(self.number as u32),
            4 => Some(ARCHITECTURE),
            8..16 => half(self.counter, place),
            16..SEEN => half(self.arguments[(place as usize - 16) / 8], place),
            _ => None,
        }
    }
}

/// What a filter says of a call, SECCOMP_RET_...; `None` if it is no program that the kernel would have taken.
///
/// The kernel lets no program jump back, so this ends.
pub fn run(filter: &[Instruction], call: &Call) -> Option<u32> {
    let (mut a, mut x) = (0_u32, 0_u32);
    let mut memory = [0_u32; 16];
    let mut at = 0_usize;
    loop {
        let one = filter.get(at)?;
        at += 1;
        let k = one.value;
        let operand = if one.code & 0x08 == 0 { k } else { x };
        let slot = k as usize;
        match one.code {
            // Loads: a word of the call, a constant, a word of the memory, the length.
            0x20 => a = call.word(k)?,
            0x00 => a = k,
            0x01 => x = k,
            0x60 => a = *memory.get(slot)?,
            0x61 => x = *memory.get(slot)?,
            0x80 => a = SEEN,
            0x81 => x = SEEN,
            0x02 => *memory.get_mut(slot)? = a,
            0x03 => *memory.get_mut(slot)? = x,
            0x07 => x = a,
            0x87 => a = x,
            // Arithmetic.
            0x04 | 0x0c => a = a.wrapping_add(operand),
            0x14 | 0x1c => a = a.wrapping_sub(operand),
            0x24 | 0x2c => a = a.wrapping_mul(operand),
            // The kernel returns 0, which kills the thread, where x is 0.
            0x34 | 0x3c => match a.checked_div(operand) {
                Some(result) => a = result,
                None => return Some(0),
            },
            0x94 | 0x9c => match a.checked_rem(operand) {
                Some(result) => a = result,
                None => return Some(0),
            },
            0x44 | 0x4c => a |= operand,
            0x54 | 0x5c => a &= operand,
            0x64 | 0x6c => a = a.wrapping_shl(operand),
            0x74 | 0x7c => a = a.wrapping_shr(operand),
            0x84 => a = a.wrapping_neg(),
            0xa4 | 0xac => a ^= operand,
            // Jumps.
            0x05 => at = at.checked_add(slot)?,
            0x15 | 0x1d | 0x25 | 0x2d | 0x35 | 0x3d | 0x45 | 0x4d => {
                let holds = match one.code & 0xf0 {
                    0x10 => a == operand,
                    0x20 => a > operand,
                    0x30 => a >= operand,
                    _ => a & operand != 0,
                };
                at += usize::from(match holds {
                    true => one.jump_true,
                    false => one.jump_false,
                });
            }
            // The end.
            0x06 => return Some(k),
            0x16 => return Some(a),
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(code: &[(u16, u8, u8, u32)]) -> Vec<Instruction> {
        let one = |&(code, jump_true, jump_false, value): &_| Instruction {
            code,
            jump_true,
            jump_false,
            value,
        };
        code.iter().map(one).collect()
    }

    #[test]
    fn judges_calls() {
        const ALLOW: u32 = 0x7fff_0000;
        let call = |number, first| Call {
            number,
            counter: 0x7f00_1234_5678,
            arguments: [first, 0, 0, 0, 0, 1 << 40],
        };
        // Kills for call 9 whose first argument has bit 2.
        let filter = program(&[
            (0x20, 0, 0, 0),
            (0x15, 0, 3, 9),
            (0x20, 0, 0, 16),
            (0x45, 0, 1, 4),
            (0x06, 0, 0, 0),
            (0x06, 0, 0, ALLOW),
        ]);
        assert_eq!(run(&filter, &call(9, 5)), Some(0));
        assert_eq!(run(&filter, &call(9, 3)), Some(ALLOW));
        assert_eq!(run(&filter, &call(10, 5)), Some(ALLOW));
        let words = |place| {
            run(
                &program(&[(0x20, 0, 0, place), (0x16, 0, 0, 0)]),
                &call(1, 2),
            )
        };
        assert_eq!(words(4), Some(ARCHITECTURE));
        assert_eq!(words(8), Some(0x1234_5678));
        assert_eq!(words(12), Some(0x7f00));
        assert_eq!(words(60), Some(1 << 8));
        assert_eq!((words(64), words(18)), (None, None));
        let arithmetic = program(&[
            (0x00, 0, 0, 7),
            (0x07, 0, 0, 0),
            (0x2c, 0, 0, 0),
            (0x02, 0, 0, 3),
            (0x61, 0, 0, 3),
            (0x1c, 0, 0, 0),
            (0x84, 0, 0, 0),
            (0x34, 0, 0, 0),
            (0x16, 0, 0, 0),
        ]);
        assert_eq!(run(&arithmetic, &call(1, 0)), Some(0));
        assert_eq!(run(&program(&[(0x05, 0, 0, 9)]), &call(1, 0)), None);
    }
}
