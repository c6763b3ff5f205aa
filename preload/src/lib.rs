//! libsleeper.so
pub mod interface;
/// State
#[unsafe(no_mangle)]
pub extern "C" fn sleeper_agent_state() -> *const std::ffi::c_char {
    c"### Thread 1:\n".as_ptr()
}
