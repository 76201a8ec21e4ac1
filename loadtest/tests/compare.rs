//! `compare` with the tests' server in the place of the engine and of the peers.

mod support;

use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};
use support::loadtest;

/// The example that is the tests' server; cargo builds it for tests, beside the program.
fn server() -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_loadtest")).with_file_name("examples").join("faulty_server");
    assert!(path.is_file(), "cargo build -p loadtest --examples");
    path
}

/// A folder of its own for the test `name`, with `peers` in its list.
fn folder(name: &str, peers: &Value) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("peers.json"), peers.to_string()).unwrap();
    folder
}

fn peer(name: &str, arguments: &[&str]) -> Value {
    let arguments: Vec<_> = ["127.0.0.1:{port}"].iter().chain(arguments).collect();
    json!({"name": name, "program": server(), "arguments": arguments})
}

/// Both on processor 0, which every machine has.
fn compare(folder: &Path, options: &str) -> (support::Run, Value) {
    let (shown, server) = (folder.display(), server());
    let run = loadtest(&format!(
        "compare --quick --generator-core 0 --peers {shown} --out {shown}/out --engine {} {options}",
        server.display()
    ));
    let report = fs::read_to_string(folder.join("out/comparison.json")).unwrap_or_default();
    (run, serde_json::from_str(&report).unwrap_or(Value::Null))
}

#[test]
fn servers_are_measured_in_turn_and_missing_ones_are_named() {
    let gone = json!({"name": "gone", "program": "bin/nothing", "arguments": ["{port}"]});
    let folder = folder("in-turn", &json!([peer("floor", &[]), gone, peer("other", &[])]));
    let options = "--rounds 2 --sockets 5,6 --figures broadcast,idle";
    let (run, report) = compare(&folder, options);
    assert_eq!(run.status, 0, "{}{}", run.stdout, run.stderr);
    assert!(run.stderr.contains("skipped: gone (bin/nothing is not there)"), "{}", run.stderr);
    assert!(run.stdout.contains("gone was skipped"), "{}", run.stdout);
    assert_eq!(report["cells"].as_array().unwrap().len(), 3);
    for cell in report["cells"].as_array().unwrap() {
        let names: Vec<_> =
            cell["servers"].as_array().unwrap().iter().map(|server| &server["name"]).collect();
        assert_eq!(names, ["dormouse", "floor", "other"]);
        for server in cell["servers"].as_array().unwrap() {
            // Memory is measured once.
            let rounds = if cell["figure"] == "idle" { 1 } else { 2 };
            assert_eq!(server["rounds"].as_array().unwrap().len(), rounds, "{server}");
            assert_eq!(server["faults"].as_array().unwrap().len(), 0, "{server}");
            let [min, median, max] =
                ["min", "median", "max"].map(|key| server["value"][key].as_f64().unwrap());
            assert!(min <= median && median <= max, "{server}");
            assert!(server["command"].as_str().unwrap().starts_with("taskset -c 0 loadtest "), "{server}");
        }
    }
    let floor = &report["cells"][0]["servers"][1];
    assert_eq!(floor["ratio"], json!({"median": 1.0, "min": 1.0, "max": 1.0}));
    assert!(report["cells"][0]["servers"][0]["latency_ns"]["p999"].as_u64().unwrap() > 0);
    for file in ["comparison.md", "comparison.html", "cpu.svg", "latency.svg", "ratios.svg", "memory.svg"] {
        assert!(folder.join("out").join(file).is_file(), "{file}");
    }
    assert_eq!(fs::read_to_string(folder.join("out/comparison.md")).unwrap().trim(), run.stdout.trim());
}

#[test]
fn a_faulty_peer_is_told_and_not_tried_again() {
    let peers = json!([peer("floor", &[]), peer("drops", &["drop", "50"]), peer("exits", &["exit"])]);
    let folder = folder("faulty", &peers);
    let (run, report) = compare(&folder, "--rounds 2 --sockets 5 --figures echo");
    assert_eq!(run.status, 0, "{}{}", run.stdout, run.stderr);
    let faults = |at: usize| report["cells"][0]["servers"][at]["faults"].as_array().unwrap();
    assert_eq!([faults(0).len(), faults(1).len(), faults(2).len(), faults(3).len()], [0, 0, 1, 1]);
    assert!(faults(2)[0].as_str().unwrap().contains("lost"), "{report}");
    assert!(faults(3)[0].as_str().unwrap().contains("ended at its start"), "{report}");
    assert!(run.stdout.contains("drops failed in \"echo, 5 sockets, 64 B\""), "{}", run.stdout);
}

#[test]
fn without_the_engine_the_peers_are_compared() {
    let folder = folder("peers-only", &json!([peer("floor", &[]), peer("other", &[])]));
    let (run, report) = compare(&folder, "--only floor,other --sockets 5 --figures handshake");
    assert_eq!(run.status, 0, "{}{}", run.stdout, run.stderr);
    assert_eq!(report["servers"].as_array().unwrap().len(), 2);
}

#[test]
fn the_engine_is_set_against_itself() {
    let folder = folder("alone", &json!([peer("floor", &[])]));
    let (run, report) = compare(&folder, "--sockets 5 --figures wake,cores");
    assert_eq!(run.status, 0, "{}{}", run.stdout, run.stderr);
    let names = |cell: &Value| -> Vec<String> {
        let servers = cell["servers"].as_array().unwrap().iter();
        servers.map(|server| server["name"].as_str().unwrap().to_owned()).collect()
    };
    let cells = report["cells"].as_array().unwrap();
    assert_eq!(cells.iter().map(|cell| &cell["figure"]).collect::<Vec<_>>(), ["wake", "wake", "cores"]);
    assert_eq!(names(&cells[0]), ["awake", "asleep"]);
    assert_eq!(names(&cells[2]), ["1 core", "2 cores", "2 cores, crowd at 0"]);
    assert!(cells[0]["servers"][1]["longer_ns"]["median"].is_number(), "{report}");
    assert_eq!(cells[2]["servers"][0]["ratio"]["median"], 1.0);
    let command = cells[2]["servers"][2]["server_command"].as_str().unwrap();
    assert!(command.contains("--cores 2 --set crowd.sockets=0"), "{command}");
    let command = cells[2]["servers"][2]["command"].as_str().unwrap();
    assert!(command.starts_with("taskset -c 0,0 chrt --idle 0 loadtest broadcast"), "{command}");
    for file in ["wake.svg", "cores.svg"] {
        assert!(folder.join("out").join(file).is_file(), "{file}");
    }
    let (run, report) = compare(&folder, "--sockets 5 --figures wake,echo --only floor");
    assert_eq!((run.status, report["cells"].as_array().unwrap().len()), (0, 1), "{}", run.stderr);
}

#[test]
fn bad_usage_names_the_option() {
    let folder = folder("usage", &json!([peer("floor", &[])]));
    for (options, name) in [
        ("--only nobody", "--only nobody: must be among dormouse, floor"),
        ("--server-core 100000", "--server-core 100000"),
        ("--generator-core 100000", "--generator-core 100000"),
        ("--figures beauty", "beauty"),
        ("--peers /nonexistent", "--peers"),
    ] {
        let peers =
            if options.contains("--peers") { String::new() } else { format!("--peers {}", folder.display()) };
        let run = loadtest(&format!("compare {peers} {options}"));
        assert_eq!(run.status, 2, "{options}: {}", run.stderr);
        assert!(run.stderr.contains(name), "{options}: {}", run.stderr);
    }
}

/// Processes whose command line has `text` in it, this one aside.
fn processes_with(text: &str) -> usize {
    let is_one = |entry: &fs::DirEntry| {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let name = entry.file_name();
        name != *std::process::id().to_string() && String::from_utf8_lossy(&line).contains(text)
    };
    fs::read_dir("/proc").unwrap().flatten().filter(is_one).count()
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what}");
        sleep(Duration::from_millis(20));
    }
}

#[test]
fn children_die_with_it_however_it_dies() {
    let marker = format!("marker-{}", std::process::id());
    let folder = folder("killed", &json!([peer("floor", &["none", "1", &marker])]));
    let mut compare = Command::new(env!("CARGO_BIN_EXE_loadtest"))
        .args(["compare", "--only", "floor", "--figures", "idle", "--sockets", "5"])
        .args(["--generator-core", "0", "--peers"])
        .arg(&folder)
        .arg("--out")
        .arg(folder.join("out"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_until("the server is started", || processes_with(&marker) == 1);
    let pid_option = |process: u32| format!("--server-pid\0{process}");
    let server = fs::read_dir("/proc").unwrap().flatten().find_map(|entry| {
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        String::from_utf8_lossy(&line).contains(&marker).then(|| entry.file_name().to_str()?.parse().ok())?
    });
    let generator = pid_option(server.unwrap());
    wait_until("the generator is started", || processes_with(&generator) == 1);
    // SIGKILL: nothing of the program runs any more.
    compare.kill().unwrap();
    compare.wait().unwrap();
    wait_until("the server is gone", || processes_with(&marker) == 0);
    wait_until("the generator is gone", || processes_with(&generator) == 0);
}
