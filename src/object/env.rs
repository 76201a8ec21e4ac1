//! What a worker or an object can reach: bindings, ids and stubs of other objects. Owns nothing; names and asks.

use std::rc::Rc;

use super::core::Core;
use super::error::{ApiError, Result};
use super::http::{Request, Response};
use super::id::ObjectId;
use super::mailbox::Mailbox;
use super::mesh::ObjectName;
use super::slab::Key;
use super::status::ObjectStatus;

/// The environment (Durable Objects API: `env`): namespaces by the name they are bound to, and text variables
/// from the config. Cheap to clone.
///
/// ```
/// use dormouse::{Env, Request, Response, Result, Worker};
///
/// struct Router;
///
/// impl Worker for Router {
///     async fn fetch(&self, request: Request, env: &Env) -> Result<Response> {
///         if env.var("MAINTENANCE") == Some("yes") {
///             return Ok(Response::new(503, "back soon\n"));
///         }
///         env.namespace("ROOM")?.get_by_name(request.path()).fetch(request).await
///     }
/// }
/// ```
#[derive(Clone)]
pub struct Env {
    core: Rc<Core>,
    /// The object this belongs to; calls it makes are known to be its.
    caller: Option<Caller>,
}

/// The object that makes a call.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) object: Key,
    pub(crate) mailbox: Rc<Mailbox>,
}

impl Env {
    pub(crate) fn of_worker(core: Rc<Core>) -> Env {
        Env { core, caller: None }
    }

    pub(crate) fn of_object(core: Rc<Core>, object: Key, mailbox: Rc<Mailbox>) -> Env {
        Env { core, caller: Some(Caller { object, mailbox }) }
    }

    /// The namespace bound as `binding`.
    ///
    /// # Errors
    /// [`ApiError::UnknownBinding`] when the engine was built without it.
    ///
    /// ```no_run
    /// # use dormouse::*;
    /// # fn example(env: &Env) -> Result<()> {
    /// let rooms = env.namespace("ROOM")?;
    /// assert!(env.namespace("ROMO").is_err());
    /// # Ok(())
    /// # }
    /// ```
    pub fn namespace(&self, binding: &str) -> Result<Namespace, ApiError> {
        let classes = &self.core.shared.classes;
        match classes.iter().position(|class| class.binding == binding) {
            Some(class) => Ok(Namespace { env: self.clone(), class: class as u16 }),
            None => Err(ApiError::UnknownBinding { name: binding.to_owned() }),
        }
    }

    /// A variable of the config's `[vars]` table.
    ///
    /// ```no_run
    /// # use dormouse::*;
    /// # fn example(env: &Env) -> Result<()> {
    /// let greeting = env.var("GREETING").unwrap_or("hello");
    /// # Ok(())
    /// # }
    /// ```
    pub fn var(&self, name: &str) -> Option<&str> {
        self.core.shared.vars.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Number of shards of this engine.
    ///
    /// ```no_run
    /// # use dormouse::*;
    /// # fn example(env: &Env) -> Result<()> {
    /// let lobby = env.namespace("ROOM")?.id_from_name("lobby");
    /// println!("the lobby is on shard {} of {}", lobby.home_shard(env.shards()).0, env.shards());
    /// # Ok(())
    /// # }
    /// ```
    pub fn shards(&self) -> u16 {
        self.core.shared.shards
    }

    /// A random version 4 UUID (RFC 9562), as `crypto.randomUUID()` gives.
    ///
    /// ```no_run
    /// # use dormouse::*;
    /// # fn example(env: &Env) -> Result<()> {
    /// let request = dormouse::Request::new("POST", "/order", env.random_uuid());
    /// # Ok(())
    /// # }
    /// ```
    pub fn random_uuid(&self) -> String {
        self.core.random_uuid()
    }
}

/// The objects of one type (Durable Objects API: `DurableObjectNamespace`, with its methods' names in snake
/// case).
///
/// ```no_run
/// # use dormouse::*;
/// # fn example(env: &Env, invitation: &str) -> Result<()> {
/// let rooms = env.namespace("ROOM")?;
/// let lobby = rooms.get_by_name("lobby"); // the same object for everybody
/// let private = rooms.get(&rooms.new_unique_id()); // an object that nobody else knows
/// let invited = rooms.get(&rooms.id_from_string(invitation)?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Namespace {
    env: Env,
    class: u16,
}

impl Namespace {
    fn binding(&self) -> &str {
        &self.env.core.shared.classes[usize::from(self.class)].binding
    }

    /// The id that belongs to a name: the same for ever.
    ///
    /// ```no_run
    /// # use dormouse::*;
    /// # fn example(env: &Env) -> Result<()> {
    /// let rooms = env.namespace("ROOM")?;
    /// assert_eq!(rooms.id_from_name("lobby"), rooms.id_from_name("lobby"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn id_from_name(&self, name: &str) -> ObjectId {
        ObjectId::from_name(self.binding(), name)
    }

    /// An id that nobody has.
    ///
    /// ```no_run
    /// # use dormouse::*;
    /// # fn example(env: &Env) -> Result<()> {
    /// let id = env.namespace("ROOM")?.new_unique_id();
    /// println!("your room: /room/{id}");
    /// # Ok(())
    /// # }
    /// ```
    pub fn new_unique_id(&self) -> ObjectId {
        ObjectId::from_random(self.binding(), [(); 3].map(|()| self.env.core.next_random()))
    }

    /// The id that printed as these 64 hex digits.
    ///
    /// # Errors
    /// [`ApiError::InvalidId`] when it is none, or one of another namespace.
    ///
    /// ```no_run
    /// # use dormouse::*;
    /// # fn example(env: &Env) -> Result<()> {
    /// let rooms = env.namespace("ROOM")?;
    /// let digits = rooms.new_unique_id().to_string();
    /// assert_eq!(digits.len(), 64);
    /// assert_eq!(rooms.id_from_string(&digits)?.to_string(), digits);
    /// assert!(rooms.id_from_string("lobby").is_err());
    /// # Ok(())
    /// # }
    /// ```
    pub fn id_from_string(&self, hex: &str) -> Result<ObjectId, ApiError> {
        ObjectId::from_hex(self.binding(), hex)
    }

    /// A stub of the object with this id. The object is made when it is first called.
    ///
    /// ```no_run
    /// # use dormouse::*;
    /// # fn example(env: &Env) -> Result<()> {
    /// let rooms = env.namespace("ROOM")?;
    /// let room = rooms.get(&rooms.new_unique_id());
    /// # Ok(())
    /// # }
    /// ```
    pub fn get(&self, id: &ObjectId) -> Stub {
        Stub { env: self.env.clone(), class: self.class, id: id.clone() }
    }

    /// A stub of the object with this name.
    ///
    /// ```no_run
    /// # use dormouse::*;
    /// # fn example(env: &Env) -> Result<()> {
    /// let rooms = env.namespace("ROOM")?;
    /// assert_eq!(rooms.get_by_name("lobby").id(), &rooms.id_from_name("lobby"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn get_by_name(&self, name: &str) -> Stub {
        self.get(&self.id_from_name(name))
    }
}

/// A way to call one object, wherever it lives (Durable Objects API: `DurableObjectStub`).
///
/// ```no_run
/// # use dormouse::*;
/// # async fn example(env: &Env) -> Result<()> {
/// let board = env.namespace("BOARD")?.get_by_name("high-scores");
/// let response = board.fetch(dormouse::Request::new("POST", "/score?by=Ada", "7")).await?;
/// println!("{} answers {}", board.id(), response.status());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Stub {
    env: Env,
    class: u16,
    id: ObjectId,
}

impl Stub {
    /// The object's id.
    ///
    /// ```no_run
    /// # use dormouse::*;
    /// # fn example(env: &Env) -> Result<()> {
    /// let room = env.namespace("ROOM")?.get_by_name("lobby");
    /// println!("the lobby is {}", room.id());
    /// # Ok(())
    /// # }
    /// ```
    pub fn id(&self) -> &ObjectId {
        &self.id
    }

    /// The object's name, if its id was made from one.
    ///
    /// ```no_run
    /// # use dormouse::*;
    /// # fn example(env: &Env) -> Result<()> {
    /// let rooms = env.namespace("ROOM")?;
    /// assert_eq!(rooms.get_by_name("lobby").name(), Some("lobby"));
    /// assert_eq!(rooms.get(&rooms.new_unique_id()).name(), None);
    /// # Ok(())
    /// # }
    /// ```
    pub fn name(&self) -> Option<&str> {
        self.id.name()
    }

    /// Calls the object's `fetch`. A request for a WebSocket takes its connection along: return the response as it is.
    ///
    /// # Errors
    /// The object's own error; [`ApiError::CallCycle`], [`ApiError::CallTimedOut`], [`ApiError::CallAborted`] or
    /// [`ApiError::Overloaded`] when it could not answer.
    ///
    /// ```
    /// # use dormouse::{Env, Request, Response, Result};
    /// // A worker that leaves the answer, and perhaps the WebSocket, to a room.
    /// async fn enter(request: Request, env: &Env) -> Result<Response> {
    ///     env.namespace("ROOM")?.get_by_name(request.path()).fetch(request).await
    /// }
    /// ```
    pub async fn fetch(&self, request: Request) -> Result<Response> {
        self.env.core.call(self.name_of_object(), request, self.env.caller.as_ref()).await
    }

    /// How the object fares. Does not wake it. Not in the Durable Objects API.
    ///
    /// ```no_run
    /// # use dormouse::*;
    /// # async fn example(env: &Env) -> Result<()> {
    /// let lobby = env.namespace("ROOM")?.get_by_name("lobby").status().await;
    /// println!("{} in the lobby; awake: {}", lobby.sockets, lobby.is_awake);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn status(&self) -> ObjectStatus {
        self.env.core.object_status(self.name_of_object()).await
    }

    fn name_of_object(&self) -> ObjectName {
        ObjectName { class: self.class, bytes: self.id.bytes(), name: self.id.shared_name() }
    }
}
