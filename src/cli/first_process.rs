//! Signals for commands that run as process 1 of a container: the kernel ignores uncaught signals to it, so neither
//! Ctrl-C nor `docker stop` would end a `gaps --follow`.

use std::thread;

use tokio::runtime::Builder;

use crate::exit::Exit;
use crate::signals::Signals;

/// The ID of the first process.
const FIRST: u32 = 1;

/// Makes the signals that end a process end the process, as for any other one. For commands without cleanup.
pub(super) fn end_on_signals() {
    if std::process::id() == FIRST {
        // the command works without the thread too
        thread::Builder::new().name("signals".into()).spawn(wait_and_end).ok();
    }
}

fn wait_and_end() {
    let Ok(runtime) = Builder::new_current_thread().enable_all().build() else { return };
    runtime.block_on(async {
        if let Ok(mut signals) = Signals::listen() {
            signals.next().await;
            #[expect(
                clippy::disallowed_methods,
                reason = "these commands only read: nothing is left in disorder"
            )]
            std::process::exit(Exit::Interrupted as i32);
        }
    });
}
