//! Wrong options end with status 2 and name the option, before anything is connected.

mod support;

use support::loadtest;

#[test]
fn bad_usage_names_the_option() {
    for (arguments, name) in [
        ("broadcast --size 39", "--size 39: a text message needs at least 40 bytes"),
        ("broadcast --size 29 --binary", "--size 29: a binary message needs at least 30 bytes"),
        ("broadcast --sockets 0", "--sockets"),
        ("broadcast --sockets 4 --rooms 5", "--rooms 5"),
        ("broadcast --url http://127.0.0.1/room", "--url http://127.0.0.1/room"),
        ("broadcast --rate 0", "--rate"),
        ("broadcast --sockets 1000000 --threads 1", "--sockets 1000000"),
        ("broadcast --pin 100000", "--pin 100000"),
        ("broadcast --server-pid 4194305", "--server-pid 4194305"),
        ("burst --burst 16 --senders 3", "--senders 3"),
        ("burst --burst 1024 --count 16777216", "--count"),
        ("idle --hold 1h", "--hold"),
        ("wake --against http://127.0.0.1/echo", "--against http://127.0.0.1/echo"),
        ("wake --against-pid 1", "--against"),
        ("juggle", "juggle"),
        ("", "Usage"),
    ] {
        let run = loadtest(arguments);
        assert_eq!(run.status, 2, "{arguments}: {}", run.stderr);
        assert!(run.stderr.contains(name), "{arguments}: {}", run.stderr);
        assert_eq!(run.stdout, "");
    }
}

#[test]
fn help_is_no_failure() {
    let run = loadtest("broadcast --help");
    assert_eq!(run.status, 0);
    assert!(run.stdout.contains("Exit status"), "{}", run.stdout);
}
