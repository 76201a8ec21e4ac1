//! A class of objects without its type: its binding and how to make an actor of it.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use super::actor;
use super::batching::Batching;
use super::core::Core;
use super::durable_object::{DurableObject, SlowReader};
use super::mailbox::Mailbox;
use super::slab::Key;

type Start =
    Box<dyn Fn(Rc<Core>, Key, Rc<Mailbox>) -> Pin<Box<dyn Future<Output = ()>>> + Send + Sync + 'static>;

/// A namespace: the objects of one type, under one binding.
pub(crate) struct Class {
    pub(crate) binding: String,
    pub(crate) slow_reader: SlowReader,
    pub(crate) batching: Option<Batching>,
    pub(crate) start: Start,
}

impl Class {
    pub(crate) fn of<T: DurableObject>(binding: &str) -> Class {
        Class {
            binding: binding.to_owned(),
            slow_reader: T::SLOW_READER,
            batching: T::BATCHING,
            start: Box::new(|core, object, mailbox| Box::pin(actor::run::<T>(core, object, mailbox))),
        }
    }
}
