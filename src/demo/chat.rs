//! The chat room of the page. Owns the names, which live in attachments, and the last lines, which live in memory and
//! are gone when the object sleeps.
//!
//! ```text
//! from the client   {"join":"Moss"}            {"say":"hello"}
//! to the client     {"history":[line, ...]}    {"line":{"name":"Moss","text":"hello","at":1700000000000}}
//! ```

use std::collections::VecDeque;

use dormouse::{
    ApiError, Context, DurableObject, Env, Message, Request, Response, Result, WebSocket, WebSocketPair,
};
use serde::{Deserialize, Serialize};

use super::text::{NAME_CHARS_MAX, POLICY_VIOLATION, json, tidy};

/// Lines that whoever joins gets to see.
const HISTORY_LINES: usize = 50;
/// Longer texts are cut, in characters.
const TEXT_CHARS_MAX: usize = 500;

/// Sends what one says to all who are there.
pub(super) struct Chat {
    ctx: Context,
    history: VecDeque<Line>,
}

/// What a client may send.
#[derive(Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum Wish {
    Join(String),
    Say(String),
}

/// What clients get.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum News<'a> {
    History(&'a VecDeque<Line>),
    Line(&'a Line),
}

#[derive(Debug, Serialize)]
struct Line {
    name: String,
    text: String,
    /// Milliseconds since the Unix epoch.
    at: u64,
}

impl DurableObject for Chat {
    async fn new(ctx: Context, _env: Env) -> Result<Chat> {
        Ok(Chat { ctx, history: VecDeque::new() })
    }

    async fn fetch(&mut self, _request: Request) -> Result<Response> {
        let WebSocketPair { client, server } = WebSocketPair::new();
        self.ctx.accept_web_socket(&server, &[])?;
        Ok(Response::web_socket(client))
    }

    async fn web_socket_message(&mut self, ws: &WebSocket, message: Message<'_>) -> Result<()> {
        let wish = message.as_text().and_then(|text| serde_json::from_str(text).ok());
        match wish {
            Some(Wish::Join(name)) => self.join(ws, &name)?,
            Some(Wish::Say(text)) => self.say(ws, &text)?,
            None => ws.close(POLICY_VIOLATION, "this is no message of the chat")?,
        }
        Ok(())
    }
}

impl Chat {
    fn join(&self, ws: &WebSocket, name: &str) -> Result<(), ApiError> {
        ws.serialize_attachment(&tidy(name, NAME_CHARS_MAX).unwrap_or_else(|| "somebody".to_owned()))?;
        ws.send(&json(&News::History(&self.history)))
    }

    fn say(&mut self, ws: &WebSocket, text: &str) -> Result<(), ApiError> {
        let Some(text) = tidy(text, TEXT_CHARS_MAX) else { return Ok(()) };
        let name = ws.deserialize_attachment()?.unwrap_or_else(|| "somebody".to_owned());
        let line = Line { name, text, at: self.ctx.now_ms() };
        self.ctx.broadcast(&json(&News::Line(&line))).send();
        if self.history.len() == HISTORY_LINES {
            self.history.pop_front();
        }
        self.history.push_back(line);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_read_as_the_page_writes_them() {
        let wish = |text: &str| serde_json::from_str(text).ok();
        assert_eq!(wish(r#"{"join":"Moss"}"#), Some(Wish::Join("Moss".to_owned())));
        assert_eq!(wish(r#"{"say":"hello"}"#), Some(Wish::Say("hello".to_owned())));
        assert_eq!(wish(r#"{"sing":"hello"}"#), None::<Wish>);
    }
}
