//! `wire` allocates nothing for a frame that is all here, nor for a head once its memory is warm.
//!
//! A file of its own, because the allocator that counts is that of the whole test program.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use dormouse::wire::{
    DeflateTerms, Deflater, Event, HeadLimits, HeadScanner, Inflaters, Input, OpCode, Session, SessionLimits,
    encode_frame, encode_switching_protocols, frame_head, negotiate_deflate, parse_head, unmask,
};

/// Counts what the current thread allocates, so that tests beside this one do not disturb it.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static BYTES: Cell<u64> = const { Cell::new(0) };
}

fn count(bytes: usize) {
    ALLOCATIONS.with(|allocations| allocations.set(allocations.get() + 1));
    BYTES.with(|total| total.set(total.get() + bytes as u64));
}

// SAFETY: every call goes to the system's allocator unchanged. Counting neither allocates nor unwinds: the cell is
// initialised at compile time and needs no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations_of(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.with(Cell::get);
    work();
    ALLOCATIONS.with(Cell::get) - before
}

fn bytes_of(work: impl FnOnce()) -> usize {
    let before = BYTES.with(Cell::get);
    work();
    (BYTES.with(Cell::get) - before) as usize
}

/// A masked frame of the client.
fn client_frame(opcode: OpCode, payload: &[u8]) -> Vec<u8> {
    let key = [1, 2, 3, 4];
    let mut frame = Vec::new();
    encode_frame(&mut frame, opcode, payload);
    frame[1] |= 0x80;
    let payload_start = frame.len() - payload.len();
    unmask(&mut frame[payload_start..], key, 0);
    frame.splice(payload_start..payload_start, key);
    frame
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations_of(|| drop(vec![0u8; 100])), 1);
}

// PERFORMANCE.md: allocations per echoed message, none
#[test]
fn an_echoed_message_allocates_nothing() {
    let limits = SessionLimits::default();
    let mut session = Session::new();
    let mut received = Vec::new();
    for payload_len in [0, 5, 125, 126, 70_000] {
        received.extend(client_frame(OpCode::Text, &vec![b'a'; payload_len]));
        received.extend(client_frame(OpCode::Binary, &vec![0xff; payload_len]));
    }
    received.extend(client_frame(OpCode::Ping, b"are you there"));
    received.extend(client_frame(OpCode::Close, b"\x03\xe8bye"));
    let mut out = Vec::with_capacity(1 << 20);

    let mut events = 0;
    let allocations = allocations_of(|| {
        let mut input = Input::new(&mut received);
        while let Ok(Some(event)) = session.poll(&mut input, &limits) {
            events += 1;
            match event {
                Event::Message { payload, .. } => encode_frame(&mut out, OpCode::Binary, &payload),
                Event::Ping(payload) => encode_frame(&mut out, OpCode::Pong, &payload),
                Event::Pong(_) | Event::Close { .. } => {
                    out.extend_from_slice(frame_head(OpCode::Close, 0).as_slice());
                }
            }
        }
    });
    assert_eq!((events, allocations), (12, 0));
}

#[test]
fn a_handshake_allocates_nothing_once_the_buffers_are_warm() {
    let head = b"GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let ordinary = b"POST /chat HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nAccept: */*\r\nX: y\r\n\r\n";
    let limits = HeadLimits::default();
    let mut fields = Vec::with_capacity(16);
    let mut out = Vec::with_capacity(1024);
    let allocations = allocations_of(|| {
        for head in [&head[..], ordinary] {
            let mut scanner = HeadScanner::default();
            assert_eq!(scanner.scan(&head[..20], &limits), Ok(None));
            assert_eq!(scanner.scan(head, &limits), Ok(Some(head.len())));
            assert!(parse_head(head, &limits, &mut fields).is_ok());
        }
        encode_switching_protocols(&mut out, &[b'='; 28], [("A", "b")].into_iter());
    });
    assert_eq!(allocations, 0);
}

// RELIABILITY.md: a limit on everything. What budgets count for a context is what it takes, and not much more.
#[test]
fn a_context_takes_the_memory_that_budgets_count_for_it() {
    for window_bits in 9..=15 {
        let counted = Deflater::bytes(window_bits);
        let taken = bytes_of(|| drop(Deflater::new(window_bits, 1)));
        assert!(taken <= counted && counted - taken < 8 << 10, "{window_bits}: {taken} of {counted}");
    }
    let head = b"GET / HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n";
    let mut fields = Vec::new();
    parse_head(head, &HeadLimits::default(), &mut fields).unwrap();
    let terms = DeflateTerms { context_takeover: true, ..DeflateTerms::default() };
    let mut session = Session::inflating(&negotiate_deflate(head, &fields, Some(&terms)).unwrap().unwrap());
    let mut received = client_frame(OpCode::Text, b"\xf2\x48\xcd\xc9\xc9\x07\x00");
    received[0] |= 0x40;
    let mut inflaters = Inflaters::default();
    let limits = SessionLimits::default();
    let taken = bytes_of(|| {
        let event = session.poll_with(&mut Input::new(&mut received), &limits, &mut inflaters);
        assert!(matches!(event, Ok(Some(Event::Message { .. }))));
    });
    // The room to inflate in is shared by all sessions.
    let (taken, counted) = (taken - (16 << 10), session.context_bytes());
    assert!(taken <= counted && counted - taken < 8 << 10, "{taken} of {counted}");
}
