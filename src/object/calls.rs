//! Calls of `fetch`, within a shard and between shards. Owns the calls that wait for an answer, and sleeps.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use super::core::Core;
use super::driver::ShardId;
use super::env::Caller;
use super::error::{ApiError, Error, Result};
use super::headers::Headers;
use super::http::{Request, Response};
use super::mailbox::{Event, Mailbox};
use super::mesh::{AnswerMessage, FetchMessage, MeshMessage, ObjectName, SocketName, StatusMessage, StayPut};
use super::planted::{Bug, is_planted};
use super::slab::{Key, Slab};
use super::status::ObjectStatus;
use super::timers::Timer;
use super::web_socket::WebSocket;

/// A response that may cross to another shard.
#[derive(Debug)]
pub struct ResponseParts {
    status: u16,
    headers: Headers,
    body: Vec<u8>,
    socket: Option<(ShardId, SocketName)>,
    stay: Option<Box<StayPut>>,
}

/// What became of a call.
pub(crate) type Answer = Result<ResponseParts, Error>;

/// A call on its way to an object.
#[derive(Debug)]
pub(crate) struct FetchEvent {
    pub(crate) request: Request,
    pub(crate) reply: Option<Reply>,
    pub(crate) chain: Vec<Box<str>>,
}

/// Where the answer goes.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) shard: ShardId,
    pub(crate) call: Key,
}

/// A value that one task waits for.
#[derive(Debug)]
pub(crate) struct Awaited<T> {
    value: RefCell<Option<T>>,
    waker: RefCell<Option<Waker>>,
}

impl<T> Awaited<T> {
    fn new() -> Rc<Awaited<T>> {
        Rc::new(Awaited { value: RefCell::new(None), waker: RefCell::new(None) })
    }

    fn set(&self, value: T) {
        *self.value.borrow_mut() = Some(value);
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    async fn get(&self) -> T {
        poll_fn(|context| match self.value.borrow_mut().take() {
            Some(value) => Poll::Ready(value),
            None => {
                *self.waker.borrow_mut() = Some(context.waker().clone());
                Poll::Pending
            }
        })
        .await
    }
}

enum Pending {
    Fetch(Rc<Awaited<Result<Response>>>),
    Status(Rc<Awaited<ObjectStatus>>),
    Sleep(Rc<Awaited<()>>),
}

/// What waits.
#[derive(Default)]
pub(crate) struct Calls {
    pending: RefCell<Slab<Pending>>,
}

impl Calls {
    fn insert(&self, pending: Pending) -> Key {
        self.pending.borrow_mut().insert(pending)
    }

    fn remove(&self, call: Key) -> Option<Pending> {
        self.pending.borrow_mut().remove(call)
    }
}

/// Takes a call out of the table when its waiter goes, answered or not.
struct Forget<'a> {
    calls: &'a Calls,
    call: Key,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.calls.remove(self.call);
    }
}

impl Core {
    /// Calls `fetch` of an object, wherever it lives, and waits for the answer.
    pub(crate) async fn call(
        self: &Rc<Core>,
        object: ObjectName,
        request: Request,
        caller: Option<&Caller>,
    ) -> Result<Response> {
        let mut chain: Vec<Box<str>> = Vec::new();
        // A worker stands at the beginning of every chain: its call can close none.
        if let Some(Caller { object: calling, mailbox }) = caller {
            chain.clone_from(&mailbox.chain.borrow());
            chain.push(self.label_of(*calling).into());
            let target = self.label(&object);
            if chain.contains(&target) {
                chain.push(target);
                return Err(ApiError::CallCycle { path: chain.join(" -> ") }.into());
            }
        }
        let awaited = Awaited::new();
        let call = self.calls.insert(Pending::Fetch(awaited.clone()));
        let _forget = Forget { calls: &self.calls, call };
        if caller.is_some() {
            // A worker's call ends with its request's deadline; an object's needs its own.
            let deadline = self.now_ms() + self.settings().fetch_ms;
            self.timers.borrow_mut().insert(deadline, Timer::Call(call));
        }
        let home = super::id::home_shard(&object.bytes, self.shared.shards);
        if home == self.shard {
            let reply = Some(Reply { shard: self.shard, call });
            self.deliver_fetch(&object, Box::new(FetchEvent { request, reply, chain }));
        } else {
            let message = FetchMessage { from: self.shard, call, object, request, chain };
            self.tell(home, MeshMessage::Fetch(Box::new(message)));
        }
        awaited.get().await
    }

    /// A name for messages and for finding cycles.
    pub(crate) fn label(&self, object: &ObjectName) -> Box<str> {
        let class = &self.shared.classes[usize::from(object.class)].binding;
        let id = super::id::ObjectId::from_parts(object.bytes, object.name.clone());
        match id.name() {
            Some(name) => format!("{class} \"{name}\"").into(),
            None => format!("{class} {id}").into(),
        }
    }

    pub(crate) fn deliver_fetch(self: &Rc<Core>, name: &ObjectName, mut fetch: Box<FetchEvent>) {
        let object = self.object_named(name);
        let mailbox = self.mailbox_of(object);
        if mailbox.waiting().0 >= self.settings().mailbox_events_max {
            self.answer(fetch.reply.take(), Err(ApiError::Overloaded.into()));
            return;
        }
        if is_planted(Bug::SecondUpgradeKeepsAwake) && mailbox.current.borrow().is_some() {
            mailbox.pins.set(mailbox.pins.get() + 1);
        }
        mailbox.push(Event::Fetch(fetch));
        self.wake_object(object);
    }

    /// Gives the running fetch event its answer.
    pub(crate) fn answer_current(self: &Rc<Core>, mailbox: &Mailbox, answer: Result<Response>) {
        let reply = mailbox.current.borrow_mut().as_mut().and_then(|current| current.reply.take());
        let caller = reply.as_ref().map_or(self.shard, |reply| reply.shard);
        let answer = answer.and_then(|response| self.response_into_parts(response, caller));
        self.answer(reply, answer);
    }

    pub(crate) fn answer(self: &Rc<Core>, reply: Option<Reply>, answer: Answer) {
        match reply {
            Some(Reply { shard, call }) if shard == self.shard => self.take_answer(call, answer),
            Some(Reply { shard, call }) => {
                self.tell(shard, MeshMessage::Answer(Box::new(AnswerMessage { call, answer })));
            }
            // An error is the application's, and so is its end.
            None => drop(self.guarded(|| drop(answer))),
        }
    }

    pub(crate) fn take_answer(self: &Rc<Core>, call: Key, answer: Answer) {
        let answer = answer.map(|parts| self.response_from_parts(parts));
        // Nobody waits any more: dropping the response abandons its socket.
        let pending = self.calls.remove(call);
        match pending {
            Some(Pending::Fetch(awaited)) => awaited.set(answer),
            _ => drop(self.guarded(|| drop(answer))),
        }
    }

    pub(crate) fn time_out_call(&self, call: Key) {
        if let Some(Pending::Fetch(awaited)) = self.calls.remove(call) {
            awaited.set(Err(ApiError::CallTimedOut.into()));
        }
    }

    fn response_into_parts(&self, response: Response, caller: ShardId) -> Answer {
        let socket = match &response.web_socket {
            Some(web_socket) => {
                Some(web_socket.take_for_response().ok_or(ApiError::ResponseSocketNotAccepted)?)
            }
            None => None,
        };
        let stay = match socket {
            // Its connection is here already, or it is seen to when the caller passes it on.
            Some((shard, _)) if shard == self.shard && caller == self.shard => None,
            Some((shard, name)) if shard == self.shard => self.stay_put(name),
            // Passed on by an object that got it from another.
            _ => response.web_socket.as_ref().and_then(WebSocket::stay_put),
        };
        Ok(ResponseParts {
            status: response.status,
            headers: response.headers,
            body: response.body,
            socket,
            stay,
        })
    }

    fn response_from_parts(self: &Rc<Core>, parts: ResponseParts) -> Response {
        let ResponseParts { status, headers, body, socket, stay } = parts;
        let web_socket = socket.map(|(shard, name)| WebSocket::of_response(self.clone(), shard, name, stay));
        Response { status, headers, body, web_socket }
    }

    pub(crate) async fn object_status(self: &Rc<Core>, object: ObjectName) -> ObjectStatus {
        let home = super::id::home_shard(&object.bytes, self.shared.shards);
        if home == self.shard {
            return self.status_of(&object);
        }
        let awaited = Awaited::new();
        let call = self.calls.insert(Pending::Status(awaited.clone()));
        let _forget = Forget { calls: &self.calls, call };
        let message = StatusMessage { from: self.shard, call, object };
        self.tell(home, MeshMessage::Status(Box::new(message)));
        awaited.get().await
    }

    pub(crate) fn take_status(&self, call: Key, status: ObjectStatus) {
        if let Some(Pending::Status(awaited)) = self.calls.remove(call) {
            awaited.set(status);
        }
    }

    /// Waits on the driver's clock.
    pub(crate) async fn sleep(&self, duration_ms: u64) {
        let awaited = Awaited::new();
        let call = self.calls.insert(Pending::Sleep(awaited.clone()));
        let _forget = Forget { calls: &self.calls, call };
        let deadline = self.now_ms().saturating_add(duration_ms);
        self.timers.borrow_mut().insert(deadline, Timer::Sleep(call));
        awaited.get().await;
    }

    pub(crate) fn end_sleep(&self, call: Key) {
        if let Some(Pending::Sleep(awaited)) = self.calls.remove(call) {
            awaited.set(());
        }
    }
}
