//! What the server under test costs, read from /proc: processor time of all its threads, and memory.

use std::collections::HashMap;
use std::fs;
use std::io;

/// Processor time of a process so far, thread by thread.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CpuTime {
    threads_ns: HashMap<String, u64>,
}

impl CpuTime {
    /// Reads the first field of each `/proc/PID/task/*/schedstat`: nanoseconds on a processor.
    pub fn read(process: u32) -> io::Result<Self> {
        let mut threads_ns = HashMap::new();
        for task in fs::read_dir(format!("/proc/{process}/task"))? {
            let task = task?;
            // A thread may end while its directory is being read; it then counts as before.
            let Ok(text) = fs::read_to_string(task.path().join("schedstat")) else { continue };
            if let Some(time_ns) = text.split_ascii_whitespace().next().and_then(|first| first.parse().ok()) {
                threads_ns.insert(task.file_name().to_string_lossy().into_owned(), time_ns);
            }
        }
        Ok(Self { threads_ns })
    }

    /// Nanoseconds spent since `earlier`. What a thread spent that has ended in between is not known.
    pub fn since(&self, earlier: &Self) -> Spent {
        let spent = |(thread, now): (&String, &u64)| {
            now.saturating_sub(*earlier.threads_ns.get(thread).unwrap_or(&0))
        };
        let mut sum = Spent::default();
        for spent_ns in self.threads_ns.iter().map(spent) {
            sum.all_ns += spent_ns;
            sum.busiest_ns = sum.busiest_ns.max(spent_ns);
        }
        sum
    }
}

/// Processor time between two readings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// By all threads together.
    pub all_ns: u64,
    /// By the one that spent most.
    pub busiest_ns: u64,
}

/// Memory of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// `VmRSS`: everything resident, the pages of the program file included.
    pub resident_bytes: u64,
    /// `RssAnon`: what it has allocated.
    pub anonymous_bytes: u64,
}

impl Memory {
    /// Reads `/proc/PID/status`.
    pub fn read(process: u32) -> io::Result<Self> {
        let text = fs::read_to_string(format!("/proc/{process}/status"))?;
        let field = |name| field_kib(&text, name).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData));
        Ok(Self { resident_bytes: field("VmRSS:")? * 1_024, anonymous_bytes: field("RssAnon:")? * 1_024 })
    }
}

/// The number in a line like "VmRSS:     1234 kB".
fn field_kib(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_this_process() {
        let process = std::process::id();
        assert!(Memory::read(process).unwrap().resident_bytes > 0);
        // Threads of other tests end meanwhile; this one does not.
        let own = fs::read_link("/proc/thread-self").unwrap();
        let own = own.file_name().unwrap().to_str().unwrap();
        let [before, later] = [(); 2].map(|()| CpuTime::read(process).unwrap());
        assert!(later.threads_ns[own] >= before.threads_ns[own]);
        let spent = later.since(&CpuTime::default());
        assert!(spent.busiest_ns > 0 && spent.busiest_ns <= spent.all_ns);
    }

    #[test]
    fn a_new_thread_counts_and_an_ended_one_does_not_subtract() {
        let time = |threads: &[(&str, u64)]| CpuTime {
            threads_ns: threads.iter().map(|(name, ns)| ((*name).to_owned(), *ns)).collect(),
        };
        let spent = time(&[("1", 50), ("3", 7)]).since(&time(&[("1", 40), ("2", 90)]));
        assert_eq!(spent, Spent { all_ns: 17, busiest_ns: 10 });
    }

    #[test]
    fn status_lines() {
        assert_eq!(field_kib("Name:\tx\nVmRSS:\t    123 kB\n", "VmRSS:"), Some(123));
        assert_eq!(field_kib("VmRSS:\t123\n", "VmRSS:"), None);
    }
}
