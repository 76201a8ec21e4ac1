//! The generator's threads. Each has a descriptor table and a worker of its own; work is sent to them phase
//! by phase (connect, measure, close) and their answers are gathered, with a progress bar in between.

use crate::clock::Clock;
use crate::handshake::Keys;
use crate::kernel::{thread, wakeup::Wakeup};
use crate::progress::Progress;
use crate::random::Random;
use crate::target::Target;
use crate::worker::{Common, Worker};
use std::fmt;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often the progress bar moves.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// The generator itself failed, as opposed to what it measures.
#[derive(Debug)]
pub enum FleetError {
    /// A thread could not be set up, or its event loop failed.
    System(io::Error),
    /// A thread has ended early; its panic is on stderr.
    ThreadDied,
}

impl fmt::Display for FleetError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System(error) => write!(formatter, "the generator failed: {error}"),
            Self::ThreadDied => formatter.write_str("a generator thread has died"),
        }
    }
}

impl From<io::Error> for FleetError {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

/// How the threads are set up.
#[derive(Debug)]
pub struct Setup {
    /// How many threads.
    pub threads: usize,
    /// Sockets of all threads together.
    pub sockets: u32,
    /// The processors to pin them to, in turn; empty pins nothing.
    pub processors: Vec<usize>,
    /// Where to connect.
    pub target: Target,
    /// Where to connect from.
    pub sources: Vec<Ipv4Addr>,
    /// Handshake keys.
    pub keys: Keys,
    /// The run's clock.
    pub clock: Clock,
    /// Whether bars are drawn.
    pub progress: Progress,
}

type Task = Box<dyn FnOnce(&mut Worker) + Send>;

struct Member {
    tasks: Sender<Task>,
    thread: JoinHandle<()>,
}

/// The threads, waiting for work.
pub struct Fleet {
    common: Arc<Common>,
    members: Vec<Member>,
    progress: Progress,
}

impl Fleet {
    /// Starts the threads.
    pub fn start(setup: Setup) -> Result<Self, FleetError> {
        // Before any thread takes its own descriptor table, so that the wakeups are in all of them.
        let wakeups = (0..setup.threads).map(|_| Wakeup::new()).collect::<io::Result<_>>()?;
        let progress = (0..setup.threads).map(|_| AtomicU64::new(0)).collect();
        let common = Arc::new(Common {
            target: setup.target,
            sources: setup.sources,
            keys: setup.keys,
            clock: setup.clock,
            wakeups,
            progress,
        });
        let (ready, is_ready) = channel();
        let mut seeds = Random::new(crate::random::seed());
        let mut members = Vec::new();
        for thread in 0..setup.threads {
            let (tasks, inbox) = channel();
            let (common, ready, seed) = (Arc::clone(&common), ready.clone(), seeds.next());
            let slots = (setup.sockets as usize + setup.threads - 1 - thread) / setup.threads;
            let processor = setup.processors.get(thread % setup.processors.len().max(1)).copied();
            let thread = std::thread::Builder::new().name(format!("loadtest-{thread}")).spawn(move || {
                let worker = enter(processor).and_then(|()| Worker::new(common, thread, slots, seed));
                match worker {
                    Ok(worker) => {
                        let _ = ready.send(Ok(()));
                        serve(worker, inbox);
                    }
                    Err(error) => drop(ready.send(Err(error))),
                }
            })?;
            members.push(Member { tasks, thread });
        }
        for _ in 0..setup.threads {
            is_ready.recv().map_err(|_| FleetError::ThreadDied)??;
        }
        Ok(Self { common, members, progress: setup.progress })
    }

    /// How many threads there are.
    pub fn threads(&self) -> usize {
        self.members.len()
    }

    /// The run's clock.
    pub fn clock(&self) -> Clock {
        self.common.clock
    }

    /// Runs `work` on every thread at once and returns what each made of it, in the order of the threads.
    /// Thread `t` is given `inputs[t]`. Meanwhile a bar named `label` goes to `length` (a spinner if that is
    /// 0).
    pub fn on_each<Input, Output>(
        &self,
        label: &str,
        length: u64,
        inputs: Vec<Input>,
        work: impl Fn(&mut Worker, Input) -> io::Result<Output> + Send + Sync + 'static,
    ) -> Result<Vec<Output>, FleetError>
    where
        Input: Send + 'static,
        Output: Send + 'static,
    {
        debug_assert_eq!(inputs.len(), self.members.len());
        let work = Arc::new(work);
        let (answers, inbox) = channel();
        for position in &self.common.progress {
            position.store(0, Ordering::Relaxed);
        }
        for (at, (member, input)) in self.members.iter().zip(inputs).enumerate() {
            let (work, answers) = (Arc::clone(&work), answers.clone());
            let task: Task = Box::new(move |worker| {
                let _ = answers.send((at, work(worker, input)));
            });
            member.tasks.send(task).map_err(|_| FleetError::ThreadDied)?;
        }
        drop(answers);
        self.gather(label, length, &inbox)
    }

    fn gather<Output>(
        &self,
        label: &str,
        length: u64,
        inbox: &Receiver<(usize, io::Result<Output>)>,
    ) -> Result<Vec<Output>, FleetError> {
        let bar = self.progress.bar(label, length);
        let mut outputs: Vec<_> = self.members.iter().map(|_| None).collect();
        let mut missing = outputs.len();
        while missing > 0 {
            match inbox.recv_timeout(PROGRESS_INTERVAL) {
                Ok((at, output)) => {
                    outputs[at] = Some(output?);
                    missing -= 1;
                }
                Err(RecvTimeoutError::Timeout) => {
                    bar.set_position(
                        self.common.progress.iter().map(|one| one.load(Ordering::Relaxed)).sum(),
                    );
                }
                Err(RecvTimeoutError::Disconnected) => return Err(FleetError::ThreadDied),
            }
        }
        bar.finish_and_clear();
        Ok(outputs.into_iter().flatten().collect())
    }

    /// Ends the threads and closes whatever they still have open.
    pub fn stop(self) {
        for Member { tasks, thread } in self.members {
            drop(tasks);
            // A panic has been reported already, by the message on stderr and by the phase it happened in.
            let _ = thread.join();
        }
    }
}

/// Prepares the calling thread.
fn enter(processor: Option<usize>) -> io::Result<()> {
    thread::own_descriptor_table()?;
    thread::wait_precisely()?;
    processor.map_or(Ok(()), |processor| thread::pin_to(&[processor]))
}

fn serve(mut worker: Worker, inbox: Receiver<Task>) {
    while let Ok(task) = inbox.recv() {
        task(&mut worker);
    }
}
