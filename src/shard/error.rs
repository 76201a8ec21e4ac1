//! Why shards could not start.

use std::error::Error;
use std::fmt::{self, Display, Formatter};
use std::io;
use std::net::SocketAddr;

use crate::object::driver::ShardId;

/// Why shards could not start; none of them has served anyone.
///
/// Shown, it is one line for the operator.
///
/// ```
/// use dormouse::shard::StartError;
///
/// let refused = std::io::Error::from_raw_os_error(1);
/// let error = StartError::Ring { shard: dormouse::object::driver::ShardId(0), source: refused };
/// assert!(error.to_string().contains("seccomp"));
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// A setting is outside of what is possible.
    Setting {
        /// The field of [`ShardSettings`](super::ShardSettings).
        key: &'static str,
        /// What it was set to.
        value: u64,
        /// What it may be set to.
        allowed: String,
    },
    /// The address cannot be listened at.
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
    /// A ring, its file table or its buffers were refused.
    Ring {
        /// The shard that needed it.
        shard: ShardId,
        /// What the kernel said.
        source: io::Error,
    },
    /// The shard's executor could not be made: its core does not exist, or its own rings were refused.
    Executor {
        /// The shard.
        shard: ShardId,
        /// The core it should run on.
        core: Option<usize>,
        /// What glommio said.
        source: io::Error,
    },
    /// A thread or an eventfd was refused.
    Thread {
        /// What the kernel said.
        source: io::Error,
    },
    /// The shard panicked while its world was made.
    Panicked {
        /// The shard.
        shard: ShardId,
    },
}

impl Display for StartError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Setting { key, value, allowed } => {
                write!(f, "{key} is {value}, which is not allowed: {allowed}")
            }
            StartError::Listen { address, source } => write!(f, "cannot listen at {address}: {source}"),
            StartError::Ring { shard, source } => {
                write!(f, "cannot make an io_uring for shard {}: {source}{}", shard.0, remedy(source))
            }
            StartError::Executor { shard, core: Some(core), source } => {
                write!(f, "cannot run shard {} on core {core}: {source}{}", shard.0, remedy(source))
            }
            StartError::Executor { shard, core: None, source } => {
                write!(f, "cannot run shard {}: {source}{}", shard.0, remedy(source))
            }
            StartError::Thread { source } => write!(f, "cannot make a thread for a shard: {source}"),
            StartError::Panicked { shard } => write!(f, "shard {} panicked while it was made", shard.0),
        }
    }
}

/// What the operator can do about a refused ring.
fn remedy(source: &io::Error) -> &'static str {
    match source.raw_os_error() {
        Some(libc::EPERM) => {
            "; io_uring is forbidden here: allow it in the container's seccomp profile (Docker: --security-opt \
             seccomp=...), or set the sysctl kernel.io_uring_disabled to 0"
        }
        Some(libc::ENOSYS) => "; the kernel has no io_uring: Linux 6.1 or later is needed",
        Some(libc::EMFILE) => {
            "; connections_per_ring may not exceed the limit of open descriptors (ulimit -n)"
        }
        Some(libc::ENOMEM) => {
            "; raise the limit of locked memory (ulimit -l), or lower the sizes of the rings"
        }
        Some(libc::EINVAL) => "; the kernel may be too old: Linux 6.1 or later is needed",
        _ => "",
    }
}

impl Error for StartError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            StartError::Listen { source, .. }
            | StartError::Ring { source, .. }
            | StartError::Executor { source, .. }
            | StartError::Thread { source } => Some(source),
            StartError::Setting { .. } | StartError::Panicked { .. } => None,
        }
    }
}
