//! How long a wait with a timeout lasts, from the variables of the functions of the standard library that wait.
//!
//! The kernel does not know: Python 2 waits with a timeout by sleeps of 50 ms at most (`_Condition.wait`,
//! Lib/threading.py, 2.6 and 2.7). But these functions compute the end once, and keep it in a variable.

use crate::cpython::object::Frame;
use crate::inspect::objects::Objects;
use crate::system::futex::wall_clock;
use protocol::marshal::MarshalWriter;
use protocol::state::wait;

/// The names of that variable: of conditions and queues, and of `Thread.join`.
const ENDS: [&[u8]; 2] = [b"endtime", b"deadline"];

/// A clock that was set back, or is not the system's, shows by an end that is later than it can be, in seconds.
const MOST_ODD: f64 = 0.1;

/// Longer timeouts are nonsense, in seconds.
const LONGEST: f64 = 1e9;

/// The times of a wait, in milliseconds.
pub struct WaitTimes {
    /// The timeout.
    whole: i64,
    /// How long the wait has lasted, and how long it may still last, if that is known.
    waited_and_left: Option<[i64; 2]>,
}

impl WaitTimes {
    /// The times of the wait that the function of the frame `outer` makes by that of the frame `inner`, a
    /// condition's, perhaps in several turns; they may be the same. `None` if it has no timeout, or one that is no
    /// number.
    pub fn of<'g>(objects: Objects<'g>, outer: Frame<'g>, inner: Frame<'g>) -> Option<WaitTimes> {
        let timeout = |frame| {
            let timeout = objects.seconds(objects.variable(frame, b"timeout")?)?;
            Some(timeout).filter(|timeout| (0.0..LONGEST).contains(timeout))
        };
        let end = |frame| {
            let mut found = ENDS
                .into_iter()
                .filter_map(|name| objects.variable(frame, name));
            objects.float_value(found.next()?)
        };
        let with_end = |frame| Some((timeout(frame)?, end(frame)?));
        let Some((timeout, end)) = with_end(outer).or_else(|| with_end(inner)) else {
            // It has not computed the end yet.
            let timeout = timeout(inner)?;
            return Some(WaitTimes {
                whole: milliseconds(timeout),
                waited_and_left: None,
            });
        };
        let left = end - wall_clock();
        let is_sound = left <= timeout + MOST_ODD && left >= -LONGEST;
        Some(WaitTimes {
            whole: milliseconds(timeout),
            waited_and_left: is_sound.then(|| [timeout - left, left].map(milliseconds)),
        })
    }

    /// Writes it into the dictionary of a wait.
    pub fn write(&self, words: &mut MarshalWriter) {
        words.key(wait::MILLISECONDS);
        words.number(self.whole);
        if let Some([waited, left]) = self.waited_and_left {
            words.key(wait::WAITED);
            words.number(waited);
            words.key(wait::LEFT);
            words.number(left);
        }
    }
}

/// Seconds in milliseconds, rounded; none below 0.
fn milliseconds(seconds: f64) -> i64 {
    (seconds.max(0.0) * 1000.0 + 0.5) as i64
}
