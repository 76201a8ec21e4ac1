//! SEMANTICS 5: attachments.

mod support;

use std::collections::BTreeMap;

use dormouse::{ApiError, Response, WebSocketPair};
use serde::{Deserialize, Serialize};
use support::http::get;
use support::room::{fake, fake_with, inside, on_fetch};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Player {
    name: String,
    score: u64,
    seen: BTreeMap<String, f64>,
    mood: Option<Mood>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Mood {
    Cheerful,
    Sleepy { minutes: u8 },
}

fn player() -> Player {
    let seen = BTreeMap::from([("bob".to_owned(), 0.5)]);
    Player { name: "alice".into(), score: u64::MAX, seen, mood: Some(Mood::Sleepy { minutes: 3 }) }
}

#[test]
fn any_serde_type_goes_in_and_comes_out_also_after_sleep() {
    let mut fake = fake();
    let alice = fake.open("/lobby");
    inside(&mut fake, &alice, |_, ws| ws.serialize_attachment(&player()).unwrap());
    fake.advance(10_000);
    inside(&mut fake, &alice, |_, ws| {
        assert_eq!(ws.deserialize_attachment::<Player>(), Ok(Some(player())));
        ws.serialize_attachment(&Mood::Cheerful).unwrap();
        assert_eq!(ws.deserialize_attachment::<Mood>(), Ok(Some(Mood::Cheerful)));
        let wrong = ws.deserialize_attachment::<Player>().unwrap_err();
        assert!(matches!(wrong, ApiError::Attachment { .. }), "{wrong}");
    });
}

#[test]
fn a_socket_without_an_attachment_has_none() {
    let mut fake = fake();
    let alice = fake.open("/lobby");
    inside(&mut fake, &alice, |_, ws| assert_eq!(ws.deserialize_attachment::<String>(), Ok(None)));
}

/// Binary of n bytes costs 3 more in MessagePack from 256 on.
fn bytes_of(size: usize) -> sized::Bytes {
    sized::Bytes(vec![7; size - 3])
}

mod sized {
    //! A value whose MessagePack form has exactly the size asked for.
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Visitor};

    #[derive(PartialEq)]
    pub struct Bytes(pub Vec<u8>);

    impl std::fmt::Debug for Bytes {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "{} bytes", self.0.len())
        }
    }

    impl Serialize for Bytes {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_bytes(&self.0)
        }
    }

    impl<'de> Deserialize<'de> for Bytes {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
            struct Reader;
            impl Visitor<'_> for Reader {
                type Value = Bytes;
                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("bytes")
                }
                fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Bytes, E> {
                    Ok(Bytes(bytes.to_vec()))
                }
            }
            deserializer.deserialize_bytes(Reader)
        }
    }
}

/// SEMANTICS 5, limit.
#[test]
fn the_limit_counts_serialized_bytes_and_the_old_value_stays() {
    for limit in [2_048, 5_000, 16_384] {
        let mut fake = fake_with(|settings| settings.attachment_bytes_max = limit);
        let alice = fake.open("/lobby");
        inside(&mut fake, &alice, move |_, ws| {
            ws.serialize_attachment(&bytes_of(limit)).unwrap();
            let error = ws.serialize_attachment(&bytes_of(limit + 1)).unwrap_err();
            assert_eq!(error, ApiError::AttachmentTooLarge { bytes: limit + 1, limit });
            assert!(error.to_string().contains(&format!("{} bytes", limit + 1)), "{error}");
            assert_eq!(ws.deserialize_attachment(), Ok(Some(bytes_of(limit))));
        });
    }
}

/// SEMANTICS 5, before acceptWebSocket.
#[test]
fn an_attachment_made_before_accepting_is_kept() {
    let mut fake = fake();
    on_fetch(|ctx, _| {
        let pair = WebSocketPair::new();
        assert_eq!(pair.server.deserialize_attachment::<Player>()?, None);
        pair.server.serialize_attachment(&player())?;
        assert_eq!(pair.server.deserialize_attachment()?, Some(player()));
        ctx.accept_web_socket(&pair.server, &[])?;
        assert_eq!(pair.server.deserialize_attachment()?, Some(player()));
        Ok(Response::web_socket(pair.client))
    });
    let alice = fake.open("/lobby");
    inside(&mut fake, &alice, |_, ws| assert_eq!(ws.deserialize_attachment(), Ok(Some(player()))));
}

#[test]
fn an_attachment_over_the_limit_made_before_accepting_is_refused_then_and_kept_until() {
    let mut fake = fake();
    on_fetch(|ctx, _| {
        let pair = WebSocketPair::new();
        pair.server.serialize_attachment(&bytes_of(16_384))?;
        let error = pair.server.serialize_attachment(&bytes_of(16_385)).unwrap_err();
        assert!(matches!(error, ApiError::AttachmentTooLarge { bytes: 16_385, .. }));
        let error = ctx.accept_web_socket(&pair.server, &[]).unwrap_err();
        assert_eq!(error, ApiError::AttachmentTooLarge { bytes: 16_384, limit: 2_048 });
        assert_eq!(pair.server.deserialize_attachment()?, Some(bytes_of(16_384)), "the old value stays");
        pair.server.serialize_attachment("short")?;
        ctx.accept_web_socket(&pair.server, &[])?;
        assert_eq!(pair.server.deserialize_attachment::<String>()?.as_deref(), Some("short"));
        Ok(Response::text("kept"))
    });
    assert_eq!(fake.ask(&get("/lobby")).body, "kept");
}

/// SEMANTICS 5, later change, lifetime.
#[test]
fn a_change_is_seen_only_when_serialized_again_and_each_read_is_fresh() {
    let mut fake = fake();
    let [alice, bob] = [(); 2].map(|()| fake.open("/lobby"));
    inside(&mut fake, &alice, |_, ws| {
        let mut value = player();
        ws.serialize_attachment(&value).unwrap();
        value.score = 1;
        let mut read: Player = ws.deserialize_attachment().unwrap().unwrap();
        assert_eq!(read.score, u64::MAX);
        read.score = 2;
        assert_eq!(ws.deserialize_attachment(), Ok(Some(player())));
        ws.serialize_attachment(&value).unwrap();
        assert_eq!(ws.deserialize_attachment::<Player>().unwrap().unwrap().score, 1);
    });
    inside(&mut fake, &bob, |_, ws| assert_eq!(ws.deserialize_attachment::<Player>(), Ok(None)));
}

#[test]
fn a_value_that_cannot_be_serialized_is_an_error_and_the_old_one_stays() {
    struct Stubborn;
    impl Serialize for Stubborn {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("I will not"))
        }
    }
    let mut fake = fake();
    let alice = fake.open("/lobby");
    inside(&mut fake, &alice, |_, ws| {
        ws.serialize_attachment("old").unwrap();
        let error = ws.serialize_attachment(&Stubborn).unwrap_err();
        assert_eq!(error, ApiError::Attachment { message: "I will not".into() });
        assert_eq!(ws.deserialize_attachment::<String>().unwrap().as_deref(), Some("old"));
    });
}
