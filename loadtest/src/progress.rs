//! Progress bars on stderr, when somebody is looking.

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::time::Duration;

/// When to draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum When {
    /// If stderr is a terminal.
    Auto,
    /// Never.
    Never,
}

/// Makes the bars, or invisible ones.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    visible: bool,
}

impl Progress {
    /// Decides once.
    pub fn new(when: When) -> Self {
        Self { visible: when == When::Auto && std::io::stderr().is_terminal() }
    }

    /// A bar to `length`, or a spinner that counts if `length` is 0.
    pub fn bar(self, label: &str, length: u64) -> ProgressBar {
        let target = if self.visible { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let template = if length == 0 {
            "{prefix:>12} {spinner} {human_pos} ({per_sec}) {elapsed}"
        } else {
            "{prefix:>12} [{bar:40}] {human_pos}/{human_len} ({per_sec}) {elapsed}"
        };
        let bar = ProgressBar::with_draw_target((length > 0).then_some(length), target);
        // The templates are constants, so the fallback to the plain style is never taken.
        bar.set_style(
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        bar.set_prefix(label.to_owned());
        if self.visible {
            bar.enable_steady_tick(Duration::from_millis(100));
        }
        bar
    }
}
