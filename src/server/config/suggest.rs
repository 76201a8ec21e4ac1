//! Owns the answer to an unknown name: what was probably meant, and what there is.

use super::table::{KEYS, Key, SECTIONS};

/// The known key that was probably meant.
pub(super) fn key(unknown: &str) -> Option<String> {
    let name_only = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    // The right name in the wrong section, or in none, is what people write most.
    let moved = KEYS.iter().find(|key| name_only(key.name) == name_only(unknown));
    let meant = moved.map(|key| key.name).or_else(|| closest(unknown, KEYS.iter().map(|key| key.name)));
    meant.map(str::to_owned)
}

/// The known variable that was probably meant.
pub(super) fn variable(unknown: &str) -> Option<String> {
    let variables: Vec<String> = KEYS.iter().map(Key::variable).collect();
    closest(&unknown.to_ascii_uppercase(), variables.iter().map(String::as_str)).map(str::to_owned)
}

/// What there is where the unknown key stands: the keys of its section, or the sections and top-level keys.
pub(super) fn keys_beside(unknown: &str) -> String {
    let section = unknown.split_once('.').map_or("", |(section, _)| section);
    let names = |section: &str| -> Vec<&str> {
        KEYS.iter().map(Key::split).filter(|split| split.0 == section).map(|split| split.1).collect()
    };
    match names(section) {
        known if !section.is_empty() && !known.is_empty() => format!("[{section}] has {}", known.join(", ")),
        _ => {
            let sections: Vec<_> = SECTIONS.iter().map(|(name, _)| format!("[{name}]")).collect();
            format!("known are {} and {}", names("").join(", "), sections.join(", "))
        }
    }
}

/// The candidate within a third of the letters; further away it is another word.
fn closest<'a>(unknown: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let distance = |candidate: &str| strsim::damerau_levenshtein(unknown, candidate);
    let near = |candidate: &&str| distance(candidate) <= unknown.len().max(3) / 3;
    candidates.filter(near).min_by_key(|candidate| distance(candidate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_is_answered_with_the_key() {
        assert_eq!(key("limits.mesage_bytes").as_deref(), Some("limits.message_bytes"));
        assert_eq!(key("lisen").as_deref(), Some("listen"));
        assert_eq!(key("timeout.ping").as_deref(), Some("timeouts.ping"));
    }

    #[test]
    fn the_right_name_in_the_wrong_place_is_found() {
        assert_eq!(key("message_bytes").as_deref(), Some("limits.message_bytes"));
        assert_eq!(key("buffers.headers").as_deref(), Some("limits.headers"));
    }

    #[test]
    fn another_word_gets_no_suggestion_but_the_list() {
        assert_eq!(key("limits.frobnicate"), None);
        assert!(keys_beside("limits.frobnicate").starts_with("[limits] has head_bytes, headers, "));
        assert!(keys_beside("frobnicate").starts_with("known are listen, cores, log and [buffers], "));
        assert!(keys_beside("frob.nicate").starts_with("known are listen, "));
    }

    #[test]
    fn variables_are_suggested_as_variables() {
        assert_eq!(
            variable("DORMOUSE_LIMIT_MESSAGE_BYTES").as_deref(),
            Some("DORMOUSE_LIMITS_MESSAGE_BYTES")
        );
    }
}
