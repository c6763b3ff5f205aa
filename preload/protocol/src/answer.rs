//! How an answer stands in the memory of the process.

/// Stands in memory directly before the text whose address [`STATE_FUNCTION`] returns, so
/// that a reader can fetch the text in one piece, and can tell whether it has been replaced
/// meanwhile.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerHeader {
    /// [`ANSWER_MAGIC`].
    pub magic: [u8; 8],
    /// Length of the text in bytes, without the NUL that ends it.
    pub length: u64,
    /// Counts the answers of this process.
    pub number: u64,
    /// `Question::number` of what was asked for, if that is what this tells. 0 of a walk, or of why there
    /// is no state, which is told whatever is asked for.
    pub question: u64,
}
