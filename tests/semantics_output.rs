//! SEMANTICS 9: order, one send a turn, broadcast encoded once, and readers that do not read.

mod support;

use dormouse::WebSocketRequestResponsePair;
use support::client::Client;
use support::fake::Fake;
use support::frames::{Heard, closed, text};
use support::room::{At, fake, fake_with, hook, inside, log, script};

fn crowd(fake: &mut Fake, count: usize) -> Vec<Client> {
    (0..count).map(|n| fake.open(&format!("/lobby?name={n}"))).collect()
}

/// SEMANTICS 9, order.
#[test]
fn each_socket_gets_the_sends_in_their_order_also_when_it_reads_in_small_bites() {
    let mut fake = fake();
    let clients = crowd(&mut fake, 3);
    clients.iter().for_each(|client| {
        client.stop_reading(0);
    });
    inside(&mut fake, &clients[0], |ctx, _| {
        let sockets = ctx.get_web_sockets(None);
        for n in 0..200 {
            ctx.broadcast(&format!("all {n}")).send();
            sockets[n % 3].send(&format!("one {n} {}", "x".repeat(n * 7))).unwrap();
        }
        ctx.broadcast(&vec![7; 100_000]).send();
        ctx.broadcast("end").send();
    });
    for bite in [1, 3, 100, 1_000, 50_000, 1 << 20] {
        for client in &clients {
            client.read(bite);
        }
        fake.settle();
    }
    for (index, client) in clients.iter().enumerate() {
        let mut expected = Vec::new();
        for n in 0..200 {
            expected.push(text(format!("all {n}")));
            if 2 - n % 3 == index {
                expected.push(text(format!("one {n} {}", "x".repeat(n * 7))));
            }
        }
        expected.push(Heard::Binary(vec![7; 100_000]));
        expected.push(text("end"));
        assert!(client.heard() == expected, "client {index}");
    }
}

/// SEMANTICS 9, a turn's output.
#[test]
fn all_frames_of_a_turn_leave_in_one_send() {
    let mut fake = fake();
    let [alice, bob] = [(); 2].map(|()| fake.open("/lobby?name=alice"));
    let before = [alice.sends(), bob.sends()];
    for n in 0..20 {
        alice.text(format!("say {n}; shout {n}"));
    }
    alice.ping("");
    fake.settle();
    assert_eq!([alice.sends(), bob.sends()], before.map(|sends| sends + 1));
    assert_eq!((alice.heard().len(), bob.heard().len()), (41, 20));
}

#[test]
fn more_parts_than_one_send_takes_follow_at_once() {
    let mut fake = fake_with(|settings| settings.output_socket_bytes_max = 8 << 20);
    let clients = crowd(&mut fake, 2);
    // Frames to two sockets in turn lie apart in memory: each is a part of its own.
    inside(&mut fake, &clients[0], |ctx, _| {
        let sockets = ctx.get_web_sockets(None);
        for n in 0..100_000u32 {
            for ws in &sockets {
                ws.send(&n.to_le_bytes()).unwrap();
            }
        }
    });
    for client in &clients {
        let heard = client.heard();
        assert_eq!(heard.len(), 100_000);
        assert!(heard.iter().zip(0u32..).all(|(heard, n)| *heard == Heard::Binary(n.to_le_bytes().into())));
    }
}

/// SEMANTICS 9, broadcast.
#[test]
fn a_broadcast_is_encoded_and_copied_once_however_many_hear_it() {
    for (count, bytes) in [(1, 100), (500, 100), (500, 60_000)] {
        let mut fake = fake_with(|settings| settings.output_socket_bytes_max = 1 << 20);
        let clients = crowd(&mut fake, count);
        let before = [fake.counters().frames_encoded.get(), fake.counters().bytes_encoded.get()];
        inside(&mut fake, &clients[0], move |ctx, _| {
            assert_eq!(ctx.broadcast(&vec![1; bytes]).send(), count);
        });
        let after = [fake.counters().frames_encoded.get(), fake.counters().bytes_encoded.get()];
        assert_eq!(after[0] - before[0], 1);
        let head = if bytes > 125 { 4 } else { 2 };
        assert_eq!(after[1] - before[1], bytes as u64 + head);
        assert_eq!(fake.counters().frames_queued.get(), count as u64);
        assert!(clients.iter().all(|client| client.heard() == [Heard::Binary(vec![1; bytes])]));
    }
}

#[test]
fn a_broadcast_reaches_those_with_the_tag_but_the_one_excepted_and_nobody_who_closes() {
    let mut fake = fake();
    let clients: Vec<_> =
        ["red", "red", "blue", "red"].map(|tag| fake.open(&format!("/lobby?tag={tag}"))).into();
    clients[3].text("close 1000 x");
    fake.settle();
    inside(&mut fake, &clients[0], |ctx, ws| {
        assert_eq!(ctx.broadcast("red").tag("red").send(), 2);
        assert_eq!(ctx.broadcast("red but me").tag("red").except(ws).send(), 1);
        assert_eq!(ctx.broadcast("none").tag("none").send(), 0);
        assert_eq!(ctx.broadcast("all but me").except(ws).send(), 2);
    });
    assert_eq!(clients[0].texts(), ["red"]);
    assert_eq!(clients[1].texts(), ["red", "red but me", "all but me"]);
    assert_eq!(clients[2].texts(), ["all but me"]);
    assert_eq!(clients[3].heard(), [closed(1000, "x")]);
}

/// SEMANTICS 9, slow reader.
#[test]
fn a_client_that_does_not_read_is_closed_with_1013_and_the_others_hear_everything() {
    let mut fake = fake();
    let clients = crowd(&mut fake, 5);
    clients[2].stop_reading(10_000);
    script(At::Message, "");
    for n in 0..100u8 {
        hook(At::Message, move |ctx, _| {
            ctx.broadcast(&vec![n; 20_000]).send();
            Ok(())
        });
        clients[0].text("go");
        fake.settle();
    }
    assert_eq!(fake.counters().slow_readers_closed.get(), 1);
    for (index, client) in clients.iter().enumerate() {
        if index != 2 {
            let heard = client.heard();
            assert!(heard == (0..100u8).map(|n| Heard::Binary(vec![n; 20_000])).collect::<Vec<_>>());
        }
    }
    clients[2].read_on();
    fake.settle();
    // Nothing is missing in what it has read: everything up to the bound, then the reason.
    let heard = clients[2].heard();
    let frames = heard.len() - 1;
    assert!((52..=54).contains(&frames), "{frames} frames of 20,004 bytes are just over 1 MiB");
    assert!(heard[..frames].iter().zip(0u8..).all(|(heard, n)| *heard == Heard::Binary(vec![n; 20_000])));
    assert!(matches!(&heard[frames], Heard::Close(1013, _)));
}

#[test]
fn a_client_that_never_reads_again_is_let_go_after_the_write_progress_time() {
    let mut fake = fake_with(|settings| settings.ping_ms = None);
    let alice = fake.open("/lobby?name=alice");
    alice.stop_reading(3);
    alice.text("say hello");
    fake.advance(9_999);
    assert!(!alice.is_closed());
    alice.read(1);
    fake.advance(9_999);
    assert!(!alice.is_closed(), "a byte is progress");
    fake.advance(200);
    assert!(alice.is_closed());
    assert_eq!(fake.counters().write_timeouts.get(), 1);
    assert!(log().iter().any(|line| line.starts_with("alice closes 1006")));
}

/// A byte is progress, but not for ever: with both Close frames exchanged there is nothing more to wait for.
#[test]
fn a_client_that_takes_its_last_bytes_one_by_one_is_let_go_when_the_time_to_close_is_over() {
    let mut fake = fake_with(|settings| settings.ping_ms = None);
    let alice = fake.open("/lobby?name=alice");
    alice.stop_reading(0);
    alice.text("say a long farewell; close 1000 bye").close(1000, "bye");
    for _ in 0..4 {
        alice.read(1);
        fake.advance(1_000);
        assert!(!alice.is_closed());
    }
    alice.read(1);
    fake.advance(1_100);
    assert!(alice.is_closed());
    assert_eq!(fake.counters().write_timeouts.get(), 0);
}

/// The shard was busy, or the machine suspended; found by the simulation.
#[test]
fn a_client_that_has_read_is_not_let_go_because_the_shard_looks_late() {
    let mut fake = fake_with(|settings| settings.ping_ms = None);
    let alice = fake.open("/lobby?name=alice");
    alice.stop_reading(3);
    alice.text("say hello");
    fake.settle();
    alice.read_on();
    fake.move_clock(60_000);
    fake.settle();
    assert_eq!(alice.heard(), [text("hello")]);
    assert_eq!(fake.counters().write_timeouts.get(), 0);
}

#[test]
fn where_the_class_says_so_the_newest_message_is_dropped_and_counted() {
    let mut fake = fake_with(|settings| (settings.output_socket_bytes_max, settings.ping_ms) = (1_000, None));
    let alice = fake.open("/latest/lobby?name=alice");
    alice.stop_reading(0);
    for n in 0..100 {
        alice.text(format!("say {n:0100}"));
        fake.settle();
    }
    let dropped = fake.counters().messages_dropped.get();
    assert!((88..=92).contains(&dropped), "{dropped}");
    alice.read_on();
    fake.settle();
    let kept = alice.texts();
    assert_eq!(kept.len() as u64 + dropped, 100);
    assert_eq!(kept, (0..kept.len()).map(|n| format!("{n:0100}")).collect::<Vec<_>>());
    alice.text("say and it goes on");
    fake.settle();
    assert_eq!(alice.texts(), ["and it goes on"]);
    assert_eq!(fake.counters().slow_readers_closed.get(), 0);
}

#[test]
fn a_client_that_reads_well_may_be_sent_far_more_than_the_bound_in_one_turn() {
    let mut fake = fake_with(|settings| settings.output_socket_bytes_max = 10_000);
    let alice = fake.open("/lobby?name=alice");
    inside(&mut fake, &alice, |_, ws| {
        for n in 0..15u8 {
            ws.send(&[n; 10_000]).unwrap();
        }
    });
    assert_eq!(alice.heard().len(), 15);
}

/// RELIABILITY: output per shard, slowest first.
#[test]
fn the_budget_of_the_shard_closes_the_slowest_and_spares_the_rest() {
    let mut fake = fake_with(|settings| {
        (settings.output_shard_bytes_max, settings.ping_ms) = (60_000, None);
    });
    let clients = crowd(&mut fake, 4);
    for (client, bytes) in clients.iter().zip([10_000, 40_000, 5_000, 10_000]) {
        client.stop_reading(0);
        hook(At::Message, move |_, ws| Ok(ws.unwrap().send(&vec![1; bytes])?));
        client.text("go");
        fake.settle();
    }
    assert_eq!(
        clients.iter().map(|client| client.is_closed()).collect::<Vec<_>>(),
        [false, true, false, false]
    );
    assert_eq!(fake.counters().slow_readers_closed.get(), 1);
    for client in &clients {
        client.read_on();
    }
    fake.settle();
    let heard: Vec<_> = clients.iter().map(|client| client.sent_by_server() > 5_000).collect();
    assert_eq!(heard, [true, false, true, true]);
}

/// An auto-response is output like any other: 2,048 bytes for each few bytes of a client that never reads.
#[test]
fn auto_responses_to_a_client_that_does_not_read_are_bounded_too() {
    for is_busy in [false, true] {
        let mut fake =
            fake_with(|settings| (settings.output_socket_bytes_max, settings.ping_ms) = (50_000, None));
        let alice = fake.open("/lobby?name=alice");
        inside(&mut fake, &alice, |ctx, _| {
            let pair = WebSocketRequestResponsePair::new("?", "x".repeat(2_048));
            ctx.set_web_socket_auto_response(pair).unwrap();
        });
        alice.stop_reading(0);
        if is_busy {
            alice.text("sleep 100");
        }
        for _ in 0..1_000 {
            alice.text("?");
            fake.settle();
        }
        fake.advance(100);
        assert_eq!(fake.counters().slow_readers_closed.get(), 1, "busy: {is_busy}");
        alice.read_on();
        fake.settle();
        let heard = alice.heard();
        // Up to 16 times the bound within one turn, before the kernel was asked.
        let most = if is_busy { 16 * 50_000 / 2_052 + 3 } else { 50_000 / 2_052 + 3 };
        assert!((20..=most).contains(&heard.len()), "{}", heard.len());
        assert!(matches!(heard.last().unwrap(), Heard::Close(1013, _)));
    }
}

#[test]
fn auto_responses_that_wait_for_a_busy_object_count_as_waiting_events() {
    let mut fake = fake_with(|settings| settings.mailbox_events_max = 10);
    fake.receive_bytes_max = 70;
    let alice = fake.open("/lobby?name=alice");
    inside(&mut fake, &alice, |ctx, _| {
        ctx.set_web_socket_auto_response(WebSocketRequestResponsePair::new("?", "!")).unwrap();
    });
    alice.text("sleep 100");
    for _ in 0..100 {
        alice.text("?");
    }
    fake.settle();
    assert_eq!(fake.counters().mailbox_pauses.get(), 1);
    fake.advance(100);
    assert_eq!(alice.texts().len(), 100);
}

/// RELIABILITY: what waits for an object is bounded by not reading its sockets.
#[test]
fn a_socket_whose_object_is_too_busy_is_read_no_further_and_then_again() {
    let mut fake = fake_with(|settings| settings.mailbox_events_max = 10);
    fake.receive_bytes_max = 100;
    let alice = fake.open("/lobby?name=alice");
    alice.text("sleep 100");
    for n in 0..1_000 {
        alice.text(format!("say {n}"));
    }
    fake.settle();
    assert_eq!(fake.counters().mailbox_pauses.get(), 1);
    assert!(alice.peer().borrow().to_server.len() > 10_000, "most of it is still in the kernel");
    fake.advance(100);
    assert_eq!(alice.texts(), (0..1_000).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[test]
fn what_waits_for_an_object_is_bounded_in_bytes_too() {
    let mut fake = fake_with(|settings| settings.mailbox_bytes_max = 1_000);
    fake.receive_bytes_max = 300;
    let alice = fake.open("/lobby?name=alice");
    alice.text("sleep 100");
    for n in 0..50 {
        alice.text(format!("say {n:0200}"));
    }
    fake.settle();
    assert_eq!(fake.counters().mailbox_pauses.get(), 1);
    assert!(alice.peer().borrow().to_server.len() > 8_000, "most of it is still in the kernel");
    fake.advance(100);
    assert_eq!(alice.texts(), (0..50).map(|n| format!("{n:0200}")).collect::<Vec<_>>());
}

/// The last of the waiting events failed, and nobody read the sockets ever again.
#[test]
fn a_paused_socket_is_read_again_also_when_the_handlers_fail() {
    let mut fake = fake_with(|settings| settings.mailbox_events_max = 4);
    fake.receive_bytes_max = 40;
    let [alice, bob] = ["alice", "bob"].map(|name| fake.open(&format!("/lobby?name={name}")));
    alice.text("sleep 100; fail");
    fake.settle();
    for _ in 0..8 {
        bob.text("fail");
    }
    bob.text("say I am still read").ping("x");
    fake.settle();
    assert_eq!(fake.counters().mailbox_pauses.get(), 1);
    fake.advance(60_000);
    assert!(bob.heard().contains(&Heard::Pong(b"x".into())));
}

/// A tick is one, however often it was set.
#[test]
fn a_tick_that_is_set_again_does_not_double() {
    let mut fake = fake_with(|settings| settings.ping_ms = None);
    let alice = fake.open("/lobby?name=alice");
    inside(&mut fake, &alice, |ctx, _| {
        ctx.set_tick(std::time::Duration::from_millis(1_000));
        ctx.set_tick(None);
        ctx.set_tick(std::time::Duration::from_millis(1_000));
        ctx.set_tick(std::time::Duration::from_millis(1_000));
    });
    log();
    fake.advance(10_500);
    assert_eq!(log(), ["tick"; 10]);
    inside(&mut fake, &alice, |ctx, _| ctx.set_tick(std::time::Duration::from_millis(100)));
    fake.advance(1_000);
    assert_eq!(log(), ["tick"; 10], "a new interval is in force at once");
    inside(&mut fake, &alice, |ctx, _| ctx.set_tick(None));
    fake.advance(10_000);
    assert_eq!(log(), ["drop"]);
}

#[test]
fn a_tick_does_not_double_when_an_instance_fails_and_the_next_sets_it_again() {
    let mut fake = fake_with(|settings| settings.ping_ms = None);
    script(At::New, "tick 1000");
    let alice = fake.open("/lobby?name=alice");
    alice.text("fail");
    fake.advance(100);
    let _bob = fake.open("/lobby?name=bob");
    log();
    fake.advance(10_000);
    let log = log();
    assert_eq!(log.iter().filter(|line| *line == "tick").count(), 10, "{log:?}");
}
