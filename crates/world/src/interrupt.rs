//! The signals that ask a process to end, as flags that it looks at between two steps. A second one
//! ends it at once: every moment is safe to be killed at.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// What a shell reports of a process that Ctrl-C has ended.
const INTERRUPTED: i32 = 130;

/// Returns a flag that Ctrl-C raises.
pub fn on_interrupt() -> io::Result<Arc<AtomicBool>> {
    raised_by(&[SIGINT])
}

/// Returns a flag that Ctrl-C and a service manager's request to end raise.
pub fn on_end() -> io::Result<Arc<AtomicBool>> {
    raised_by(&[SIGINT, SIGTERM])
}

fn raised_by(signals: &[i32]) -> io::Result<Arc<AtomicBool>> {
    let raised = Arc::new(AtomicBool::new(false));
    for signal in signals {
        // In this order the first signal finds the flag down and only raises it.
        flag::register_conditional_shutdown(*signal, INTERRUPTED, Arc::clone(&raised))?;
        flag::register(*signal, Arc::clone(&raised))?;
    }
    Ok(raised)
}
