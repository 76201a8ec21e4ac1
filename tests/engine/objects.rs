//! The objects under test: they do what a message tells them to, and note what happens to them.

use std::cell::Cell;
use std::collections::HashMap;
use std::fmt::Display;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use dormouse::{
    Context, DurableObject, Engine, Env, Message, ProtocolError, Request, Response, Result, SlowReader,
    WebSocket, WebSocketPair, Worker,
};

/// What happened, by the name of the object; tests use names of their own.
static EVENTS: LazyLock<Mutex<HashMap<String, Vec<String>>>> = LazyLock::new(Mutex::default);

fn note(ctx: &Context, event: impl Display) {
    let mut events = EVENTS.lock().unwrap_or_else(PoisonError::into_inner);
    events.entry(ctx.id().name().unwrap_or_default().to_owned()).or_default().push(event.to_string());
}

/// What happened to the object of this name.
pub fn events(name: &str) -> Vec<String> {
    EVENTS.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned().unwrap_or_default()
}

/// How often this happened to it.
pub fn times(name: &str, event: &str) -> u64 {
    events(name).iter().filter(|found| *found == event).count() as u64
}

/// The engine with all of them: `/o/NAME` leads to an obedient object, `/d/NAME` to one whose slow readers miss
/// messages, `/k/NAME` to one whose slow readers get the newest of each key.
pub fn engine() -> Engine {
    Engine::new(Router)
        .namespace::<Obedient>("OBEDIENT")
        .namespace::<Dropping>("DROPPING")
        .namespace::<Keeping>("KEEPING")
}

struct Router;

impl Worker for Router {
    async fn fetch(&self, request: Request, env: &Env) -> Result<Response> {
        let path = request.path().to_owned();
        match path.trim_start_matches('/').split_once('/') {
            Some(("o", name)) => env.namespace("OBEDIENT")?.get_by_name(name).fetch(request).await,
            Some(("d", name)) => env.namespace("DROPPING")?.get_by_name(name).fetch(request).await,
            Some(("k", name)) => env.namespace("KEEPING")?.get_by_name(name).fetch(request).await,
            _ if path == "/panic" => panic!("the worker was told to"),
            _ if path == "/error" => Err("an inner detail".into()),
            _ if path == "/unaccepted" => Ok(Response::web_socket(WebSocketPair::new().client)),
            _ => {
                let body = String::from_utf8_lossy(request.body());
                Ok(Response::text(format!("{} {} {body}", request.method(), request.target())))
            }
        }
    }
}

/// Does what it is told.
pub struct Obedient {
    ctx: Context,
    env: Env,
    messages: u64,
    drops_badly: Cell<bool>,
    /// So that an instance is something to notice.
    _memory: Vec<u8>,
}

impl Drop for Obedient {
    fn drop(&mut self) {
        note(&self.ctx, "dropped");
        assert!(!self.drops_badly.get(), "drop was told to panic");
    }
}

fn accept(ctx: &Context, request: &Request) -> Result<Response> {
    let WebSocketPair { client, server } = WebSocketPair::new();
    ctx.accept_web_socket(&server, &[])?;
    if let Some(greeting) = request.query() {
        server.send(greeting)?;
    }
    let response = Response::web_socket(client);
    match request.headers().get("X-Choose-Protocol") {
        Some(protocol) => Ok(response.with_header("Sec-WebSocket-Protocol", protocol)?),
        None => Ok(response),
    }
}

impl DurableObject for Obedient {
    async fn new(ctx: Context, env: Env) -> Result<Obedient> {
        note(&ctx, "constructed");
        let name = ctx.id().name().unwrap_or_default().to_owned();
        // The second construction, so that there are sockets already.
        let again = times(&name, "constructed") == 2;
        assert!(!(again && name.contains("wakes-badly-panic")), "the constructor was told to panic");
        if again && name.contains("wakes-badly-error") {
            return Err("the constructor was told to fail".into());
        }
        assert!(!name.contains("never-constructed"), "the constructor was told to panic");
        Ok(Obedient { ctx, env, messages: 0, drops_badly: Cell::new(false), _memory: vec![1; 16 * 1024] })
    }

    async fn fetch(&mut self, request: Request) -> Result<Response> {
        match request.query() {
            _ if request.is_upgrade() => accept(&self.ctx, &request),
            // A tunnel through this object to another: its sockets are the other's.
            Some("panic") => panic!("fetch was told to"),
            Some("error") => Err("the error of an object".into()),
            Some("back") => self.call(self.ctx.id().name().unwrap_or_default(), "").await,
            Some(query) if query.starts_with("call=") => self.call(&query[5..], "").await,
            Some(query) if query.starts_with("error-of=") => self.call(&query[9..], "?error").await,
            Some(query) if query.starts_with("cycle=") => self.call(&query[6..], "?back").await,
            _ => Ok(Response::text(format!("this is {}", self.ctx.id().name().unwrap_or_default()))),
        }
    }

    async fn web_socket_message(&mut self, ws: &WebSocket, message: Message<'_>) -> Result<()> {
        self.messages += 1;
        let Some(text) = message.as_text() else { return Ok(ws.send(message)?) };
        let (command, argument) = text.split_once(':').unwrap_or((text, ""));
        match command {
            "all" => drop(self.ctx.broadcast(argument).send()),
            "flood" => {
                let mut numbers = argument.split(':').map(|number| number.parse::<usize>().unwrap());
                let (first, count, bytes) = (numbers.next(), numbers.next(), numbers.next());
                self.flood(first.unwrap(), count.unwrap(), bytes.unwrap());
            }
            "panic" => panic!("a message told me to"),
            "error" => return Err("a message told me to".into()),
            "drop-badly" => {
                self.drops_badly.set(true);
                ws.send("armed")?;
            }
            "detached-panic" => {
                self.ctx.wait_until(async { panic!("a detached future was told to") });
                ws.send("detached")?;
            }
            "tick" => self.ctx.set_tick(Duration::from_millis(argument.parse()?)),
            "close" => ws.close(argument.parse::<u16>()?, "as told")?,
            "sleep" => {
                self.ctx.sleep(Duration::from_millis(argument.parse()?)).await;
                ws.send("slept")?;
            }
            // Holds up its whole shard.
            "block" => {
                std::thread::sleep(Duration::from_millis(argument.parse()?));
                ws.send("unblocked")?;
            }
            "count" => ws.send(&format!("{} of {}", self.messages, self.ctx.web_socket_count()))?,
            "call" => {
                let answer = self.call(argument, "").await;
                ws.send(&answer.map_or_else(|error| error.to_string(), |answer| text_of(&answer)))?;
            }
            _ => ws.send(text)?,
        }
        Ok(())
    }

    async fn web_socket_close(&mut self, ws: &WebSocket, code: u16, reason: &str, clean: bool) -> Result<()> {
        note(&self.ctx, format!("close {code} {clean}"));
        assert!(reason != "panic", "a Close told me to");
        ws.close(code, reason)?;
        Ok(())
    }

    async fn web_socket_error(&mut self, _ws: &WebSocket, error: &ProtocolError) -> Result<()> {
        note(&self.ctx, format!("error {error}"));
        assert!(!self.ctx.id().name().unwrap_or_default().contains("panics-at-error"));
        Ok(())
    }

    async fn tick(&mut self) -> Result<()> {
        panic!("a tick told me to")
    }
}

impl Obedient {
    async fn call(&self, name: &str, query: &str) -> Result<Response> {
        let request = Request::new("GET", &format!("/o/{name}{query}"), "");
        self.env.namespace("OBEDIENT")?.get_by_name(name).fetch(request).await
    }

    /// Broadcasts `count` numbered messages of `bytes` each.
    fn flood(&self, first: usize, count: usize, bytes: usize) {
        let filler = "x".repeat(bytes);
        for number in first..first + count {
            self.ctx.broadcast(&format!("{number} {filler}")).send();
        }
    }
}

fn text_of(response: &Response) -> String {
    String::from_utf8_lossy(response.body()).into_owned()
}

/// Broadcasts what it hears; who does not read misses some of it.
pub struct Dropping {
    ctx: Context,
}

impl DurableObject for Dropping {
    const SLOW_READER: SlowReader = SlowReader::DropNewest;

    async fn new(ctx: Context, _env: Env) -> Result<Dropping> {
        Ok(Dropping { ctx })
    }

    async fn fetch(&mut self, request: Request) -> Result<Response> {
        accept(&self.ctx, &request)
    }

    async fn web_socket_message(&mut self, _ws: &WebSocket, message: Message<'_>) -> Result<()> {
        self.ctx.broadcast(message).send();
        Ok(())
    }
}

/// Broadcasts what it hears under the number that it begins with, if it does; who does not read gets the newest of each.
pub struct Keeping {
    ctx: Context,
}

impl DurableObject for Keeping {
    const SLOW_READER: SlowReader = SlowReader::KeepLatest;

    async fn new(ctx: Context, _env: Env) -> Result<Keeping> {
        Ok(Keeping { ctx })
    }

    async fn fetch(&mut self, request: Request) -> Result<Response> {
        accept(&self.ctx, &request)
    }

    async fn web_socket_message(&mut self, _ws: &WebSocket, message: Message<'_>) -> Result<()> {
        let broadcast = self.ctx.broadcast(message);
        let key = message.as_text().and_then(|text| text.split(' ').next()?.parse().ok());
        match key {
            Some(key) => broadcast.key(key).send(),
            None => broadcast.send(),
        };
        Ok(())
    }
}
