//! The arena of the page: a small game. Owns the players and the crumbs while the object is awake, and writes the
//! players to the attachments of their sockets before it comes to rest, so that the next instance finds them.
//!
//! ```text
//!                    a move                       nobody moved for REST_TICKS: attachments written, tick off
//!   resting (may hibernate)  ------>  ticking  ------>  resting
//!                                      | each TICK: one batch with all who moved and all that happened, to all
//! ```

mod field;
mod news;

use std::collections::HashMap;
use std::time::Duration;

use dormouse::{
    ApiError, Batch, Batching, Context, DurableObject, Env, Message, Request, Response, Result, WebSocket,
    WebSocketPair,
};

use field::{Crumbs, Player, Spot};
use news::{News, Wish};

use super::text::{NAME_CHARS_MAX, POLICY_VIOLATION, tidy};

/// 20 updates a second.
const TICK: Duration = Duration::from_millis(50);
/// Three seconds in which nobody moves end the ticking.
const REST_TICKS: u32 = 60;
/// Each of them is told of each other 20 times a second; more only watch.
const PLAYERS_MAX: usize = 500;

/// A field on which every client is a dormouse that looks for crumbs.
pub(super) struct Arena {
    ctx: Context,
    players: HashMap<WebSocket, Player>,
    crumbs: Crumbs,
    /// Ticks since somebody moved; `None` while there are no ticks.
    still_ticks: Option<u32>,
    moves: Vec<(u16, u16, u16)>,
}

impl DurableObject for Arena {
    // What happens between two ticks leaves with the next, and within 50 ms when there are none.
    const BATCHING: Option<Batching> = Some(Batching::json().delay_ms(50));

    async fn new(ctx: Context, _env: Env) -> Result<Arena> {
        let mut players = HashMap::new();
        for ws in ctx.get_web_sockets(None) {
            // Without one it has not joined yet, or only watches.
            if let Some(player) = ws.deserialize_attachment()? {
                players.insert(ws, player);
            }
        }
        let crumbs = Crumbs::scattered(|| Spot::of_uuid(&ctx.random_uuid()));
        // Whoever was here before has seen other crumbs; after the first construction nobody was.
        let everybody = ctx.batch(None);
        everybody.push(&News::Crumbs(&crumbs))?;
        everybody.flush();
        Ok(Arena { ctx, players, crumbs, still_ticks: None, moves: Vec::new() })
    }

    async fn fetch(&mut self, _request: Request) -> Result<Response> {
        let WebSocketPair { client, server } = WebSocketPair::new();
        self.ctx.accept_web_socket(&server, &[])?;
        Ok(Response::web_socket(client))
    }

    async fn web_socket_message(&mut self, ws: &WebSocket, _message: Message<'_>) -> Result<()> {
        Ok(ws.close(POLICY_VIOLATION, "this is no batch of the arena")?)
    }

    async fn web_socket_batch(&mut self, ws: &WebSocket, batch: Batch<'_>) -> Result<()> {
        for item in batch {
            match item.read() {
                Ok(Wish::Join(name)) => self.join(ws, &name)?,
                Ok(Wish::Go(x, y)) => self.go(ws, Spot::on_field(x, y))?,
                Err(_) => return Ok(ws.close(POLICY_VIOLATION, "this is no message of the arena")?),
            }
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
        Ok(self.leave(ws)?)
    }

    async fn web_socket_error(&mut self, ws: &WebSocket, _error: &dormouse::ProtocolError) -> Result<()> {
        Ok(self.leave(ws)?)
    }

    async fn tick(&mut self) -> Result<()> {
        self.moves.clear();
        for player in self.players.values_mut().filter(|player| player.has_moved) {
            player.has_moved = false;
            self.moves.push((player.id, player.spot.x, player.spot.y));
        }
        if !self.moves.is_empty() {
            self.tell(&News::Moves(&self.moves))?;
            self.ctx.batch(None).flush();
            self.still_ticks = Some(0);
            return Ok(());
        }
        let still_ticks = self.still_ticks.map_or(1, |ticks| ticks + 1);
        self.still_ticks = Some(still_ticks);
        if still_ticks >= REST_TICKS {
            self.rest()?;
        }
        Ok(())
    }
}

impl Arena {
    /// Tells all, with the next batch.
    fn tell(&self, news: &News<'_>) -> Result<(), ApiError> {
        self.ctx.batch(None).push(news)
    }

    fn join(&mut self, ws: &WebSocket, name: &str) -> Result<(), ApiError> {
        if let Some(player) = self.players.get_mut(ws) {
            player.name = tidy(name, NAME_CHARS_MAX).unwrap_or_else(|| player.name.clone());
        } else if self.players.len() < PLAYERS_MAX {
            let spot = Spot::of_uuid(&self.ctx.random_uuid());
            let name = tidy(name, NAME_CHARS_MAX).unwrap_or_else(|| "somebody".to_owned());
            self.players.insert(ws.clone(), Player::new(field::free_id(&self.players), name, spot));
        }
        let own = self.players.get(ws);
        if let Some(player) = own {
            ws.serialize_attachment(player)?;
            self.tell(&News::Player(player))?;
        }
        // What happened before is in the welcome; nothing of it may come later.
        self.ctx.batch(None).flush();
        let welcome = ws.batch();
        welcome.push(&News::Welcome {
            you: own.map(|player| player.id),
            field: field::SIZE,
            crumbs: &self.crumbs,
            players: self.players.values().collect(),
        })?;
        welcome.flush();
        Ok(())
    }

    fn go(&mut self, ws: &WebSocket, spot: Spot) -> Result<(), ApiError> {
        let Some(player) = self.players.get_mut(ws) else { return Ok(()) };
        player.go(spot);
        if let Some(index) = self.crumbs.within_reach_of(player.spot) {
            player.score += 1;
            self.crumbs.put(index, Spot::of_uuid(&self.ctx.random_uuid()));
            let (by, score) = (player.id, player.score);
            self.tell(&News::Eaten { by, score, crumb: index, crumbs: &self.crumbs })?;
        }
        if self.still_ticks.is_none() {
            self.still_ticks = Some(0);
            self.ctx.set_tick(TICK);
        }
        Ok(())
    }

    fn leave(&mut self, ws: &WebSocket) -> Result<(), ApiError> {
        match self.players.remove(ws) {
            Some(player) => self.tell(&News::Left(player.id)),
            None => Ok(()),
        }
    }

    /// Lets the object sleep.
    fn rest(&mut self) -> Result<(), ApiError> {
        for (ws, player) in &self.players {
            ws.serialize_attachment(player)?;
        }
        self.still_ticks = None;
        self.ctx.set_tick(None);
        Ok(())
    }
}
