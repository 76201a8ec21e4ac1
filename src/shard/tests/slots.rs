//! Every state of a slot that can be reached, with every event that can happen in it.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Occupy,
    WantOnce,
    WantMultishot,
    Pause,
    AwaitWritable,
    ShutDownWrite,
    Close,
    HandOff,
    /// Bytes, and the receive goes on.
    Bytes,
    /// Bytes, and the receive has ended.
    LastBytes,
    /// End of stream.
    End,
    Cancelled,
    Starved,
    /// There are buffers again.
    Refilled,
    PollEnded,
    ShutdownEnded,
    HandOffFailed,
    HandOffSent,
    Closed,
}

use Event::*;

const EVENTS: [Event; 19] = [
    Occupy,
    WantOnce,
    WantMultishot,
    Pause,
    AwaitWritable,
    ShutDownWrite,
    Close,
    HandOff,
    Bytes,
    LastBytes,
    End,
    Cancelled,
    Starved,
    Refilled,
    PollEnded,
    ShutdownEnded,
    HandOffFailed,
    HandOffSent,
    Closed,
];

/// Whether the world may ask for it, or the kernel may answer it, in this state.
fn can_happen(slot: &Slot, event: Event) -> bool {
    let open = slot.phase == Phase::Open;
    let in_flight = slot.receiving != Receiving::Idle;
    match event {
        Occupy => slot.phase == Phase::Free,
        WantOnce | WantMultishot | Pause | AwaitWritable | ShutDownWrite | Close => open,
        HandOff => open && !slot.is_busy(),
        // A receive that is being cancelled may have been a multishot.
        Bytes => matches!(slot.receiving, Receiving::Armed(Receive::Multishot) | Receiving::Cancelling),
        LastBytes | End | Cancelled | Starved => in_flight,
        Refilled => true,
        PollEnded => slot.polling,
        ShutdownEnded => slot.shutting,
        HandOffFailed | HandOffSent => slot.phase == Phase::Leaving,
        Closed => slot.phase == Phase::Closing,
    }
}

/// The event, as the driver applies it.
fn apply(slot: &mut Slot, event: Event) -> Step {
    match event {
        Occupy => slot.occupy(),
        WantOnce => return slot.want(Receive::Once),
        WantMultishot => return slot.want(Receive::Multishot),
        Pause => return slot.pause(),
        AwaitWritable => return slot.await_writable(),
        ShutDownWrite => return slot.shut_down_write(),
        Close => return slot.close(),
        HandOff => assert!(slot.hand_off()),
        Bytes => drop(slot.bytes_arrived()),
        LastBytes => {
            slot.bytes_arrived();
            return slot.receive_ended();
        }
        End => {
            slot.end_arrived();
            return slot.receive_ended();
        }
        Cancelled => return slot.receive_ended(),
        Starved => return slot.receive_starved().1,
        Refilled => return slot.settle(),
        PollEnded => return slot.poll_ended(),
        ShutdownEnded => return slot.shutdown_ended(),
        HandOffFailed => slot.hand_off_failed(),
        HandOffSent => {
            slot.hand_off_sent();
            return Step::Close;
        }
        Closed => slot.closed(),
    }
    Step::Nothing
}

fn show(slot: &Slot) -> String {
    let mut text = match slot.phase {
        Phase::Open => String::new(),
        ref phase => format!("{phase:?} "),
    };
    text += match slot.receiving {
        Receiving::Idle => "idle",
        Receiving::Armed(Receive::Once) => "once",
        Receiving::Armed(Receive::Multishot) => "multishot",
        Receiving::Cancelling => "cancelling",
    };
    match slot.wanted {
        Some(Receive::Once) => text += ", once wanted",
        Some(Receive::Multishot) => text += ", multishot wanted",
        None => {}
    }
    for (is, name) in [(slot.polling, ", polling"), (slot.shutting, ", FIN"), (slot.lost, ", lost")] {
        if is {
            text += name;
        }
    }
    text
}

/// What an event leads to.
type Outcome = (Event, Step, Slot);

/// All states that can be reached, and what each event leads to.
fn explore() -> BTreeMap<String, (Slot, Vec<Outcome>)> {
    let mut seen = BTreeMap::new();
    let mut open = vec![Slot::default()];
    while let Some(slot) = open.pop() {
        let key = show(&slot);
        if seen.contains_key(&key) {
            continue;
        }
        let outcomes: Vec<Outcome> = EVENTS
            .into_iter()
            .filter(|event| can_happen(&slot, *event))
            .map(|event| {
                let mut next = slot;
                let step = apply(&mut next, event);
                (event, step, next)
            })
            .collect();
        open.extend(outcomes.iter().map(|(_, _, next)| *next));
        seen.insert(key, (slot, outcomes));
    }
    seen
}

#[test]
fn a_step_is_taken_only_when_it_may_be() {
    for (state, (before, outcomes)) in explore() {
        for (event, step, after) in outcomes {
            let context = format!("{event:?} in {state}: {step:?}, then {}", show(&after));
            match step {
                Step::Nothing => {}
                Step::Arm(kind) => {
                    assert_eq!(after.receiving, Receiving::Armed(kind), "{context}");
                    assert_eq!(after.phase, Phase::Open, "{context}");
                    let ended = matches!(event, LastBytes | End | Cancelled);
                    assert!(before.receiving == Receiving::Idle || ended, "armed twice: {context}");
                }
                Step::CancelReceive => {
                    assert!(matches!(before.receiving, Receiving::Armed(_)), "{context}");
                    assert_eq!(after.receiving, Receiving::Cancelling, "{context}");
                }
                Step::CancelPoll => {
                    assert!(after.polling && after.phase == Phase::Winding, "{context}");
                    assert!(!matches!(before.receiving, Receiving::Armed(_)), "{context}");
                }
                Step::CancelReceiveAndPoll => {
                    assert!(after.polling && after.phase == Phase::Winding, "{context}");
                    assert!(matches!(before.receiving, Receiving::Armed(_)), "{context}");
                    assert_eq!(after.receiving, Receiving::Cancelling, "{context}");
                }
                Step::Poll => assert!(!before.polling && after.polling, "{context}"),
                Step::Shutdown => assert!(!before.shutting && after.shutting, "{context}"),
                Step::Close => {
                    assert!(!after.is_busy() && after.phase == Phase::Closing, "{context}");
                    assert_ne!(before.phase, Phase::Closing, "closed twice: {context}");
                }
            }
            // What is wanted is armed, or will be when something ends or there are buffers again.
            let waits = after.receiving != Receiving::Idle || event == Starved;
            let starved = before.wanted.is_some() && before.receiving == Receiving::Idle;
            assert!(after.wanted.is_none() || waits || starved, "forgotten: {context}");
            // A slot that winds down waits for something.
            assert!(after.phase != Phase::Winding || after.is_busy(), "stuck: {context}");
        }
    }
}

#[test]
fn a_slot_that_was_asked_to_close_is_free_when_the_kernel_has_answered() {
    let completions = [Cancelled, PollEnded, ShutdownEnded, Closed];
    for (state, (slot, _)) in explore() {
        if !slot.is_open() {
            continue;
        }
        let mut slot = slot;
        let mut step = slot.close();
        let mut closes = usize::from(step == Step::Close);
        while let Some(event) = completions.into_iter().find(|event| can_happen(&slot, *event)) {
            step = apply(&mut slot, event);
            closes += usize::from(step == Step::Close);
        }
        assert_eq!((slot, closes), (Slot::default(), 1), "from {state}");
    }
}

/// The receive of an open slot, event by event: the table under the drawing. To renew it, copy what the test shows.
#[test]
fn the_table_of_the_receive() {
    let plain = |slot: &Slot| slot.phase == Phase::Open && !slot.polling && !slot.shutting && !slot.lost;
    let shown = [WantOnce, WantMultishot, Pause, Bytes, LastBytes, Cancelled, Starved, Refilled];
    let mut table = String::new();
    for (state, (slot, outcomes)) in explore() {
        let outcomes = outcomes.iter().filter(|(event, ..)| plain(&slot) && shown.contains(event));
        for (event, step, next) in outcomes.filter(|(_, step, next)| *next != slot || *step != Step::Nothing)
        {
            let (event, step) = (format!("{event:?}"), format!("{step:?}"));
            writeln!(table, "{state:<28} {event:<14} {step:<15} {}", show(next)).unwrap();
        }
    }
    assert!(table == include_str!("receive_states.txt"), "{table}");
}

#[test]
fn the_world_hears_of_an_end_once_and_of_nothing_after_a_close() {
    for (state, (mut slot, _)) in explore() {
        let heard = matches!(slot.phase, Phase::Open | Phase::Leaving);
        assert_eq!(slot.bytes_arrived(), heard, "{state}");
        let first = !slot.lost;
        assert_eq!(slot.end_arrived(), heard && first, "{state}");
        assert!(!slot.end_arrived(), "{state}");
    }
}
