//! Follows a native stack from its inner end outwards.
//!
//! Where a file has unwind information, it is carried out; registers whose values nobody knows stay unknown. Where that
//! does not lead on, the stack is searched for what looks like a return address, and the frame is marked as guessed.
//! The stack may hold anything: each step leads outwards, and their number has a limit.

use std::time::Instant;

use gimli::{
    CfaRule, EhFrame, EndianSlice, Evaluation, EvaluationResult, Expression, LittleEndian,
    Register, RegisterRule, UnwindContext, UnwindExpression, Value, X86_64,
};

use crate::native::object_file::Bytes;
use crate::native::objects::Objects;

/// The most frames of one stack that are followed.
const MOST_FRAMES: usize = 2048;

/// How many words a search looks at for one frame, and how many of one stack all searches together.
const SEARCHED: usize = 512;
const SEARCHED_IN_ALL: usize = 8192;

/// The most steps of one expression.
const MOST_STEPS: u32 = 1000;

/// Registers as DWARF numbers them (System V ABI for x86-64, 3.6.2): the first 16, and the return address.
const COUNT: usize = 17;
const STACK: usize = 7;
const COUNTER: usize = 16;

/// Those that a function leaves as they are: rbx, rbp and r12 to r15.
const KEPT: [usize; 6] = [3, 6, 12, 13, 14, 15];

/// The value of each register, as far as it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Registers([Option<u64>; COUNT]);

impl Registers {
    /// Of a thread that sleeps: nothing but the stack pointer and the program counter are known.
    pub fn of_sleeping((stack, counter): (u64, u64)) -> Registers {
        Registers::default()
            .with(STACK, stack)
            .with(COUNTER, counter)
    }

    /// With this value of a register.
    pub fn with(mut self, register: usize, value: u64) -> Registers {
        self.0[register] = Some(value);
        self
    }

    fn of(&self, register: Register) -> Option<u64> {
        *self.0.get(usize::from(register.0))?
    }
}

/// A frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// An address within the function's code: where it is, or where the call ends that it is in.
    pub address: u64,
    /// Whether `address` is behind a call.
    pub behind_call: bool,
    /// Whether the frame was found by a search.
    pub guessed: bool,
}

impl Step {
    /// An address that lies in the function.
    pub fn inside(&self) -> u64 {
        self.address.wrapping_sub(u64::from(self.behind_call))
    }
}

/// A stack, and where it begins.
pub struct Memory<'a> {
    /// Its inner end.
    pub start: u64,
    /// Its bytes.
    pub bytes: &'a [u8],
}

impl Memory<'_> {
    /// The word at an address.
    pub fn word(&self, address: u64) -> Option<u64> {
        let at = usize::try_from(address.checked_sub(self.start)?).ok()?;
        let bytes = self.bytes.get(at..)?.first_chunk()?;
        Some(u64::from_le_bytes(*bytes))
    }

    fn end(&self) -> u64 {
        self.start.saturating_add(self.bytes.len() as u64)
    }
}

/// How the search for frames ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The outermost frame is there.
    Outermost,
    /// The stack goes on where it was not read.
    Cut,
    /// Nothing says how it goes on.
    Lost,
    /// There was no time for more.
    Late,
}

/// Follows stacks of one process.
pub struct Unwinder<'a> {
    objects: &'a Objects,
    context: UnwindContext<usize>,
    until: Instant,
}

/// Where a step leads.
enum Next {
    /// To a frame.
    To(Registers),
    /// To one that a signal interrupted: its address is behind no call.
    Interrupted(Registers),
    /// There is none further outside.
    None,
}

impl<'a> Unwinder<'a> {
    /// For this process. It ends by then.
    pub fn new(objects: &'a Objects, until: Instant) -> Unwinder<'a> {
        Unwinder {
            objects,
            context: UnwindContext::new(),
            until,
        }
    }

    /// The frames of a stack, innermost first, and how the search ended.
    pub fn follow(&mut self, mut registers: Registers, stack: &Memory) -> (Vec<Step>, End) {
        let mut steps = Vec::new();
        let mut left = SEARCHED_IN_ALL;
        let (mut guessed, mut behind_call) = (false, false);
        loop {
            let [Some(counter), Some(pointer)] = [COUNTER, STACK].map(|one| registers.0[one])
            else {
                return (steps, End::Lost);
            };
            steps.push(Step {
                address: counter,
                behind_call,
                guessed,
            });
            if steps.len() >= MOST_FRAMES {
                return (steps, End::Cut);
            }
            if Instant::now() >= self.until {
                return (steps, End::Late);
            }
            let inside = counter.wrapping_sub(u64::from(behind_call));
            let next = self.step(inside, registers, stack);
            let next = next.filter(|next| self.leads_outwards(next, pointer, stack));
            (registers, guessed, behind_call) = match next {
                Some(Next::None) => return (steps, End::Outermost),
                Some(Next::To(next)) => (next, false, true),
                Some(Next::Interrupted(next)) => (next, false, false),
                None => match self.search(inside, registers, stack, &mut left) {
                    Ok(next) => (next, true, true),
                    Err(end) => return (steps, end),
                },
            };
        }
    }

    /// Whether a step is believed.
    fn leads_outwards(&self, next: &Next, pointer: u64, stack: &Memory) -> bool {
        match next {
            Next::None => true,
            Next::To(next) => {
                let further = next.0[STACK].is_some_and(|it| it > pointer && it <= stack.end());
                further
                    && next.0[COUNTER].is_some_and(|it| self.objects.is_code(it.wrapping_sub(1)))
            }
            Next::Interrupted(next) => {
                let further = next.0[STACK].is_some_and(|it| it > pointer && it <= stack.end());
                further && next.0[COUNTER].is_some_and(|it| self.objects.is_code(it))
            }
        }
    }

    /// The caller's registers, by the unwind information of the function at this address.
    fn step(&mut self, inside: u64, registers: Registers, stack: &Memory) -> Option<Next> {
        let (file, place) = self.objects.code_at(inside)?;
        let (fde, section, bases) = file.unwind_info(place)?;
        let row = fde.unwind_info_for_address(&section, &bases, &mut self.context, place);
        let row = row.ok()?;
        let encoding = fde.cie().encoding();
        let frame = Frame {
            registers: &registers,
            stack,
            section: &section,
            encoding,
        };
        let cfa = match *row.cfa() {
            CfaRule::RegisterAndOffset { register, offset } => {
                registers.of(register)?.wrapping_add_signed(offset)
            }
            CfaRule::Expression(expression) => frame.evaluate(&expression, None)?,
        };
        let value = |register: usize| {
            let rule = row.register(Register(register as u16));
            match rule {
                None if KEPT.contains(&register) => registers.0[register],
                None => None,
                Some(RegisterRule::Undefined) => None,
                Some(RegisterRule::SameValue) => registers.0[register],
                Some(RegisterRule::Offset(offset)) => stack.word(cfa.wrapping_add_signed(offset)),
                Some(RegisterRule::ValOffset(offset)) => Some(cfa.wrapping_add_signed(offset)),
                Some(RegisterRule::Register(other)) => registers.of(other),
                Some(RegisterRule::Expression(expression)) => {
                    stack.word(frame.evaluate(&expression, Some(cfa))?)
                }
                Some(RegisterRule::ValExpression(expression)) => {
                    frame.evaluate(&expression, Some(cfa))
                }
                Some(RegisterRule::Constant(value)) => Some(value),
                Some(_) => None,
            }
        };
        let ends = matches!(row.register(X86_64::RA), Some(RegisterRule::Undefined));
        if ends {
            return Some(Next::None);
        }
        let mut next = Registers::default();
        for register in KEPT {
            next.0[register] = value(register);
        }
        next.0[STACK] = value(STACK).or(Some(cfa));
        next.0[COUNTER] = Some(value(COUNTER)?);
        if next.0[COUNTER] == Some(0) {
            return Some(Next::None);
        }
        Some(match fde.is_signal_trampoline() {
            true => Next::Interrupted(next),
            false => Next::To(next),
        })
    }

    /// The next frame by a search: a function that keeps a frame pointer, or a return address.
    fn search(
        &mut self,
        inside: u64,
        registers: Registers,
        stack: &Memory,
        left: &mut usize,
    ) -> Result<Registers, End> {
        const FRAME: usize = 6;
        let pointer = registers.0[STACK].and_then(|it| it.checked_next_multiple_of(8));
        let pointer = pointer.ok_or(End::Lost)?;
        let returns = |place: u64| {
            let address = stack.word(place)?;
            let (file, at) = self.objects.code_at(address.wrapping_sub(1))?;
            (file.is_code(at) && file.follows_call(at.wrapping_add(1))).then_some(address)
        };
        let mut bare = None;
        let mut end = End::Lost;
        for index in 0..SEARCHED.min(*left) as u64 {
            *left -= 1;
            let place = pointer.saturating_add(8 * index);
            let Some(saved) = stack.word(place) else {
                end = End::Cut;
                break;
            };
            // rbp points at the rbp of the caller, and behind that stands the return address.
            let is_chain = saved > place && saved < stack.end() && saved % 8 == 0;
            if is_chain
                && registers.0[FRAME].is_none()
                && let Some(address) = returns(place + 8)
            {
                // If the function has unwind information, it goes by this register.
                let by_rule = self.step(inside, registers.with(FRAME, place), stack);
                if let Some(Next::To(next)) = by_rule
                    && next.0[COUNTER] == Some(address)
                {
                    return Ok(next);
                }
                let next = Registers::default().with(FRAME, saved);
                return Ok(next.with(STACK, place + 16).with(COUNTER, address));
            }
            if bare.is_none()
                && let Some(address) = returns(place)
            {
                bare = Some(Registers::of_sleeping((place + 8, address)));
                // A function that keeps a frame pointer has it just before.
                if index > 32 {
                    break;
                }
            }
            if bare.is_some() && index > 64 {
                break;
            }
        }
        bare.ok_or(end)
    }
}

/// What an expression may refer to.
struct Frame<'a, 'b> {
    registers: &'a Registers,
    stack: &'a Memory<'a>,
    section: &'a EhFrame<Bytes<'b>>,
    encoding: gimli::Encoding,
}

impl Frame<'_, '_> {
    /// The value of an expression (DWARF 5, 2.5), if all is known that it needs.
    fn evaluate(&self, expression: &UnwindExpression<usize>, initial: Option<u64>) -> Option<u64> {
        let expression: Expression<Bytes> = expression.get(self.section).ok()?;
        let mut evaluation: Evaluation<EndianSlice<LittleEndian>> =
            expression.evaluation(self.encoding);
        evaluation.set_max_iterations(MOST_STEPS);
        if let Some(initial) = initial {
            evaluation.set_initial_value(initial);
        }
        let mut result = evaluation.evaluate().ok()?;
        loop {
            result = match result {
                EvaluationResult::Complete => {
                    return evaluation.value_result()?.to_u64(u64::MAX).ok();
                }
                EvaluationResult::RequiresRegister { register, .. } => {
                    let value = self.registers.of(register)?;
                    evaluation
                        .resume_with_register(Value::Generic(value))
                        .ok()?
                }
                EvaluationResult::RequiresMemory {
                    address, size: 8, ..
                } => {
                    let value = self.stack.word(address)?;
                    evaluation.resume_with_memory(Value::Generic(value)).ok()?
                }
                _ => return None,
            };
        }
    }
}
