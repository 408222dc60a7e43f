//! Commands as process 1 of a container: the system ends that one by no signal that it does not catch, so that neither
//! Ctrl-C nor `docker stop` would end a `gaps --follow`.

use std::thread;

use tokio::runtime::Builder;

use crate::exit::Exit;
use crate::shutdown::Signals;

/// The number of the first process.
const FIRST: u32 = 1;

/// Has SIGINT and SIGTERM end the process, as they end any other one. For commands that have nothing to put in order.
pub(super) fn end_on_signals() {
    if std::process::id() == FIRST {
        // without the thread the command does its work all the same
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
