//! A room: what one says, all hear. Owns nothing; the engine keeps the sockets.

use dormouse::{Context, DurableObject, Env, Message, Request, Response, Result, WebSocket, WebSocketPair};

/// Sends each message, unchanged, to every client of its path, the sender included.
pub(super) struct Room {
    ctx: Context,
}

impl DurableObject for Room {
    async fn new(ctx: Context, _env: Env) -> Result<Room> {
        Ok(Room { ctx })
    }

    async fn fetch(&mut self, _request: Request) -> Result<Response> {
        let WebSocketPair { client, server } = WebSocketPair::new();
        self.ctx.accept_web_socket(&server, &[])?;
        Ok(Response::web_socket(client))
    }

    async fn web_socket_message(&mut self, _ws: &WebSocket, message: Message<'_>) -> Result<()> {
        self.ctx.broadcast(message).send();
        Ok(())
    }
}
