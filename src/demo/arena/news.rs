//! What the arena and its clients say to each other. Owns the formats: text for what happens now and then, bytes for
//! what happens 20 times a second.
//!
//! ```text
//! from the client   {"join":"Moss"}                       text
//!                   | x: u16 | y: u16 |                   bytes, little-endian: where it wants to be
//! to the client     {"welcome":{"you":1, ...}}  {"player":{...}}  {"left":1}  {"eaten":{...}}  {"crumbs":[...]}
//!                   | id: u16 | x: u16 | y: u16 | ...     bytes, six for each player that moved
//! ```

use dormouse::Message;
use serde::{Deserialize, Serialize};

use super::field::{Crumbs, Player, Spot};

/// What a client may send.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Join(String),
    Go(Spot),
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum TextWish {
    Join(String),
}

impl Wish {
    pub(super) fn read(message: Message<'_>) -> Option<Wish> {
        match message {
            Message::Text(text) => {
                let TextWish::Join(name) = serde_json::from_str(text).ok()?;
                Some(Wish::Join(name))
            }
            Message::Binary(bytes) => {
                let [x0, x1, y0, y1] = *bytes.first_chunk().filter(|_| bytes.len() == 4)?;
                Some(Wish::Go(Spot::on_field(u16::from_le_bytes([x0, x1]), u16::from_le_bytes([y0, y1]))))
            }
        }
    }
}

/// What clients get as text.
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
}

/// Appends where a player is.
pub(super) fn push_move(frame: &mut Vec<u8>, player: &Player) {
    for word in [player.id, player.spot.x, player.spot.y] {
        frame.extend_from_slice(&word.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::text::json;

    #[test]
    fn wishes_read_as_the_page_writes_them() {
        let join = Message::Text(r#"{"join":"Moss"}"#);
        assert_eq!(Wish::read(join), Some(Wish::Join("Moss".to_owned())));
        let go = Message::Binary(&[0x20, 0x03, 0xc2, 0x01]);
        assert_eq!(Wish::read(go), Some(Wish::Go(Spot { x: 800, y: 450 })));
        for no_wish in [Message::Binary(&[1, 2, 3]), Message::Binary(&[0; 5]), Message::Text("{}")] {
            assert_eq!(Wish::read(no_wish), None);
        }
    }

    #[test]
    fn news_read_as_the_page_expects_them() {
        let player = Player::new(3, "Moss".to_owned(), Spot { x: 258, y: 5 });
        let text = json(&News::Player(&player));
        assert_eq!(text, r#"{"player":{"id":3,"name":"Moss","x":258,"y":5,"score":0}}"#);
        let mut frame = Vec::new();
        push_move(&mut frame, &player);
        assert_eq!(frame, [3, 0, 2, 1, 5, 0]);
    }
}
