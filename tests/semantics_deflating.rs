//! SEMANTICS 8, permessage-deflate: what is agreed, and messages both ways. What it may cost stands in
//! `semantics_deflating_memory.rs`, broadcasts in `semantics_deflating_broadcast.rs`.

mod support;

use dormouse::{Response, WebSocketPair, WebSocketRequestResponsePair};
use support::deflate::{FIN, OFFER, RSV1, listing, noise, offering};
use support::deflating::Deflating;
use support::fake::Fake;
use support::frames::{BINARY, CONTINUATION, Heard, PING, TEXT, client_frame, closed, text};
use support::http::upgrade;
use support::room::{At, fake, fake_with, inside, log, on_fetch, rooms, script};

fn with_takeover() -> Fake {
    fake_with(|settings| settings.deflate.terms.context_takeover = true)
}

/// What is answered to an offer.
fn answer(fake: &mut Fake, extra: &str) -> Option<String> {
    let reply = fake.ask(&upgrade("/lobby", extra));
    assert_eq!(reply.status, 101, "{}", reply.head);
    assert!(reply.head.matches("Sec-WebSocket-Extensions").count() <= 1);
    reply.header("Sec-WebSocket-Extensions").map(str::to_owned)
}

// RFC 7692 5.1: an extension is answered only if it was offered, and not at all if it is declined
#[test]
fn what_is_offered_is_answered_and_nothing_else() {
    let mut fake = fake();
    let none = Some("permessage-deflate; server_no_context_takeover; client_no_context_takeover".to_owned());
    assert_eq!(answer(&mut fake, ""), None);
    assert_eq!(answer(&mut fake, &offering(OFFER)), none);
    assert_eq!(answer(&mut fake, &offering("x-webkit-deflate-frame")), None);
    assert_eq!(answer(&mut fake, &offering("permessage-deflate; server_max_window_bits=16")), None);
    assert_eq!(answer(&mut fake, &offering("permessage-deflate; mem_level=9, permessage-deflate")), none);
}

// RFC 7692 7.1.2: windows
#[test]
fn a_window_is_agreed_on_that_both_sides_can_keep() {
    let mut fake = fake_with(|settings| {
        settings.deflate.terms.context_takeover = true;
        settings.deflate.terms.window_bits = 11;
    });
    for (offer, agreed) in [
        ("permessage-deflate", "; server_max_window_bits=11"),
        (OFFER, "; server_max_window_bits=11; client_max_window_bits=11"),
        (
            "permessage-deflate; server_max_window_bits=9; client_max_window_bits=10",
            "; server_max_window_bits=9; client_max_window_bits=10",
        ),
        ("permessage-deflate; server_max_window_bits=15", "; server_max_window_bits=11"),
    ] {
        assert_eq!(answer(&mut fake, &offering(offer)), Some(format!("permessage-deflate{agreed}")));
    }
    // zlib cannot keep to 8 bits.
    assert_eq!(answer(&mut fake, &offering("permessage-deflate; server_max_window_bits=8")), None);
}

#[test]
fn nothing_is_agreed_when_it_is_switched_off() {
    let mut fake = fake_with(|settings| settings.deflate.is_enabled = false);
    assert_eq!(answer(&mut fake, &offering(OFFER)), None);
    let alice = fake.open("/lobby?name=alice");
    alice.frame(FIN | RSV1 | TEXT, [0x00]);
    fake.settle();
    assert_eq!(
        alice.heard()[0],
        closed(1002, "RFC 6455 5.2: a reserved bit is 0 unless an extension defines it")
    );
}

// RFC 6455 4.2.2: the extensions are those that the engine agreed on
#[test]
fn an_application_cannot_claim_an_extension() {
    let mut fake = fake();
    on_fetch(|ctx, _| {
        let pair = WebSocketPair::new();
        ctx.accept_web_socket(&pair.server, &[])?;
        Ok(Response::web_socket(pair.client).with_header("Sec-WebSocket-Extensions", "foo")?)
    });
    assert_eq!(answer(&mut fake, ""), None);
    let agreed = answer(&mut fake, &offering(OFFER)).unwrap();
    assert!(agreed.starts_with("permessage-deflate;"), "{agreed}");
}

#[test]
fn a_header_that_cannot_be_read_is_a_bad_request() {
    let mut fake = fake();
    assert_eq!(fake.ask(&upgrade("/lobby", &offering("permessage-deflate; ="))).status, 400);
    assert_eq!(log(), [""; 0]);
}

// RFC 7692 6 and 7.2: messages of both kinds and all sizes, in each kind of agreement
#[test]
fn messages_of_all_sizes_come_and_go() {
    for takeover in [false, true] {
        for offer in [
            OFFER,
            "permessage-deflate; server_no_context_takeover",
            "permessage-deflate; client_no_context_takeover",
            "permessage-deflate; server_max_window_bits=9; client_max_window_bits=9",
        ] {
            let mut fake = fake_with(|settings| settings.deflate.terms.context_takeover = takeover);
            let mut alice = Deflating::open_at(&mut fake, 0, "/lobby?name=alice", offer);
            for (seed, length) in [0, 1, 125, 255, 256, 3_000, 70_000, 300_000, 40].into_iter().enumerate() {
                let said = listing(seed as u64, length);
                alice.text(format!("say {said}"));
                fake.settle();
                assert!(alice.heard() == [text(said)], "{takeover} {offer} {length}");
            }
            assert_eq!(alice.forms(), (4, 5), "short ones are as they are");
            for length in [0, 1, 1_000, 200_000] {
                alice.binary(noise(length as u64, length));
                fake.settle();
            }
            let kept: Vec<String> = log().into_iter().filter(|line| line.contains("sends")).collect();
            assert_eq!(kept, [0, 1, 1_000, 200_000].map(|length| format!("alice sends {length} bytes")));
        }
    }
}

// RFC 7692 7.1.1 and 7.2.3.2: with takeover a message refers to the one before
#[test]
fn contexts_are_taken_over_both_ways() {
    let said = listing(1, 4_000);
    for (offer, server_forgets, client_forgets) in [
        (OFFER, false, false),
        ("permessage-deflate; server_no_context_takeover", true, false),
        ("permessage-deflate; client_no_context_takeover", false, true),
        ("permessage-deflate; server_no_context_takeover; client_no_context_takeover", true, true),
    ] {
        let mut fake = with_takeover();
        let mut alice = Deflating::open_at(&mut fake, 0, "/lobby", offer);
        assert_eq!(
            (alice.agreement.server_forgets, alice.agreement.client_forgets),
            (server_forgets, client_forgets)
        );
        let (mut sent, mut heard) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            let payload = alice.payload(format!("say {said}"));
            sent.push(payload.len());
            alice.client.frame(FIN | RSV1 | TEXT, payload);
            fake.settle();
            assert_eq!(alice.texts(), [said.as_str()]);
            heard.push(alice.last_bytes);
        }
        for (sizes, forgets) in [(&heard, server_forgets), (&sent, client_forgets)] {
            let is_small = sizes[1] < 100 && sizes[2] < 100;
            assert!(sizes[0] > 500 && is_small != forgets, "{offer}: {sizes:?}");
        }
    }
}

// RFC 7692 6: whether a message is compressed is the sender's to decide, message by message
#[test]
fn short_messages_and_such_that_would_grow_are_sent_as_they_are() {
    let mut fake = fake();
    let mut alice = Deflating::open(&mut fake, "/lobby");
    for (said, forms) in [
        (listing(1, 255), (0, 1)),
        (listing(1, 256), (1, 0)),
        ("x".repeat(255), (0, 1)),
        (String::new(), (0, 1)),
    ] {
        alice.text(format!("say {said}"));
        fake.settle();
        assert_eq!(alice.texts(), [said.as_str()]);
        assert_eq!(alice.forms(), forms, "{} bytes", said.len());
    }
    let random = noise(1, 1_000);
    let bytes = random.clone();
    inside(&mut fake, &alice.client, move |_, ws| ws.send(&bytes[..]).unwrap());
    assert_eq!(alice.heard(), [Heard::Binary(random)]);
    assert_eq!(alice.forms(), (0, 1));
}

#[test]
fn everything_is_compressed_that_may_be_when_there_is_no_smallest_size() {
    for takeover in [false, true] {
        let mut fake = fake_with(|settings| {
            settings.deflate.message_bytes_min = 0;
            settings.deflate.terms.context_takeover = takeover;
        });
        let mut alice = Deflating::open(&mut fake, "/lobby");
        for said in ["", "a", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", ""] {
            alice.text(format!("say {said}"));
            fake.settle();
            assert_eq!(alice.texts(), [said]);
        }
        assert_eq!(alice.forms(), if takeover { (4, 0) } else { (1, 3) });
        alice.client.ping("p").close(1000, "bye");
        fake.settle();
        assert_eq!(alice.heard(), [Heard::Pong(b"p".into()), closed(1000, "bye"), Heard::Fin]);
    }
}

// RFC 7692 6.1 and 6.2: RSV1 in the first frame alone; RFC 6455 5.4: control frames in between
#[test]
fn a_compressed_message_comes_in_fragments_with_control_frames_between() {
    for takeover in [false, true] {
        let mut fake = fake_with(|settings| settings.deflate.terms.context_takeover = takeover);
        let mut alice = Deflating::open(&mut fake, "/lobby?name=alice");
        for round in 0..3 {
            let said = listing(round, 2_000);
            let payload = alice.payload(format!("say {said}"));
            let mut pieces = payload.chunks(97).peekable();
            let mut opcode = RSV1 | TEXT;
            while let Some(piece) = pieces.next() {
                let fin = if pieces.peek().is_none() { FIN } else { 0 };
                alice.client.frame(fin | opcode, piece);
                if fin == 0 {
                    alice.client.frame(FIN | PING, "between").frame(CONTINUATION, "");
                }
                opcode = CONTINUATION;
            }
            // As it comes, and byte by byte.
            fake.receive_bytes_max = if round == 1 { 1 } else { usize::MAX };
            fake.settle();
            let mut heard = alice.heard();
            assert_eq!(heard.pop(), Some(text(said)));
            assert!(!heard.is_empty() && heard.iter().all(|heard| *heard == Heard::Pong(b"between".into())));
        }
    }
}

/// SEMANTICS 6: the match is the message, whatever form it came in; the answer keeps its place.
#[test]
fn an_auto_response_is_given_to_a_compressed_request() {
    let mut fake = fake_with(|settings| {
        settings.deflate.message_bytes_min = 0;
        settings.deflate.terms.context_takeover = true;
    });
    let mut alice = Deflating::open(&mut fake, "/lobby?name=alice");
    let (request, response) = (listing(1, 1_000), listing(2, 1_000));
    let pair = WebSocketRequestResponsePair::new(&request, &response);
    inside(&mut fake, &alice.client, |ctx, _| ctx.set_web_socket_auto_response(pair).unwrap());
    fake.advance(10_000);
    assert_eq!(log(), ["new", "fetch /lobby", "drop"]);
    alice.text(&request);
    fake.settle();
    assert_eq!(alice.texts(), [response.as_str()]);
    assert_eq!(log(), [""; 0], "nobody was woken");
    alice.text("say 1").text(&request).text("say 2");
    fake.settle();
    assert_eq!(alice.texts(), ["1", response.as_str(), "2"]);
}

/// SEMANTICS 2, what stays.
#[test]
fn a_hibernated_connection_keeps_its_contexts() {
    let mut fake = with_takeover();
    let mut alice = Deflating::open(&mut fake, "/lobby?name=alice");
    let said = listing(1, 4_000);
    for round in 0..4 {
        let payload = alice.payload(format!("say {said}"));
        assert!(round == 0 || payload.len() < 100, "the client refers to what it sent before");
        // Half of it before the object falls asleep, half of it after.
        let frame = client_frame(FIN | RSV1 | TEXT, &payload);
        let (before, after) = frame.split_at(frame.len() / 2);
        alice.client.bytes(before);
        fake.advance(10_000);
        assert_eq!(fake.counters().namespaces[0].awake.get(), 0);
        alice.client.bytes(after);
        fake.settle();
        assert_eq!(alice.texts(), [said.as_str()]);
        assert!(round == 0 || alice.last_bytes < 100, "{} bytes: the server does", alice.last_bytes);
    }
    assert_eq!(fake.counters().namespaces[0].constructions.get(), 5);
}

// RFC 7692 7.2.2: what cannot be inflated fails the connection. SEMANTICS 8, protocol error
#[test]
fn data_that_cannot_be_inflated_is_a_protocol_error() {
    let why = "RFC 7692 7.2.2: a compressed message is DEFLATE data and complete";
    for takeover in [false, true] {
        let mut fake = fake_with(|settings| settings.deflate.terms.context_takeover = takeover);
        let mut alice = Deflating::open(&mut fake, "/lobby?name=alice");
        let bob = fake.open("/lobby?name=bob");
        alice.text("before").client.frame(FIN | RSV1 | TEXT, [0xFF; 20]).text("behind");
        fake.settle();
        assert_eq!(alice.heard(), [closed(1007, why), Heard::Fin]);
        assert_eq!(log(), ["new", "fetch /lobby", "fetch /lobby", "alice says before", "alice errs 1007"]);
        alice.client.close(1007, "").fin();
        fake.settle();
        inside(&mut fake, &bob, |ctx, _| assert_eq!(ctx.web_socket_count(), 1));
        assert_eq!(log(), [""; 0], "no close event");
        drop(fake);
        drop(log());
    }
}

// RFC 6455 8.1: the message, not what was sent of it, is UTF-8
#[test]
fn text_is_utf8_once_it_is_inflated() {
    let mut fake = fake();
    let mut alice = Deflating::open(&mut fake, "/lobby?name=alice");
    let payload = alice.payload([b'a', 0xFF]);
    alice.client.frame(FIN | RSV1 | TEXT, payload);
    fake.settle();
    assert_eq!(alice.heard()[0], closed(1007, "RFC 6455 8.1: a text message is UTF-8"));
    assert_eq!(log()[2..], ["alice errs 1007"]);
}

// RFC 7692 6.1: RSV1 only on the first frame of a message, and RFC 6455 5.2: RSV2 and RSV3 on none
#[test]
fn a_reserved_bit_where_none_may_be_is_a_protocol_error() {
    let begun = client_frame(RSV1 | BINARY, b"");
    for frames in [
        client_frame(FIN | RSV1 | PING, b""),
        client_frame(FIN | RSV1 | 0x8, b""),
        client_frame(FIN | RSV1 | 0x20 | TEXT, &[0]),
        client_frame(FIN | 0x10 | TEXT, b""),
        [begun, client_frame(FIN | RSV1 | CONTINUATION, &[0])].concat(),
    ] {
        let mut fake = fake();
        let mut alice = Deflating::open(&mut fake, "/lobby?name=alice");
        alice.client.bytes(&frames);
        fake.settle();
        let Heard::Close(code, _) = alice.heard()[0] else { panic!("a Close") };
        assert_eq!(code, 1002, "{frames:02x?}");
        assert_eq!(log().last().unwrap(), "alice errs 1002");
    }
}

/// A room whose home is the other of two shards.
fn elsewhere(fake: &mut Fake) -> String {
    let home =
        |fake: &mut Fake, name: &str| fake.ask(&support::http::get(&format!("/worker/home?{name}"))).body;
    (0..100).map(|n| format!("/room{n}")).find(|name| home(fake, name) == "1").expect("one of a hundred")
}

/// Two shards, of which the second has the room; `is_far` when the connection is to stay on the first.
fn two_shards(is_far: bool) -> Fake {
    let builder = rooms(|settings| {
        settings.deflate.terms.context_takeover = true;
        settings.deflate.message_bytes_min = 0;
        if is_far {
            settings.crowd_sockets = 0;
        }
    });
    Fake::new(builder, 2)
}

#[test]
fn an_agreement_moves_with_its_connection_or_stays_with_it() {
    for is_far in [false, true] {
        let mut fake = two_shards(is_far);
        let room = elsewhere(&mut fake);
        // The first frame stands behind the request in the same segment.
        let mut deflate = support::deflate::Deflate::new(15, false);
        let said = listing(1, 3_000);
        let payload = deflate.deflate(format!("say {said}").as_bytes());
        let request = upgrade(&format!("{room}?name=alice"), &offering(OFFER));
        let client = fake.connect();
        client.bytes(request).bytes(client_frame(FIN | RSV1 | TEXT, &payload));
        fake.settle();
        let mut alice = Deflating::opened(client);
        assert_eq!(alice.texts(), [said.as_str()]);
        let payload = deflate.deflate(format!("say {said}").as_bytes());
        assert!(payload.len() < 100);
        alice.client.frame(FIN | RSV1 | TEXT, &payload);
        fake.settle();
        assert_eq!(alice.texts(), [said.as_str()]);
        assert!(alice.last_bytes < 100, "{} bytes", alice.last_bytes);
        assert_eq!(alice.forms(), (2, 0));
        let contexts = fake.shards.iter().map(|shard| shard.counters.deflate_contexts.get());
        assert_eq!(contexts.collect::<Vec<_>>(), if is_far { [1, 0] } else { [0, 1] });
        alice.client.close(1000, "");
        fake.advance(10_000);
        assert_eq!(alice.heard(), [closed(1000, ""), Heard::Fin]);
        for shard in &fake.shards {
            assert_eq!(shard.counters.deflate_context_bytes.get(), 0);
        }
    }
}

/// SEMANTICS 4, send before the 101: what the client agreed to is not known yet.
#[test]
fn what_is_sent_before_the_101_arrives_as_it_was_sent() {
    for is_far in [false, true] {
        for sends in 0..4 {
            let mut fake = two_shards(is_far);
            let room = elsewhere(&mut fake);
            let said: Vec<String> = (0..sends).map(|n| listing(n, 1_000)).collect();
            let mut commands: Vec<String> = said.iter().map(|said| format!("say {said}")).collect();
            commands.push("close 1000 enough".to_owned());
            script(At::Fetch, &commands.join("; "));
            let mut alice = Deflating::open_at(&mut fake, 0, &room, OFFER);
            let mut expected: Vec<Heard> = said.into_iter().map(text).collect();
            expected.push(closed(1000, "enough"));
            assert_eq!(alice.heard(), expected, "{is_far} {sends}");
        }
    }
}

#[test]
fn a_hand_off_that_fails_gives_its_promise_back() {
    let mut fake = two_shards(false);
    fake.hand_offs_fail = true;
    let room = elsewhere(&mut fake);
    let client = fake.connect();
    client.bytes(upgrade(&room, &offering(OFFER)));
    fake.advance(10_000);
    assert!(client.is_closed());
    for shard in &fake.shards {
        assert_eq!(shard.counters.inflate_contexts.get(), 0);
    }
}
