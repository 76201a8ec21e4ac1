//! Tags: a match with two teams, in which some messages go to one team only. A socket has at most 10 tags of 256
//! bytes, and they stay with it while the object sleeps.
//!
//! `cargo run --example tags`, then connect to `ws://127.0.0.1:8787/red` and `ws://127.0.0.1:8787/blue`.

use std::process::ExitCode;

use dormouse::{
    Context, DurableObject, Engine, Env, Message, Request, Response, Result, WebSocket, WebSocketPair, Worker,
};

const TEAMS: [&str; 2] = ["red", "blue"];

struct Match {
    ctx: Context,
}

impl DurableObject for Match {
    async fn new(ctx: Context, _env: Env) -> Result<Match> {
        Ok(Match { ctx })
    }

    async fn fetch(&mut self, request: Request) -> Result<Response> {
        let Some(team) = TEAMS.into_iter().find(|team| request.path().ends_with(team)) else {
            return Ok(Response::new(404, "connect to /red or /blue\n"));
        };
        let WebSocketPair { client, server } = WebSocketPair::new();
        self.ctx.accept_web_socket(&server, &[team])?;
        Ok(Response::web_socket(client))
    }

    /// `all ...` goes to everybody, `swap` changes sides, anything else goes to the own team.
    async fn web_socket_message(&mut self, ws: &WebSocket, message: Message<'_>) -> Result<()> {
        let Some(text) = message.as_text() else { return Ok(()) };
        let team = self.ctx.get_tags(ws)?.into_iter().next().unwrap_or_default();
        match text.strip_prefix("all ") {
            Some(text) => {
                self.ctx.broadcast(text).except(ws).send();
            }
            None if text == "swap" => self.swap(ws, &team)?,
            None => {
                self.ctx.broadcast(text).tag(&team).except(ws).send();
            }
        }
        Ok(())
    }
}

impl Match {
    fn swap(&self, ws: &WebSocket, team: &str) -> Result<()> {
        let other = TEAMS.into_iter().find(|other| *other != team).unwrap_or(TEAMS[0]);
        self.ctx.remove_tag(ws, team)?;
        self.ctx.add_tag(ws, other)?;
        // Those with a tag come oldest first, so that the list is the same for all.
        let mates = self.ctx.get_web_sockets(Some(other)).len();
        Ok(ws.send(&format!("you are {other} now, one of {mates}"))?)
    }
}

struct Router;

impl Worker for Router {
    async fn fetch(&self, request: Request, env: &Env) -> Result<Response> {
        env.namespace("MATCH")?.get_by_name("final").fetch(request).await
    }
}

fn main() -> ExitCode {
    Engine::new(Router).namespace::<Match>("MATCH").main()
}
