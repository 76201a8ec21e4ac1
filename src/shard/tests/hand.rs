//! One driver, turned by hand.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::world::{Event, TestWorld};
use crate::object::driver::{Effect, Place, Receive, ShardId, Shortfall};
use crate::shard::clock::Clock;
use crate::shard::drain::Drain;
use crate::shard::listener::Listener;
use crate::shard::ports::Port;
use crate::shard::settings::ShardSettings;
use crate::shard::start::make_rings;
use crate::shard::sys;
use crate::shard::turn::{Driver, Parts, Shared};

/// How long a test waits for something that comes at once; only a hang takes so long.
const HANG: Duration = Duration::from_secs(20);

/// Small enough that limits are reached.
fn settings() -> ShardSettings {
    ShardSettings {
        listen: "127.0.0.1:0".parse().unwrap(),
        core: None,
        receive_bytes: 512,
        receive_count: 64,
        send_batch: 128,
        submission_entries: 64,
        completion_entries: 256,
        connections_per_ring: 64,
        rings: 1,
        pacing_wait: Duration::ZERO,
    }
}

/// A driver on the calling thread, and where it listens.
struct Bench {
    driver: Driver<TestWorld>,
    address: SocketAddr,
}

impl Bench {
    fn new(settings: ShardSettings) -> Self {
        let shared = Arc::new(Shared {
            ports: Box::new([Port::new().unwrap()]),
            stats: Box::new([Arc::default()]),
            drain: Drain::new(),
            clock: Clock::start(),
        });
        let rings = make_rings(ShardId(0), &settings, &shared).unwrap();
        let socket = sys::bind(settings.listen).unwrap();
        let address = socket.local_addr().unwrap();
        sys::listen(&socket).unwrap();
        let parts = Parts {
            shard: ShardId(0),
            shared,
            world: TestWorld::silent(),
            rings,
            connections_per_ring: settings.connections_per_ring,
            send_batch: settings.send_batch,
        };
        Self { driver: Driver::new(parts, Listener::new(socket)), address }
    }

    fn world(&self) -> &TestWorld {
        &self.driver.world
    }

    fn turn(&mut self) {
        self.driver.turn().unwrap();
    }

    /// Turns until `done`.
    #[track_caller]
    fn until(&mut self, done: impl Fn(&TestWorld) -> bool) {
        let began = Instant::now();
        while !done(self.world()) {
            assert!(began.elapsed() < HANG, "hangs; heard {:?}", self.world().events.borrow());
            self.turn();
            if !self.driver.has_work() {
                thread::sleep(Duration::from_micros(200));
            }
        }
    }

    /// Turns often enough that whatever is under way has happened.
    fn settle(&mut self) {
        for _ in 0..20 {
            self.turn();
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Connects, and waits until the world has heard of it.
    fn connect(&mut self) -> (TcpStream, Place) {
        let before = self.world().accepted().len();
        let stream = TcpStream::connect(self.address).unwrap();
        self.until(|world| world.accepted().len() > before);
        let place = self.world().accepted()[before];
        (stream, place)
    }

    /// Connects and receives.
    fn receiving(&mut self, receive: Receive) -> (TcpStream, Place) {
        let (stream, place) = self.connect();
        self.world().ask(Effect::Receive(place, receive));
        self.turn();
        (stream, place)
    }
}

/// Closes with a reset instead of FIN.
fn reset(stream: TcpStream) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    let length = size_of_val(&linger) as libc::socklen_t;
    let value = (&raw const linger).cast();
    // SAFETY: `linger` is a readable linger of `length` bytes.
    let set =
        unsafe { libc::setsockopt(stream.as_raw_fd(), libc::SOL_SOCKET, libc::SO_LINGER, value, length) };
    assert_eq!(set, 0);
}

#[test]
fn a_multishot_receive_brings_everything_until_fin() {
    let mut bench = Bench::new(settings());
    let (mut stream, place) = bench.receiving(Receive::Multishot);
    for round in 1..=5 {
        stream.write_all(b"hello").unwrap();
        bench.until(|world| world.received(place).len() == 5 * round);
    }
    stream.shutdown(Shutdown::Write).unwrap();
    bench.until(|world| world.count(|event| *event == Event::Lost(place)) == 1);
    bench.world().ask(Effect::Close(place));
    bench.until(|world| world.count(|event| *event == Event::Closed(place)) == 1);
    assert_eq!(stream.read(&mut [0; 8]).unwrap(), 0);
    bench.settle();
    assert_eq!(bench.world().count(|event| *event == Event::Lost(place)), 1);
}

#[test]
fn a_once_receive_brings_one_buffer_and_leaves_nothing_in_flight() {
    let mut bench = Bench::new(settings());
    let (mut stream, place) = bench.receiving(Receive::Once);
    stream.write_all(&[7; 1_000]).unwrap();
    bench.until(|world| !world.received(place).is_empty());
    bench.settle();
    assert_eq!(bench.world().received(place).len(), 512);
    bench.world().ask(Effect::Receive(place, Receive::Once));
    bench.until(|world| world.received(place).len() == 1_000);
}

#[test]
fn a_once_wanted_of_an_armed_multishot_ends_it() {
    let mut bench = Bench::new(settings());
    let (mut stream, place) = bench.receiving(Receive::Multishot);
    bench.world().ask(Effect::Receive(place, Receive::Once));
    bench.settle();
    stream.write_all(b"one").unwrap();
    bench.until(|world| world.received(place) == b"one");
    stream.write_all(b"two").unwrap();
    bench.settle();
    assert_eq!(bench.world().received(place), b"one");
}

#[test]
fn a_pause_holds_bytes_back_and_a_receive_brings_them_in_order() {
    let mut bench = Bench::new(settings());
    let (mut stream, place) = bench.receiving(Receive::Multishot);
    for round in 0..20u8 {
        bench.world().ask(Effect::Pause(place));
        bench.settle();
        let before = bench.world().received(place).len();
        stream.write_all(&[round; 700]).unwrap();
        bench.settle();
        assert_eq!(bench.world().received(place).len(), before);
        bench.world().ask(Effect::Receive(place, Receive::Multishot));
        bench.until(|world| world.received(place).len() == before + 700);
    }
    let expected: Vec<u8> = (0..20u8).flat_map(|round| [round; 700]).collect();
    assert_eq!(bench.world().received(place), expected);
}

#[test]
fn pause_and_receive_in_one_turn_lose_nothing() {
    let mut bench = Bench::new(settings());
    let (mut stream, place) = bench.receiving(Receive::Multishot);
    let mut expected = Vec::new();
    for round in 0..100u8 {
        stream.write_all(&[round; 100]).unwrap();
        expected.extend([round; 100]);
        bench.world().ask(Effect::Pause(place));
        bench.world().ask(Effect::Receive(place, Receive::Multishot));
        bench.turn();
    }
    bench.until(|world| world.received(place).len() == expected.len());
    assert_eq!(bench.world().received(place), expected);
}

#[test]
fn a_full_socket_says_how_much_it_took_and_when_it_takes_more() {
    let mut bench = Bench::new(settings());
    let (mut stream, place) = bench.connect();
    let bytes: Vec<u8> = (0..8u32 << 20).map(|index| (index % 251) as u8).collect();
    // Two parts, so that it is a gather list, and one more for whom nothing is left.
    bench.world().send(place, &bytes[..1_000]);
    bench.world().send(place, &bytes[1_000..]);
    bench.turn();
    let taken = match bench.world().shortfalls.borrow()[..] {
        [(at, Shortfall::Full(taken))] if at == place => taken,
        ref other => panic!("{other:?}"),
    };
    assert!(taken > 1_000 && taken < bytes.len());
    let expected = bytes.clone();
    let reader = thread::spawn(move || {
        let mut read = vec![0; expected.len()];
        stream.read_exact(&mut read).unwrap();
        assert!(read == expected);
        stream
    });
    bench.until(|_| reader.is_finished());
    assert!(bench.world().count(|event| *event == Event::Writable(place)) > 0);
    reader.join().unwrap();
}

#[test]
fn a_send_to_a_full_socket_takes_nothing_and_does_not_wait() {
    let mut bench = Bench::new(settings());
    let (_stream, place) = bench.connect();
    let began = Instant::now();
    let bytes = vec![1; 16 << 20];
    // The kernel moves bytes to the peer's buffer between our attempts, until that is full as well.
    while send_alone(&mut bench, place, &bytes) != [(0, Shortfall::Full(0))] {
        assert!(began.elapsed() < HANG);
    }
}

#[test]
fn a_send_to_a_peer_that_is_gone_is_lost() {
    let mut bench = Bench::new(settings());
    let (stream, place) = bench.connect();
    let (_other, other) = bench.connect();
    reset(stream);
    bench.settle();
    bench.world().send(place, b"anyone?");
    bench.world().send(other, b"you?");
    bench.turn();
    assert_eq!(*bench.world().shortfalls.borrow(), [(place, Shortfall::Lost)]);
}

#[test]
fn a_reset_is_lost_once() {
    let mut bench = Bench::new(settings());
    let (stream, place) = bench.receiving(Receive::Multishot);
    reset(stream);
    bench.until(|world| world.count(|event| *event == Event::Lost(place)) == 1);
    bench.world().ask(Effect::Receive(place, Receive::Multishot));
    bench.settle();
    assert_eq!(bench.world().count(|event| *event == Event::Lost(place)), 1);
}

/// Sends one part to one socket, past the world.
fn send_alone(bench: &mut Bench, place: Place, bytes: &[u8]) -> Vec<(usize, Shortfall)> {
    use crate::object::driver::{Outgoing, Transmit};
    use crate::shard::transmit::Sender;
    let driver = &mut bench.driver;
    let mut sender = Sender {
        rings: &mut driver.rings,
        places: driver.places,
        lists: &mut driver.lists,
        stats: &driver.stats,
        send_batch: driver.send_batch,
        broken: Ok(()),
    };
    let mut shortfalls = Vec::new();
    sender.transmit(&[Outgoing { place, parts: &[bytes] }], &mut shortfalls);
    sender.broken.unwrap();
    shortfalls
}

#[test]
fn a_crowd_larger_than_the_buffers_loses_nothing() {
    let mut bench = Bench::new(ShardSettings { receive_count: 4, ..settings() });
    let mut peers: Vec<_> = (0..60).map(|_| bench.receiving(Receive::Multishot)).collect();
    for round in 0..5u8 {
        for (stream, _) in &mut peers {
            stream.write_all(&[round; 3_000]).unwrap();
        }
        let length = 3_000 * (usize::from(round) + 1);
        bench.until(|world| peers.iter().all(|(_, place)| world.received(*place).len() == length));
    }
    let expected: Vec<u8> = (0..5u8).flat_map(|round| [round; 3_000]).collect();
    for (_, place) in &peers {
        assert_eq!(bench.world().received(*place), expected);
    }
    assert!(bench.driver.stats.receives_starved.get() > 0);
}

#[test]
fn an_overflown_completion_queue_loses_nothing() {
    let small = ShardSettings { submission_entries: 2, completion_entries: 2, ..settings() };
    let mut bench = Bench::new(small);
    let mut peers: Vec<_> = (0..60).map(|_| bench.receiving(Receive::Multishot)).collect();
    for round in 0..5u8 {
        for (stream, place) in &mut peers {
            stream.write_all(&[round; 3_000]).unwrap();
            bench.world().send(*place, [round; 10]);
        }
        let length = 3_000 * (usize::from(round) + 1);
        bench.until(|world| peers.iter().all(|(_, place)| world.received(*place).len() == length));
    }
    let expected: Vec<u8> = (0..5u8).flat_map(|round| [round; 3_000]).collect();
    for (stream, place) in &mut peers {
        assert_eq!(bench.world().received(*place), expected);
        stream.read_exact(&mut [0; 50]).unwrap();
    }
    assert!(bench.driver.stats.completion_overflows.get() > 0);
}

#[test]
fn failures_of_a_batch_are_found_in_an_overflown_queue() {
    let small = ShardSettings { submission_entries: 2, completion_entries: 2, ..settings() };
    let mut bench = Bench::new(small);
    let peers: Vec<_> = (0..50).map(|_| bench.receiving(Receive::Multishot)).collect();
    let places: Vec<_> = peers.iter().map(|(_, place)| *place).collect();
    bench.settle();
    for (index, (stream, _)) in peers.into_iter().enumerate() {
        if index % 2 == 0 { reset(stream) } else { std::mem::forget(stream) }
    }
    for place in &places {
        bench.world().send(*place, b"who is left?");
    }
    bench.turn();
    let lost: Vec<_> = places.iter().step_by(2).map(|place| (*place, Shortfall::Lost)).collect();
    let mut found = bench.world().shortfalls.borrow().clone();
    found.sort_by_key(|(place, _)| *place);
    assert_eq!(found, lost);
}

#[test]
fn slots_are_used_again_and_again() {
    let mut bench = Bench::new(ShardSettings { connections_per_ring: 2, ..settings() });
    for round in 1..=100 {
        let (mut stream, place) = bench.receiving(Receive::Multishot);
        stream.write_all(b"hello").unwrap();
        // Close with a receive armed, a poll in flight, FIN under way, and bytes unread.
        if round % 2 == 0 {
            bench.world().send(place, vec![1; 4 << 20]);
            bench.turn();
            bench.world().ask(Effect::ShutdownWrite(place));
        }
        bench.world().ask(Effect::Close(place));
        bench.until(|world| world.count(|event| matches!(event, Event::Closed(_))) == round);
    }
    assert_eq!(bench.driver.ring_port(0).used(), 0);
}

#[test]
fn fin_is_sent_and_what_the_peer_says_then_is_still_received() {
    let mut bench = Bench::new(settings());
    let (mut stream, place) = bench.receiving(Receive::Multishot);
    bench.world().send(place, b"bye");
    bench.turn();
    bench.world().ask(Effect::ShutdownWrite(place));
    bench.settle();
    let mut read = Vec::new();
    stream.read_to_end(&mut read).unwrap();
    assert_eq!(read, b"bye");
    stream.write_all(b"wait!").unwrap();
    bench.until(|world| world.received(place) == b"wait!");
}

#[test]
fn a_full_table_leaves_connections_waiting_until_there_is_room() {
    let mut bench = Bench::new(ShardSettings { connections_per_ring: 2, rings: 2, ..settings() });
    let streams: Vec<_> = (0..10).map(|_| TcpStream::connect(bench.address).unwrap()).collect();
    bench.until(|world| world.accepted().len() == 4);
    bench.settle();
    assert_eq!(bench.world().accepted(), [0, 1, 2, 3].map(Place));
    assert_eq!(bench.driver.stats.accept_errors.get(), 0);
    for done in 5..=10 {
        let place = bench.world().accepted()[done - 5];
        bench.world().ask(Effect::Close(place));
        bench.until(|world| world.accepted().len() == done);
    }
    assert_eq!(bench.driver.stats.accept_errors.get(), 0);
    drop(streams);
}

#[test]
fn an_accept_that_finds_no_slot_backs_off_and_recovers() {
    let mut bench = Bench::new(ShardSettings { connections_per_ring: 1, ..settings() });
    bench.turn();
    // A hand-off that the listener could not foresee takes the last slot.
    let (_first, place) = bench.connect();
    bench.driver.ring_port(0).give_back();
    bench.turn();
    let _refused = TcpStream::connect(bench.address).unwrap();
    let began = Instant::now();
    while bench.driver.stats.accept_errors.get() == 0 {
        assert!(began.elapsed() < HANG);
        bench.turn();
    }
    let failures = bench.driver.stats.accept_errors.get();
    assert!(bench.driver.listener.deadline_ms().is_some());
    bench.turn();
    assert_eq!(bench.driver.stats.accept_errors.get(), failures);
    bench.driver.ring_port(0).take();
    bench.world().ask(Effect::Close(place));
    bench.until(|world| world.count(|event| matches!(event, Event::Closed(_))) == 1);
    let before = bench.world().accepted().len();
    let _welcome = TcpStream::connect(bench.address).unwrap();
    bench.until(|world| world.accepted().len() > before);
}

#[test]
fn the_end_of_a_shard_ends_its_sockets_even_while_others_hold_its_rings() {
    let mut bench = Bench::new(settings());
    let (mut stream, place) = bench.receiving(Receive::Multishot);
    let (mut polled, polled_place) = bench.connect();
    bench.world().send(polled_place, vec![1; 16 << 20]);
    bench.world().ask(Effect::AwaitWritable(polled_place));
    bench.world().ask(Effect::ShutdownWrite(place));
    bench.turn();
    let ports = bench.driver.shared.clone();
    drop(bench.driver);
    assert!(TcpStream::connect(bench.address).is_err());
    for stream in [&mut stream, &mut polled] {
        stream.set_read_timeout(Some(HANG)).unwrap();
        let end = stream.read_to_end(&mut Vec::new()).map_err(|error| error.kind());
        assert!(matches!(end, Ok(_) | Err(ErrorKind::ConnectionReset)), "{end:?}");
    }
    drop(ports);
}

#[test]
fn a_batch_over_several_rings_reaches_everyone_in_order() {
    let mut bench =
        Bench::new(ShardSettings { connections_per_ring: 50, rings: 3, send_batch: 64, ..settings() });
    let mut peers: Vec<_> = (0..150).map(|_| bench.connect()).collect();
    for (_, place) in &peers {
        bench.world().send(*place, b"first ");
        bench.world().send(*place, place.0.to_be_bytes());
    }
    bench.turn();
    for (stream, place) in &mut peers {
        let mut read = [0; 10];
        stream.read_exact(&mut read).unwrap();
        assert_eq!(read[..6], *b"first ");
        assert_eq!(read[6..], place.0.to_be_bytes());
    }
    // Each World batch of at most 128 is cut at ring borders and at `send_batch`.
    assert_eq!(bench.driver.stats.sends.get(), 150);
    assert!(bench.driver.stats.send_batches.get() <= 5);
}

#[test]
fn a_hand_off_to_oneself_fails_at_once_and_the_socket_stays() {
    let mut bench = Bench::new(settings());
    let (mut stream, place) = bench.connect();
    bench.world().ask(Effect::HandOff { place, target: ShardId(0), token: 9 });
    bench.until(|world| world.count(|event| *event == Event::HandOffFailed(9, place)) == 1);
    bench.world().ask(Effect::Receive(place, Receive::Multishot));
    stream.write_all(b"still here").unwrap();
    bench.until(|world| world.received(place) == b"still here");
}

#[test]
fn the_ring_wakes_the_shard_for_a_deadline() {
    let mut bench = Bench::new(settings());
    bench.turn();
    let deadline_ms = bench.driver.now.monotonic_ms + 30;
    bench.world().deadline_ms.set(Some(deadline_ms));
    while !bench.driver.fall_asleep().unwrap() {
        bench.turn();
    }
    assert!(bench.driver.port().bell.nap(HANG).unwrap());
    bench.driver.wake();
    bench.turn();
    assert!(bench.driver.now.monotonic_ms >= deadline_ms);
    assert_eq!(bench.world().deadline_ms.get(), None);
}

#[test]
fn what_arrives_before_the_sleep_prevents_it_and_what_arrives_after_ends_it() {
    let mut bench = Bench::new(settings());
    let (mut stream, place) = bench.receiving(Receive::Multishot);
    bench.settle();
    stream.write_all(b"before").unwrap();
    assert!(!bench.driver.fall_asleep().unwrap());
    bench.until(|world| world.received(place) == b"before");
    bench.settle();
    assert!(bench.driver.fall_asleep().unwrap());
    assert!(!bench.driver.port().bell.nap(Duration::ZERO).unwrap());
    stream.write_all(b"after").unwrap();
    assert!(bench.driver.port().bell.nap(HANG).unwrap());
    bench.driver.wake();
    bench.until(|world| world.received(place) == b"beforeafter");
}
