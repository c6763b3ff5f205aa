//! Puts Python and C frames together: each frame of the interpreter's eval function stands for a Python frame.

use crate::state::native::NativeFrame;

/// The function that runs Python code, once for each frame (Python/ceval.c, 2.6 and 2.7). Compilers make several of it,
/// such as `PyEval_EvalFrameEx.cold`.
const EVAL: &str = "PyEval_EvalFrameEx";

/// Whether a frame stands for a Python frame.
pub fn is_eval(frame: &NativeFrame) -> bool {
    let function = frame.function.as_deref();
    function.is_some_and(|name| name.split('.').next() == Some(EVAL))
}

/// Takes native frames, innermost first, of a thread with so many Python frames. Returns them outermost first, without
/// those that stand for Python frames, and with how many Python frames are further inside: all, or only those that the
/// innermost Python frame has called. And whether these are whole.
pub fn with_python(frames: Vec<NativeFrame>, python: usize, all: bool) -> (Vec<NativeFrame>, bool) {
    let mut inside = 0;
    let mut joined = Vec::new();
    for frame in frames {
        if is_eval(&frame) {
            inside += 1;
            if !all {
                break;
            }
            continue;
        }
        joined.push(NativeFrame {
            inside: inside.min(python),
            ..frame
        });
    }
    joined.reverse();
    (joined, inside > 0 && !all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(names: &[&str]) -> Vec<NativeFrame> {
        let frame = |name: &&str| NativeFrame {
            function: Some((*name).to_owned()),
            file: "x.so".into(),
            offset: 0,
            guessed: false,
            inside: 0,
        };
        names.iter().map(frame).collect()
    }

    fn joined(names: &[&str], python: usize, all: bool) -> Vec<(String, usize)> {
        let (joined, _) = with_python(frames(names), python, all);
        let pair = |one: NativeFrame| (one.function.unwrap_or_default(), one.inside);
        joined.into_iter().map(pair).collect()
    }

    #[test]
    fn eval_frames_stand_for_python_frames() {
        let names = [
            "futex",
            "lock",
            "PyEval_EvalFrameEx",
            "call",
            "PyEval_EvalFrameEx.cold",
            "main",
        ];
        let pair = |(name, inside): (&str, usize)| (name.to_owned(), inside);
        let all = [("main", 2), ("call", 1), ("lock", 0), ("futex", 0)].map(pair);
        assert_eq!(joined(&names, 2, true), all);
        assert_eq!(
            joined(&names, 2, false),
            [("lock", 0), ("futex", 0)].map(pair)
        );
        // More of them than Python frames, as where a greenlet runs on the stack of another.
        assert_eq!(joined(&names, 1, true)[0], pair(("main", 1)));
        assert!(with_python(frames(&names), 2, false).1);
        assert!(!with_python(frames(&names[..2]), 2, false).1);
    }
}
