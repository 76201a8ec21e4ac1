//! What chat and arena do with text: names and lines that people typed, and the JSON that they get. Owns no state.

use serde::Serialize;

/// Longer names are cut, in characters.
pub(super) const NAME_CHARS_MAX: usize = 24;
/// RFC 6455 7.4.1: the code for a message that the endpoint does not accept.
pub(super) const POLICY_VIOLATION: u16 = 1008;

/// What a person typed, without control characters and the space around it, cut to size; `None` when nothing is left.
pub(super) fn tidy(text: &str, chars_max: usize) -> Option<String> {
    let printable = |character: &char| !character.is_control();
    let text: String = text.trim().chars().filter(printable).take(chars_max).collect();
    (!text.is_empty()).then_some(text)
}

/// For the types of this demo, which JSON can express.
pub(super) fn json<T: Serialize>(news: &T) -> String {
    serde_json::to_string(news).expect("names, texts and numbers are JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_type_is_tidied_and_cut() {
        assert_eq!(tidy("  hi\n\u{7}there ", 100).as_deref(), Some("hithere"));
        assert_eq!(tidy("äöü", 2).as_deref(), Some("äö"));
        assert_eq!(tidy(" \n\t", 10), None);
    }
}
