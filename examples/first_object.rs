//! The smallest object that is of use: a room for each path. What one client says, all clients of the path hear.
//!
//! `cargo run --example first_object`, then connect to `ws://127.0.0.1:8787/any/path`.

use dormouse::*;

struct Room(Context);
impl DurableObject for Room {
    async fn new(ctx: Context, _env: Env) -> Result<Room> {
        Ok(Room(ctx))
    }

    async fn fetch(&mut self, _request: Request) -> Result<Response> {
        let pair = WebSocketPair::new();
        self.0.accept_web_socket(&pair.server, &[])?;
        Ok(Response::web_socket(pair.client))
    }

    async fn web_socket_message(&mut self, _ws: &WebSocket, message: Message<'_>) -> Result<()> {
        self.0.broadcast(message).send();
        Ok(())
    }
}

struct Router;
impl Worker for Router {
    async fn fetch(&self, request: Request, env: &Env) -> Result<Response> {
        env.namespace("ROOM")?.get_by_name(request.path()).fetch(request).await
    }
}

fn main() -> std::process::ExitCode {
    Engine::new(Router).namespace::<Room>("ROOM").main()
}
