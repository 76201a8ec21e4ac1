//! Echo: what a client says comes back to it. Owns the choice of the object for a connection.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use dormouse::{
    ApiError, Context, DurableObject, Env, Message, ObjectId, Request, Response, Result, Stub, WebSocket,
    WebSocketPair,
};

use super::binding;

/// Echo objects on each shard. An object for each connection would cost the memory of an object and a wake-up of its
/// own for each message. One for all would use one core. Few on each shard use all cores and run many messages in one
/// go; four hold `limits.connections` (131,072) though an object may hold no more than 32,768.
const OBJECTS_PER_SHARD: u16 = 4;

/// Sends each message back.
pub(super) struct Echo {
    ctx: Context,
}

impl DurableObject for Echo {
    async fn new(ctx: Context, _env: Env) -> Result<Echo> {
        Ok(Echo { ctx })
    }

    async fn fetch(&mut self, _request: Request) -> Result<Response> {
        let WebSocketPair { client, server } = WebSocketPair::new();
        self.ctx.accept_web_socket(&server, &[])?;
        Ok(Response::web_socket(client))
    }

    async fn web_socket_message(&mut self, ws: &WebSocket, message: Message<'_>) -> Result<()> {
        Ok(ws.send(message)?)
    }
}

/// The echo objects of the engine, and whose turn it is.
#[derive(Default)]
pub(super) struct Echoes {
    ids: OnceLock<Vec<ObjectId>>,
    next: AtomicUsize,
}

impl Echoes {
    /// The objects in turn, so that each shard gets as many connections as any other.
    pub(super) fn any(&self, env: &Env) -> Result<Stub, ApiError> {
        let ids = self.ids(env)?;
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        Ok(env.namespace(binding::ECHO)?.get(&ids[turn % ids.len()]))
    }

    pub(super) fn all(&self, env: &Env) -> Result<Vec<Stub>, ApiError> {
        let namespace = env.namespace(binding::ECHO)?;
        Ok(self.ids(env)?.iter().map(|id| namespace.get(id)).collect())
    }

    fn ids(&self, env: &Env) -> Result<&[ObjectId], ApiError> {
        let namespace = env.namespace(binding::ECHO)?;
        Ok(self.ids.get_or_init(|| spread(env.shards(), |name| namespace.id_from_name(name))))
    }
}

/// As many ids for each shard as it is to have, shards in turn. A name's home is a matter of its hash, so names are
/// tried until one falls on the shard.
fn spread(shards: u16, id_from_name: impl Fn(&str) -> ObjectId) -> Vec<ObjectId> {
    let places = (0..OBJECTS_PER_SHARD).flat_map(|number| (0..shards).map(move |shard| (number, shard)));
    places
        .map(|(number, shard)| {
            let mut candidates = (0u32..).map(|attempt| id_from_name(&format!("{number}/{shard}/{attempt}")));
            let at_home = |id: &ObjectId| id.home_shard(shards).0 == shard;
            candidates.find(at_home).expect("the homes of names are spread over all shards")
        })
        .collect()
}
