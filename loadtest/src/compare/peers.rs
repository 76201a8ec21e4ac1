//! The servers: the engine, and what `peers.json` names. Those whose files are not there are told apart.

use super::Options;
use crate::kernel::child::Placement;
use crate::usage::UsageError;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::{env, fs};

/// Name of the engine.
pub const ENGINE: &str = "dormouse";

/// Name of what the others are set against.
pub const FLOOR: &str = "floor";

/// Where the others are named.
const LIST: &str = "peers.json";

/// Stands for the port in arguments.
const PORT: &str = "{port}";

/// How the engine is told where to listen.
const ENGINE_LISTENS: [&str; 2] = ["--listen", "127.0.0.1:{port}"];

/// An entry of `peers.json`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    /// What it is called, in tables and for `--only`.
    pub name: String,
    /// One line for the report.
    #[serde(default)]
    pub about: String,
    /// Path below the folder, or the name of a program in `PATH`.
    pub program: String,
    /// Arguments; `{port}` is where it is to listen on 127.0.0.1.
    pub arguments: Vec<String>,
    /// Other paths below the folder without which it does not work.
    #[serde(default)]
    pub needs: Vec<String>,
    /// It answers every handshake as if the key were that of RFC 6455 1.3.
    #[serde(default)]
    pub sample_key: bool,
}

/// A server that can be started.
#[derive(Clone, Debug, Serialize)]
pub struct Candidate {
    /// What it is called.
    pub name: String,
    /// One line for the report.
    pub about: String,
    /// See [`Peer::sample_key`].
    pub sample_key: bool,
    /// What is executed, as it is named.
    program: String,
    arguments: Vec<String>,
    /// Where that is.
    #[serde(skip)]
    pub path: PathBuf,
    /// Where it is executed, if not here.
    pub folder: Option<PathBuf>,
}

impl Candidate {
    /// The arguments for `port`.
    pub fn arguments(&self, port: u16) -> Vec<String> {
        self.arguments.iter().map(|argument| argument.replace(PORT, &port.to_string())).collect()
    }

    /// What to type into a shell to start it where `placement` says.
    pub fn command(&self, port: u16, placement: &Placement) -> String {
        let folder = self.folder.as_ref().map(|folder| format!("cd {} && ", folder.display()));
        let (folder, arguments) = (folder.unwrap_or_default(), self.arguments(port).join(" "));
        format!("{folder}{placement} {} {arguments}", self.program)
    }

    /// The engine with other arguments.
    pub fn variant(&self, name: &str, about: &str, arguments: &[&str]) -> Self {
        let arguments = ENGINE_LISTENS.iter().chain(arguments).map(|argument| (*argument).to_owned());
        let (name, about) = (name.to_owned(), about.to_owned());
        Self { name, about, arguments: arguments.collect(), ..self.clone() }
    }
}

/// A server that cannot.
#[derive(Clone, Debug, Serialize)]
pub struct Missing {
    /// What it is called.
    pub name: String,
    /// The first thing that is not there.
    pub missing: String,
}

/// Sorts the servers that `options` ask for into those that are there and those that are not.
pub fn choose(options: &Options) -> Result<(Vec<Candidate>, Vec<Missing>), UsageError> {
    let folder = &options.peers;
    let peers = read(folder).map_err(|problem| UsageError::Peers(options.peers.clone(), problem))?;
    let names: Vec<_> = [ENGINE].into_iter().chain(peers.iter().map(|peer| peer.name.as_str())).collect();
    if let Some(unknown) = options.only.iter().find(|name| !names.contains(&name.as_str())) {
        return Err(UsageError::NoSuchServer(unknown.clone(), names.join(", ")));
    }
    let is_wanted = |name: &str| options.only.is_empty() || options.only.iter().any(|only| only == name);
    let (mut there, mut missing) = (Vec::new(), Vec::new());
    if is_wanted(ENGINE) {
        sort(engine(options.engine.clone()), &mut there, &mut missing);
    }
    for peer in peers.into_iter().filter(|peer| is_wanted(&peer.name)) {
        sort(locate(folder, peer), &mut there, &mut missing);
    }
    if there.is_empty() {
        let problem =
            "nothing to measure; `cargo build --release` builds the engine, install.sh the peers".to_owned();
        return Err(UsageError::Peers(options.peers.clone(), problem));
    }
    Ok((there, missing))
}

fn sort(found: Result<Candidate, Missing>, there: &mut Vec<Candidate>, missing: &mut Vec<Missing>) {
    match found {
        Ok(candidate) => there.push(candidate),
        Err(absent) => missing.push(absent),
    }
}

fn read(folder: &Path) -> Result<Vec<Peer>, String> {
    let text = fs::read_to_string(folder.join(LIST)).map_err(|error| format!("{LIST}: {error}"))?;
    let peers: Vec<Peer> = serde_json::from_str(&text).map_err(|error| format!("{LIST}: {error}"))?;
    let is_taken =
        |at: usize| peers[at].name == ENGINE || peers[..at].iter().any(|peer| peer.name == peers[at].name);
    match (0..peers.len()).find(|at| is_taken(*at)) {
        Some(at) => Err(format!("{LIST}: the name {} is there twice", peers[at].name)),
        None => Ok(peers),
    }
}

/// The engine at `path`, or beside this program.
fn engine(path: Option<PathBuf>) -> Result<Candidate, Missing> {
    let beside = || env::current_exe().ok().and_then(|program| Some(program.parent()?.join(ENGINE)));
    let path = path.or_else(beside).unwrap_or_else(|| ENGINE.into());
    if !path.is_file() {
        return Err(Missing { name: ENGINE.to_owned(), missing: path.display().to_string() });
    }
    let engine = Candidate {
        name: String::new(),
        about: String::new(),
        sample_key: false,
        program: path.display().to_string(),
        path: std::path::absolute(&path).unwrap_or(path),
        arguments: Vec::new(),
        folder: None,
    };
    Ok(engine.variant(ENGINE, "the engine, one shard", &["--cores", "1"]))
}

fn locate(folder: &Path, peer: Peer) -> Result<Candidate, Missing> {
    let Peer { name, about, program, arguments, needs, sample_key } = peer;
    let path = if program.contains('/') { Some(folder.join(&program)) } else { in_path(&program) };
    let Some(path) = path.filter(|path| path.is_file()) else {
        return Err(Missing { name, missing: program });
    };
    if let Some(need) = needs.into_iter().find(|need| !folder.join(need).exists()) {
        return Err(Missing { name, missing: need });
    }
    let path = path.canonicalize().unwrap_or(path);
    Ok(Candidate { name, about, sample_key, program, arguments, path, folder: Some(folder.to_owned()) })
}

/// Where the shell would find `program`.
fn in_path(program: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|folder| folder.join(program)).find(|path| path.is_file())
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// Servers of these names.
    pub fn candidates(names: &[&str]) -> Vec<Candidate> {
        let candidate = |name: &&str| Candidate {
            name: (*name).to_owned(),
            about: String::new(),
            sample_key: false,
            program: "server".to_owned(),
            arguments: Vec::new(),
            path: "server".into(),
            folder: None,
        };
        names.iter().map(candidate).collect()
    }

    #[test]
    fn a_variant_listens_and_has_other_arguments() {
        let engine = &candidates(&["dormouse"])[0];
        let variant = engine.variant("both", "on two", &["--cores", "2"]);
        assert_eq!(
            variant.command(81, &Placement::on(1)),
            "taskset -c 1 server --listen 127.0.0.1:81 --cores 2"
        );
    }

    fn peer(program: &str, needs: &[&str]) -> Peer {
        Peer {
            name: "peer".to_owned(),
            about: String::new(),
            program: program.to_owned(),
            arguments: vec!["--port={port}".to_owned()],
            needs: needs.iter().map(|need| (*need).to_owned()).collect(),
            sample_key: false,
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        let missing =
            |program: &str, needs: &[&str]| locate(folder, peer(program, needs)).unwrap_err().missing;
        assert_eq!(missing("src/none", &[]), "src/none");
        assert_eq!(missing("no-such-program", &[]), "no-such-program");
        assert_eq!(missing("sh", &["src", "gone"]), "gone");
        assert!(engine(Some("src/none".into())).is_err());
    }

    #[test]
    fn the_port_is_filled_in() {
        let found = locate(Path::new(env!("CARGO_MANIFEST_DIR")), peer("sh", &["Cargo.toml"])).unwrap();
        assert_eq!(found.arguments(81), ["--port=81"]);
    }

    #[test]
    fn the_list_of_the_project_is_right() {
        let peers = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("peers")).unwrap();
        assert!(peers.iter().any(|peer| peer.name == FLOOR && peer.sample_key));
        let has_port = |peer: &Peer| peer.arguments.iter().any(|argument| argument.contains(PORT));
        assert!(peers.iter().all(has_port));
    }
}
