//! How much is shown of what was looked up for one process.

/// The most bytes of what is shown of one kind of look-up, such as epolls and children: however many threads wait for
/// the same, it is shown with each.
pub(crate) const MOST_SHOWN: usize = 2 << 20;

/// How many more bytes may be shown.
pub(crate) struct Room(pub(crate) usize);

impl Room {
    /// Takes so many bytes, if there are as many.
    pub(crate) fn take(&mut self, bytes: usize) -> bool {
        let left = self.0.checked_sub(bytes);
        self.0 = left.unwrap_or(0);
        left.is_some()
    }
}
