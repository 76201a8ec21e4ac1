//! The object of a simulation and the worker before it. Owns what happens around each event; what a message asks for
//! is done by `verbs`. An object keeps nothing in itself, so that it may be dropped at any moment.

use std::borrow::Cow;
use std::cell::Cell;
use std::time::Duration;

use dormouse::object::WorldBuilder;
use dormouse::{
    Batch, BatchFormat, Batching, Context, DurableObject, Env, Message, ProtocolError, Request, Response,
    Result, SlowReader, WebSocket, WebSocketPair, WebSocketRequestResponsePair, Worker,
};

use super::batches;
use super::client::ANSWER_CODE;
use super::inspect::{client_of, inspect};
use super::running::{Constructing, Kind, Running};
use super::verbs::{self, AUTO_REQUEST, AUTO_RESPONSE};
use super::witness;
use crate::support::random::Random;

/// Under this name the objects are bound.
pub const BINDING: &str = "ROOM";

/// What a room does with what a slow reader cannot take,
const CLOSES: u8 = 0;
const DROPS: u8 = 1;
const KEEPS: u8 = 2;
const POLICY: u8 = 3;

/// and how it batches, if it does.
const BATCHES: u8 = 4;
const PACKS: u8 = 8;

/// Binds the rooms of a run.
pub fn bind(builder: WorldBuilder, policy: SlowReader, batching: Option<BatchFormat>) -> WorldBuilder {
    use BatchFormat::{Json, MessagePack};
    use SlowReader::{Close, DropNewest, KeepLatest};
    match (policy, batching) {
        (Close, None) => builder.namespace::<Room<CLOSES>>(BINDING),
        (DropNewest, None) => builder.namespace::<Room<DROPS>>(BINDING),
        (KeepLatest, None) => builder.namespace::<Room<KEEPS>>(BINDING),
        (Close, Some(Json)) => builder.namespace::<Room<{ CLOSES | BATCHES }>>(BINDING),
        (DropNewest, Some(Json)) => builder.namespace::<Room<{ DROPS | BATCHES }>>(BINDING),
        (KeepLatest, Some(Json)) => builder.namespace::<Room<{ KEEPS | BATCHES }>>(BINDING),
        (Close, Some(MessagePack)) => builder.namespace::<Room<{ CLOSES | PACKS }>>(BINDING),
        (DropNewest, Some(MessagePack)) => builder.namespace::<Room<{ DROPS | PACKS }>>(BINDING),
        (KeepLatest, Some(MessagePack)) => builder.namespace::<Room<{ KEEPS | PACKS }>>(BINDING),
    }
}

/// An object that does as its messages say.
pub struct Room<const KIND: u8> {
    ctx: Context,
    env: Env,
    life: Life,
}

/// Notices that the instance goes.
struct Life {
    name: String,
    number: u64,
    /// Its end is a panic.
    is_bomb: Cell<bool>,
}

impl Drop for Life {
    fn drop(&mut self) {
        let is_over = witness::with(|witness| {
            witness.died(&self.name, self.number);
            witness.is_over
        });
        if self.is_bomb.get() && !is_over && !std::thread::panicking() {
            scripted_panic();
        }
    }
}

/// What a constructor does.
enum Fate {
    Lives,
    Waits(u64),
    Fails,
    Panics,
}

fn fate(name: &str) -> Fate {
    witness::with(|witness| {
        witness.constructions += 1;
        let mut random = Random::new(witness.constructions ^ (name.len() as u64) << 32).split();
        if random.percent(witness.failing_constructor) {
            return if random.percent(50) { Fate::Fails } else { Fate::Panics };
        }
        if random.percent(witness.slow_constructor) { Fate::Waits(5) } else { Fate::Lives }
    })
}

pub fn scripted_panic() -> ! {
    witness::with(|witness| witness.scripted_panics += 1);
    panic!("a scripted panic");
}

impl<const KIND: u8> Room<KIND> {
    fn begin(&self, kind: Kind) -> Running {
        let running = Running::begin(&self.life.name, self.life.number, kind);
        inspect(&self.ctx, &self.life.name);
        running
    }

    async fn upgrade(&self, request: &Request) -> Result<Response> {
        let query = Query::of(request);
        let name = &self.life.name;
        let client = query.number("c");
        let tags: Vec<&str> = query.all("tag").collect();
        let WebSocketPair { client: theirs, server } = WebSocketPair::new();
        server.serialize_attachment(&(client, 0u32))?;
        if query.number("early") > 0 {
            // Before anybody knows whether it will be accepted.
            self.ctx.sleep(Duration::from_millis(u64::from(query.number("early")))).await;
        }
        let is_first = self.ctx.web_socket_count() == 0;
        if let Err(error) = self.ctx.accept_web_socket(&server, &tags) {
            witness::with(|witness| {
                let (count, limit) = (witness.room(name).members.len(), witness.sockets_max);
                witness
                    .holds(count >= limit, || format!("{name} refuses client {client} with {count} sockets"));
            });
            return Err(error.into());
        }
        witness::with(|witness| witness.accepted(name, client, &tags));
        if is_first {
            set_pair(&self.ctx, name, true)?;
        }
        if query.number("greet") > 0 {
            verbs::send(&server, client, format!("welcome {client}:0"));
        }
        if query.number("late") > 0 {
            self.ctx.sleep(Duration::from_millis(u64::from(query.number("late")))).await;
        }
        match query.number("fails") {
            0 => Ok(Response::web_socket(theirs)),
            1 => Err("a scripted failure".into()),
            _ => scripted_panic(),
        }
    }

    async fn visit(&self, request: &Request) -> Result<Response> {
        let text = String::from_utf8(request.body().to_vec())?;
        verbs::broadcast(&self.ctx, &self.life.name, &text, None, None);
        Ok(Response::text(text))
    }

    async fn message(&self, ws: &WebSocket, message: Message<'_>) -> Result<()> {
        let Some(client) = client_of(ws) else {
            return Err("a socket without an attachment".into());
        };
        let Message::Text(text) = message else {
            witness::with(|witness| witness.breaks(format!("client {client} never sends binary messages")));
            return Ok(());
        };
        if text == AUTO_REQUEST {
            // No pair was in force when it came.
            verbs::send(ws, client, format!("unpaired {client}:0"));
            return Ok(());
        }
        self.perform(ws, client, text).await
    }

    async fn batch(&self, ws: &WebSocket, batch: Batch<'_>) -> Result<()> {
        let Some(client) = client_of(ws) else {
            return Err("a socket without an attachment".into());
        };
        let texts: Vec<Cow<'_, str>> =
            batch.iter().map(|item| item.read()).collect::<std::result::Result<_, _>>()?;
        let first = texts[0].split([':', ' ']).nth(1).and_then(|number| number.parse().ok());
        witness::with(|witness| witness.hears_envelope(client, first.unwrap_or(0), texts.len()));
        for text in texts {
            self.perform(ws, client, &text).await?;
        }
        Ok(())
    }

    async fn perform(&self, ws: &WebSocket, client: u32, text: &str) -> Result<()> {
        if text.split(' ').nth(1) == Some("bomb") {
            self.life.is_bomb.set(true);
        }
        verbs::perform(&self.ctx, &self.env, ws, client, &self.life.name, text).await
    }

    async fn closed(&self, ws: &WebSocket, client: u32) -> Result<()> {
        let name = &self.life.name;
        // What the client asked for when it came.
        let mood = self.ctx.get_tags(ws)?.iter().find_map(|tag| tag.strip_prefix("end-").map(str::to_owned));
        match mood.as_deref() {
            Some("answers") => {
                ws.close(ANSWER_CODE, "so be it")?;
                witness::with(|witness| witness.closes(client));
            }
            Some("sleeps") => self.ctx.sleep(Duration::from_millis(20)).await,
            Some("tells") => {
                verbs::broadcast(&self.ctx, name, &format!("left {client}:0"), None, Some((ws, client)));
            }
            Some("fails") => return Err("a scripted failure".into()),
            Some("panics") => scripted_panic(),
            _ => {}
        }
        Ok(())
    }
}

pub fn set_pair(ctx: &Context, name: &str, is_on: bool) -> Result<()> {
    let pair = is_on.then(|| WebSocketRequestResponsePair::new(AUTO_REQUEST, AUTO_RESPONSE));
    ctx.set_web_socket_auto_response(pair)?;
    witness::with(|witness| witness.room(name).has_pair = is_on);
    Ok(())
}

impl<const KIND: u8> DurableObject for Room<KIND> {
    const SLOW_READER: SlowReader = match KIND & POLICY {
        DROPS => SlowReader::DropNewest,
        KEEPS => SlowReader::KeepLatest,
        _ => SlowReader::Close,
    };
    const BATCHING: Option<Batching> = match KIND & !POLICY {
        BATCHES => Some(batches::batching(BatchFormat::Json)),
        PACKS => Some(batches::batching(BatchFormat::MessagePack)),
        _ => None,
    };

    async fn new(ctx: Context, env: Env) -> Result<Self> {
        let name = ctx.id().name().unwrap_or("nameless").to_owned();
        let home = ctx.id().home_shard(env.shards()).0;
        witness::with(|witness| witness.room(&name).home = usize::from(home));
        let fate = fate(&name);
        if !matches!(fate, Fate::Lives) {
            batches::push_from_constructor(&ctx, &name);
        }
        match fate {
            Fate::Lives => {}
            Fate::Waits(ms) => {
                let constructing = Constructing::begin(&name);
                ctx.sleep(Duration::from_millis(ms)).await;
                constructing.end();
            }
            Fate::Fails => {
                witness::with(|witness| witness.dismiss(&name));
                return Err("a scripted failure of a constructor".into());
            }
            Fate::Panics => {
                witness::with(|witness| witness.dismiss(&name));
                scripted_panic();
            }
        }
        let number = witness::with(|witness| witness.born(&name));
        let room = Room { ctx, env, life: Life { name, number, is_bomb: Cell::default() } };
        inspect(&room.ctx, &room.life.name);
        let timeout_ms = witness::with(|witness| witness.event_timeout_ms);
        room.ctx.set_hibernatable_web_socket_event_timeout(timeout_ms)?;
        Ok(room)
    }

    async fn fetch(&mut self, request: Request) -> Result<Response> {
        let running = self.begin(Kind::Fetch);
        let result =
            if request.is_upgrade() { self.upgrade(&request).await } else { self.visit(&request).await };
        running.end(result)
    }

    async fn web_socket_message(&mut self, ws: &WebSocket, message: Message<'_>) -> Result<()> {
        let running = self.begin(Kind::Message(client_of(ws).unwrap_or(u32::MAX)));
        running.end(self.message(ws, message).await)
    }

    async fn web_socket_batch(&mut self, ws: &WebSocket, batch: Batch<'_>) -> Result<()> {
        let running = self.begin(Kind::Message(client_of(ws).unwrap_or(u32::MAX)));
        running.end(self.batch(ws, batch).await)
    }

    async fn web_socket_close(
        &mut self,
        ws: &WebSocket,
        code: u16,
        _reason: &str,
        was_clean: bool,
    ) -> Result<()> {
        let client = client_of(ws).unwrap_or(u32::MAX);
        let running = self.begin(Kind::End(client));
        witness::with(|witness| witness.ends(&self.life.name, client, code, was_clean));
        running.end(self.closed(ws, client).await)
    }

    async fn web_socket_error(&mut self, ws: &WebSocket, error: &ProtocolError) -> Result<()> {
        let client = client_of(ws).unwrap_or(u32::MAX);
        let running = self.begin(Kind::End(client));
        witness::with(|witness| {
            witness.ends(&self.life.name, client, error.close_code(), false);
            witness.hears_error(client, matches!(error, ProtocolError::Batch(_)));
        });
        running.end(self.closed(ws, client).await)
    }

    async fn tick(&mut self) -> Result<()> {
        let running = self.begin(Kind::Tick);
        witness::with(|witness| {
            let now = witness.now.monotonic_ms;
            let room = witness.room(&self.life.name);
            let after = now - std::mem::replace(&mut room.last_tick_ms, now);
            let due = room.tick_ms;
            witness.holds(due.is_some_and(|ms| after >= ms), || {
                format!("a timer is early: a tick after {after} ms, and {due:?} was asked for")
            });
        });
        if self.ctx.web_socket_count() == 0 {
            // Nobody is there who could turn it off.
            verbs::tick(&self.ctx, &self.life.name, 0);
        }
        running.end(Ok(()))
    }
}

/// Leads every path to the object of that name.
pub struct Router;

impl Worker for Router {
    async fn fetch(&self, request: Request, env: &Env) -> Result<Response> {
        let room = request.path().to_owned();
        env.namespace(BINDING)?.get_by_name(&room).fetch(request).await
    }
}

/// The query of a request.
struct Query<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Query<'a> {
    fn of(request: &'a Request) -> Query<'a> {
        let pairs = request.query().unwrap_or("").split('&').filter_map(|pair| pair.split_once('='));
        Query(pairs.collect())
    }

    fn all(&self, key: &'static str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(found, _)| *found == key).map(|(_, value)| *value)
    }

    fn number(&self, key: &'static str) -> u32 {
        self.all(key).next().and_then(|value| value.parse().ok()).unwrap_or(0)
    }
}
