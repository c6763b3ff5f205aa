//! Which locks a thread holds, by the code of its frames: the idiom `acquire()`, `try`, `finally: release()`; a call
//! that has acquired a lock on the way to where the frame is; and a loop that acquires one lock after the other.
//!
//! On the worker, under the GIL, while nobody else runs. Nobody records who holds a plain lock, so this is concluded,
//! and the answer says so, but for the idiom.

use crate::agent::hold;
use crate::cpython::object::{Frame, Object};
use crate::inspect::bytecode::{SETUP_FINALLY, SETUP_LOOP};
use crate::inspect::lock_calls::{LockCall, Step};
use crate::inspect::objects::Objects;
use crate::inspect::pending_call::PendingCalls;

/// More calls in one frame are not kept; nor are more jumps, and then nothing is concluded.
const MOST_CALLS: usize = 16;
const MOST_JUMPS: usize = 64;

/// The part after `finally` is looked at so far, in bytes.
const LONGEST_FINALLY: usize = 400;

/// No more items of a loop are looked at.
const MOST_ITEMS: usize = 1000;

/// How it is known that a lock is held.
#[derive(Clone, Copy, PartialEq)]
pub enum Evidence {
    /// The frame has acquired it, and is in the `try` statement that follows, whose end releases it.
    Held,
    /// The frame has acquired it on its way.
    Acquired,
    /// The end of a `try` statement that the frame is in releases it.
    Released,
}

/// Calls `each` with the locks that a frame holds by its code.
pub fn of<'g>(
    objects: Objects<'g>,
    calls: &mut PendingCalls<'g>,
    frame: Frame<'g>,
    each: &mut dyn FnMut(Object<'g>, Evidence),
) {
    let Ok(last) = usize::try_from(objects.last_instruction(frame)) else {
        return;
    };
    let mut acquired: [Option<LockCall>; MOST_CALLS] = [None; MOST_CALLS];
    let mut jumps = [(0, 0); MOST_JUMPS];
    let mut jump_count = 0;
    // Where the blocks begin that the frame is in, by index.
    let mut begins = [None; protocol::layout::MOST_BLOCKS];
    objects.lock_calls(frame, 0..last, &mut |step| match step {
        Step::Call(call) if call.acquires => {
            let free = acquired.iter().position(Option::is_none);
            if let Some(free) = free.filter(|_| call.lock.is_some()) {
                acquired[free] = Some(call);
            }
        }
        Step::Call(call) => {
            for one in &mut acquired {
                *one = one.filter(|one| call.lock.is_some() && one.lock != call.lock);
            }
        }
        Step::Stored(root) => {
            for one in &mut acquired {
                *one = one.filter(|one| one.root != root);
            }
        }
        Step::Jump(from, to) if to <= last => {
            if let Some(jump) = jumps.get_mut(jump_count) {
                *jump = (from, to);
            }
            jump_count += 1;
        }
        Step::Block(at, end) => {
            let blocks = (0..).map_while(|index| objects.block(frame, index));
            for (index, _) in blocks
                .enumerate()
                .filter(|(_, block)| block.handler as usize == end)
            {
                begins[index] = Some(at);
            }
        }
        Step::Jump(..) | Step::End => {}
    });
    let is_sure = |call: &LockCall| {
        let mut jumps = jumps.iter().take(jump_count);
        jump_count <= MOST_JUMPS && !jumps.any(|&(from, to)| from < call.at && call.at < to)
    };
    let acquired = acquired.into_iter().flatten().filter(is_sure);
    for (index, block) in (0..).map_while(|index| Some((index, objects.block(frame, index)?))) {
        let (handler, begin) = (block.handler.max(0) as usize, begins[index]);
        if block.kind == i32::from(SETUP_FINALLY) {
            let mut has_ended = false;
            objects.lock_calls(
                frame,
                handler..handler + LONGEST_FINALLY,
                &mut |step| match step {
                    Step::End => has_ended = true,
                    Step::Call(LockCall {
                        acquires: false,
                        lock: Some(lock),
                        ..
                    }) if !has_ended => {
                        let mut before = acquired.clone();
                        let follows =
                            before.any(|one| one.lock == Some(lock) && Some(one.end) == begin);
                        each(
                            lock,
                            match follows {
                                true => Evidence::Held,
                                false => Evidence::Released,
                            },
                        );
                    }
                    _ => {}
                },
            );
        } else if let Some(begin) = begin.filter(|_| block.kind == i32::from(SETUP_LOOP)) {
            in_loop(
                objects,
                calls,
                frame,
                (begin..handler, last),
                block.level,
                each,
            );
        }
    }
    for call in acquired {
        if let Some(lock) = call.lock {
            each(lock, Evidence::Acquired);
        }
    }
}

/// The locks that a loop has acquired, one after the other, up to where the frame is.
fn in_loop<'g>(
    objects: Objects<'g>,
    calls: &mut PendingCalls<'g>,
    frame: Frame<'g>,
    (body, last): (std::ops::Range<usize>, usize),
    level: i32,
    each: &mut dyn FnMut(Object<'g>, Evidence),
) {
    let (mut acquires, mut releases) = (false, false);
    objects.lock_calls(frame, body, &mut |step| {
        if let Step::Call(call) = step {
            acquires |= call.acquires && call.at <= last;
            releases |= !call.acquires;
        }
    });
    let level = level.max(0) as usize;
    let depth = calls.depth_of(frame).unwrap_or(0);
    if !acquires || releases || depth <= level {
        return;
    }
    // SAFETY: there are more values than that on its stack.
    let iterator = unsafe { objects.stack_value(frame, level) };
    let Some((index, items)) = iterator.and_then(|iterator| objects.passed(iterator)) else {
        return;
    };
    // The last one that was handed out is the present one.
    for at in (0..index.saturating_sub(1)).take(MOST_ITEMS) {
        let item = objects.list_item(items, at);
        let item = item.or_else(|| objects.tuple_item(items, at));
        if let Some(item) = item.filter(|_| hold::spend(5)) {
            each(item, Evidence::Acquired);
        }
    }
}
