//! A game loop: clients steer, the object moves them 30 times a second and says once a tick where everybody is. With
//! nobody on the field it stops ticking, so that it may go.
//!
//! `cargo run --example game_tick`, then connect to `ws://127.0.0.1:8787/any-game` and send `1 0` or `0 -1`.

use std::collections::HashMap;
use std::fmt::Write;
use std::process::ExitCode;
use std::time::Duration;

use dormouse::{
    Context, DurableObject, Engine, Env, Message, ProtocolError, Request, Response, Result, SlowReader,
    WebSocket, WebSocketPair, Worker,
};

const TICK: Duration = Duration::from_millis(33);

struct Game {
    ctx: Context,
    players: HashMap<WebSocket, Player>,
}

#[derive(Default)]
struct Player {
    at: [i32; 2],
    heading: [i32; 2],
}

impl DurableObject for Game {
    // A client that cannot follow misses some positions and is told the next; it need not be closed.
    const SLOW_READER: SlowReader = SlowReader::DropNewest;

    async fn new(ctx: Context, _env: Env) -> Result<Game> {
        // Somebody is here already if a handler failed; an object that ticks does not hibernate.
        let players = ctx.get_web_sockets(None).into_iter().map(|ws| (ws, Player::default())).collect();
        let game = Game { ctx, players };
        game.keep_pace();
        Ok(game)
    }

    async fn fetch(&mut self, _request: Request) -> Result<Response> {
        let WebSocketPair { client, server } = WebSocketPair::new();
        self.ctx.accept_web_socket(&server, &[])?;
        self.players.insert(server, Player::default());
        self.keep_pace();
        Ok(Response::web_socket(client))
    }

    async fn web_socket_message(&mut self, ws: &WebSocket, message: Message<'_>) -> Result<()> {
        let heading = message.as_text().and_then(parse_heading);
        match (heading, self.players.get_mut(ws)) {
            (Some(heading), Some(player)) => player.heading = heading,
            _ => ws.close(1008, "send two numbers")?,
        }
        Ok(())
    }

    async fn web_socket_close(
        &mut self,
        ws: &WebSocket,
        _code: u16,
        _reason: &str,
        _was_clean: bool,
    ) -> Result<()> {
        self.leave(ws);
        Ok(())
    }

    async fn web_socket_error(&mut self, ws: &WebSocket, _error: &ProtocolError) -> Result<()> {
        self.leave(ws);
        Ok(())
    }

    async fn tick(&mut self) -> Result<()> {
        let mut places = String::new();
        for player in self.players.values_mut() {
            for (at, heading) in player.at.iter_mut().zip(player.heading) {
                *at = (*at + heading).clamp(-1_000, 1_000);
            }
            writeln!(places, "{} {}", player.at[0], player.at[1])?;
        }
        // Encoded once, whatever the number of players.
        self.ctx.broadcast(&places).send();
        Ok(())
    }
}

impl Game {
    fn leave(&mut self, ws: &WebSocket) {
        self.players.remove(ws);
        self.keep_pace();
    }

    /// Ticks while there are players.
    fn keep_pace(&self) {
        self.ctx.set_tick((!self.players.is_empty()).then_some(TICK));
    }
}

fn parse_heading(text: &str) -> Option<[i32; 2]> {
    let (x, y) = text.trim().split_once(' ')?;
    let direction = |number: &str| number.parse::<i32>().ok().map(i32::signum);
    Some([direction(x)?, direction(y)?])
}

struct Router;

impl Worker for Router {
    async fn fetch(&self, request: Request, env: &Env) -> Result<Response> {
        env.namespace("GAME")?.get_by_name(request.path()).fetch(request).await
    }
}

fn main() -> ExitCode {
    Engine::new(Router).namespace::<Game>("GAME").main()
}
