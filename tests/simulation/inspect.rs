//! What an object sees of its sockets at the beginning of each event, held against what the run knows. Owns the rules
//! about lists, tags, attachments, what may be queued, and `send` after `close`.

use dormouse::{ApiError, Context, ReadyState, WebSocket};

use super::verbs::TEXT_BYTES_MAX;
use super::witness;

/// How much more than its bound a socket may queue within one turn: `delivery::UNTRIED_FACTOR`.
const UNTRIED_FACTOR: usize = 16;

thread_local! {
    static OUTPUT_BYTES_MAX: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

pub fn set_output_bytes_max(bytes: usize) {
    OUTPUT_BYTES_MAX.set(bytes);
}

/// Whose socket it is.
pub fn client_of(ws: &WebSocket) -> Option<u32> {
    Some(ws.deserialize_attachment::<(u32, u32)>().ok()??.0)
}

/// Looks at every socket of an object.
pub fn inspect(ctx: &Context, room: &str) {
    let sockets = ctx.get_web_sockets(None);
    let mut listed = Vec::new();
    for ws in &sockets {
        let Ok(Some((client, value))) = ws.deserialize_attachment::<(u32, u32)>() else {
            witness::with(|witness| witness.breaks(format!("a socket of {room} has lost its attachment")));
            return;
        };
        listed.push(client);
        let tags = ctx.get_tags(ws).unwrap_or_default();
        let queued = ws.buffered_amount();
        let (is_closed, said_after) = refusal(ws, client);
        witness::with(|witness| {
            let Some(record) = witness.sockets.get(&client) else { return };
            let (known_value, known_tags) = (record.value, record.tags.clone());
            witness.holds(value == known_value, || {
                format!("client {client} has {value} attached, and {known_value} was set")
            });
            witness.holds(tags == known_tags, || {
                format!("client {client} has tags {tags:?}, not {known_tags:?}")
            });
            witness.holds(!is_closed || !said_after, || {
                format!("a send to client {client} is allowed after close()")
            });
            let most = OUTPUT_BYTES_MAX.get() * UNTRIED_FACTOR + TEXT_BYTES_MAX + 1_000;
            witness.holds(queued <= most, || {
                format!("a budget is not kept: {queued} bytes for client {client}")
            });
        });
    }
    listed.reverse();
    witness::with(|witness| {
        let members = witness.room(room).members.clone();
        witness.holds(listed == members, || format!("{room} lists {listed:?}, and has {members:?}"));
    });
}

/// Whether the object closed this socket, and whether it may send to it all the same.
fn refusal(ws: &WebSocket, client: u32) -> (bool, bool) {
    let is_closed = witness::with(|witness| witness.has_closed(client));
    if !is_closed {
        return (false, true);
    }
    let result = ws.send("never");
    witness::with(|witness| witness.speaks_to(client));
    // A close that came when the client was gone already was ignored, and so is this.
    let is_refused = result == Err(ApiError::SendAfterClose) || ws.ready_state() == ReadyState::Closed;
    (true, !is_refused)
}
