//! SEMANTICS 9, slow reader: the policy that keeps the latest message of each key for a client that does not read.

mod support;

use dormouse::object::{Settings, ShardCounters};
use support::client::Client;
use support::deflate::{OFFER, listing};
use support::deflating::Deflating;
use support::fake::Fake;
use support::frames::{Heard, closed, text};
use support::room::{At, fake_with, inside, log, rooms, script};
use support::story::{PLACEMENTS, Placement, Story};

/// When a socket is at its bound.
const BOUND: usize = 1_000;

fn tight(settings: &mut Settings) {
    (settings.output_socket_bytes_max, settings.ping_ms) = (BOUND, None);
    settings.hibernation_idle_ms = Some(0);
}

fn sum(fake: &Fake, counter: impl Fn(&ShardCounters) -> u64) -> u64 {
    fake.shards.iter().map(|shard| counter(&shard.counters)).sum()
}

/// Replaced, dropped, closed.
fn losses(fake: &Fake) -> [u64; 3] {
    [
        sum(fake, |counters| counters.messages_replaced.get()),
        sum(fake, |counters| counters.messages_dropped.get()),
        sum(fake, |counters| counters.slow_readers_closed.get()),
    ]
}

fn say(fake: &mut Fake, speaker: &Client, script: impl AsRef<str>) {
    speaker.text(script);
    fake.settle();
}

/// A hundred bytes that begin so.
fn hundred(begin: &str) -> String {
    format!("{begin:<100}")
}

/// Ten messages that bring whoever does not read to the bound.
fn fill(fake: &mut Fake, speaker: &Client) -> Vec<String> {
    let filling: Vec<String> = (0..10).map(|n| hundred(&format!("filler {n}"))).collect();
    for text in &filling {
        say(fake, speaker, format!("shout {text}"));
    }
    filling
}

/// A room with one who reads and one who does not and is at its bound; what the latter was sent.
fn at_bound(
    placement: Placement,
    change: impl FnOnce(&mut Settings),
) -> (Story, Client, Client, Vec<String>) {
    let mut story = Story::of("/kept/room", placement, |settings| {
        tight(settings);
        change(settings);
    });
    let [quick, slow] = ["quick", "slow"].map(|name| story.open(name));
    slow.stop_reading(0);
    let filling = fill(&mut story.fake, &quick);
    assert_eq!(quick.texts(), filling);
    (story, quick, slow, filling)
}

#[test]
fn the_newest_of_each_key_arrives_when_the_client_reads_again() {
    for placement in PLACEMENTS {
        let (mut story, quick, slow, mut expected) = at_bound(placement, |_| {});
        let mut said = Vec::new();
        for round in 0..5 {
            for key in [3, u64::MAX, 0] {
                said.push(format!("{key} {round}"));
                say(&mut story.fake, &quick, format!("shout-as {key} {key} {round}"));
            }
        }
        // Between any two of them the object slept.
        assert!(log().iter().filter(|line| *line == "drop").count() > 15);
        assert_eq!(quick.texts(), said, "who reads gets all of them");
        assert!(slow.texts().is_empty());
        slow.read_on();
        story.fake.settle();
        expected.extend(said.split_off(12));
        assert_eq!(slow.texts(), expected, "{placement:?}");
        assert_eq!(losses(&story.fake), [12, 0, 0], "{placement:?}");
        say(&mut story.fake, &quick, "shout-as 3 and on it goes; shout without a key; shout-as 3 again");
        assert_eq!(slow.texts(), ["and on it goes", "without a key", "again"]);
    }
}

/// A key that changes often neither waits for ever nor has others wait.
#[test]
fn the_key_that_has_waited_longest_leaves_first_and_a_newer_message_takes_the_place_of_the_older() {
    for placement in PLACEMENTS {
        let (mut story, quick, slow, mut expected) = at_bound(placement, |_| {});
        let tell = |story: &mut Story, key: u64, round: u64| {
            let text = hundred(&format!("{key} {round}"));
            say(&mut story.fake, &quick, format!("shout-as {key} {text}"));
            text
        };
        for key in 1..=4 {
            tell(&mut story, key, 0);
        }
        for key in (1..=4).rev() {
            tell(&mut story, key, 1);
        }
        // Room for two of them: 1 and 2 leave the line.
        slow.read(200);
        story.fake.settle();
        for key in 1..=4 {
            tell(&mut story, key, 2);
        }
        slow.read_on();
        story.fake.settle();
        expected.extend(
            [(1, 1), (2, 1), (3, 2), (4, 2), (1, 2), (2, 2)]
                .map(|(key, round)| hundred(&format!("{key} {round}"))),
        );
        assert_eq!(slow.texts(), expected, "{placement:?}");
        assert_eq!(losses(&story.fake), [6, 0, 0]);
    }
}

#[test]
fn a_message_without_a_key_at_the_bound_closes_with_1013_behind_what_was_kept() {
    for placement in PLACEMENTS {
        let (mut story, quick, slow, filling) = at_bound(placement, |_| {});
        // All of it in one turn, and to a far shard in one batch.
        let script =
            "shout-as 1 a; shout-as 2 b; shout-as 1 c; shout nobody may miss this; shout-as 1 too late";
        say(&mut story.fake, &quick, script);
        say(&mut story.fake, &quick, "shout-as 1 too late");
        assert_eq!(losses(&story.fake), [1, 0, 1], "{placement:?}");
        slow.read_on();
        story.fake.settle();
        let mut expected: Vec<Heard> =
            filling.into_iter().chain(["c", "b"].map(String::from)).map(text).collect();
        expected.push(closed(1013, "the client does not read"));
        assert_eq!(slow.heard(), expected, "{placement:?}");
    }
}

#[test]
fn what_comes_when_the_client_reads_again_does_not_overtake_what_was_kept() {
    for placement in PLACEMENTS {
        let (mut story, quick, slow, mut expected) = at_bound(placement, |_| {});
        say(&mut story.fake, &quick, "shout-as 1 a; shout-as 2 b");
        // In the turn in which the kernel takes bytes again, before any of them has left.
        slow.read_on();
        say(&mut story.fake, &slow, "shout-as 1 c; shout-as 3 d; shout without a key; shout-as 2 e");
        if placement == Placement::Near || placement == Placement::HandedOver {
            expected.extend(["c", "b", "d", "without a key", "e"].map(String::from));
        } else {
            // The message went to another shard and back.
            expected.extend(["a", "b", "c", "d", "without a key", "e"].map(String::from));
        }
        assert_eq!(slow.texts(), expected, "{placement:?}");
        assert_eq!(losses(&story.fake)[1..], [0, 0]);
    }
}

/// An auto-response is without a key: it goes behind what was kept, or closes.
#[test]
fn an_auto_response_waits_its_turn_behind_what_was_kept() {
    for placement in PLACEMENTS {
        let (mut story, quick, slow, mut expected) = at_bound(placement, |_| {});
        inside(&mut story.fake, &quick, |ctx, _| {
            let pair = dormouse::WebSocketRequestResponsePair::new("?", "!");
            ctx.set_web_socket_auto_response(pair).unwrap();
        });
        say(&mut story.fake, &quick, "shout-as 1 a");
        slow.read(200);
        story.fake.settle();
        say(&mut story.fake, &slow, "?");
        slow.read_on();
        story.fake.settle();
        expected.extend(["a", "!"].map(String::from));
        assert_eq!(slow.texts(), expected, "{placement:?}");
        slow.stop_reading(0);
        fill(&mut story.fake, &quick);
        say(&mut story.fake, &slow, "?");
        assert_eq!(losses(&story.fake), [0, 0, 1], "at the bound it closes");
    }
}

#[test]
fn a_key_too_many_closes_with_1013() {
    for placement in PLACEMENTS {
        let (mut story, quick, slow, _) = at_bound(placement, |settings| settings.kept_messages_max = 3);
        for round in 0..3 {
            say(
                &mut story.fake,
                &quick,
                format!("shout-as 1 a{round}; shout-as 2 b{round}; shout-as 3 c{round}"),
            );
        }
        assert_eq!(losses(&story.fake), [6, 0, 0]);
        say(&mut story.fake, &quick, "shout-as 4 d");
        assert_eq!(losses(&story.fake), [6, 0, 1], "{placement:?}");
        slow.read_on();
        story.fake.settle();
        let heard = slow.heard();
        assert_eq!(heard[10..13], ["a2", "b2", "c2"].map(text));
        assert!(matches!(heard[13], Heard::Close(1013, _)));
    }
}

#[test]
fn as_many_bytes_may_wait_under_keys_as_without() {
    for placement in PLACEMENTS {
        let (mut story, quick, _slow, _) = at_bound(placement, |_| {});
        let large = "x".repeat(600);
        // The second is the one that reaches the bound; it may be replaced, and so may the first by a small one.
        say(&mut story.fake, &quick, format!("shout-as 1 {large}; shout-as 2 {large}; shout-as 2 {large}"));
        say(&mut story.fake, &quick, "shout-as 1 small");
        assert_eq!(losses(&story.fake), [2, 0, 0], "{placement:?}");
        say(&mut story.fake, &quick, format!("shout-as 3 {large}"));
        assert_eq!(losses(&story.fake), [2, 0, 0], "{placement:?}");
        say(&mut story.fake, &quick, "shout-as 4 small");
        assert_eq!(losses(&story.fake), [2, 0, 1], "{placement:?}");
    }
}

/// RELIABILITY: output per shard, slowest first.
#[test]
fn what_is_kept_counts_towards_the_budget_of_the_shard_and_is_given_back() {
    let mut fake = fake_with(|settings| {
        tight(settings);
        settings.output_shard_bytes_max = 2_500;
    });
    let quick = fake.open("/kept/lobby");
    for round in 1..=3 {
        let [slow, slower] = [(); 2].map(|()| fake.open("/kept/lobby?tag=slow"));
        slower.stop_reading(0);
        fill(&mut fake, &quick);
        let large = "x".repeat(600);
        say(&mut fake, &quick, format!("shout-as 1 {large}; shout-as 2 {large}"));
        assert_eq!(losses(&fake)[2], round - 1, "1,020 bytes wait in the queue, and 1,208 under keys");
        slow.stop_reading(0);
        say(&mut fake, &slow, format!("say {large}"));
        assert_eq!((slower.is_closed(), slow.is_closed()), (true, false), "the slowest went");
        assert_eq!(losses(&fake)[2], round);
        slow.reset();
        fake.settle();
        quick.heard();
    }
}

#[test]
fn the_buffered_amount_counts_what_is_kept() {
    let (mut story, _quick, slow, filling) = at_bound(Placement::Near, |_| {});
    inside(&mut story.fake, &slow, |_, ws| {
        let before = ws.buffered_amount();
        assert_eq!(before, 10 * 102);
        ws.send_keyed(1, "first").unwrap();
        ws.send_keyed(2, "another").unwrap();
        ws.send_keyed(1, "newest").unwrap();
        assert_eq!(ws.buffered_amount(), before + 8 + 9);
    });
    slow.read_on();
    story.fake.settle();
    assert_eq!(slow.texts()[filling.len()..], ["newest", "another"]);
    inside(&mut story.fake, &slow, |_, ws| assert_eq!(ws.buffered_amount(), 0));
}

#[test]
fn an_edge_tells_the_home_what_is_kept() {
    let (mut story, quick, slow, _) = at_bound(Placement::Far, |_| {});
    say(&mut story.fake, &quick, format!("shout-as 1 {}", hundred("a")));
    slow.read(10);
    story.fake.settle();
    inside(&mut story.fake, &slow, |_, ws| assert_eq!(ws.buffered_amount(), 11 * 102 - 10));
}

/// SEMANTICS 9, broadcast: each recipient holds a reference, also of what is kept.
#[test]
fn a_message_that_many_have_to_keep_is_copied_once() {
    let mut fake = fake_with(tight);
    let clients: Vec<_> = (0..100).map(|n| fake.open(&format!("/kept/lobby?name={n}"))).collect();
    clients[1..].iter().for_each(|client| {
        client.stop_reading(0);
    });
    fill(&mut fake, &clients[0]);
    let before = [fake.counters().frames_encoded.get(), fake.counters().bytes_encoded.get()];
    say(&mut fake, &clients[0], format!("shout-as 7 {}", "x".repeat(500)));
    let after = [fake.counters().frames_encoded.get(), fake.counters().bytes_encoded.get()];
    assert_eq!([after[0] - before[0], after[1] - before[1]], [1, 2 * 504]);
    clients[1..].iter().for_each(|client| {
        client.read_on();
    });
    fake.settle();
    assert!(clients[1..].iter().all(|client| client.texts()[10] == "x".repeat(500)));
    assert_eq!(fake.counters().frames_encoded.get(), after[0], "and leaves as it is");
}

#[test]
fn where_the_class_does_not_ask_for_it_a_key_says_nothing() {
    for (room, expected) in [("/lobby", [0, 0, 1]), ("/latest/lobby", [0, 2, 0])] {
        let mut fake = fake_with(tight);
        let [quick, slow] = [(); 2].map(|()| fake.open(room));
        slow.stop_reading(0);
        fill(&mut fake, &quick);
        say(&mut fake, &quick, "shout-as 1 a");
        say(&mut fake, &quick, "shout-as 1 b");
        assert_eq!(losses(&fake), expected, "{room}");
        assert_eq!(quick.texts()[10..], ["a", "b"]);
    }
}

/// Behind a Close comes nothing; so what was sent before it leaves before it.
#[test]
fn a_close_of_the_object_and_one_of_the_server_leave_behind_what_was_kept() {
    for placement in PLACEMENTS {
        for drains in [false, true] {
            let (mut story, quick, slow, filling) = at_bound(placement, |_| {});
            say(&mut story.fake, &quick, "shout-as 1 a; shout-as 2 b; shout-as 1 c");
            let expected = if drains {
                story.fake.shards.iter().for_each(|shard| shard.world.begin_drain());
                closed(1001, "the server shuts down")
            } else {
                slow.text("close 4000 bye");
                closed(4000, "bye")
            };
            story.fake.settle();
            slow.read_on();
            story.fake.settle();
            let heard = slow.heard();
            assert_eq!(heard[filling.len()..], [text("c"), text("b"), expected], "{placement:?}");
        }
    }
}

/// A client that has only finished speaking gets what it was sent, kept or not.
#[test]
fn a_client_that_sends_fin_gets_what_was_kept() {
    let (mut story, quick, slow, filling) = at_bound(Placement::Near, |_| {});
    say(&mut story.fake, &quick, "shout-as 1 a; shout-as 2 b; shout-as 1 c");
    slow.fin();
    story.fake.settle();
    slow.read_on();
    story.fake.settle();
    assert_eq!(slow.texts()[filling.len()..], ["c", "b"]);
    assert!(slow.is_closed());
}

/// As many as sixteen times the bound may be sent before the 101 is written; then keys are kept there too.
#[test]
fn keys_are_kept_before_the_101_is_written_as_well() {
    for placement in PLACEMENTS {
        for closes in [false, true] {
            let mut story = Story::of("/kept/room", placement, tight);
            let large = "x".repeat(BOUND);
            let mut sends = vec![format!("say {large}"); 16];
            sends.extend(["say-as 1 a", "say-as 2 b", "say-as 1 c"].map(String::from));
            if closes {
                sends.push("close 4000 bye".to_owned());
            }
            script(At::Fetch, &sends.join("; "));
            let alice = story.open("alice");
            script(At::Fetch, "");
            let mut expected = vec![text(large); 16];
            expected.extend(["c", "b"].map(text));
            if closes {
                expected.push(closed(4000, "bye"));
            }
            assert_eq!(alice.heard(), expected, "{placement:?}");
            assert_eq!(losses(&story.fake), [1, 0, 0]);
        }
    }
}

#[test]
fn before_the_101_a_message_without_a_key_closes_at_the_bound_too() {
    let mut story = Story::of("/kept/room", Placement::Near, tight);
    let large = "x".repeat(BOUND);
    let sends = vec![format!("say {large}"); 16].join("; ");
    script(At::Fetch, &format!("{sends}; say-as 1 a; say nobody may miss this"));
    let alice = story.open("alice");
    let heard = alice.heard();
    assert_eq!(heard[16..], [text("a"), closed(1013, "the client does not read")]);
}

/// What is kept waits as it was said: which of it will be compressed is not known yet, and with what context.
#[test]
fn what_was_kept_is_compressed_as_it_leaves() {
    for accepting in [0, 1] {
        let mut fake = Fake::new(
            rooms(|settings| {
                (settings.output_socket_bytes_max, settings.ping_ms) = (4_096, None);
                settings.deflate.terms.context_takeover = true;
                settings.crowd_sockets = 0;
            }),
            2,
        );
        let mut slow = Deflating::open_at(&mut fake, accepting, "/kept/a", OFFER);
        let quick = fake.open("/kept/a");
        slow.client.stop_reading(100);
        let mut round = 0;
        while sum(&fake, |counters| counters.messages_replaced.get()) < 20 {
            round += 1;
            for key in 0..3 {
                say(&mut fake, &quick, format!("shout-as {key} {key} {round} {}", listing(key, 1_500)));
                say(
                    &mut fake,
                    &slow.client.clone(),
                    format!("say-as {key} {key} {round} {}", listing(key, 1_500)),
                );
            }
            assert!(round < 100);
        }
        let compressions = sum(&fake, |counters| counters.compressions.get());
        slow.client.read_on();
        fake.settle();
        let texts = slow.texts();
        let newest: Vec<String> =
            (0..3).map(|key| format!("{key} {round} {}", listing(key, 1_500))).collect();
        let last: Vec<&String> = texts[texts.len() - 3..].iter().collect();
        assert!(newest.iter().all(|text| last.contains(&text)), "{accepting}");
        assert_eq!(slow.forms().1, 0, "all of it is compressed");
        assert_eq!(sum(&fake, |counters| counters.compressions.get()), compressions + 3, "once each");
        assert_eq!(losses(&fake)[1..], [0, 0]);
    }
}

/// Where the next of its kind is accepted, nothing is left of a connection that went.
#[test]
fn what_was_kept_goes_with_its_connection() {
    let mut fake = fake_with(tight);
    let quick = fake.open("/kept/lobby");
    for _ in 0..3 {
        let slow = fake.open("/kept/lobby");
        slow.stop_reading(0);
        fill(&mut fake, &quick);
        say(&mut fake, &quick, "shout-as 1 of the one before; shout-as 2 as well");
        slow.reset();
        say(&mut fake, &quick, "shout to find out");
        quick.heard();
    }
    let next = fake.open("/kept/lobby");
    next.stop_reading(0);
    let filling = fill(&mut fake, &quick);
    say(&mut fake, &quick, "shout-as 1 mine");
    next.read_on();
    fake.settle();
    assert_eq!(next.texts()[filling.len()..], ["mine"]);
    assert_eq!(losses(&fake), [0, 0, 0]);
}
