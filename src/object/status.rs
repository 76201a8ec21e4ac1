//! How an object fares, seen from outside. Reading it wakes nothing.

/// A look at one object.
///
/// ```no_run
/// # async fn example(env: &dormouse::Env) -> dormouse::Result<()> {
/// let status = env.namespace("ROOM")?.get_by_name("lobby").status().await;
/// if !status.is_awake {
///     println!("asleep, with {} clients connected", status.sockets);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ObjectStatus {
    /// Whether an instance is in memory.
    pub is_awake: bool,
    /// Sockets on its roster.
    pub sockets: usize,
    /// Messages received from its sockets since the object was first used.
    pub messages_received: u64,
    /// Frames queued for its sockets since the object was first used, one for each recipient.
    pub messages_sent: u64,
}
