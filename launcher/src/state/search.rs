//! The result of a search that was optional, and may have failed.

use protocol::marshal::Value;

/// What the library's search for suspended greenlets or generators has come to.
#[derive(Clone, Debug, PartialEq)]
pub enum Search<T> {
    /// They were not asked for.
    NotAsked,
    /// They cannot be found in this program.
    Failed,
    /// All that were found.
    Found(T),
}

impl<T> Search<T> {
    /// Reads what stands under a key of [`suspended`](protocol::state::suspended), where `parse` reads
    /// what was found; `None` if that cannot.
    pub(crate) fn parse(
        value: Option<Value>,
        parse: impl FnOnce(Value) -> Option<T>,
    ) -> Option<Search<T>> {
        Some(match value {
            None => Search::NotAsked,
            Some(Value::None) => Search::Failed,
            Some(value) => Search::Found(parse(value)?),
        })
    }

    /// What was found, if anything was.
    pub fn found(&self) -> Option<&T> {
        match self {
            Search::Found(found) => Some(found),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn tells_what_was_not_asked_for_from_what_cannot_be_found() {
        let parse = |value| Search::parse(value, |value| value.text());
        assert_eq!(parse(None), Some(Search::NotAsked));
        assert_eq!(parse(Some(Value::None)), Some(Search::Failed));
        let found = Some(Search::Found("a".to_owned()));
        assert_eq!(parse(Some(Value::Text(b"a"))), found);
        assert_eq!(parse(Some(Value::Number(1))), None);
    }
}
