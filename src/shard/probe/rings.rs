//! What rings of the engine's kind can do here, found by making two and using them as shards do: accept a connection
//! into a slot, receive into provided buffers, hand the slot to the other ring, send from there.
//!
//! The order is that of need: a step that fails ends the list, since the next would fail because of it.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::thread;
use std::time::{Duration, Instant};

use glommio::LocalExecutorBuilder;
use io_uring::types::{CancelBuilder, DestinationSlot, Fd, Fixed, SubmitArgs, Timespec};
use io_uring::{IoUring, Probe, cqueue, opcode, squeue};

use super::cause::{self, Cause, Sandbox};
use super::{Check, Wanted, limits};
use crate::shard::buffers::ReceiveBuffers;
use crate::shard::sys;

/// Far above what any of these operations takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(1);

/// What the test connection carries.
const GREETING: &[u8] = b"dormouse";

/// All checks of rings, as far as they come.
pub(super) fn check(wanted: &Wanted) -> Vec<Check> {
    limits::raise();
    let mut checks = Vec::new();
    // The step that failed has put its check in the list.
    let _ = run(wanted, &mut checks);
    checks
}

/// A step failed, and is in the list.
struct Failed;

fn run(wanted: &Wanted, checks: &mut Vec<Check>) -> Result<(), Failed> {
    let first = setup(checks)?;
    flags(checks)?;
    operations(&first, checks)?;
    drop(first);
    let mut stage = queues(wanted, checks)?;
    files(wanted, &stage, checks)?;
    wake_ups(&stage, checks)?;
    let mut buffers = receive_buffers(wanted, &stage, checks)?;
    let result = connection(&mut stage, &mut buffers, checks);
    // The rings end before the memory that they write to.
    drop(stage);
    drop(buffers);
    result?;
    executor(checks)
}

fn setup(checks: &mut Vec<Check>) -> Result<IoUring, Failed> {
    let result = IoUring::new(8);
    note(checks, "io_uring", result.map(|ring| (ring, "allowed".to_owned())), |error| {
        let cause = cause_of(error);
        Check::missing("io_uring", cause.finding, "the engine has no other way to its sockets", cause.remedy)
    })
}

type Setup = (&'static str, fn(&mut io_uring::Builder));

/// The flags are tried one by one only to name the one that is refused.
fn flags(checks: &mut Vec<Check>) -> Result<(), Failed> {
    const ONE_BY_ONE: [Setup; 4] = [
        ("SUBMIT_ALL", |builder| _ = builder.setup_submit_all()),
        ("SINGLE_ISSUER", |builder| _ = builder.setup_single_issuer()),
        ("DEFER_TASKRUN", |builder| _ = builder.setup_single_issuer().setup_defer_taskrun()),
        ("TASKRUN_FLAG", |builder| {
            _ = builder.setup_single_issuer().setup_defer_taskrun().setup_taskrun_flag();
        }),
    ];
    let names = ONE_BY_ONE.map(|(name, _)| name).join(", ");
    note(checks, "ring flags", shard_ring(8, 16).map(|_| ((), names)), |error| {
        let refused = ONE_BY_ONE.iter().find(|(_, set)| {
            let mut builder = IoUring::builder();
            set(&mut builder);
            builder.build(8).is_err()
        });
        let name = refused.map_or("their combination", |(name, _)| name);
        let finding = format!("refused with {name}: {error}");
        let consequence = "receives would run out of buffers whenever the shard is busy";
        Check::missing("ring flags", finding, consequence, cause_of(error).remedy)
    })
}

/// A ring with the flags of the engine's.
fn shard_ring(submission_entries: u32, completion_entries: u32) -> io::Result<IoUring> {
    IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_taskrun_flag()
        .setup_submit_all()
        .setup_cqsize(completion_entries)
        .build(submission_entries)
}

fn operations(ring: &IoUring, checks: &mut Vec<Check>) -> Result<(), Failed> {
    const NEEDED: [(&str, u8); 12] = [
        ("ACCEPT", opcode::Accept::CODE),
        ("RECV", opcode::Recv::CODE),
        ("SEND", opcode::Send::CODE),
        ("SENDMSG", opcode::SendMsg::CODE),
        ("SHUTDOWN", opcode::Shutdown::CODE),
        ("CLOSE", opcode::Close::CODE),
        ("MSG_RING", opcode::MsgRingSendFd::CODE),
        ("ASYNC_CANCEL", opcode::AsyncCancel2::CODE),
        ("POLL_ADD", opcode::PollAdd::CODE),
        ("TIMEOUT", opcode::Timeout::CODE),
        ("TIMEOUT_REMOVE", opcode::TimeoutUpdate::CODE),
        ("NOP", opcode::Nop::CODE),
    ];
    let mut probe = Probe::new();
    let asked = ring.submitter().register_probe(&mut probe);
    let absent: Vec<_> =
        NEEDED.iter().filter(|(_, code)| !probe.is_supported(*code)).map(|(name, _)| *name).collect();
    let result = match asked {
        Ok(()) if absent.is_empty() => Ok(((), format!("all {} that the engine needs", NEEDED.len()))),
        Ok(()) => Err(io::Error::new(io::ErrorKind::Unsupported, format!("without {}", absent.join(", ")))),
        Err(error) => Err(error),
    };
    note(checks, "operations", result, |error| {
        let consequence = "connections cannot be served without them";
        let cause = cause_of(error);
        Check::missing("operations", cause.finding, consequence, cause.remedy)
    })?;
    checks.push(if probe.is_supported(opcode::FixedFdInstall::CODE) {
        Check::ok("FIXED_FD_INSTALL", "supported")
    } else {
        let consequence = "a restart cannot hand open sockets to the new process; it drains them";
        let remedy = "run Linux 6.8 or later".to_owned();
        Check::limited("FIXED_FD_INSTALL", "not in this kernel".to_owned(), consequence, remedy)
    });
    Ok(())
}

/// Two rings, as of two shards: hand-offs go from the one to the other.
struct Stage {
    here: IoUring,
    there: IoUring,
}

fn queues(wanted: &Wanted, checks: &mut Vec<Check>) -> Result<Stage, Failed> {
    let (submission, completion) = (wanted.submission_entries, wanted.completion_entries);
    let ring = || shard_ring(submission, completion);
    let stage = ring().and_then(|here| Ok(Stage { here, there: ring()? }));
    let found = format!("{submission} submissions, {completion} completions a ring");
    note(checks, "queues", stage.map(|stage| (stage, found)), |error| {
        let cause = cause_of(error);
        let remedy = format!("{}, or lower buffers.completion_entries", cause.remedy);
        Check::missing("queues", cause.finding, "rings of the configured size cannot be made", remedy)
    })
}

fn files(wanted: &Wanted, stage: &Stage, checks: &mut Vec<Check>) -> Result<(), Failed> {
    let rings = [&stage.here, &stage.there];
    let result = rings.iter().try_for_each(|ring| ring.submitter().register_files_sparse(wanted.slots));
    note(checks, "file table", result.map(|()| ((), format!("{} slots a ring", wanted.slots))), |error| {
        let cause = cause_of(error);
        let finding = format!("no table of {} slots: {}", wanted.slots, cause.finding);
        let remedy = format!("{}, or lower limits.connections_per_ring", cause.remedy);
        Check::missing("file table", finding, "sockets have no slots", remedy)
    })
}

/// The executor sleeps until a ring signals its eventfd; and the kernel's workers of a ring must be few.
fn wake_ups(stage: &Stage, checks: &mut Vec<Check>) -> Result<(), Failed> {
    let submitter = stage.here.submitter();
    let registered = sys::eventfd().and_then(|eventfd| submitter.register_eventfd(eventfd.as_raw_fd()));
    let result = registered.and_then(|()| submitter.register_iowq_max_workers(&mut [0, 2]));
    step(checks, "wake-ups", "a ring signals an eventfd, and its workers can be limited", result)
}

fn receive_buffers(
    wanted: &Wanted,
    stage: &Stage,
    checks: &mut Vec<Check>,
) -> Result<ReceiveBuffers, Failed> {
    let buffers = ReceiveBuffers::register(&stage.here, wanted.receive_count, wanted.receive_bytes);
    let found = format!("{} of {} B a ring", wanted.receive_count, wanted.receive_bytes);
    note(checks, "receive buffers", buffers.map(|buffers| (buffers, found)), |error| {
        let cause = cause_of(error);
        let remedy = format!("{}, or lower buffers.receive_count", cause.remedy);
        Check::missing("receive buffers", cause.finding, "the kernel has nowhere to receive to", remedy)
    })
}

/// One connection through both rings.
fn connection(
    stage: &mut Stage,
    buffers: &mut ReceiveBuffers,
    checks: &mut Vec<Check>,
) -> Result<(), Failed> {
    let loopback = note(checks, "loopback", loopback().map(|pair| (pair, "works".to_owned())), |error| {
        let consequence = "accepting, receiving and handing off could not be tried";
        let remedy = "bring up the loopback interface: ip link set lo up".to_owned();
        Check::limited("loopback", format!("no connection: {error}"), consequence, remedy)
    });
    let Ok((listener, mut client)) = loopback else { return Ok(()) };

    let slot = step(checks, "accept", "many a request, into slots", accept(&mut stage.here, &listener))?;
    let received = receive(&mut stage.here, buffers, slot, &mut client);
    step(checks, "receive", "many a request, into provided buffers", received)?;
    let slot = step(checks, "hand-off", "a slot to another ring", hand_off(stage, slot))?;
    step(checks, "send", "from the slot that was handed over", send(&mut stage.there, slot, &mut client))
}

fn loopback() -> io::Result<(TcpListener, TcpStream)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let client = TcpStream::connect_timeout(&listener.local_addr()?, PATIENCE)?;
    client.set_read_timeout(Some(PATIENCE))?;
    Ok((listener, client))
}

const ACCEPT: u64 = 1;
const RECEIVE: u64 = 2;
const HAND_OFF: u64 = 3;
const ARRIVAL: u64 = 4;
const SEND: u64 = 5;
const CANCEL: u64 = 6;
const CLOSE: u64 = 7;

fn accept(ring: &mut IoUring, listener: &TcpListener) -> io::Result<u32> {
    let many = opcode::AcceptMulti::new(Fd(listener.as_raw_fd())).allocate_file_index(true).build();
    push(ring, many.user_data(ACCEPT))?;
    let completion = wait(ring, ACCEPT)?;
    expect_more(&completion)?;
    slot(&completion)
}

fn receive(
    ring: &mut IoUring,
    buffers: &mut ReceiveBuffers,
    slot: u32,
    client: &mut TcpStream,
) -> io::Result<()> {
    push(ring, opcode::RecvMulti::new(Fixed(slot), 0).build().user_data(RECEIVE))?;
    client.write_all(GREETING)?;
    let completion = wait(ring, RECEIVE)?;
    expect_more(&completion)?;
    let buffer =
        cqueue::buffer_select(completion.flags()).ok_or_else(|| unexpected("no buffer was named"))?;
    let length = usize::try_from(completion.result()).map_err(|_| unexpected("a negative length"))?;
    if buffers.bytes(buffer, length) != GREETING {
        return Err(unexpected("other bytes than were sent"));
    }
    // The engine cancels a receive before it hands the slot over; here that shows that cancelling works.
    let cancel = opcode::AsyncCancel2::new(CancelBuilder::user_data(RECEIVE)).build();
    push(ring, cancel.user_data(CANCEL))?;
    wait(ring, CANCEL).map(drop)
}

fn hand_off(stage: &mut Stage, slot_here: u32) -> io::Result<u32> {
    let target = Fd(stage.there.as_raw_fd());
    let message =
        opcode::MsgRingSendFd::new(target, Fixed(slot_here), DestinationSlot::auto_target(), ARRIVAL);
    push(&mut stage.here, message.build().user_data(HAND_OFF))?;
    stage.here.submit()?;
    let slot_there = slot(&wait(&mut stage.there, ARRIVAL)?)?;
    wait(&mut stage.here, HAND_OFF)?;
    push(&mut stage.here, opcode::Close::new(Fixed(slot_here)).build().user_data(CLOSE))?;
    wait(&mut stage.here, CLOSE)?;
    Ok(slot_there)
}

fn send(ring: &mut IoUring, slot: u32, client: &mut TcpStream) -> io::Result<()> {
    let entry = opcode::Send::new(Fixed(slot), GREETING.as_ptr(), GREETING.len() as u32).build();
    push(ring, entry.user_data(SEND))?;
    wait(ring, SEND)?;
    let mut echo = [0; GREETING.len()];
    client.read_exact(&mut echo)?;
    if echo == GREETING { Ok(()) } else { Err(unexpected("other bytes than were sent")) }
}

/// The shards' executor makes rings of its own, and has demands of its own on the machine.
fn executor(checks: &mut Vec<Check>) -> Result<(), Failed> {
    // On a thread of its own: there may be an executor on this one already.
    let made = thread::spawn(|| match LocalExecutorBuilder::default().io_memory(64 << 10).make() {
        Ok(executor) => {
            executor.run(async {});
            Ok(())
        }
        Err(error) => Err(io::Error::other(error.to_string())),
    });
    let result = made.join().unwrap_or_else(|_| Err(io::Error::other("it panicked")));
    note(checks, "executor", result.map(|()| ((), "starts".to_owned())), |error| {
        let remedy =
            "lift what the checks above found; else report this, with your kernel's version".to_owned();
        Check::missing("executor", error.to_string(), "shards cannot start", remedy)
    })
}

fn cause_of(error: &io::Error) -> Cause {
    cause::of(error, Sandbox::read())
}

/// Puts the check in the list and gives back what the step made.
fn note<T>(
    checks: &mut Vec<Check>,
    name: &'static str,
    result: io::Result<(T, String)>,
    check_of: impl FnOnce(&io::Error) -> Check,
) -> Result<T, Failed> {
    match result {
        Ok((made, finding)) => {
            checks.push(Check::ok(name, finding));
            Ok(made)
        }
        Err(error) => {
            checks.push(check_of(&error));
            Err(Failed)
        }
    }
}

fn step<T>(
    checks: &mut Vec<Check>,
    name: &'static str,
    found: &str,
    result: io::Result<T>,
) -> Result<T, Failed> {
    note(checks, name, result.map(|made| (made, found.to_owned())), |error| {
        let cause = cause_of(error);
        let finding = format!("{found}: {}", cause.finding);
        Check::missing(name, finding, "connections cannot be served without it", cause.remedy)
    })
}

fn push(ring: &mut IoUring, entry: squeue::Entry) -> io::Result<()> {
    // SAFETY: entries that point to memory point to a static (`send`); descriptors are open until the ring is done
    // with them, because each step waits for its completion or takes its own reference with the request.
    unsafe { ring.submission().push(&entry) }.map_err(|_| unexpected("the submission queue is full"))
}

/// Submits, and waits for the completion of one request. Those of others are dropped: nothing here needs them.
fn wait(ring: &mut IoUring, user_data: u64) -> io::Result<cqueue::Entry> {
    let deadline = Instant::now() + PATIENCE;
    let turn = Timespec::from(PATIENCE);
    while Instant::now() < deadline {
        match ring.submitter().submit_with_args(1, &SubmitArgs::new().timespec(&turn)) {
            Err(error) if !matches!(error.raw_os_error(), Some(libc::ETIME | libc::EINTR)) => {
                return Err(error);
            }
            _ => {}
        }
        let found = ring.completion().find(|completion| completion.user_data() == user_data);
        match found {
            Some(completion) if completion.result() < 0 => {
                return Err(io::Error::from_raw_os_error(-completion.result()));
            }
            Some(completion) => return Ok(completion),
            None => {}
        }
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, "the kernel did not answer within a second"))
}

fn expect_more(completion: &cqueue::Entry) -> io::Result<()> {
    if cqueue::more(completion.flags()) {
        Ok(())
    } else {
        Err(unexpected("the request ended after one completion"))
    }
}

fn slot(completion: &cqueue::Entry) -> io::Result<u32> {
    u32::try_from(completion.result()).map_err(|_| unexpected("a negative slot"))
}

fn unexpected(what: &str) -> io::Error {
    io::Error::other(what)
}
