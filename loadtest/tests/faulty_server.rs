//! Each fault of a server is noticed, counted as what it is, and ends with status 1.

mod support;

use support::server::{Fault, Server};
use support::{Run, loadtest};

/// Runs against a server with `fault`; gives up soon, because these runs lose things.
fn run(fault: Fault, mode: &str, path: &str, options: &str) -> Run {
    let server = Server::start(fault);
    loadtest(&format!("{mode} --url {} --json --wait 1s {options}", server.url(path)))
}

/// 10 rounds of 10 messages to 10 sockets: 1,000 deliveries.
fn burst(fault: Fault) -> Run {
    run(fault, "burst", "/room", "--sockets 10 --count 10 --burst 10")
}

/// 10 sockets, 100 messages each: 1,000 deliveries.
fn echo(fault: Fault) -> Run {
    run(fault, "echo", "/echo", "--sockets 10 --count 100 --pipeline 10")
}

/// The only reason of failure.
fn reason(run: &Run) -> (&str, u64) {
    let failed = run.report["failed"].as_object().unwrap();
    assert_eq!(failed.len(), 1, "{}", run.stdout);
    failed.iter().map(|(reason, count)| (reason.as_str(), count.as_u64().unwrap())).next().unwrap()
}

#[test]
fn dropped_is_lost() {
    // The closed loop stops with the round that is not complete, an open one goes on.
    let closed = burst(Fault::Drop(150));
    closed.assert_wrong([1, 0, 0, 0]);
    assert_eq!(closed.report["outcome"], "stalled");
    let options = "--sockets 10 --count 100 --rate 1000 --threads 2";
    run(Fault::Drop(100), "broadcast", "/room", options).assert_wrong([10, 0, 0, 0]);
    let echo = echo(Fault::Swallow(500));
    assert!(echo.number("lost") > 0);
    assert_eq!((echo.status, echo.number("deliveries")), (1, 499));
}

#[test]
fn sent_twice_is_doubled() {
    burst(Fault::Double(100)).assert_wrong([0, 10, 0, 0]);
    // The very last delivery, too: nothing follows that would bring it to light.
    burst(Fault::Double(1_000)).assert_wrong([0, 1, 0, 0]);
    echo(Fault::Double(100)).assert_wrong([0, 10, 0, 0]);
    run(Fault::Double(10), "churn", "/echo", "--count 20 --connect-rate 200").assert_wrong([0, 2, 0, 0]);
}

#[test]
fn overtaken_by_the_same_sender_is_reordered() {
    // The fiftieth delivery of each round is its fifth message to the last socket; the sixth overtakes it.
    burst(Fault::Reorder(100)).assert_wrong([0, 0, 10, 0]);
    // One socket: the delivery that is held has a next one, whoever of several would have been ahead by then.
    let options = "--sockets 1 --count 1000 --pipeline 10";
    run(Fault::Reorder(100), "echo", "/echo", options).assert_wrong([0, 0, 10, 0]);
}

#[test]
fn changed_is_corrupt_and_not_lost_as_well() {
    for fault in [Fault::Corrupt(100), Fault::Truncate(100), Fault::SwapKind(100)] {
        burst(fault).assert_wrong([0, 0, 0, 10]);
        echo(fault).assert_wrong([0, 0, 0, 10]);
    }
    let binary = "--sockets 10 --count 10 --burst 10 --binary --threads 2";
    run(Fault::Corrupt(100), "burst", "/room", binary).assert_wrong([0, 0, 0, 10]);
    run(Fault::Corrupt(10), "churn", "/echo", "--count 20 --connect-rate 200").assert_wrong([0, 0, 0, 2]);
}

#[test]
fn in_the_wrong_room_is_corrupt() {
    // One broadcast at a time over all, so that the server never finds the other room busy.
    let run = run(Fault::Leak(10), "broadcast", "/room", "--sockets 10 --rooms 2 --count 20 --rate 100");
    assert!(run.number("corrupt") > 0, "{}", run.stdout);
    run.assert_wrong([0, 0, 0, run.number("corrupt")]);
}

#[test]
fn a_broken_frame_ends_its_connection() {
    let run = burst(Fault::BadFrame(555));
    assert_eq!(run.status, 1);
    assert_eq!(reason(&run), ("frame with reserved bits", 1));
    assert_eq!(run.report["outcome"], "connection_ended");
}

#[test]
fn a_connection_closed_in_the_middle_is_told_with_its_code() {
    let closed = burst(Fault::Close(555, 1011));
    assert_eq!(closed.status, 1);
    assert_eq!(reason(&closed), ("closed by the server with code 1011", 1));
    assert!(closed.number("lost") > 0);
    let vanished = echo(Fault::Vanish(555));
    assert_eq!(vanished.status, 1);
    assert_eq!(vanished.report["failed"].as_object().unwrap().len(), 1, "{}", vanished.stdout);
}

#[test]
fn a_wrong_accept_key_is_a_failed_handshake() {
    let run = run(Fault::WrongAccept(3), "broadcast", "/room", "--sockets 5 --count 5");
    assert_eq!(run.status, 1);
    assert_eq!(reason(&run), ("handshake: wrong Sec-WebSocket-Accept", 1));
    assert_eq!(run.number("deliveries"), 5 * 4, "the others went on");
}

#[test]
fn an_unanswered_handshake_is_given_up() {
    let run = run(Fault::Mute(5), "broadcast", "/room", "--sockets 5 --count 5");
    assert_eq!(run.status, 1);
    assert_eq!(reason(&run), ("handshake not answered", 1));
}

#[test]
fn refusals_are_counted_and_may_be_expected() {
    let options = "--sockets 10 --count 3";
    let surprised = run(Fault::Refuse(10, 503), "broadcast", "/room", options);
    assert_eq!(surprised.status, 1);
    assert_eq!(surprised.report["refused"]["503"], 1);
    run(Fault::Refuse(10, 503), "broadcast", "/room", &format!("{options} --expect-refused 1"))
        .assert_clean(27);
    let too_many = run(Fault::Refuse(9, 429), "broadcast", "/room", &format!("{options} --expect-refused 1"));
    assert_eq!((too_many.status, too_many.report["refused"]["429"].as_u64()), (1, Some(2)));
    let too_few = run(Fault::None, "broadcast", "/room", &format!("{options} --expect-refused 1"));
    assert_eq!(too_few.status, 1);
}

#[test]
fn churn_checks_the_closing_handshake() {
    let options = "--count 5 --connect-rate 100";
    let wrong = run(Fault::WrongCloseCode, "churn", "/echo", options);
    assert_eq!((wrong.status, reason(&wrong)), (1, ("closed by the server with code 1011", 5)));
    let ignored = run(Fault::IgnoreClose, "churn", "/echo", options);
    assert_eq!((ignored.status, reason(&ignored)), (1, ("closing handshake not answered", 5)));
    let swallowed = run(Fault::Swallow(1), "churn", "/echo", options);
    assert_eq!((swallowed.status, reason(&swallowed)), (1, ("message not echoed", 5)));
    assert_eq!(swallowed.number("lost"), 5);
}

#[test]
fn a_connection_lost_while_idle_is_noticed() {
    // The server closes the connection that should get the second delivery, which is the message after the
    // hold.
    let run = run(Fault::Vanish(2), "idle", "/room", "--sockets 4 --hold 50ms --then-message");
    assert_eq!(run.status, 1);
    assert!(run.number("lost") > 0);
}

#[test]
fn what_goes_wrong_in_wake_is_noticed() {
    let options = "--sockets 1 --pause 5ms --count 20";
    let dropped = run(Fault::Swallow(10), "wake", "/echo", options);
    assert_eq!((dropped.status, dropped.report["outcome"].as_str()), (1, Some("stalled")));
    assert!(dropped.number("lost") > 0);
    run(Fault::Double(5), "wake", "/echo", options).assert_wrong([0, 4, 0, 0]);
    run(Fault::Corrupt(5), "wake", "/echo", options).assert_wrong([0, 0, 0, 4]);
    let vanished = run(Fault::Vanish(10), "wake", "/echo", options);
    assert_eq!(vanished.report["outcome"], "connection_ended");
    // A room answers those who are only there as well, which is not what this mode measures.
    let room = run(Fault::None, "wake", "/room", "--sockets 2 --pause 5ms --count 3");
    room.assert_wrong([0, 0, 0, 3]);
}

#[test]
fn no_server_is_a_failure() {
    let run = loadtest("broadcast --url ws://127.0.0.1:1/room --sockets 3 --json");
    assert_eq!((run.status, reason(&run).1), (1, 3));
}
