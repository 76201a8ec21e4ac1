//! What the kernel asks for a send, in all the ways in which the engine could ask: CPU of the sending thread for each
//! socket, over loopback, with the far ends drained on another core.
//!
//! The engine sends as `send` and `sendmsg` do here. The others are measured so that it shows when that changes. On
//! loopback the kernel copies what was to be sent without a copy as soon as it is delivered, so that a gain of
//! SEND_ZC can show here only against a network card; see "Sends that were measured" in tuning.md.
//!
//! `cargo bench --bench kernel_sends`, and with `KERNEL_SENDS_ROUNDS=200` the tables of that page.

use std::alloc::Layout;
use std::env;
use std::hint::black_box;
use std::io::ErrorKind;
use std::os::fd::{AsRawFd, RawFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, SamplingMode, criterion_group};
use io_uring::types::{BufRingEntry, Fixed};
use io_uring::{EnterFlags, IoUring, cqueue, opcode, squeue};
use loopback::{Loopback, process_cpu, thread_cpu};

#[path = "support/loopback.rs"]
mod loopback;

const SOCKETS: usize = 1024;
/// Sends of one submission, as the engine's.
const BATCH: usize = 1024;
/// Most bytes on their way at once, so that large messages go to fewer sockets.
const ROUND_BYTES: usize = 16 << 20;
const SIZES: [usize; 9] = [64, 512, 1 << 10, 2 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20];
const PARTS_MAX: usize = 16;
/// As the engine's.
const SEND_FLAGS: i32 = libc::MSG_DONTWAIT | libc::MSG_WAITALL | libc::MSG_NOSIGNAL;
const PAGE_BYTES: usize = 4 << 10;

/// A way to send one message.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    /// A system call for each.
    SystemCall,
    /// What the engine does with one part.
    Send,
    /// The same in more submissions.
    SendBy {
        batch: usize,
    },
    /// What the engine does with several.
    SendMsg {
        parts: usize,
    },
    /// Several parts, copied into one for each socket.
    CopyAndSend {
        parts: usize,
    },
    SendZc,
    /// From a buffer that is registered with the ring.
    SendZcFixed,
    SendMsgZc {
        parts: usize,
    },
    /// All buffers in a ring of the socket's own, taken by one send.
    Bundle {
        parts: usize,
    },
}

const WAYS: [(&str, Way); 14] = [
    ("send(2)", Way::SystemCall),
    ("send", Way::Send),
    ("send, 128 a submission", Way::SendBy { batch: 128 }),
    ("sendmsg of 2", Way::SendMsg { parts: 2 }),
    ("sendmsg of 16", Way::SendMsg { parts: 16 }),
    ("copy of 2, send", Way::CopyAndSend { parts: 2 }),
    ("copy of 16, send", Way::CopyAndSend { parts: 16 }),
    ("send_zc", Way::SendZc),
    ("send_zc, registered", Way::SendZcFixed),
    ("sendmsg_zc of 2", Way::SendMsgZc { parts: 2 }),
    ("sendmsg_zc of 16", Way::SendMsgZc { parts: 16 }),
    ("bundle of 1", Way::Bundle { parts: 1 }),
    ("bundle of 2", Way::Bundle { parts: 2 }),
    ("bundle of 16", Way::Bundle { parts: 16 }),
];

impl Way {
    /// Zero-copy sends complete, and say later that their bytes are no longer needed.
    fn is_zero_copy(self) -> bool {
        matches!(self, Way::SendZc | Way::SendZcFixed | Way::SendMsgZc { .. })
    }

    fn parts(self) -> usize {
        match self {
            Way::SystemCall | Way::Send | Way::SendBy { .. } | Way::SendZc | Way::SendZcFixed => 1,
            Way::SendMsg { parts } | Way::CopyAndSend { parts } => parts,
            Way::SendMsgZc { parts } | Way::Bundle { parts } => parts,
        }
    }
}

/// What each socket is to be sent in bundles: a ring of buffers for each, for such a send takes all that is in one. The
/// kernel wants each ring on a page of its own.
struct Bundles {
    pages: NonNull<u8>,
    tails: Vec<u16>,
}

impl Bundles {
    /// `None` where the kernel has no such rings.
    fn register(ring: &IoUring) -> Option<Bundles> {
        let layout = Layout::from_size_align(SOCKETS * PAGE_BYTES, PAGE_BYTES).ok()?;
        // SAFETY: the layout is not empty. It is never freed: the rings of a benchmark end with the process.
        let pages = NonNull::new(unsafe { std::alloc::alloc_zeroed(layout) })?;
        for group in 0..SOCKETS {
            // SAFETY: there is a page for each group.
            let address = unsafe { pages.add(group * PAGE_BYTES) }.as_ptr() as u64;
            let (entries, group) = (PARTS_MAX as u16, group as u16);
            // SAFETY: the memory is a page of its own, holds all entries, and is never freed.
            unsafe { ring.submitter().register_buf_ring_with_flags(address, entries, group, 0) }.ok()?;
        }
        Some(Bundles { pages, tails: vec![0; SOCKETS] })
    }

    /// Puts parts into a ring that the kernel has emptied.
    fn fill<'a>(&mut self, group: usize, parts: impl Iterator<Item = &'a [u8]>) {
        assert!(group < SOCKETS);
        // SAFETY: there is a page for each group.
        let first = unsafe { self.pages.add(group * PAGE_BYTES) }.cast::<BufRingEntry>().as_ptr();
        for part in parts {
            let index = self.tails[group] % PARTS_MAX as u16;
            // SAFETY: the index is below the number of entries.
            let entry = unsafe { first.add(usize::from(index)) };
            // SAFETY: the kernel reads an entry only when it is below the published tail; zeroes are an entry.
            let entry = unsafe { &mut *entry };
            entry.set_addr(part.as_ptr() as u64);
            entry.set_len(part.len() as u32);
            entry.set_bid(index);
            self.tails[group] = self.tails[group].wrapping_add(1);
        }
        // SAFETY: `first` is the first entry of the ring.
        let tail = unsafe { BufRingEntry::tail(first) };
        // SAFETY: two aligned bytes of our memory, which the kernel reads atomically.
        unsafe { AtomicU16::from_ptr(tail.cast_mut()) }.store(self.tails[group], Ordering::Release);
    }
}

/// CPU of one round.
#[derive(Clone, Copy)]
struct Spent {
    sender: Duration,
    /// With that of who drains. What the sender's socket cannot transmit at once leaves in the reader's name, when it
    /// acknowledges.
    both: Duration,
}

struct Kernel {
    loopback: Loopback,
    ring: IoUring,
    bundles: Option<Bundles>,
    message: Vec<u8>,
    /// For gather lists.
    vectors: Vec<libc::iovec>,
    headers: Vec<libc::msghdr>,
    /// For copies, one for each socket of a batch.
    copies: Vec<u8>,
}

impl Kernel {
    fn new(loopback: Loopback) -> Kernel {
        // As the engine's rings.
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_submit_all()
            .setup_cqsize(4096)
            .build(2 * BATCH as u32)
            .expect("a ring");
        let descriptors: Vec<RawFd> = loopback.near.iter().map(AsRawFd::as_raw_fd).collect();
        ring.submitter().register_files(&descriptors).expect("a table of direct descriptors");
        let message: Vec<u8> = (0..1 << 20).map(|index: u32| index as u8).collect();
        let registered = libc::iovec { iov_base: message.as_ptr().cast_mut().cast(), iov_len: message.len() };
        // SAFETY: the message lives as long as the ring, and is not changed.
        unsafe { ring.submitter().register_buffers(&[registered]) }.expect("a registered buffer");
        let bundles = Bundles::register(&ring);
        Kernel {
            loopback,
            ring,
            bundles,
            message,
            vectors: Vec::with_capacity(BATCH * PARTS_MAX),
            headers: Vec::with_capacity(BATCH),
            copies: Vec::new(),
        }
    }

    /// Sends `bytes` to each of `sockets`; the CPU for it. `None` if the kernel has no such operation, or did not take
    /// all.
    fn round(&mut self, way: Way, bytes: usize, sockets: usize) -> Option<Spent> {
        let (before, all_before) = (thread_cpu(), process_cpu());
        let mut taken = 0;
        if way == Way::SystemCall {
            for stream in &self.loopback.near[..sockets] {
                let message = black_box(&self.message[..bytes]);
                // SAFETY: the message is readable memory of that length.
                let sent = unsafe {
                    libc::send(stream.as_raw_fd(), message.as_ptr().cast(), message.len(), SEND_FLAGS)
                };
                taken += usize::try_from(sent).unwrap_or(0);
            }
        } else {
            let batch = if let Way::SendBy { batch } = way { batch } else { BATCH };
            for first in (0..sockets).step_by(batch) {
                taken += self.batch(way, bytes, first, batch.min(sockets - first));
            }
        }
        let sender = thread_cpu() - before;
        self.loopback.await_drained(taken as u64);
        (taken == bytes * sockets).then(|| Spent { sender, both: process_cpu() - all_before })
    }

    /// Sends to `count` sockets in one submission, and has the memory back when it returns. How much the kernel took.
    fn batch(&mut self, way: Way, bytes: usize, first: usize, count: usize) -> usize {
        let part_bytes = bytes / way.parts();
        self.vectors.clear();
        self.headers.clear();
        if let Way::CopyAndSend { .. } = way {
            self.copies.resize(count * bytes, 0);
        }
        for index in 0..count {
            let slot = Fixed((first + index) as u32);
            let message = black_box(&self.message[..bytes]);
            let (start, length) = (message.as_ptr(), bytes as u32);
            let entry = match way {
                Way::SystemCall => unreachable!("it has no batches"),
                Way::Send | Way::SendBy { .. } => {
                    opcode::Send::new(slot, start, length).flags(SEND_FLAGS).build()
                }
                Way::CopyAndSend { .. } => {
                    let copy = &mut self.copies[index * bytes..][..bytes];
                    for (from, to) in message.chunks(part_bytes).zip(copy.chunks_mut(part_bytes)) {
                        to.copy_from_slice(from);
                    }
                    opcode::Send::new(slot, copy.as_ptr(), length).flags(SEND_FLAGS).build()
                }
                Way::SendMsg { .. } => {
                    let header = gather(&mut self.vectors, &mut self.headers, message.chunks(part_bytes));
                    opcode::SendMsg::new(slot, header).flags(SEND_FLAGS as u32).build()
                }
                Way::SendMsgZc { .. } => {
                    let header = gather(&mut self.vectors, &mut self.headers, message.chunks(part_bytes));
                    opcode::SendMsgZc::new(slot, header).flags(SEND_FLAGS as u32).build()
                }
                Way::SendZc => opcode::SendZc::new(slot, start, length).flags(SEND_FLAGS).build(),
                Way::SendZcFixed => {
                    opcode::SendZc::new(slot, start, length).buf_index(Some(0)).flags(SEND_FLAGS).build()
                }
                Way::Bundle { .. } => {
                    let Some(bundles) = &mut self.bundles else { return 0 };
                    bundles.fill(first + index, message.chunks(part_bytes));
                    opcode::SendBundle::new(slot, (first + index) as u16).flags(SEND_FLAGS).build()
                }
            };
            let flags = if way.is_zero_copy() { squeue::Flags::empty() } else { squeue::Flags::SKIP_SUCCESS };
            // SAFETY: message, copies and gather lists stay as they are until the kernel no longer needs them: until
            // the submission has returned, and for zero-copy sends until all have said so below.
            unsafe { self.ring.submission().push(&entry.flags(flags)) }.expect("room for a batch");
        }
        self.enter(EnterFlags::empty(), 0);
        // Others say only what they did not take.
        let mut taken = if way.is_zero_copy() { 0 } else { bytes * count };
        let mut awaited = if way.is_zero_copy() { count } else { 0 };
        loop {
            for completion in self.ring.completion() {
                if cqueue::notif(completion.flags()) {
                    awaited -= 1;
                    continue;
                }
                let sent = usize::try_from(completion.result()).unwrap_or(0);
                if !way.is_zero_copy() {
                    taken -= bytes - sent;
                    continue;
                }
                taken += sent;
                if !cqueue::more(completion.flags()) {
                    // It failed: the kernel has not kept the memory, and will not say that it gives it back.
                    awaited -= 1;
                }
            }
            if awaited == 0 {
                return taken;
            }
            self.enter(EnterFlags::GETEVENTS, awaited as u32);
        }
    }

    /// Submits what is queued, and waits for so many completions.
    fn enter(&mut self, flags: EnterFlags, awaited: u32) {
        let queued = self.ring.submission().len() as u32;
        // SAFETY: without EXT_ARG the argument is a signal mask, and there is none.
        let entered =
            unsafe { self.ring.submitter().enter::<libc::sigset_t>(queued, awaited, flags.bits(), None) };
        // A process that is stopped and goes on finds its wait interrupted.
        if let Err(error) = entered
            && error.kind() != ErrorKind::Interrupted
        {
            panic!("the ring cannot be entered: {error}");
        }
    }

    /// Whether the kernel copied what it was to send without a copy; `None` if it cannot tell.
    fn copies_nevertheless(&mut self) -> Option<bool> {
        let entry = opcode::SendZc::new(Fixed(0), self.message.as_ptr(), self.message.len() as u32)
            .flags(SEND_FLAGS)
            .zc_flags(REPORT_USAGE);
        // SAFETY: the message is not changed, and lives as long as the ring.
        unsafe { self.ring.submission().push(&entry.build()) }.expect("room for one");
        loop {
            self.enter(EnterFlags::GETEVENTS, 1);
            let completions: Vec<cqueue::Entry> = self.ring.completion().collect();
            for completion in completions {
                if cqueue::notif(completion.flags()) {
                    self.loopback.await_drained(self.message.len() as u64);
                    return Some(completion.result() as u32 & USAGE_COPIED != 0);
                }
                if !cqueue::more(completion.flags()) {
                    return None;
                }
            }
        }
    }
}

/// IORING_SEND_ZC_REPORT_USAGE and IORING_NOTIF_USAGE_ZC_COPIED, which the crate does not name.
const REPORT_USAGE: u16 = 1 << 3;
const USAGE_COPIED: u32 = 1 << 31;

/// A gather list of `parts`, in memory that does not move until the next batch.
fn gather<'a>(
    vectors: &mut Vec<libc::iovec>,
    headers: &mut Vec<libc::msghdr>,
    parts: impl Iterator<Item = &'a [u8]>,
) -> *const libc::msghdr {
    let first = vectors.len();
    vectors.extend(
        parts.map(|part| libc::iovec { iov_base: part.as_ptr().cast_mut().cast(), iov_len: part.len() }),
    );
    assert!(
        vectors.len() <= BATCH * PARTS_MAX && headers.len() < BATCH,
        "a list that grows would move the others"
    );
    // SAFETY: all fields are integers and pointers, for which zero is a value.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = vectors[first..].as_mut_ptr();
    header.msg_iovlen = vectors.len() - first;
    headers.push(header);
    &raw const headers[headers.len() - 1]
}

/// `None`, and why, where it cannot be measured.
fn kernel() -> Option<Kernel> {
    let loopback = match Loopback::connect(SOCKETS) {
        Ok(loopback) => loopback,
        Err(error) => {
            eprintln!("kernel_sends: left out, for buffers of a socket may not be made large here: {error}");
            return None;
        }
    };
    let mut kernel = Kernel::new(loopback);
    match kernel.copies_nevertheless() {
        Some(true) => eprintln!("kernel_sends: here SEND_ZC copies nevertheless"),
        Some(false) => eprintln!("kernel_sends: here SEND_ZC copies nothing"),
        None => eprintln!("kernel_sends: this kernel cannot tell whether SEND_ZC copies"),
    }
    Some(kernel)
}

fn sockets_for(bytes: usize) -> usize {
    SOCKETS.min(ROUND_BYTES / bytes)
}

fn sends(criterion: &mut Criterion) {
    let Some(mut kernel) = kernel() else { return };
    for bytes in SIZES {
        let sockets = sockets_for(bytes);
        let mut group = criterion.benchmark_group(format!("send_{bytes}_bytes"));
        group.sampling_mode(SamplingMode::Flat);
        for (name, way) in WAYS {
            if kernel.round(way, bytes, sockets).is_none() {
                eprintln!("kernel_sends: {name} of {bytes} bytes is left out: this kernel does not take it");
                continue;
            }
            group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
                // CPU for one socket.
                bencher.iter_custom(|rounds| {
                    let round = |_| kernel.round(way, bytes, sockets).expect("it took as much before").sender;
                    let spent: Duration = (0..rounds).map(round).sum();
                    spent / sockets as u32
                });
            });
        }
        group.finish();
    }
}

/// All ways in turn, so that what disturbs one disturbs all: the median of so many rounds, as a ratio to that of the way
/// in which the engine sends. Two tables in Markdown: the sender's CPU, and that of both ends.
fn tables(rounds: usize) {
    let Some(mut kernel) = kernel() else { return };
    let mut tables = [("sender", WAYS.map(|_| String::new())), ("both ends", WAYS.map(|_| String::new()))];
    for bytes in SIZES {
        let sockets = sockets_for(bytes);
        let mut spent = WAYS.map(|_| Vec::with_capacity(rounds));
        for round in 0..rounds {
            // Nor may it matter much who was before: steps of all lengths that meet every way once.
            let step = [1, 3, 5, 9, 11, 13][round % 6];
            for at in (0..WAYS.len()).map(|index| (round + index * step) % WAYS.len()) {
                spent[at].extend(kernel.round(WAYS[at].1, bytes, sockets));
            }
        }
        for ((_, rows), of) in
            tables.iter_mut().zip([|spent: &Spent| spent.sender, |spent: &Spent| spent.both])
        {
            let medians = spent.each_ref().map(|spent| median(spent.iter().map(of), sockets));
            let engine = WAYS.iter().position(|(_, way)| *way == Way::Send).and_then(|at| medians[at]);
            for ((row, (_, way)), median) in rows.iter_mut().zip(WAYS).zip(medians) {
                row.push_str(&match (median, engine) {
                    (Some(median), _) if way == Way::Send => format!(" {:.1} us |", median / 1e3),
                    (Some(median), Some(engine)) => format!(" {:.2} |", median / engine),
                    _ => " - |".to_owned(),
                });
            }
        }
    }
    for (whose, rows) in tables {
        let sizes: Vec<String> = SIZES.iter().map(|bytes| format!(" {bytes} B |")).collect();
        println!("| {whose} |{}\n|---|{}", sizes.concat(), "---|".repeat(SIZES.len()));
        WAYS.iter().zip(rows).for_each(|((name, _), row)| println!("| {name} |{row}"));
        println!();
    }
}

/// In nanoseconds for one socket.
fn median(rounds: impl Iterator<Item = Duration>, sockets: usize) -> Option<f64> {
    let mut rounds: Vec<Duration> = rounds.collect();
    rounds.sort_unstable();
    rounds.get(rounds.len() / 2).map(|median| median.as_nanos() as f64 / sockets as f64)
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(50))
        // Of one socket's CPU, so that a sample is some dozens of rounds.
        .measurement_time(Duration::from_millis(2));
    targets = sends
}

fn main() {
    match env::var("KERNEL_SENDS_ROUNDS").map(|rounds| rounds.parse()) {
        Ok(Ok(rounds)) => tables(rounds),
        Ok(Err(error)) => panic!("KERNEL_SENDS_ROUNDS: {error}"),
        Err(_) => {
            benches();
            Criterion::default().configure_from_args().final_summary();
        }
    }
}
