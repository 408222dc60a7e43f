//! How long a connection may be used: as long as its server is the master.

use std::future::pending;

use tokio::sync::watch;

/// The tenure of the master that a connection was opened to. The default, of a single server, never ends.
#[derive(Clone, Debug, Default)]
pub struct Tenure {
    number: u64,
    present: Option<watch::Receiver<u64>>,
}

impl Tenure {
    /// Whether another server has become the master since.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.present.as_ref().is_some_and(|present| *present.borrow() != self.number)
    }

    /// Completes when another server has become the master.
    pub async fn ended(&mut self) {
        let number = self.number;
        if let Some(present) = &mut self.present
            && present.wait_for(|present| *present != number).await.is_ok()
        {
            return;
        }
        pending::<()>().await;
    }

    /// Whether both are tenures of the same number, of the same Sentinels.
    #[must_use]
    pub fn is(&self, other: &Tenure) -> bool {
        self.number == other.number
    }
}

/// The tenures of successive masters.
#[derive(Debug)]
pub struct Tenures(watch::Sender<u64>);

impl Default for Tenures {
    fn default() -> Tenures {
        Tenures(watch::Sender::new(0))
    }
}

impl Tenures {
    /// Ends the present tenure, and with it all its connections.
    pub fn end(&self) {
        self.0.send_modify(|number| *number += 1);
    }

    /// Returns the present tenure.
    #[must_use]
    pub fn present(&self) -> Tenure {
        let present = self.0.subscribe();
        let number = *present.borrow();
        Tenure { number, present: Some(present) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_tenure_ends_with_the_next_and_that_of_a_single_server_never() {
        let tenures = Tenures::default();
        let (mut tenure, single) = (tenures.present(), Tenure::default());
        assert!(!tenure.is_over() && tenure.is(&tenures.present()));
        tenures.end();
        tenure.ended().await;
        assert!(tenure.is_over() && !tenure.is(&tenures.present()) && !single.is_over());
    }
}
