//! A chat with names. What a socket must not lose while its object sleeps lies in its attachment; what the object
//! keeps in its own fields is gone when it wakes.
//!
//! `cargo run --example chat`, then connect to `ws://127.0.0.1:8787/any-room?name=Moss`.

use std::process::ExitCode;

use dormouse::{
    Context, DurableObject, Engine, Env, Message, Request, Response, Result, WebSocket, WebSocketPair,
    WebSocketRequestResponsePair, Worker,
};
use serde::{Deserialize, Serialize};

struct Chat {
    ctx: Context,
    /// Since this instance was made; a sleep ends it.
    lines: u64,
}

/// At most `limits.attachment_bytes` (2,048) as MessagePack.
#[derive(Serialize, Deserialize)]
struct Person {
    name: String,
}

impl Person {
    fn of(ws: &WebSocket) -> Result<Person> {
        Ok(ws.deserialize_attachment()?.ok_or("every socket here has an attachment")?)
    }
}

impl DurableObject for Chat {
    // Runs at the first event, and again at each wake.
    async fn new(ctx: Context, _env: Env) -> Result<Chat> {
        // Clients may ask whether the line still stands; the engine answers without waking anybody.
        ctx.set_web_socket_auto_response(WebSocketRequestResponsePair::new("ping", "pong"))?;
        Ok(Chat { ctx, lines: 0 })
    }

    async fn fetch(&mut self, request: Request) -> Result<Response> {
        if !request.is_upgrade() {
            return Ok(Response::text(format!("{} are here\n", self.ctx.web_socket_count())));
        }
        let name = request.query().and_then(|query| query.strip_prefix("name=")).unwrap_or("somebody");
        let WebSocketPair { client, server } = WebSocketPair::new();
        self.ctx.accept_web_socket(&server, &[])?;
        server.serialize_attachment(&Person { name: name.to_owned() })?;
        self.ctx.broadcast(&format!("{name} comes in")).except(&server).send();
        Ok(Response::web_socket(client))
    }

    async fn web_socket_message(&mut self, ws: &WebSocket, message: Message<'_>) -> Result<()> {
        self.lines += 1;
        let name = Person::of(ws)?.name;
        self.ctx.broadcast(&format!("{} {name}: {message}", self.lines)).send();
        Ok(())
    }

    async fn web_socket_close(
        &mut self,
        ws: &WebSocket,
        _code: u16,
        _reason: &str,
        _was_clean: bool,
    ) -> Result<()> {
        let name = Person::of(ws)?.name;
        self.ctx.broadcast(&format!("{name} leaves")).send();
        Ok(())
    }
}

struct Router;

impl Worker for Router {
    async fn fetch(&self, request: Request, env: &Env) -> Result<Response> {
        env.namespace("CHAT")?.get_by_name(request.path()).fetch(request).await
    }
}

fn main() -> ExitCode {
    Engine::new(Router).namespace::<Chat>("CHAT").main()
}
