//! What an object does with its sockets in a handler, through the API, and what must hold whenever it looks.

use std::cell::Cell;

use dormouse::{ApiError, Context, ReadyState, WebSocket, WebSocketRequestResponsePair};

use super::super::input::Choices;

/// One use of the API.
pub enum Call {
    Tag {
        socket: usize,
        tag: usize,
        adds: bool,
    },
    Attach {
        socket: usize,
        bytes: usize,
    },
    Broadcast {
        tag: Option<usize>,
        except: bool,
        bytes: usize,
    },
    AutoResponse(Option<usize>),
    EventTimeout(u64),
    Close {
        socket: usize,
        code: Option<u16>,
    },
    Send {
        socket: usize,
        bytes: usize,
    },
    /// To all, or to one, under a key.
    Keyed {
        socket: Option<usize>,
        key: usize,
        bytes: usize,
    },
    /// Into a batch, so many times.
    Push {
        to: To,
        count: usize,
        bytes: usize,
    },
    Flush(To),
}

/// For whom a batch is.
#[derive(Clone, Copy)]
pub enum To {
    Everyone,
    Tag(usize),
    Socket(usize),
}

impl To {
    fn choose(choices: &mut Choices<'_>) -> To {
        match choices.below(4) {
            0 => To::Socket(choices.below(8)),
            1 => To::Tag(choices.below(16)),
            _ => To::Everyone,
        }
    }
}

/// From here on a byte asks for a batch; below it asks for what it did before there were any, for the sake of the corpus.
const BATCHES_FROM: u8 = 208;

impl Call {
    pub fn choose(choices: &mut Choices<'_>) -> Call {
        let socket = choices.below(8);
        let what = choices.byte();
        if what >= BATCHES_FROM {
            let to = To::choose(choices);
            return match what % 4 {
                0 => Call::Flush(to),
                _ => Call::Push { to, count: 1 + choices.below(70), bytes: 8 * choices.below(256) },
            };
        }
        match what % 8 {
            0 => Call::Tag { socket, tag: choices.below(16), adds: choices.is() },
            1 => Call::Attach { socket, bytes: choices.below(200) },
            2 => {
                let tag = choices.is().then(|| choices.below(16));
                Call::Broadcast { tag, except: choices.is(), bytes: 8 * choices.below(256) }
            }
            3 => Call::AutoResponse(choices.is().then(|| 10 * choices.below(256))),
            4 => Call::EventTimeout(choices.pick(&[0, 10, 50, 604_800_000, u64::MAX])),
            5 => Call::Close { socket, code: choices.pick(&[None, Some(1000), Some(1006), Some(4000)]) },
            6 => Call::Send { socket, bytes: 8 * choices.below(256) },
            _ => {
                let socket = choices.is().then_some(socket);
                Call::Keyed { socket, key: choices.below(6), bytes: choices.below(256) }
            }
        }
    }
}

fn tag_name(tag: usize) -> String {
    if tag == 15 { "long".repeat(65) } else { format!("t{tag}") }
}

pub fn perform(call: Call, ctx: &Context, current: Option<&WebSocket>) {
    let sockets = ctx.get_web_sockets(None);
    let nth = |at: usize| sockets.get(at % sockets.len().max(1)).or(current);
    match call {
        Call::Tag { socket, tag, adds } => {
            nth(socket).into_iter().for_each(|ws| change_tag(ctx, ws, tag, adds))
        }
        Call::Attach { socket, bytes } => nth(socket).into_iter().for_each(|ws| attach(ws, bytes)),
        Call::Broadcast { tag, except, bytes } => {
            let to = tag.map_or(To::Everyone, To::Tag);
            let (tag, message) = (tag.map(tag_name), numbered(to, bytes));
            let mut broadcast = ctx.broadcast(&message);
            if let Some(tag) = &tag {
                broadcast = broadcast.tag(tag);
            }
            if let Some(ws) = current.filter(|_| except) {
                broadcast = broadcast.except(ws);
            }
            assert!(broadcast.send() <= sockets.len());
        }
        Call::AutoResponse(bytes) => {
            let pair = bytes.map(|bytes| WebSocketRequestResponsePair::new("ping", "p".repeat(bytes)));
            let is_allowed = bytes.is_none_or(|bytes| bytes <= 2_048);
            assert_eq!(ctx.set_web_socket_auto_response(pair).is_ok(), is_allowed);
        }
        Call::EventTimeout(ms) => {
            let set = ctx.set_hibernatable_web_socket_event_timeout(ms);
            assert_eq!(set.is_ok(), ms <= 604_800_000);
        }
        Call::Close { socket, code } => nth(socket).into_iter().for_each(|ws| close(ws, code)),
        Call::Send { socket, bytes } => nth(socket).into_iter().for_each(|ws| {
            let sent = ws.send(&numbered(To::Socket(0), bytes));
            assert!(matches!(sent, Ok(()) | Err(ApiError::SendAfterClose)), "{sent:?}");
        }),
        Call::Keyed { socket: Some(socket), key, bytes } => nth(socket).into_iter().for_each(|ws| {
            let sent = ws.send_keyed(key as u64, &vec![8; bytes]);
            assert!(matches!(sent, Ok(()) | Err(ApiError::SendAfterClose)), "{sent:?}");
        }),
        Call::Keyed { socket: None, key, bytes } => {
            assert!(ctx.broadcast(&vec![8; bytes]).key(key as u64).send() <= sockets.len());
        }
        Call::Push { to, count, bytes } => {
            (0..count).for_each(|_| push(ctx, to, &nth, &numbered(to, bytes)));
        }
        Call::Flush(to) => {
            let (most, count) = match to {
                To::Everyone => (sockets.len(), ctx.batch(None).flush()),
                To::Tag(tag) => (sockets.len(), ctx.batch(Some(&tag_name(tag))).flush()),
                To::Socket(socket) => (1, nth(socket).map_or(0, |ws| ws.batch().flush())),
            };
            assert!(count <= most, "{count} recipients of {most}");
        }
    }
}

fn push<'a>(ctx: &Context, to: To, nth: &impl Fn(usize) -> Option<&'a WebSocket>, text: &str) {
    let pushed = match to {
        To::Everyone => ctx.batch(None).push(text),
        To::Tag(tag) => ctx.batch(Some(&tag_name(tag))).push(text),
        To::Socket(socket) => {
            let Some(ws) = nth(socket) else { return };
            ws.batch().push(text)
        }
    };
    match pushed {
        Ok(()) => PUSHED.set(PUSHED.get() + 1),
        Err(error) => assert!(matches!(to, To::Socket(_)) && error == ApiError::SendAfterClose, "{error}"),
    }
}

thread_local! {
    static NUMBER: Cell<u64> = const { Cell::new(0) };
    static PUSHED: Cell<u64> = const { Cell::new(0) };
}

/// How many messages were put into batches since the last time.
pub fn pushed() -> u64 {
    PUSHED.replace(0)
}

/// A text with its address and a number: what is said to one address arrives in the order in which it was said, in a
/// batch or not.
fn numbered(to: To, bytes: usize) -> String {
    let number = NUMBER.get() + 1;
    NUMBER.set(number);
    let address = match to {
        To::Everyone => "everyone".to_owned(),
        To::Tag(tag) => format!("tag-{tag}"),
        To::Socket(_) => "own".to_owned(),
    };
    format!("{address}:{number} {}", "b".repeat(bytes))
}

fn change_tag(ctx: &Context, ws: &WebSocket, tag: usize, adds: bool) {
    let tag = tag_name(tag);
    let before = ctx.get_tags(ws).expect("it was accepted");
    if !adds {
        assert_eq!(ctx.remove_tag(ws, &tag), Ok(before.contains(&tag)));
        assert!(!ctx.get_tags(ws).expect("it was accepted").contains(&tag));
        return;
    }
    let expected = match () {
        () if tag.len() > 256 => Err(ApiError::TagTooLong { tag: tag.clone() }),
        () if before.len() == 10 && !before.contains(&tag) => Err(ApiError::TooManyTags),
        () => Ok(()),
    };
    assert_eq!(ctx.add_tag(ws, &tag), expected);
    let is_listed = ctx.get_web_sockets(Some(&tag)).contains(ws);
    assert_eq!(is_listed, expected.is_ok() || before.contains(&tag));
}

/// The attachment is the socket's name, by which it is known: it is written again, or something too large is tried.
fn attach(ws: &WebSocket, bytes: usize) {
    let before: Option<String> = ws.deserialize_attachment().expect("it is a text");
    if bytes > 100 {
        let refused = ws.serialize_attachment(&"x".repeat(bytes));
        assert!(matches!(refused, Err(ApiError::AttachmentTooLarge { limit: 100, .. })), "{refused:?}");
    } else if let Some(name) = &before {
        assert_eq!(ws.serialize_attachment(name), Ok(()));
    }
    assert_eq!(ws.deserialize_attachment::<String>(), Ok(before));
}

fn close(ws: &WebSocket, code: Option<u16>) {
    let was_gone = ws.ready_state() == ReadyState::Closed;
    match ws.close(code, "") {
        Ok(()) => assert_ne!(ws.ready_state(), ReadyState::Open),
        // Also when the engine has begun to close it: the application has not.
        Err(error) => assert!(!was_gone && error == ApiError::InvalidCloseCode { code: 1006 }, "{error}"),
    }
}

/// What holds at each event.
pub fn check(ctx: &Context, sockets_max: usize) {
    let sockets = ctx.get_web_sockets(None);
    assert_eq!(sockets.len(), ctx.web_socket_count());
    assert!(sockets.len() <= sockets_max, "{} sockets in one object", sockets.len());
    let mut tagged = ctx.get_web_sockets(Some("all"));
    // Newest first without a tag, oldest first with one.
    tagged.reverse();
    assert!(tagged.iter().all(|ws| sockets.contains(ws)));
    for ws in &sockets {
        let tags = ctx.get_tags(ws).expect("it was accepted");
        assert!(tags.len() <= 10);
        assert!(ws.buffered_amount() <= BUFFERED_MAX, "{} bytes wait", ws.buffered_amount());
    }
    let order: Vec<&WebSocket> = sockets.iter().filter(|ws| tagged.contains(ws)).collect();
    assert!(order.into_iter().eq(&tagged), "the order of the sockets");
}

/// What a socket may queue within one turn before the kernel was asked, and under keys, and of each one message more; the
/// largest is a batch that leaves with its last.
const BUFFERED_MAX: usize = 17 * 500 + (16 << 10) + 2 * 4_096;
