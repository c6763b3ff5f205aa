//! An output stream of a process, read by its own thread.

use std::io::Read;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// What a stream has delivered so far, filled by its own thread.
#[derive(Default)]
pub struct Stream {
    state: Mutex<(Vec<u8>, bool)>,
    changed: Condvar,
}

impl Stream {
    /// Follows a stream until it ends.
    pub fn follow(mut source: impl Read + Send + 'static) -> Arc<Stream> {
        let stream = Arc::new(Stream::default());
        let filled = Arc::clone(&stream);
        thread::spawn(move || {
            let mut block = [0; 65536];
            loop {
                let got = source.read(&mut block).unwrap_or(0);
                let mut state = filled.state.lock().unwrap();
                state.0.extend_from_slice(&block[..got]);
                state.1 = got == 0;
                filled.changed.notify_all();
                if got == 0 {
                    return;
                }
            }
        });
        stream
    }

    /// All that has come by now.
    pub fn so_far(&self) -> Vec<u8> {
        self.state.lock().unwrap().0.clone()
    }

    /// Waits until `found` finds something in the text, the stream ends, or the time is up.
    pub fn wait<T>(&self, limit: Duration, found: impl Fn(&[u8]) -> Option<T>) -> Option<T> {
        let until = Instant::now() + limit;
        let mut state = self.state.lock().unwrap();
        loop {
            if let Some(result) = found(&state.0) {
                return Some(result);
            }
            let left = until.saturating_duration_since(Instant::now());
            if state.1 || left.is_zero() {
                return None;
            }
            state = self.changed.wait_timeout(state, left).unwrap().0;
        }
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        self.state.lock().unwrap().1
    }

    /// Waits until the stream ends, or the time is up.
    pub fn wait_end(&self, limit: Duration) {
        self.wait(limit, |_| None::<()>);
    }
}
