//! Why the commands of the ledger end early.

use std::io;

use uw_websocket_actors::error_chain::ErrorChain;
use uw_websocket_actors::ledger::checkpoint_store::CheckpointError;
use uw_websocket_actors::ledger::publisher::PostError;
use uw_websocket_actors::writer::store::fault::StoreFault;
use uw_websocket_actors::writer::store::unsuitable::Unsuitable;

/// Why printing ended before the end.
pub(super) enum Stop {
    Unsuitable(Unsuitable),
    Off,
    Redis(String),
    State(String),
    Pipe,
}

impl Stop {
    #[expect(clippy::needless_pass_by_value, reason = "the form that `map_err` asks for")]
    pub(super) fn of_store(fault: StoreFault) -> Stop {
        Stop::Redis(fault.to_string())
    }
}

impl From<io::Error> for Stop {
    fn from(_: io::Error) -> Stop {
        Stop::Pipe
    }
}

impl From<PostError> for Stop {
    fn from(error: PostError) -> Stop {
        Stop::Redis(error.to_string())
    }
}

impl From<CheckpointError> for Stop {
    fn from(error: CheckpointError) -> Stop {
        let text = ErrorChain::new(&error).to_string();
        if matches!(error, CheckpointError::Redis(_) | CheckpointError::Refused(_)) {
            Stop::Redis(text)
        } else {
            Stop::State(text)
        }
    }
}
