//! An object that does as it is told, and a worker that leads to it. What each is told and what each saw is kept
//! by the thread, so that every test has its own.
//!
//! A script is commands between `; `: `say TEXT`, `shout TEXT`, `close [CODE [REASON]]`, `sleep MS`, `fail`,
//! `panic`, `bomb` (the instance's Drop panics), `linger MS`, `tick MS`, `call NAME SCRIPT`, `log TEXT`, `hook`; and
//! `say-as KEY TEXT`, `shout-as KEY TEXT`, which are under a key. Other words do nothing. The text of a message is a
//! script, unless one was set for messages; so is each text of a batch. Rooms batch in JSON, those that drop in
//! MessagePack.

use std::any::Any;
use std::cell::RefCell;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use dormouse::object::{Settings, WorldBuilder};
use dormouse::{
    Batch, Batching, Context, DurableObject, Env, Message, Namespace, ProtocolError, Request, Response,
    Result, SlowReader, WebSocket, WebSocketPair, Worker,
};

use super::client::Client;
use super::fake::Fake;

/// When a script or a hook runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum At {
    New,
    Fetch,
    Message,
    Close,
    Error,
    Tick,
}

type Hook = Box<dyn FnMut(&Context, Option<&WebSocket>) -> Result<()>>;
type Once = Box<dyn FnOnce(&Context, Option<&WebSocket>)>;
type FetchHook = Box<dyn FnMut(&Context, &Request) -> Result<Response>>;

#[derive(Default)]
struct Told {
    log: Vec<String>,
    scripts: HashMap<At, String>,
    hooks: HashMap<At, Hook>,
    fetch: Option<FetchHook>,
    once: Option<Once>,
    /// A failed assertion: the engine would take it for a fault of the object.
    failed: Option<Box<dyn Any + Send>>,
}

thread_local! {
    static TOLD: RefCell<Told> = RefCell::default();
}

/// Writes a line into the log of the test.
pub fn note(line: impl Into<String>) {
    TOLD.with_borrow_mut(|told| told.log.push(line.into()));
}

/// What was logged since the last time.
pub fn log() -> Vec<String> {
    TOLD.with_borrow_mut(|told| std::mem::take(&mut told.log))
}

/// Fails the test if an assertion in a closure has failed.
pub fn surface() {
    if let Some(failed) = TOLD.with_borrow_mut(|told| told.failed.take()) {
        resume_unwind(failed);
    }
}

/// Has objects run a script at this moment; an empty one is none.
pub fn script(at: At, script: &str) {
    TOLD.with_borrow_mut(|told| told.scripts.insert(at, script.to_owned()));
}

/// Has objects run a closure at this moment, before the script.
pub fn hook(at: At, hook: impl FnMut(&Context, Option<&WebSocket>) -> Result<()> + 'static) {
    TOLD.with_borrow_mut(|told| told.hooks.insert(at, Box::new(hook)));
}

pub fn unhook(at: At) {
    TOLD.with_borrow_mut(|told| told.hooks.remove(&at));
}

/// Has objects answer requests with a closure.
pub fn on_fetch(hook: impl FnMut(&Context, &Request) -> Result<Response> + 'static) {
    TOLD.with_borrow_mut(|told| told.fetch = Some(Box::new(hook)));
}

/// What rooms of a namespace do with what a slow reader cannot take.
pub const CLOSES: u8 = 0;
pub const DROPS: u8 = 1;
pub const KEEPS: u8 = 2;

/// Rooms under `ROOM`, under `LATEST` those that drop what a slow reader cannot take, and under `KEPT` those that keep the
/// newest of each key.
pub fn rooms(change: impl FnOnce(&mut Settings)) -> WorldBuilder {
    let mut settings = Settings::default();
    change(&mut settings);
    WorldBuilder::new(Router)
        .namespace::<Room<CLOSES>>("ROOM")
        .namespace::<Room<DROPS>>("LATEST")
        .namespace::<Room<KEEPS>>("KEPT")
        .var("GREETING", "hello")
        .settings(settings)
}

/// One shard of rooms.
pub fn fake() -> Fake {
    Fake::new(rooms(|_| {}), 1)
}

pub fn fake_with(change: impl FnOnce(&mut Settings)) -> Fake {
    Fake::new(rooms(change), 1)
}

/// Runs a closure in the room of a client, as the handler of a message of that client.
pub fn inside(fake: &mut Fake, client: &Client, f: impl FnOnce(&Context, &WebSocket) + 'static) {
    TOLD.with_borrow_mut(|told| {
        told.once = Some(Box::new(|ctx, ws| f(ctx, ws.expect("a message's socket"))))
    });
    client.text("hook");
    fake.settle();
    let is_left = TOLD.with_borrow_mut(|told| told.once.take().is_some());
    assert!(!is_left, "the closure ran");
    TOLD.with_borrow_mut(|told| told.log.retain(|line| !line.ends_with("says hook")));
}

/// The object.
pub struct Room<const POLICY: u8> {
    ctx: Context,
    env: Env,
    is_bomb: bool,
}

impl<const POLICY: u8> Drop for Room<POLICY> {
    fn drop(&mut self) {
        note("drop");
        if self.is_bomb {
            panic!("a scripted panic in Drop");
        }
    }
}

impl<const POLICY: u8> Room<POLICY> {
    async fn at(&mut self, at: At, ws: Option<&WebSocket>) -> Result<()> {
        run_hook(at, &self.ctx, ws)?;
        match TOLD.with_borrow(|told| told.scripts.get(&at).cloned()) {
            Some(script) => self.perform(ws, &script).await,
            None => Ok(()),
        }
    }

    async fn perform(&mut self, ws: Option<&WebSocket>, script: &str) -> Result<()> {
        for command in script.split("; ") {
            let (verb, rest) = command.split_once(' ').unwrap_or((command, ""));
            if verb == "bomb" {
                self.is_bomb = true;
            }
            perform(&self.ctx, &self.env, ws, verb, rest).await?;
        }
        Ok(())
    }
}

async fn perform(ctx: &Context, env: &Env, ws: Option<&WebSocket>, verb: &str, rest: &str) -> Result<()> {
    match verb {
        "say" => ws.ok_or("no socket to say it to")?.send(rest)?,
        "shout" => drop(ctx.broadcast(rest).send()),
        "say-as" | "shout-as" => {
            let (key, text) = rest.split_once(' ').ok_or("a key and a text")?;
            match (verb, key.parse()?) {
                ("say-as", key) => ws.ok_or("no socket to say it to")?.send_keyed(key, text)?,
                (_, key) => drop(ctx.broadcast(text).key(key).send()),
            }
        }
        "close" => {
            let (code, reason) = rest.split_once(' ').unwrap_or((rest, ""));
            ws.ok_or("no socket to close")?.close(code.parse().ok(), reason)?;
        }
        "sleep" => ctx.sleep(Duration::from_millis(rest.parse()?)).await,
        "fail" => return Err("a scripted failure".into()),
        "panic" => panic!("a scripted panic"),
        "linger" => {
            let (inner, ms) = (ctx.clone(), rest.parse()?);
            ctx.wait_until(async move { inner.sleep(Duration::from_millis(ms)).await });
        }
        "tick" => ctx.set_tick(Duration::from_millis(rest.parse()?)),
        "call" => {
            let (name, script) = rest.split_once(' ').unwrap_or((rest, ""));
            let script = script.replace(", ", "; ");
            let stub = env.namespace("ROOM")?.get_by_name(name);
            match stub.fetch(Request::new("POST", name, script)).await {
                Ok(response) => note(format!("{name} answers {}", response.status())),
                Err(error) => note(format!("{name} fails: {error}")),
            }
        }
        "log" => note(rest),
        "hook" => run_once(ctx, ws),
        _ => {}
    }
    Ok(())
}

fn run_once(ctx: &Context, ws: Option<&WebSocket>) {
    if let Some(once) = TOLD.with_borrow_mut(|told| told.once.take()) {
        let result = catch_unwind(AssertUnwindSafe(|| once(ctx, ws)));
        if let Err(failed) = result {
            TOLD.with_borrow_mut(|told| told.failed = Some(failed));
        }
    }
}

fn run_hook(at: At, ctx: &Context, ws: Option<&WebSocket>) -> Result<()> {
    let Some(mut hook) = TOLD.with_borrow_mut(|told| told.hooks.remove(&at)) else { return Ok(()) };
    let result = catch_unwind(AssertUnwindSafe(|| hook(ctx, ws)));
    TOLD.with_borrow_mut(|told| {
        told.hooks.entry(at).or_insert(hook);
    });
    result.unwrap_or_else(|failed| {
        TOLD.with_borrow_mut(|told| told.failed = Some(failed));
        Ok(())
    })
}

/// Who a socket belongs to: what `?name=` said when it came.
fn name_of(ws: &WebSocket) -> String {
    ws.deserialize_attachment().ok().flatten().unwrap_or_else(|| "someone".to_owned())
}

impl<const POLICY: u8> DurableObject for Room<POLICY> {
    const SLOW_READER: SlowReader = match POLICY {
        DROPS => SlowReader::DropNewest,
        KEEPS => SlowReader::KeepLatest,
        _ => SlowReader::Close,
    };
    const BATCHING: Option<Batching> =
        Some(if POLICY == DROPS { Batching::message_pack() } else { Batching::json() });

    async fn new(ctx: Context, env: Env) -> Result<Self> {
        note("new");
        let mut room = Room { ctx, env, is_bomb: false };
        match room.at(At::New, None).await {
            Ok(()) => Ok(room),
            Err(error) => Err(error),
        }
    }

    async fn fetch(&mut self, request: Request) -> Result<Response> {
        note(format!("fetch {}", request.path()));
        if let Some(mut hook) = TOLD.with_borrow_mut(|told| told.fetch.take()) {
            let result = catch_unwind(AssertUnwindSafe(|| hook(&self.ctx, &request)));
            TOLD.with_borrow_mut(|told| told.fetch = Some(hook));
            return result.unwrap_or_else(|failed| {
                TOLD.with_borrow_mut(|told| told.failed = Some(failed));
                Err("an assertion failed".into())
            });
        }
        if !request.is_upgrade() {
            self.at(At::Fetch, None).await?;
            let script = String::from_utf8(request.body().to_vec())?;
            self.perform(None, &script).await?;
            return Ok(Response::text("done"));
        }
        let WebSocketPair { client, server } = WebSocketPair::new();
        let query: Vec<(&str, &str)> =
            request.query().unwrap_or("").split('&').filter_map(|pair| pair.split_once('=')).collect();
        let tags: Vec<&str> = query.iter().filter(|(key, _)| *key == "tag").map(|(_, tag)| *tag).collect();
        if let Some((_, name)) = query.iter().find(|(key, _)| *key == "name") {
            server.serialize_attachment(name)?;
        }
        self.ctx.accept_web_socket(&server, &tags)?;
        self.at(At::Fetch, Some(&server)).await?;
        Ok(Response::web_socket(client))
    }

    async fn web_socket_message(&mut self, ws: &WebSocket, message: Message<'_>) -> Result<()> {
        let name = name_of(ws);
        let Message::Text(text) = message else {
            note(format!("{name} sends {} bytes", message.as_bytes().len()));
            return self.at(At::Message, Some(ws)).await;
        };
        match text.len() {
            0..=60 => note(format!("{name} says {text}")),
            length => note(format!("{name} says {length} bytes")),
        }
        let text = text.to_owned();
        if TOLD.with_borrow(|told| {
            told.scripts.contains_key(&At::Message) || told.hooks.contains_key(&At::Message)
        }) && text != "hook"
        {
            return self.at(At::Message, Some(ws)).await;
        }
        self.perform(Some(ws), &text).await
    }

    async fn web_socket_batch(&mut self, ws: &WebSocket, batch: Batch<'_>) -> Result<()> {
        let name = name_of(ws);
        note(format!("{name} sends a batch of {}", batch.messages()));
        for item in batch {
            let Ok(text) = item.read::<&str>() else {
                note(format!("{name} sends no text"));
                continue;
            };
            note(format!("{name} says {text}"));
            self.perform(Some(ws), text).await?;
        }
        Ok(())
    }

    async fn web_socket_close(
        &mut self,
        ws: &WebSocket,
        code: u16,
        reason: &str,
        was_clean: bool,
    ) -> Result<()> {
        note(format!("{} closes {code} {reason:?} {was_clean}", name_of(ws)));
        self.at(At::Close, Some(ws)).await
    }

    async fn web_socket_error(&mut self, ws: &WebSocket, error: &ProtocolError) -> Result<()> {
        note(format!("{} errs {}", name_of(ws), error.close_code()));
        self.at(At::Error, Some(ws)).await
    }

    async fn tick(&mut self) -> Result<()> {
        note("tick");
        self.at(At::Tick, None).await
    }
}

/// `/worker/...` is answered here; the rest of a path names a room, `/latest/...` one that drops, `/kept/...` one that
/// keeps.
struct Router;

fn namespace_of(env: &Env, room: &str) -> Result<Namespace> {
    Ok(env.namespace(match room {
        latest if latest.starts_with("/latest/") => "LATEST",
        kept if kept.starts_with("/kept/") => "KEPT",
        _ => "ROOM",
    })?)
}

impl Worker for Router {
    async fn fetch(&self, request: Request, env: &Env) -> Result<Response> {
        let path = request.path().to_owned();
        match path.as_str() {
            "/worker/echo" => Ok(Response::text(String::from_utf8(request.body().to_vec())?)),
            "/worker/fail" => Err("a secret of the worker".into()),
            "/worker/panic" => panic!("a scripted panic of the worker"),
            "/worker/hang" => std::future::pending().await,
            "/worker/home" => {
                let name = request.query().unwrap_or("");
                let id = namespace_of(env, name)?.id_from_name(name);
                Ok(Response::text(id.home_shard(env.shards()).0.to_string()))
            }
            "/worker/status" => {
                let stub = env.namespace("ROOM")?.get_by_name(request.query().unwrap_or(""));
                let status = stub.status().await;
                Ok(Response::text(format!("{} {}", status.is_awake, status.sockets)))
            }
            "/worker/drop" => {
                let stub = env.namespace("ROOM")?.get_by_name(request.query().unwrap_or(""));
                drop(stub.fetch(request).await?);
                Ok(Response::text("dropped"))
            }
            room => namespace_of(env, room)?.get_by_name(room).fetch(request).await,
        }
    }
}

/// A room that lives on this shard.
pub fn room_on(fake: &mut Fake, shard: u16) -> String {
    room_like(fake, "/room", shard)
}

/// A room that lives on this shard, with a path that begins so.
pub fn room_like(fake: &mut Fake, path: &str, shard: u16) -> String {
    let names = (0..).map(|n| format!("{path}{n}"));
    let mut at_home = names.filter(|name| {
        fake.ask(&super::http::get(&format!("/worker/home?{name}"))).body == shard.to_string()
    });
    at_home.next().expect("half of the names are at home there")
}
