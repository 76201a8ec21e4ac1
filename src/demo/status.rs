//! How an object fares, as JSON. Owns the format; reading it wakes nothing.

use dormouse::{ApiError, ObjectStatus, Response, Stub};
use serde::Serialize;

/// `{"awake":true,"sockets":2,"received":40,"sent":80}`; of several objects, the sums.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Status {
    /// Whether an instance is in memory.
    awake: bool,
    sockets: usize,
    /// Messages from clients.
    received: u64,
    /// Messages to clients, one for each recipient.
    sent: u64,
}

impl Status {
    fn plus(self, other: &ObjectStatus) -> Status {
        Status {
            awake: self.awake || other.is_awake,
            sockets: self.sockets + other.sockets,
            received: self.received + other.messages_received,
            sent: self.sent + other.messages_sent,
        }
    }
}

pub(super) async fn response(stubs: &[Stub]) -> Result<Response, ApiError> {
    let mut status = Status::default();
    for stub in stubs {
        status = status.plus(&stub.status().await);
    }
    let json = serde_json::to_string(&status).expect("numbers and a bool are JSON");
    Response::json(json).with_header("Cache-Control", "no-store")
}
