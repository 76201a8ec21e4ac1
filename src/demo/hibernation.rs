//! The published hibernation example as a Rust object, with its texts. Owns the session ids, which live in the
//! attachments of the sockets; the map of sessions that the JavaScript keeps is the engine's list of sockets here.

use dormouse::{
    ApiError, Context, DurableObject, Env, Message, Request, Response, Result, WebSocket, WebSocketPair,
    WebSocketRequestResponsePair,
};
use serde::{Deserialize, Serialize};

/// What a request gets that asks for a socket the wrong way; `None` when it asks the right way.
pub(super) fn refusal(request: &Request) -> Result<Option<Response>, ApiError> {
    if !request.is_upgrade() {
        // RFC 9110 15.5.22: a 426 names the protocol.
        let refusal = plain(426, "Worker expected Upgrade: websocket")?;
        return Ok(Some(refusal.with_header("Upgrade", "websocket")?));
    }
    if request.method() != "GET" {
        return Ok(Some(plain(400, "Worker expected GET method")?));
    }
    Ok(None)
}

/// What every path gets that nothing else answers.
pub(super) fn supported_endpoints() -> Result<Response, ApiError> {
    plain(200, "Supported endpoints:\n  /websocket: Expects a WebSocket upgrade request")
}

fn plain(status: u16, text: &str) -> Result<Response, ApiError> {
    Response::new(status, text).with_header("Content-Type", "text/plain")
}

/// Answers each message three times: to the sender, to all, and to all but the sender.
pub(super) struct WebSocketHibernationServer {
    ctx: Context,
}

/// What a socket carries through hibernation.
#[derive(Debug, Serialize, Deserialize)]
struct Session {
    id: String,
}

impl DurableObject for WebSocketHibernationServer {
    async fn new(ctx: Context, _env: Env) -> Result<WebSocketHibernationServer> {
        ctx.set_web_socket_auto_response(WebSocketRequestResponsePair::new("ping", "pong"))?;
        Ok(WebSocketHibernationServer { ctx })
    }

    async fn fetch(&mut self, _request: Request) -> Result<Response> {
        let WebSocketPair { client, server } = WebSocketPair::new();
        self.ctx.accept_web_socket(&server, &[])?;
        server.serialize_attachment(&Session { id: self.ctx.random_uuid() })?;
        Ok(Response::web_socket(client))
    }

    async fn web_socket_message(&mut self, ws: &WebSocket, message: Message<'_>) -> Result<()> {
        let Session { id } = ws.deserialize_attachment()?.ok_or("a socket without a session")?;
        let total = self.ctx.web_socket_count();
        // In JavaScript, which the texts come from, bytes in a text read like this.
        let message = message.as_text().unwrap_or("[object ArrayBuffer]");
        let reply = |to: &str| {
            format!("[Durable Object] message: {message}, from: {id}, to: {to}. Total connections: {total}")
        };
        ws.send(&reply("the initiating client"))?;
        self.ctx.broadcast(&reply("all clients")).send();
        self.ctx.broadcast(&reply("all clients except the initiating client")).except(ws).send();
        Ok(())
    }

    async fn web_socket_close(
        &mut self,
        ws: &WebSocket,
        code: u16,
        reason: &str,
        _was_clean: bool,
    ) -> Result<()> {
        Ok(ws.close(code, reason)?)
    }
}
