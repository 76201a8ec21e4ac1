//! The demo's contract, path by path.

mod engine;

use serde_json::{Value, json};

use engine::{Client, Engine, IDLE_MS, Seen};

fn text(text: &str) -> Seen {
    Seen::Text(text.to_owned())
}

#[test]
fn the_page_asks_for_nothing_from_anywhere() {
    let response = Engine::new().request("GET / HTTP/1.1");
    let (head, page) = response.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n"), "{head}");
    assert!(head.contains("default-src 'none'"), "{head}");
    assert!(page.starts_with("<!doctype html>"));
    // The one address in it names a vocabulary and is fetched by nobody.
    assert_eq!(page.matches("://").count(), page.matches("http://www.w3.org/2000/svg").count());
    assert!(
        page.contains("class Batcher {") && !page.contains("batch.js */"),
        "the client of batches is in it"
    );
    for tag in ["<link rel=\"stylesheet", "<script src", "<img", "@import", "url("] {
        assert!(!page.contains(tag), "{tag}");
    }
}

#[test]
fn paths_without_an_answer_of_their_own_name_the_endpoints() {
    let mut engine = Engine::new();
    for path in ["/nothing", "/websocket/", "/rooms", "/echo/1", "/status/", "/status/nothing", "/?a=b"] {
        let response = engine.request(&format!("GET {path} HTTP/1.1"));
        let is_page = response.contains("<!doctype html>");
        assert_eq!(is_page, path.starts_with("/?"), "{path}");
        if !is_page {
            assert!(response.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"), "{response}");
            let (_, body) = response.split_once("\r\n\r\n").unwrap();
            assert_eq!(body, "Supported endpoints:\n  /websocket: Expects a WebSocket upgrade request");
        }
    }
}

#[test]
fn a_socket_that_is_asked_for_the_wrong_way_is_refused_as_in_the_example() {
    let mut engine = Engine::new();
    for path in ["/websocket", "/any/websocket", "/room", "/room/1", "/echo", "/chat", "/arena"] {
        let response = engine.request(&format!("GET {path} HTTP/1.1"));
        assert!(response.starts_with("HTTP/1.1 426 Upgrade Required\r\n"), "{response}");
        assert!(response.contains("\r\nUpgrade: websocket\r\n"), "{response}");
        assert!(response.ends_with("\r\n\r\nWorker expected Upgrade: websocket"), "{response}");
        let head = format!("POST {path} HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade");
        let response = engine.request(&head);
        assert!(response.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{response}");
        assert!(response.ends_with("\r\n\r\nWorker expected GET method"), "{response}");
    }
}

#[test]
fn the_example_answers_three_times() {
    let mut engine = Engine::new();
    let [first, second] = [(); 2].map(|()| engine.upgrade("/websocket"));
    engine.say(first, "hi");
    let to_first = engine.texts(first);
    let id = to_first[0].split("from: ").nth(1).unwrap().split(',').next().unwrap().to_owned();
    assert!(id.len() == 36 && id.split('-').map(str::len).eq([8, 4, 4, 4, 12]), "{id}");
    let reply = |to| format!("[Durable Object] message: hi, from: {id}, to: {to}. Total connections: 2");
    assert_eq!(to_first, [reply("the initiating client"), reply("all clients")]);
    let to_second = [reply("all clients"), reply("all clients except the initiating client")];
    assert_eq!(engine.texts(second), to_second);
}

#[test]
fn the_example_keeps_sessions_through_hibernation_and_answers_pings_asleep() {
    let mut engine = Engine::new();
    let client = engine.upgrade("/websocket");
    engine.say(client, "one");
    let one = engine.texts(client);
    engine.pass(IDLE_MS);
    engine.say(client, "ping");
    assert_eq!(engine.seen(client), [text("pong")]);
    assert!(engine.status("/websocket").contains(r#""awake":false,"sockets":1"#));
    engine.say(client, "two");
    let two = engine.texts(client);
    assert_eq!(two, one.iter().map(|line| line.replace("message: one", "message: two")).collect::<Vec<_>>());
}

#[test]
fn the_example_counts_down_and_completes_the_closing_handshake() {
    let mut engine = Engine::new();
    let [first, second] = [(); 2].map(|()| engine.upgrade("/websocket"));
    engine.close(second, 3_001);
    assert_eq!(engine.seen(second), [Seen::Close(3_001)]);
    engine.say(first, "hi");
    assert!(engine.texts(first)[0].ends_with("Total connections: 1"));
}

#[test]
fn a_room_hears_itself_and_no_other_room() {
    let mut engine = Engine::new();
    let [a, b] = [(); 2].map(|()| engine.upgrade("/room/1?token=x"));
    let other = engine.upgrade("/room");
    engine.say(a, "ping");
    engine.send_bytes(b, &[0, 255]);
    for client in [a, b] {
        assert_eq!(engine.seen(client), [text("ping"), Seen::Binary(vec![0, 255])]);
    }
    assert_eq!(engine.seen(other), []);
    assert_eq!(engine.status("/room/1"), r#"{"awake":true,"sockets":2,"received":2,"sent":4}"#);
    assert_eq!(engine.status("/room/2"), r#"{"awake":false,"sockets":0,"received":0,"sent":0}"#);
}

#[test]
fn an_echo_comes_back_to_its_client_alone() {
    let mut engine = Engine::new();
    let clients = [(); 9].map(|()| engine.upgrade("/echo"));
    for (number, client) in clients.into_iter().enumerate() {
        engine.say(client, &number.to_string());
        engine.send_bytes(client, &[number as u8]);
    }
    for (number, client) in clients.into_iter().enumerate() {
        assert_eq!(engine.seen(client), [text(&number.to_string()), Seen::Binary(vec![number as u8])]);
    }
    assert_eq!(engine.status("/echo"), r#"{"awake":true,"sockets":9,"received":18,"sent":18}"#);
}

#[test]
fn a_line_of_the_chat_goes_to_all_and_stays_until_the_chat_sleeps() {
    let mut engine = Engine::new();
    let [moss, fern] = [(); 2].map(|()| engine.upgrade("/chat"));
    engine.say(moss, r#"{"join":"Moss"}"#);
    assert_eq!(engine.texts(moss), [r#"{"history":[]}"#]);
    engine.say(moss, r#"{"say":"hello"}"#);
    let lines = engine.texts(fern);
    let line: Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!((&line["line"]["name"], &line["line"]["text"]), (&json!("Moss"), &json!("hello")));
    assert_eq!(engine.texts(moss), lines);
    engine.say(fern, r#"{"join":"Fern"}"#);
    assert_eq!(engine.texts(fern)[0], lines[0].replace("\"line\":", "\"history\":[").replace("}}", "}]}"));
    engine.pass(IDLE_MS);
    assert!(engine.status("/chat").contains(r#""awake":false,"sockets":2"#));
    engine.say(moss, r#"{"say":"still Moss"}"#);
    assert!(engine.texts(fern)[0].contains(r#""name":"Moss","text":"still Moss""#));
}

#[test]
fn the_chat_remembers_fifty_lines() {
    let mut engine = Engine::new();
    let client = engine.upgrade("/chat");
    for number in 0..60 {
        engine.say(client, &format!(r#"{{"say":"{number}"}}"#));
    }
    engine.texts(client);
    engine.say(client, r#"{"join":"Moss"}"#);
    let news: Value = serde_json::from_str(&engine.texts(client)[0]).unwrap();
    let texts = news["history"].as_array().unwrap().iter().map(|line| line["text"].as_str().unwrap());
    assert!(texts.eq((10..60).map(|number| number.to_string()).collect::<Vec<_>>()));
}

#[test]
fn nonsense_is_answered_with_a_policy_violation() {
    let mut engine = Engine::new();
    for path in ["/chat", "/arena"] {
        let client = engine.upgrade(path);
        engine.say(client, "nonsense");
        assert_eq!(engine.seen(client), [Seen::Close(1_008)], "{path}");
    }
}

/// What the arena says in one WebSocket message, which is always a batch.
fn unpack(text: &str) -> Vec<Value> {
    let mut messages: Vec<Value> = serde_json::from_str(text).unwrap();
    assert_eq!(messages.remove(0), "batch/1");
    messages
}

fn news(engine: &mut Engine, client: Client) -> Vec<Value> {
    engine.texts(client).iter().flat_map(|text| unpack(text)).collect()
}

fn wish(engine: &mut Engine, client: Client, wishes: &[Value]) {
    let batch: Vec<Value> = [json!("batch/1")].into_iter().chain(wishes.iter().cloned()).collect();
    engine.say(client, &serde_json::to_string(&batch).unwrap());
}

/// Joins and reads the welcome: who one is, and where.
fn join(engine: &mut Engine, name: &str) -> (Client, u16, [u16; 2]) {
    let client = engine.upgrade("/arena");
    wish(engine, client, &[json!({ "join": name })]);
    let (id, spot) = read_welcome(engine, client);
    (client, id, spot)
}

fn read_welcome(engine: &mut Engine, client: Client) -> (u16, [u16; 2]) {
    let news = news(engine, client);
    let welcome = &news.last().unwrap()["welcome"];
    let players = welcome["players"].as_array().unwrap();
    let own = players.iter().find(|player| player["id"] == welcome["you"]).unwrap();
    let number = |value: &Value| value.as_u64().unwrap() as u16;
    (number(&welcome["you"]), [number(&own["x"]), number(&own["y"])])
}

/// Three steps that stay on the field, and what is said of them.
fn steps(id: u16, [x, y]: [u16; 2]) -> ([Value; 3], Value) {
    let to = |distance| if x < 800 { x + distance } else { x - distance };
    ([7, 14, 20].map(|distance| json!({ "go": [to(distance), y] })), json!([id, to(20), y]))
}

#[test]
fn what_is_in_a_batch_of_the_arena_is_judged_too() {
    let mut engine = Engine::new();
    let [nonsense, broken] = [(); 2].map(|()| engine.upgrade("/arena"));
    wish(&mut engine, nonsense, &[json!({ "fly": [1, 2] })]);
    assert_eq!(engine.seen(nonsense), [Seen::Close(1_008)]);
    engine.say(broken, r#"["batch/1",{"go""#);
    assert_eq!(engine.seen(broken), [Seen::Close(1_007)]);
}

#[test]
fn all_moves_of_a_tick_leave_in_one_batch() {
    let mut engine = Engine::new();
    let (a, a_id, a_spot) = join(&mut engine, "Moss");
    let (b, b_id, b_spot) = join(&mut engine, "Fern");
    let told = news(&mut engine, a);
    let player = &told.last().unwrap()["player"];
    assert_eq!((&player["id"], &player["name"]), (&json!(b_id), &json!("Fern")), "{told:?}");
    let (a_steps, a_move) = steps(a_id, a_spot);
    let (b_steps, b_move) = steps(b_id, b_spot);
    wish(&mut engine, a, &a_steps);
    wish(&mut engine, b, &b_steps);
    engine.pass(50);
    for client in [a, b] {
        let [batch] = engine.texts(client).try_into().unwrap();
        // What else happened, such as a crumb that was on the way, is before it.
        let told = unpack(&batch);
        let moves = told.last().unwrap()["moves"].as_array().unwrap();
        assert!(moves.len() == 2 && moves.contains(&a_move) && moves.contains(&b_move), "{told:?}");
    }
    engine.pass(50);
    assert!(engine.seen(a).is_empty(), "nobody moved");
}

#[test]
fn an_arena_at_rest_sleeps_and_wakes_with_the_same_players() {
    let mut engine = Engine::new();
    let (client, id, spot) = join(&mut engine, "Moss");
    let (steps, its_move) = steps(id, spot);
    wish(&mut engine, client, &steps);
    engine.pass(50);
    assert_eq!(news(&mut engine, client).last().unwrap()["moves"], json!([its_move]));
    engine.pass(IDLE_MS);
    assert!(engine.status("/arena").contains(r#""awake":true"#), "it ticked for three seconds more");
    engine.pass(4_000);
    assert!(engine.status("/arena").contains(r#""awake":false,"sockets":1"#));
    wish(&mut engine, client, &[json!({ "join": "Moss" })]);
    let (same_id, [x, y]) = read_welcome(&mut engine, client);
    assert_eq!(json!([same_id, x, y]), its_move);
}

#[test]
fn who_leaves_is_announced() {
    let mut engine = Engine::new();
    let (stays, ..) = join(&mut engine, "Moss");
    let (leaves, id, _) = join(&mut engine, "Fern");
    engine.texts(stays);
    engine.close(leaves, 1_001);
    engine.pass(50);
    assert_eq!(news(&mut engine, stays), [json!({ "left": id })]);
}
