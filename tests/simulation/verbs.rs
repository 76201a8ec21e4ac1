//! What a message asks an object to do: `CLIENT:NUMBER VERB [ARGUMENT] [PADDING]`. Owns the verbs, and notes for each
//! client what is said to it.

use std::time::Duration;

use dormouse::{ApiError, Context, Env, ReadyState, Request, Result, WebSocket};

use super::batches::{self, Address};
use super::inspect::client_of;
use super::room::{BINDING, scripted_panic, set_pair};
use super::running::Lingering;
use super::witness::{self, Said};

pub const AUTO_REQUEST: &str = "ping!";
pub const AUTO_RESPONSE: &str = "pong!";

/// Longest text that an object says.
pub const TEXT_BYTES_MAX: usize = 40_000;

/// A tag that comes and goes.
pub const SHIFTING_TAG: &str = "shifting";

/// The key under which an object says a text: `VERB LABEL kKEY`.
pub fn key_of(text: &str) -> Option<u64> {
    let mut words = text.split(' ');
    matches!(words.next(), Some("about" | "aside"))
        .then(|| words.nth(1)?.strip_prefix('k')?.parse().ok())
        .flatten()
}

pub async fn perform(
    ctx: &Context,
    env: &Env,
    ws: &WebSocket,
    client: u32,
    room: &str,
    text: &str,
) -> Result<()> {
    let mut words = text.split(' ');
    let (label, verb) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let argument = words.next().unwrap_or("");
    let numbers =
        label.split_once(':').and_then(|(who, number)| Some((who.parse().ok()?, number.parse().ok()?)));
    let Some((author, number)): Option<(u32, u32)> = numbers else {
        witness::with(|witness| witness.breaks(format!("client {client} never said {text:?}")));
        return Ok(());
    };
    witness::with(|witness| {
        witness.holds(author == client, || format!("client {client} says what {author} said"));
        witness.hears(room, client, number);
    });
    let reply = format!("{verb} {label}");
    match verb {
        "echo" => send(ws, client, reply),
        "large" => {
            let padding = "x".repeat(argument.parse::<usize>()?.min(TEXT_BYTES_MAX - 100));
            send(ws, client, format!("{reply} {padding}"));
        }
        "all" => broadcast(ctx, room, &reply, None, None),
        "about" => broadcast(ctx, room, &format!("{reply} {argument}"), None, None),
        "aside" => send(ws, client, format!("{reply} {argument}")),
        "others" => broadcast(ctx, room, &reply, None, Some((ws, client))),
        "tagged" => broadcast(ctx, room, &reply, Some(argument), None),
        "each" => each(ctx, &reply),
        "push" | "push-tag" | "push-own" | "push-late" | "flush" => {
            batches::perform(ctx, ws, client, room, &reply, argument);
        }
        "close" => close(ws, client, room, argument.parse()?)?,
        "panic" => scripted_panic(),
        // Done by the instance itself.
        "bomb" => {}
        "fail" => return Err("a scripted failure".into()),
        "sleep" => {
            sleep(ctx, argument.parse()?).await;
            send(ws, client, reply);
        }
        "linger" => linger(ctx, ws, client, room, argument.parse()?, reply),
        "tick" => tick(ctx, room, argument.parse()?),
        "put" => {
            ws.serialize_attachment(&(client, number))?;
            witness::with(|witness| {
                if let Some(record) = witness.sockets.get_mut(&client) {
                    record.value = number;
                }
            });
        }
        "get" => {
            let value = ws.deserialize_attachment::<(u32, u32)>()?;
            send(ws, client, format!("{reply} {value:?}"));
        }
        "call" => {
            let stub = env.namespace(BINDING)?.get_by_name(argument);
            let answer = stub.fetch(Request::new("POST", "/visit", format!("visit {label}"))).await;
            let outcome = if answer.is_ok() { "ok" } else { "error" };
            send(ws, client, format!("{reply} {outcome}"));
        }
        "pair" => set_pair(ctx, room, argument == "on")?,
        "retag" => retag(ctx, ws, client)?,
        _ => witness::with(|witness| witness.breaks(format!("client {client} never said {text:?}"))),
    }
    Ok(())
}

/// Says something to one client, and holds that it is refused exactly when the object has closed it.
pub fn send(ws: &WebSocket, client: u32, text: String) {
    let result = match key_of(&text) {
        Some(key) => ws.send_keyed(key, text.as_str()),
        None => ws.send(text.as_str()),
    };
    let state = ws.ready_state();
    witness::with(|witness| {
        witness.speaks_to(client);
        let is_closed = witness.has_closed(client);
        match result {
            Ok(()) if is_closed => witness.holds(state == ReadyState::Closed, || {
                format!("a send to client {client} is allowed after close()")
            }),
            Ok(()) => witness.says(client, Said::Text(text)),
            Err(ApiError::SendAfterClose) if is_closed => {}
            Err(error) => witness.breaks(format!("a send to client {client} is refused: {error}")),
        }
    });
}

fn each(ctx: &Context, reply: &str) {
    for ws in ctx.get_web_sockets(None) {
        if let Some(client) = client_of(&ws) {
            send(&ws, client, reply.to_owned());
        }
    }
}

pub fn broadcast(
    ctx: &Context,
    room: &str,
    text: &str,
    tag: Option<&str>,
    except: Option<(&WebSocket, u32)>,
) {
    let mut broadcast = ctx.broadcast(text);
    if let Some(tag) = tag {
        broadcast = broadcast.tag(tag);
    }
    if let Some((ws, _)) = except {
        broadcast = broadcast.except(ws);
    }
    if let Some(key) = key_of(text) {
        broadcast = broadcast.key(key);
    }
    let count = broadcast.send();
    let to = tag.map_or(Address::Everyone, |tag| Address::Tag(tag.to_owned()));
    witness::with(|witness| {
        witness.flushes(room, &to);
        let mut due = witness.recipients(room, &to);
        due.retain(|client| except.is_none_or(|(_, except)| except != *client));
        let most = due.len();
        witness.holds(count <= most, || format!("a broadcast of {room} has {count} recipients of {most}"));
        for client in due {
            witness.says(client, Said::Text(text.to_owned()));
        }
    });
}

fn close(ws: &WebSocket, client: u32, room: &str, code: u16) -> Result<()> {
    // RFC 6455 7.1.5: a Close that came first is answered, not begun.
    batches::close(ws, client, room, code)?;
    witness::with(|witness| {
        if witness.closes(client) {
            witness.says(client, Said::Close(code));
        }
    });
    Ok(())
}

pub async fn sleep(ctx: &Context, ms: u64) {
    let before = witness::with(|witness| witness.now.monotonic_ms);
    ctx.sleep(Duration::from_millis(ms)).await;
    witness::with(|witness| {
        let slept = witness.now.monotonic_ms - before;
        witness.holds(slept >= ms, || format!("a timer is early: a sleep of {ms} ms took {slept}"));
    });
}

fn linger(ctx: &Context, ws: &WebSocket, client: u32, room: &str, ms: u64, reply: String) {
    let (inner, ws, lingering) = (ctx.clone(), ws.clone(), Lingering::begin(room));
    ctx.wait_until(async move {
        sleep(&inner, ms).await;
        send(&ws, client, reply);
        lingering.end();
    });
}

pub fn tick(ctx: &Context, room: &str, ms: u64) {
    ctx.set_tick((ms > 0).then(|| Duration::from_millis(ms)));
    witness::with(|witness| {
        let now = witness.now.monotonic_ms;
        let record = witness.room(room);
        let interval = (ms > 0).then_some(ms);
        if record.tick_ms != interval {
            (record.tick_ms, record.last_tick_ms) = (interval, now);
        }
    });
}

fn retag(ctx: &Context, ws: &WebSocket, client: u32) -> Result<()> {
    let had_it = ctx.remove_tag(ws, SHIFTING_TAG)?;
    if !had_it {
        ctx.add_tag(ws, SHIFTING_TAG)?;
    }
    witness::with(|witness| {
        let Some(record) = witness.sockets.get_mut(&client) else { return };
        let knew = record.tags.iter().any(|tag| tag == SHIFTING_TAG);
        if knew {
            record.tags.retain(|tag| tag != SHIFTING_TAG);
        } else {
            record.tags.push(SHIFTING_TAG.to_owned());
        }
        witness.holds(knew == had_it, || format!("client {client}: a tag is {had_it}, and was {knew}"));
    });
    Ok(())
}
