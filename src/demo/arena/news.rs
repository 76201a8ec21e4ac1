//! What the arena and its clients say to each other: JSON, in batches both ways (docs/batching.md).
//!
//! ```text
//! from the client   {"join":"Moss"}  {"go":[800,450]}
//! to the client     {"welcome":{"you":1, ...}}  {"player":{...}}  {"left":1}  {"eaten":{...}}  {"crumbs":[...]}
//!                   {"moves":[[1,800,450],[2,30,60]]}
//! ```

use serde::{Deserialize, Serialize};

use super::field::{Crumbs, Player};

/// What a client may send.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Wish {
    Join(String),
    /// Where it wants to be.
    Go(u16, u16),
}

/// What clients get.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum News<'a> {
    Welcome {
        /// `None` for one that only watches.
        you: Option<u16>,
        field: (u16, u16),
        crumbs: &'a Crumbs,
        players: Vec<&'a Player>,
    },
    /// One that joined, or changed its name.
    Player(&'a Player),
    Left(u16),
    Eaten {
        by: u16,
        score: u32,
        /// Which of them was eaten and lies elsewhere now.
        crumb: usize,
        crumbs: &'a Crumbs,
    },
    Crumbs(&'a Crumbs),
    /// Who moved since the last tick, and where they are.
    Moves(&'a [(u16, u16, u16)]),
}

#[cfg(test)]
mod tests {
    use super::super::field::Spot;
    use super::*;
    use crate::demo::text::json;

    #[test]
    fn wishes_read_as_the_page_writes_them() {
        let read = |text| serde_json::from_str::<Wish>(text).ok();
        assert_eq!(read(r#"{"join":"Moss"}"#), Some(Wish::Join("Moss".to_owned())));
        assert_eq!(read(r#"{"go":[800,450]}"#), Some(Wish::Go(800, 450)));
        for no_wish in ["{}", r#"{"go":[800]}"#, r#"{"go":[-1,0]}"#, r#"{"go":[70000,0]}"#, r#""join""#] {
            assert_eq!(read(no_wish), None);
        }
    }

    #[test]
    fn news_read_as_the_page_expects_them() {
        let player = Player::new(3, "Moss".to_owned(), Spot { x: 258, y: 5 });
        let text = json(&News::Player(&player));
        assert_eq!(text, r#"{"player":{"id":3,"name":"Moss","x":258,"y":5,"score":0}}"#);
        assert_eq!(json(&News::Moves(&[(3, 258, 5)])), r#"{"moves":[[3,258,5]]}"#);
    }
}
