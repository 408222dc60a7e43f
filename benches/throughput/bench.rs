//! What all runs share.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::args::Plan;
use crate::contender::Contender;
use crate::failure::{Doing, Failure};
use crate::redis::PrivateRedis;

/// The symbols of the feed: as many as one connection may join.
const SYMBOLS: [&str; 50] = [
    "SPY", "QQQ", "IWM", "DIA", "TSLA", "NVDA", "AAPL", "AMZN", "MSFT", "META", "GOOGL", "GOOG", "AMD",
    "NFLX", "AVGO", "PLTR", "COIN", "MSTR", "SMCI", "INTC", "MU", "BABA", "BA", "DIS", "JPM", "BAC", "C",
    "GS", "WFC", "XOM", "CVX", "UBER", "SHOP", "SQ", "PYPL", "SOFI", "HOOD", "MARA", "RIOT", "GME", "AMC",
    "F", "GM", "T", "VZ", "PFE", "LLY", "UNH", "WMT", "COST",
];

/// Masters of the cluster.
const MASTERS: u32 = 3;

/// The plan, the private Redis and the places of a comparison.
pub(crate) struct Bench {
    /// What is compared, and how long.
    pub(crate) plan: Plan,
    /// The Redis that every client writes to but one.
    pub(crate) redis: PrivateRedis,
    /// The cluster that [`Contender::Cluster`] writes to, if it runs.
    pub(crate) cluster: Option<PrivateRedis>,
    /// What is joined: `option_trades:<SYMBOL>`.
    pub(crate) topics: Vec<String>,
    /// The symbols of the topics as a comma list.
    pub(crate) symbols: String,
    /// The Python of the Python client.
    pub(crate) interpreter: PathBuf,
    folder: TempDir,
}

impl Bench {
    /// Starts Redis and makes a temporary folder inside of `target`, on a disk as the service's spool would be.
    pub(crate) fn start(plan: Plan, target: &Path, interpreter: PathBuf) -> Result<Bench, Failure> {
        let folder = tempfile::Builder::new().prefix("run-").tempdir_in(target).doing("making a folder")?;
        let redis = PrivateRedis::start(folder.path())?;
        let has_cluster = plan.only.contains(&Contender::Cluster);
        let cluster = has_cluster.then(|| PrivateRedis::start_cluster(MASTERS, folder.path())).transpose()?;
        let topics = SYMBOLS.iter().map(|symbol| format!("option_trades:{symbol}")).collect();
        Ok(Bench { plan, redis, cluster, topics, symbols: SYMBOLS.join(","), interpreter, folder })
    }

    /// The Redis that a client writes to.
    pub(crate) fn redis_of(&mut self, contender: Contender) -> &mut PrivateRedis {
        match (&mut self.cluster, contender) {
            (Some(cluster), Contender::Cluster) => cluster,
            _ => &mut self.redis,
        }
    }

    /// An empty folder, removed with the comparison.
    pub(crate) fn lasting_folder(&self) -> Result<PathBuf, Failure> {
        Ok(self.run_folder()?.keep())
    }

    /// An empty folder for a run, removed with the returned value.
    pub(crate) fn run_folder(&self) -> Result<TempDir, Failure> {
        TempDir::new_in(self.folder.path()).doing("making a folder for a run")
    }
}
