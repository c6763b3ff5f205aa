//! The header of an answer in the memory of the process.
//!
//! Change [`ANSWER_MAGIC`](crate::names::ANSWER_MAGIC) whenever the header or the meaning of its fields
//! changes.

/// Stands in memory directly before the text whose address
/// [`STATE_FUNCTION`](crate::names::STATE_FUNCTION) returns. With it a reader can fetch the text in one
/// piece, and notice if it has been replaced meanwhile.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerHeader {
    /// [`ANSWER_MAGIC`](crate::names::ANSWER_MAGIC).
    pub magic: [u8; 8],
    /// Length of the text, in bytes, without the NUL that ends it.
    pub length: u64,
    /// Counts the answers of this process, from 1. Texts that never change have 0.
    pub number: u64,
    /// [`Question::number`](crate::question::Question::number) of the question that this answers; 0 if it
    /// answers any: stacks read from memory, or the reason why there is no state.
    pub question: u64,
}
