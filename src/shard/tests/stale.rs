//! What the kernel tells of deferred work when there is none any more. Owns the way to bring that about.
//!
//! A thread that adds work to a ring first puts it in the list and then sets IORING_SQ_TASKRUN. If the shard does the work
//! in between, the flag stays set. Seen once, on a busy machine: a shard that turned for ever, its queues empty.

use std::io::Write;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;
use std::{io, ptr, thread};

use super::bench::{Bench, HANG, settings};
use crate::object::driver::Receive;
use crate::shard::ring::{Ring, RingSize};
use crate::shard::settings::ShardSettings;

const IORING_SQ_TASKRUN: u32 = 1 << 2;

/// `struct io_uring_params` as numbers of 32 bits: that of `sq_entries`, and of `sq_off.flags`.
const PARAMS: usize = 30;
const SQ_OFF_FLAGS: usize = 14;

/// Where a ring's flags are in its memory. It is the same in every ring.
fn offset_of_flags() -> usize {
    let mut params = [0_u32; PARAMS];
    // SAFETY: `params` is as large as `struct io_uring_params`, and zeros are a request for nothing special.
    let fd = unsafe { libc::syscall(libc::SYS_io_uring_setup, 1, params.as_mut_ptr()) };
    assert!(fd >= 0, "{}", io::Error::last_os_error());
    // SAFETY: the descriptor was opened above and nobody else knows of it.
    unsafe { libc::close(fd as RawFd) };
    params[SQ_OFF_FLAGS] as usize
}

/// Sets the flag as the kernel does.
fn tell_of_work(ring: &Ring) {
    const PAGE: usize = 4_096;
    let offset = offset_of_flags();
    assert!(offset + size_of::<AtomicU32>() <= PAGE);
    let (protection, fd) = (libc::PROT_READ | libc::PROT_WRITE, ring.kernel().as_raw_fd());
    // SAFETY: a new mapping, of the memory that the ring shares with us anyway.
    let memory = unsafe { libc::mmap(ptr::null_mut(), PAGE, protection, libc::MAP_SHARED, fd, 0) };
    assert!(memory != libc::MAP_FAILED, "{}", io::Error::last_os_error());
    // SAFETY: the kernel says that a number of 32 bits is there, and both sides touch it with atomic operations alone.
    let flags = unsafe { &*memory.byte_add(offset).cast::<AtomicU32>() };
    flags.fetch_or(IORING_SQ_TASKRUN, Ordering::SeqCst);
    // SAFETY: mapped above, and `flags` is not used any more.
    unsafe { libc::munmap(memory, PAGE) };
}

#[test]
fn a_shard_falls_asleep_though_the_kernel_tells_of_work() {
    let settings = ShardSettings { connections_per_ring: 4, rings: 2, ..settings() };
    let mut bench = Bench::new(settings);
    let mut peers: Vec<_> = (0..8).map(|_| bench.receiving(Receive::Multishot)).collect();
    bench.settle();
    for ring in 0..2 {
        tell_of_work(&bench.driver.rings[ring].ring);
        assert!(bench.driver.rings[ring].ring.is_unreaped());
        assert!(!bench.driver.has_work().unwrap());
        assert!(bench.driver.fall_asleep().unwrap(), "ring {ring}");
        assert!(!bench.driver.sleep(Some(Duration::ZERO)).unwrap());
        assert!(bench.driver.rings[ring].ring.is_unreaped(), "the kernel would have cleared it");
        // And what comes is heard, on the ring that tells the truth and on the other.
        for (stream, place) in &mut peers {
            let before = bench.world().received(*place).len();
            stream.write_all(b"x").unwrap();
            assert!(bench.driver.sleep(Some(HANG)).unwrap());
            bench.driver.wake();
            bench.until(|world| world.received(*place).len() > before);
            bench.doze();
        }
        bench.driver.wake();
    }
}

#[test]
fn work_that_came_before_the_sleep_is_found_behind_a_stale_flag() {
    let mut bench = Bench::new(settings());
    let (mut stream, place) = bench.receiving(Receive::Multishot);
    bench.settle();
    tell_of_work(&bench.driver.rings[0].ring);
    stream.write_all(b"before").unwrap();
    assert!(!bench.driver.fall_asleep().unwrap());
    bench.until(|world| world.received(place) == b"before");
}

#[test]
fn a_ring_ends_though_the_kernel_tells_of_work() {
    let (ended, end) = channel();
    thread::spawn(move || {
        let size = RingSize { submission_entries: 4, completion_entries: 8, slots: 1 };
        let ring = Ring::new(size, None).unwrap();
        tell_of_work(&ring);
        drop(ring);
        ended.send(()).unwrap();
    });
    assert_eq!(end.recv_timeout(HANG), Ok(()), "it turns for ever");
}
