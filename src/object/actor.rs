//! The life of one instance: construct, then one event after the other. Owns the instance and the order of its
//! events; what surrounds an event (timeouts, answers, failures) is done by the core.

use std::cell::RefCell;
use std::rc::Rc;

use super::context::Context;
use super::core::Core;
use super::durable_object::DurableObject;
use super::env::Env;
use super::error::Result;
use super::mailbox::{Event, Exit, Mailbox, PayloadAt};
use super::message::Message;
use super::slab::Key;
use crate::wire::MessageKind;

/// Runs until it fails; hibernation drops it.
// The borrows are of this actor's own cells: nobody else borrows the instance, and the bytes of a batch are borrowed
// mutably only between events.
#[expect(clippy::await_holding_refcell_ref)]
pub(crate) async fn run<T: DurableObject>(core: Rc<Core>, object: Key, mailbox: Rc<Mailbox>) {
    let context = Context::new(core.clone(), object, mailbox.clone());
    let env = Env::of_object(core.clone(), object, mailbox.clone());
    let instance = match T::new(context, env).await {
        Ok(instance) => Rc::new(RefCell::new(instance)),
        Err(error) => {
            *mailbox.exit.borrow_mut() = Some(Exit::ConstructFailed(error));
            return;
        }
    };
    *mailbox.instance.borrow_mut() = Some(instance.clone());
    core.constructed(object);
    loop {
        let event = mailbox.next().await;
        let Some(begun) = core.begin_event(object, &mailbox, event) else { continue };
        let result = handle(&mut *instance.borrow_mut(), &core, &mailbox, begun).await;
        match result {
            Ok(()) => core.finish_event(object, &mailbox),
            // The event stays the current one: whoever clears up must know whose it was.
            Err(error) => {
                *mailbox.exit.borrow_mut() = Some(Exit::HandlerFailed(error));
                return;
            }
        }
    }
}

#[expect(clippy::await_holding_refcell_ref)]
async fn handle<T: DurableObject>(
    instance: &mut T,
    core: &Rc<Core>,
    mailbox: &Mailbox,
    event: Event,
) -> Result<()> {
    match event {
        Event::Message { socket, kind, payload, batch: head } => {
            let ws = core.handle_of(socket);
            let batch = mailbox.bytes();
            let bytes = match &payload {
                PayloadAt::Batch(range) => &batch[range.start as usize..range.end as usize],
                PayloadAt::Own(bytes) => bytes,
            };
            if let Some(head) = head {
                return instance.web_socket_batch(&ws, head.of(bytes)).await;
            }
            let message = match kind {
                MessageKind::Binary => Message::Binary(bytes),
                // The session has let only UTF-8 pass; this is the proof for the type, at several GB/s.
                MessageKind::Text => {
                    Message::Text(simdutf8::basic::from_utf8(bytes).expect("a text message is UTF-8"))
                }
            };
            instance.web_socket_message(&ws, message).await
        }
        Event::Close { socket, code, reason, was_clean } => {
            instance.web_socket_close(&core.handle_of(socket), code, &reason, was_clean).await
        }
        Event::Error { socket, error } => instance.web_socket_error(&core.handle_of(socket), &error).await,
        Event::Fetch(fetch) => {
            let answer = instance.fetch(fetch.request).await;
            core.answer_current(mailbox, answer);
            Ok(())
        }
        Event::Tick => instance.tick().await,
        Event::AutoResponse { .. } => Ok(()),
    }
}
