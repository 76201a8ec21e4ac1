//! The demo that the binary carries: a page with a chat room and a small game, the published hibernation example, and
//! the endpoints that the load generator measures. Owns the routes; each object has a file of its own.
//!
//! | path | what answers |
//! |---|---|
//! | `/` | the page |
//! | `/chat`, `/arena` | the objects behind the page |
//! | `/websocket`, and all that ends with it | the published example, one object |
//! | `/room`, `/room/...` | an object per path: a message goes to every client of the path, the sender included |
//! | `/echo` | each message comes back |
//! | `/status/<one of the paths above>` | how the object fares, as JSON; does not wake it |
//! | anything else | a text that says so |

mod arena;
mod chat;
mod echo;
mod hibernation;
mod room;
mod status;
#[cfg(test)]
mod tests;
mod text;

use std::sync::LazyLock;

use dormouse::{ApiError, Engine, Env, Request, Response, Result, Worker};

use arena::Arena;
use chat::Chat;
use echo::Echo;
use hibernation::WebSocketHibernationServer;
use room::Room;

/// The engine with the demo's objects.
pub fn engine() -> Engine {
    Engine::new(Demo::default())
        .namespace::<Arena>(binding::ARENA)
        .namespace::<Chat>(binding::CHAT)
        .namespace::<Echo>(binding::ECHO)
        .namespace::<Room>(binding::ROOM)
        .namespace::<WebSocketHibernationServer>(binding::WEBSOCKET_HIBERNATION_SERVER)
}

/// The names that the demo's objects are bound to.
mod binding {
    pub(super) const ARENA: &str = "ARENA";
    pub(super) const CHAT: &str = "CHAT";
    pub(super) const ECHO: &str = "ECHO";
    pub(super) const ROOM: &str = "ROOM";
    pub(super) const WEBSOCKET_HIBERNATION_SERVER: &str = "WEBSOCKET_HIBERNATION_SERVER";
}

/// The page, with the client of batches where it says so: a page that loads nothing carries it along.
static PAGE: LazyLock<String> =
    LazyLock::new(|| include_str!("page.html").replace("/* batch.js */", include_str!("batch.js")));

/// The page loads nothing and speaks to nobody but the server it came from.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
     img-src data:; worker-src blob:; connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'";

/// Routes requests to the demo's objects.
#[derive(Default)]
struct Demo {
    echoes: echo::Echoes,
}

/// Where a path leads.
#[derive(Debug, PartialEq, Eq)]
enum Route<'a> {
    Page,
    /// The object with this name, in the namespace of this binding.
    Object(&'static str, &'a str),
    /// One of the echo objects; it does not matter which.
    Echo,
    Status(&'a str),
    Nowhere,
}

impl Route<'_> {
    fn of(path: &str) -> Route<'_> {
        match path {
            "/" => Route::Page,
            "/chat" => Route::Object(binding::CHAT, path),
            "/arena" => Route::Object(binding::ARENA, path),
            "/room" => Route::Object(binding::ROOM, path),
            "/echo" => Route::Echo,
            _ if path.starts_with("/room/") => Route::Object(binding::ROOM, path),
            _ if path.starts_with("/status/") => Route::Status(&path["/status".len()..]),
            _ if path.ends_with("/websocket") => Route::Object(binding::WEBSOCKET_HIBERNATION_SERVER, "foo"),
            _ => Route::Nowhere,
        }
    }
}

impl Worker for Demo {
    async fn fetch(&self, request: Request, env: &Env) -> Result<Response> {
        match Route::of(request.path()) {
            Route::Page => Ok(page()?),
            Route::Status(path) => self.status(path, env).await,
            Route::Nowhere => Ok(hibernation::supported_endpoints()?),
            Route::Echo => match hibernation::refusal(&request)? {
                Some(refusal) => Ok(refusal),
                None => self.echoes.any(env)?.fetch(request).await,
            },
            Route::Object(binding, name) => match hibernation::refusal(&request)? {
                Some(refusal) => Ok(refusal),
                None => env.namespace(binding)?.get_by_name(name).fetch(request).await,
            },
        }
    }
}

impl Demo {
    async fn status(&self, path: &str, env: &Env) -> Result<Response> {
        match Route::of(path) {
            Route::Object(binding, name) => {
                Ok(status::response(&[env.namespace(binding)?.get_by_name(name)]).await?)
            }
            Route::Echo => Ok(status::response(&self.echoes.all(env)?).await?),
            Route::Page | Route::Status(_) | Route::Nowhere => Ok(hibernation::supported_endpoints()?),
        }
    }
}

fn page() -> Result<Response, ApiError> {
    Response::html(PAGE.as_str())
        .with_header("Content-Security-Policy", CONTENT_SECURITY_POLICY)?
        .with_header("X-Content-Type-Options", "nosniff")?
        .with_header("Referrer-Policy", "no-referrer")?
        .with_header("Cache-Control", "no-cache")
}
