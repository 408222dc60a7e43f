//! Refusals that say which key they are about.

use crate::writer::store::fault::StoreFault;

/// The key that a refusal is about, for people: Redis does not repeat it.
pub(super) trait AtKey {
    fn at(self, key: &str) -> Self;
}

impl<T> AtKey for Result<T, StoreFault> {
    fn at(self, key: &str) -> Self {
        self.map_err(|fault| match fault {
            StoreFault::Refused { refusal, text } if refusal.is_about_the_entry() => {
                StoreFault::Refused { refusal, text: format!("{key}: {text}") }
            }
            fault => fault,
        })
    }
}
