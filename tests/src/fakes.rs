//! Processes that look like programs with an agent (tests/hostile/programs/fake_agent.c).

use crate::compile::compile_hostile;
use crate::process::{Program, command};
use crate::product::product;
use crate::scratch::Scratch;
use crate::users::{HOSTILE, as_user};

/// Starts so many of them as the hostile user; its header says what kinds there are.
#[track_caller]
pub fn fakes(kind: &str, count: usize) -> Program {
    let folder = Scratch::new();
    let program = compile_hostile("fake_agent.c", &folder, &[]);
    let mut fake = command(program);
    fake.args([kind, &count.to_string()]);
    fake.arg(&product().library);
    Program::start(as_user(&mut fake, HOSTILE)).ready()
}
