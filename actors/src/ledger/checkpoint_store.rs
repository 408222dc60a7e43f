//! Storage of the [`Checkpoint`]: `state.json` in the ledger's folder, and the string `<p>:ws:ledger` in Redis. Each is
//! replaced as a whole. The copy in Redis is the only one without a folder, lets another machine take over, and serves
//! `uw-websocket gaps` from anywhere.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use thiserror::Error;
use uw_websocket_core::private;

use super::checkpoint::{Checkpoint, LifeError};
use super::written::Written;
use crate::writer::store::Store;
use crate::writer::store::address::Address;
use crate::writer::store::fault::{Refusal, StoreFault};
use crate::writer::store::resp::{Bound, Commands, Reply};

/// The document.
const NAME: &str = "state.json";
/// An unreadable document is kept under this name for inspection; only the latest one is.
const SALVAGE: &str = "state.json.aside";

/// Maximum size of a copy in Redis that is read. Ours has at most half a megabyte; a larger one is not ours.
const MAX_COPY: usize = 4 * 1024 * 1024;

/// The file.
#[derive(Clone, Debug)]
pub struct CheckpointStore {
    folder: PathBuf,
}

/// Why a document could not be read or written.
#[derive(Debug, Error)]
pub enum CheckpointError {
    /// The system returned an error.
    #[error("the state of the ledger cannot be read or written at {path}")]
    File {
        /// The place.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// The document is unusable.
    #[error("the state of the ledger at {place} cannot be used")]
    Unusable {
        /// The path or the key.
        place: String,
        /// The cause.
        #[source]
        source: LifeError,
    },
    /// The document was not written by a service.
    #[error("the state of the ledger at {key} has {bytes} bytes, more than any service writes")]
    TooLarge {
        /// The place.
        key: String,
        /// The length in bytes.
        bytes: u64,
    },
    /// The disk does not answer.
    #[error("the disk has not written the state of the ledger in time")]
    Hangs,
    /// Redis is unavailable.
    #[error("the state of the ledger cannot be read from redis: {0}")]
    Redis(String),
    /// Redis returned an error.
    #[error("redis refuses to return the state of the ledger: {0}")]
    Refused(String),
    /// The document cannot be serialized.
    #[error("the state of the ledger cannot be written down")]
    Json(#[from] serde_json::Error),
}

impl CheckpointStore {
    /// Creates a store in a folder, which need not exist.
    #[must_use]
    pub fn new(folder: PathBuf) -> CheckpointStore {
        CheckpointStore { folder }
    }

    /// Reads the document, if it exists.
    pub fn read(&self) -> Result<Option<Checkpoint>, CheckpointError> {
        let path = self.folder.join(NAME);
        match private::read(&path, private::MAX_STATE) {
            Ok(json) => Checkpoint::parse(&json)
                .map(Some)
                .map_err(|source| CheckpointError::Unusable { place: path.display().to_string(), source }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(CheckpointError::File { path, source }),
        }
    }

    /// Moves an unusable document out of the way.
    pub fn set_aside(&self) -> io::Result<()> {
        fs::rename(self.folder.join(NAME), self.folder.join(SALVAGE))
    }

    /// Replaces the document; blocks until it is on disk. Only one write may run at a time.
    pub fn write(&self, json: &[u8]) -> Result<(), CheckpointError> {
        replace(&self.folder, json)
            .map_err(|source| CheckpointError::File { path: self.folder.join(NAME), source })
    }
}

fn replace(folder: &Path, json: &[u8]) -> io::Result<()> {
    private::create_folder(folder)?;
    let new = folder.join("state.json.new");
    let mut file = private::create_file(&new)?;
    file.write_all(json)?;
    // otherwise a power cut might leave an empty file under the name
    file.sync_data()?;
    fs::rename(new, folder.join(NAME))
}

/// Returns the key of the copy in Redis.
#[must_use]
pub fn key(prefix: &str) -> String {
    format!("{prefix}:ws:ledger")
}

/// Reads the copy in Redis, if it exists.
pub async fn read_copy(address: &Address, prefix: &str) -> Result<Option<Checkpoint>, CheckpointError> {
    let key = key(prefix);
    let mut store = Store::new(address.clone());
    let redis = |fault: StoreFault| match &fault {
        StoreFault::Refused { refusal, .. } if *refusal != Refusal::Loading => {
            CheckpointError::Refused(fault.to_string())
        }
        _ => CheckpointError::Redis(fault.to_string()),
    };
    let bytes = length(&mut store, &key).await.map_err(redis)?;
    if bytes > MAX_COPY as u64 {
        return Err(CheckpointError::TooLarge { key, bytes });
    }
    let json = value(&mut store, &key).await.map_err(redis)?;
    let life = json.map(|json| Checkpoint::parse(&json)).transpose();
    let mut life = life.map_err(|source| CheckpointError::Unusable { place: key, source })?;
    if let Some(life) = &mut life {
        // the service keeps this on disk only; in Redis another program wrote it
        life.written = Written::default();
    }
    Ok(life)
}

async fn length(store: &mut Store, key: &str) -> Result<u64, StoreFault> {
    let (mut question, mut length) = (Commands::default(), 0);
    question.command(&[b"STRLEN", key.as_bytes()]);
    store
        .ask(&question, |reply| match reply {
            Reply::Integer(bytes) => {
                length = u64::try_from(bytes).unwrap_or_default();
                Ok(())
            }
            reply => Err(StoreFault::answered(&reply)),
        })
        .await?;
    Ok(length)
}

async fn value(store: &mut Store, key: &str) -> Result<Option<Vec<u8>>, StoreFault> {
    let (mut question, mut value) = (Commands::default(), None);
    question.command(&[b"GET", key.as_bytes()]).expect(Bound { bytes: MAX_COPY, items: 0 });
    store
        .ask(&question, |reply| match reply {
            Reply::Bulk(found) => {
                value = found.map(<[u8]>::to_vec);
                Ok(())
            }
            reply => Err(StoreFault::answered(&reply)),
        })
        .await?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoints() -> (tempfile::TempDir, CheckpointStore) {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = CheckpointStore::new(folder.path().join("spool/ledger"));
        (folder, checkpoints)
    }

    fn json(alive_at: u64) -> Vec<u8> {
        Checkpoint::new("a", alive_at).to_json().unwrap()
    }

    #[test]
    fn the_newest_document_is_there_whole() {
        let (_folder, checkpoints) = checkpoints();
        assert!(checkpoints.read().unwrap().is_none());
        checkpoints.write(&json(1)).unwrap();
        checkpoints.write(&json(2)).unwrap();
        assert_eq!(checkpoints.read().unwrap().unwrap().alive_at, 2);
    }

    #[test]
    fn a_write_that_was_cut_short_leaves_the_document_before_it() {
        let (_folder, checkpoints) = checkpoints();
        checkpoints.write(&json(1)).unwrap();
        fs::write(checkpoints.folder.join("state.json.new"), &json(2)[..20]).unwrap();
        assert_eq!(checkpoints.read().unwrap().unwrap().alive_at, 1);
    }

    #[test]
    fn a_document_that_cannot_be_used_is_reported_and_set_aside() {
        let (_folder, checkpoints) = checkpoints();
        fs::create_dir_all(&checkpoints.folder).unwrap();
        for text in ["", "{", "[1,2]", r#"{"format":99}"#, "\0\0\0\0"] {
            fs::write(checkpoints.folder.join(NAME), text).unwrap();
            assert!(matches!(checkpoints.read(), Err(CheckpointError::Unusable { .. })), "{text}");
            checkpoints.set_aside().unwrap();
            assert!(checkpoints.read().unwrap().is_none());
            assert_eq!(fs::read_to_string(checkpoints.folder.join(SALVAGE)).unwrap(), text);
        }
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let checkpoints = CheckpointStore::new(file.path().join("ledger"));
        assert!(matches!(checkpoints.write(b"{}"), Err(CheckpointError::File { .. })));
    }
}
