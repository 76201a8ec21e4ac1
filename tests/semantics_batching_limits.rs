//! What may wait in batches and what may not be put into one: bounds, values that cannot be encoded, sockets that take
//! nothing.

mod support;

use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;

use dormouse::{ApiError, WebSocket, WebSocketPair};
use serde::{Serialize, Serializer};
use support::batching::{DELAY_MS, batch, push};
use support::fake::Fake;
use support::frames::{Heard, text};
use support::room::{fake, fake_with, inside};

/// RELIABILITY: every queue has a limit.
#[test]
fn more_than_may_wait_has_the_oldest_leave_early() {
    let mut fake = fake();
    let alice = fake.open("/lobby?tag=tag0&tag=tag1");
    inside(&mut fake, &alice, |ctx, _| {
        for tag in 0..16_000 {
            ctx.batch(Some(&format!("tag{tag}"))).push("x").unwrap();
        }
    });
    // Each is charged 256 bytes and more: 4 MiB are less than 16,000 of them, and more than half of that.
    assert_eq!(alice.heard(), [batch(&["x"]), batch(&["x"])]);
    let early = fake.counters().batches_sent.get();
    assert!((2..8_000).contains(&early), "{early}");
    fake.advance(DELAY_MS);
    assert_eq!(fake.counters().batches_sent.get(), 16_000);
}

#[test]
fn more_than_may_wait_on_a_shard_has_what_is_pushed_leave_at_once() {
    const OBJECTS: usize = 18;
    let mut fake = fake();
    // 250 batches of 16 KB: less than 4 MiB an object, and with the last more than 64 MiB in all.
    let large = Rc::new("x".repeat(15_500));
    let early: Vec<u64> = (0..OBJECTS)
        .map(|number| {
            let client = fake.open(&format!("/lobby{number}"));
            let large = large.clone();
            inside(&mut fake, &client, move |ctx, _| {
                (0..250).for_each(|tag| ctx.batch(Some(&tag.to_string())).push(&*large).unwrap());
            });
            fake.counters().batches_sent.get()
        })
        .collect();
    assert_eq!(early[..17], [0; 17]);
    assert!((1..=250).contains(&early[17]), "{early:?}");
    fake.advance(DELAY_MS);
    assert_eq!(fake.counters().batches_sent.get(), 250 * OBJECTS as u64);
    // Then there is room again.
    let client = fake.open("/lobby0");
    push(&mut fake, &client, &["waits"]);
    assert_eq!(client.heard(), []);
}

/// A value whose `Serialize` runs a closure, which may do anything.
struct Doing<F>(F);

impl<F: Fn() -> bool> Serialize for Doing<F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::{Error, SerializeSeq};
        let mut list = serializer.serialize_seq(Some(2))?;
        list.serialize_element("done")?;
        if !self.0() {
            return Err(S::Error::custom("not done"));
        }
        list.serialize_element("twice")?;
        list.end()
    }
}

#[test]
fn a_value_that_fails_or_pushes_by_itself_spoils_nothing() {
    let mut fake = fake();
    let alice = fake.open("/lobby");
    inside(&mut fake, &alice, |ctx, ws| {
        let everybody = ctx.batch(None);
        everybody.push("before").unwrap();
        let error = everybody.push(&Doing(|| false)).unwrap_err();
        assert!(matches!(&error, ApiError::BatchMessage { message } if message.contains("not done")));
        let error = everybody.push(&HashMap::from([((1, 2), 3)])).unwrap_err();
        assert!(error.to_string().contains("key must be a string"), "{error}");
        let inner = (ctx.clone(), ws.clone());
        everybody
            .push(&Doing(move || {
                inner.0.batch(None).push("within").unwrap();
                inner.1.send("sent within").is_ok()
            }))
            .unwrap();
        everybody.push("behind").unwrap();
    });
    fake.advance(DELAY_MS);
    let expected = r#"["batch/1","before","within",["done","twice"],"behind"]"#;
    assert_eq!(alice.heard(), [text("sent within"), text(expected)]);
}

#[test]
fn only_an_accepted_socket_has_a_batch() {
    let end = WebSocketPair::new().server;
    assert_eq!(end.batch().push("x"), Err(ApiError::NotAccepted));
    assert_eq!(end.batch().flush(), 0);
    let mut fake = fake();
    let [alice, bob] = [(); 2].map(|()| fake.open("/lobby"));
    let kept: Rc<Cell<Option<WebSocket>>> = Rc::default();
    let keeper = kept.clone();
    inside(&mut fake, &alice, move |_, ws| keeper.set(Some(ws.clone())));
    alice.reset();
    fake.settle();
    inside(&mut fake, &bob, move |_, _| {
        let gone = kept.take().unwrap();
        assert_eq!(gone.batch().push("to one that is gone"), Ok(()));
        assert_eq!(gone.batch().flush(), 0);
    });
}

#[test]
fn a_batch_for_one_that_does_not_read_is_dropped_whole_where_the_class_asks_for_it() {
    let mut fake = fake_with(|settings| settings.output_socket_bytes_max = 100);
    let alice = fake.open("/latest/1");
    alice.stop_reading(0);
    let say = |fake: &mut Fake, word: &'static str| {
        inside(fake, &alice, move |ctx, _| {
            (0..30).for_each(|_| ctx.batch(None).push(word).unwrap());
            ctx.batch(None).flush();
        });
    };
    for word in ["one", "two", "three"] {
        say(&mut fake, word);
    }
    assert_eq!(fake.counters().messages_dropped.get(), 2);
    alice.read_on();
    fake.settle();
    let heard = alice.heard();
    let [Heard::Binary(bytes)] = &heard[..] else { panic!("{heard:?}") };
    let words: Vec<String> = rmp_serde::from_slice(bytes).unwrap();
    assert_eq!((words.len(), words[0].as_str(), words[30].as_str()), (31, "batch/1", "one"));
}
