//! A worker without its type, so that a world need not carry one.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::durable_object::Worker;
use super::env::Env;
use super::error::Result;
use super::http::{Request, Response};

pub(crate) trait ErasedWorker: Send + Sync {
    fn fetch(self: Arc<Self>, request: Request, env: Env) -> Pin<Box<dyn Future<Output = Result<Response>>>>;
}

impl<W: Worker> ErasedWorker for W {
    fn fetch(self: Arc<Self>, request: Request, env: Env) -> Pin<Box<dyn Future<Output = Result<Response>>>> {
        Box::pin(async move { Worker::fetch(&*self, request, &env).await })
    }
}
