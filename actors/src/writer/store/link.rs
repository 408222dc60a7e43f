//! A connection to Redis: TCP, TLS or Unix socket, authenticated, with the database selected.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use deadpool_redis::redis::{ConnectionAddr, ConnectionInfo};
use futures_util::FutureExt as _;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

pub use super::address_error::AddressError;
use super::address_map::AddressMap;
use super::fault::{Refusal, StoreFault};
use super::resp::{self, Bound, Commands, Reply};
use super::tenure::Tenure;
use crate::dial;
use crate::redis_url::{RedisPlace, RedisUrl};
use crate::settings::RedisSettings;
use crate::supervisor::Heartbeat;
use crate::tls;

/// Timeout of name resolution, TCP, TLS and authentication together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// The part of it for name resolution and TCP: below the whole, so that an error names the addresses.
const DIAL_TIMEOUT: Duration = Duration::from_millis(2_800);
/// Maximum time without progress while sending or awaiting a reply. A fork for a snapshot of many gigabytes may
/// block Redis for a second; anything longer is looked up afterwards. Well below the supervisor's limit for a
/// writer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Initial reply buffer: the replies to a transaction of 512 events take some 15 KiB.
const REPLY_BUFFER: usize = 32 * 1024;

/// What is said of a connection to a server that is no longer the master.
const REPLACED: &str = "another server has become the master";

/// Address and credentials of one server.
#[derive(Clone)]
pub struct Endpoint {
    place: Place,
    login: Vec<Vec<Vec<u8>>>,
    /// The same for the library, without certificates.
    info: ConnectionInfo,
    /// Where other hosts are reached.
    map: Arc<AddressMap>,
}

#[derive(Clone)]
enum Place {
    Tcp(String, u16),
    Tls(String, u16, Arc<ClientConfig>),
    Unix(PathBuf),
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.to_string())
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.place {
            Place::Tcp(host, port) => write!(f, "redis://{host}:{port}"),
            Place::Tls(host, port, _) => write!(f, "rediss://{host}:{port}"),
            Place::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

impl Endpoint {
    /// Parses the URL of a server, which is reached with the certificates and the address map of the settings.
    pub fn new(url: &str, settings: &RedisSettings) -> Result<Endpoint, AddressError> {
        let url = RedisUrl::parse(url)?;
        let info = url.connection_info().map_err(|error| {
            AddressError::Client(error.detail().unwrap_or("it cannot be parsed").to_owned())
        })?;
        let mut login: Vec<Vec<Vec<u8>>> = Vec::new();
        if let Some(password) = url.password_to_send() {
            let user = url.username.as_ref().map(|user| user.as_bytes().to_vec());
            login.push([Some(b"AUTH".to_vec()), user, Some(password.into())].into_iter().flatten().collect());
        }
        if url.database != 0 {
            login.push(vec![b"SELECT".to_vec(), url.database.to_string().into_bytes()]);
        }
        let place = match url.place {
            RedisPlace::Tcp(host, port) => Place::Tcp(host, port),
            RedisPlace::Tls(host, port) => {
                Place::Tls(host, port, tls::client_config(settings.extra_root_pem.as_deref())?)
            }
            RedisPlace::Unix(path) => Place::Unix(path),
        };
        Ok(Endpoint { place, login, info, map: Arc::clone(&settings.address_map) })
    }

    /// Whether a database other than 0 is selected.
    #[must_use]
    pub fn has_database(&self) -> bool {
        self.login.iter().any(|command| is_select(command))
    }

    /// Returns the same address with database 0.
    #[must_use]
    pub fn without_database(&self) -> Endpoint {
        let login = self.login.iter().filter(|command| !is_select(command)).cloned().collect();
        let redis = self.info.redis_settings().clone().set_db(0);
        Endpoint { login, info: self.info.clone().set_redis_settings(redis), ..self.clone() }
    }

    /// Returns the same credentials, database and encryption at another host, which is reached where the address map says.
    #[must_use]
    pub fn at(&self, host: &str, port: u16) -> Endpoint {
        let (host, port) = self.map.reach(host, port).unwrap_or((host, port));
        let (place, addr) = match (&self.place, self.info.addr()) {
            (Place::Tls(_, _, config), ConnectionAddr::TcpTls { insecure, tls_params, .. }) => (
                Place::Tls(host.to_owned(), port, Arc::clone(config)),
                ConnectionAddr::TcpTls {
                    host: host.to_owned(),
                    port,
                    insecure: *insecure,
                    tls_params: tls_params.clone(),
                },
            ),
            _ => (Place::Tcp(host.to_owned(), port), ConnectionAddr::Tcp(host.to_owned(), port)),
        };
        Endpoint { place, info: self.info.clone().set_addr(addr), ..self.clone() }
    }

    /// Whether connections are encrypted.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        matches!(self.place, Place::Tls(..))
    }

    /// Returns the same for the library, without certificates.
    #[must_use]
    pub fn info(&self) -> &ConnectionInfo {
        &self.info
    }

    /// Returns host and port, or the path of the socket.
    #[must_use]
    pub fn host(&self) -> String {
        match &self.place {
            Place::Tcp(host, port) | Place::Tls(host, port, _) => format!("{host}:{port}"),
            Place::Unix(path) => path.display().to_string(),
        }
    }

    /// Returns the host without its port.
    #[must_use]
    pub fn host_name(&self) -> &str {
        match &self.place {
            Place::Tcp(host, _) | Place::Tls(host, ..) => host,
            Place::Unix(_) => "localhost",
        }
    }

    /// Connects and authenticates.
    pub async fn connect(&self, beat: &Heartbeat) -> Result<Link, StoreFault> {
        match timeout(CONNECT_TIMEOUT, self.open(beat)).await {
            Ok(opened) => opened,
            Err(_) => {
                Err(StoreFault::Unreachable(format!("{self}: no connection within {CONNECT_TIMEOUT:?}")))
            }
        }
    }

    async fn open(&self, beat: &Heartbeat) -> Result<Link, StoreFault> {
        let unreachable = |error: io::Error| StoreFault::Unreachable(format!("{self}: {error}"));
        let (socket, peer): (Box<dyn Socket>, String) = match &self.place {
            Place::Unix(path) => {
                let socket = UnixStream::connect(path).await.map_err(unreachable)?;
                (Box::new(socket), path.display().to_string())
            }
            Place::Tcp(host, port) => {
                let (stream, peer) = tcp(host, *port).await.map_err(unreachable)?;
                (Box::new(stream), peer)
            }
            Place::Tls(host, port, config) => {
                let name = ServerName::try_from(host.clone())
                    .map_err(|error| StoreFault::Unreachable(format!("{self}: {error}")))?;
                let (stream, peer) = tcp(host, *port).await.map_err(unreachable)?;
                let stream = TlsConnector::from(Arc::clone(config)).connect(name, stream).await;
                (Box::new(stream.map_err(unreachable)?), peer)
            }
        };
        let replies = BytesMut::with_capacity(REPLY_BUFFER);
        let mut link = Link { socket, peer, replies, beat: beat.clone(), tenure: Tenure::default() };
        let mut login = Commands::default();
        for command in &self.login {
            login.begin(command.len());
            for arg in command {
                login.arg(arg);
            }
        }
        // a server that turns connections away says so instead of the first reply, which must not be taken for the
        // reply to a command that matters
        if self.login.is_empty() {
            login.command(&[b"PING"]);
        }
        link.ask(&login, |reply| match reply {
            Reply::Error(text) if text.starts_with(b"NOPERM") && self.login.is_empty() => Ok(()),
            Reply::Error(text) => Err(StoreFault::refused(text)),
            _ => Ok(()),
        })
        .await
        .map_err(|fault| match fault {
            StoreFault::Unanswered(text) | StoreFault::TooLarge(text) => {
                StoreFault::Unreachable(format!("{self}: {text}"))
            }
            fault => fault,
        })?;
        Ok(link)
    }
}

fn is_select(command: &[Vec<u8>]) -> bool {
    command.first().is_some_and(|name| name == b"SELECT")
}

/// Connects to a host; also returns the address that it has answered at.
async fn tcp(host: &str, port: u16) -> io::Result<(TcpStream, String)> {
    let stream = dial::connect(host, port, DIAL_TIMEOUT).await?;
    stream.set_nodelay(true)?;
    // Abandoned data must not arrive later: behind an interrupted network the kernel would keep sending an
    // abandoned transaction for minutes, and its snapshots would replace newer ones.
    stream.set_zero_linger()?;
    let peer = stream.peer_addr()?.to_string();
    Ok((stream, peer))
}

trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Socket for S {}

/// An open connection. Must not be reused after a fault other than a refusal: replies may be in flight.
pub struct Link {
    socket: Box<dyn Socket>,
    /// The IP address and port, or the path.
    pub peer: String,
    replies: BytesMut,
    beat: Heartbeat,
    tenure: Tenure,
}

impl Link {
    /// Restricts the use of the connection to the tenure of its server.
    #[must_use]
    pub fn during(self, tenure: Tenure) -> Link {
        Link { tenure, ..self }
    }

    /// Calls `beat` from now on whenever bytes are sent or received.
    #[must_use]
    pub fn beating(self, beat: Heartbeat) -> Link {
        Link { beat, ..self }
    }

    /// Whether its server may still be used.
    #[must_use]
    pub fn is_current(&self) -> bool {
        !self.tenure.is_over()
    }

    /// Sends commands and passes each reply, in order, to `accept`. All replies are read even if `accept` fails;
    /// its first error is returned. If Redis cannot parse the commands, or has no room for the connection, it replies
    /// with an error and closes the connection, possibly before all are sent: that error is the result.
    pub async fn ask(
        &mut self,
        commands: &Commands,
        mut accept: impl FnMut(Reply<'_>) -> Result<(), StoreFault>,
    ) -> Result<(), StoreFault> {
        self.ask_raw(commands, |_, reply| accept(reply)).await
    }

    /// The same, with the bytes of each reply.
    pub async fn ask_raw(
        &mut self,
        commands: &Commands,
        accept: impl FnMut(&[u8], Reply<'_>) -> Result<(), StoreFault>,
    ) -> Result<(), StoreFault> {
        if self.tenure.is_over() {
            return Err(StoreFault::Unreachable(REPLACED.to_owned()));
        }
        let mut tenure = self.tenure.clone();
        tokio::select! {
            biased;
            outcome = self.exchange(commands, accept) => outcome,
            () = tenure.ended() => Err(StoreFault::Unanswered(REPLACED.to_owned())),
        }
    }

    async fn exchange(
        &mut self,
        commands: &Commands,
        mut accept: impl FnMut(&[u8], Reply<'_>) -> Result<(), StoreFault>,
    ) -> Result<(), StoreFault> {
        let (mut outcome, bound) = (Ok(()), commands.bound());
        let sent = self.send(commands.bytes()).await;
        for _ in 0..commands.count() {
            let received = self.receive(bound, |raw, reply| {
                let accepted = accept(raw, reply);
                if outcome.is_ok() {
                    outcome = accepted;
                }
            });
            if let Err(lost) = received.await {
                return match outcome {
                    Err(StoreFault::Refused { refusal: Refusal::Unreadable | Refusal::NoRoom, .. }) => {
                        outcome
                    }
                    _ => sent.and(Err(lost)),
                };
            }
        }
        outcome
    }

    /// Sends a query and returns the first string of its reply, as text. The connection ends with it: the rest of the
    /// reply, which may have any size, is not read.
    pub async fn first_text(mut self, question: &Commands) -> Result<Option<String>, StoreFault> {
        self.send(question.bytes()).await?;
        let bound = Bound { bytes: REPLY_BUFFER, items: REPLY_BUFFER };
        while self.replies.len() < REPLY_BUFFER && matches!(resp::parse(&self.replies, bound), Ok(None)) {
            self.replies.reserve(REPLY_BUFFER);
            if progress(&self.beat, self.socket.read_buf(&mut self.replies)).await? == 0 {
                return Err(StoreFault::Unanswered("connection closed".into()));
            }
        }
        Ok(resp::first_text(&self.replies)?)
    }

    /// Whether the connection is open as far as the system knows: Redis closes idle ones (`timeout`), and nothing may
    /// arrive that was not asked for.
    pub fn is_open(&mut self) -> bool {
        self.replies.is_empty() && self.socket.read_buf(&mut self.replies).now_or_never().is_none()
    }

    async fn send(&mut self, mut bytes: &[u8]) -> Result<(), StoreFault> {
        while !bytes.is_empty() {
            let sent = progress(&self.beat, self.socket.write(bytes)).await?;
            if sent == 0 {
                // continuing would retry forever
                return Err(StoreFault::Unanswered("the connection takes nothing".into()));
            }
            bytes = bytes.get(sent..).unwrap_or_default();
        }
        progress(&self.beat, self.socket.flush()).await
    }

    async fn receive(
        &mut self,
        bound: Bound,
        accept: impl FnOnce(&[u8], Reply<'_>),
    ) -> Result<(), StoreFault> {
        loop {
            let parsed = resp::parse(&self.replies, bound)?;
            if let Some((reply, length)) = parsed {
                accept(self.replies.get(..length).unwrap_or_default(), reply);
                bytes::Buf::advance(&mut self.replies, length);
                if self.replies.is_empty() && length > REPLY_BUFFER {
                    // the buffer of a large value is not retained
                    self.replies = BytesMut::with_capacity(REPLY_BUFFER);
                }
                return Ok(());
            }
            self.replies.reserve(REPLY_BUFFER);
            if progress(&self.beat, self.socket.read_buf(&mut self.replies)).await? == 0 {
                return Err(StoreFault::Unanswered("connection closed".into()));
            }
        }
    }
}

/// Awaits the transfer of some bytes, for at most [`ANSWER_TIMEOUT`]: regardless of size and bandwidth, only a lack
/// of progress is a fault.
async fn progress<T>(beat: &Heartbeat, io: impl Future<Output = io::Result<T>>) -> Result<T, StoreFault> {
    beat.beat();
    match timeout(ANSWER_TIMEOUT, io).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(StoreFault::Unanswered(error.to_string())),
        Err(_) => Err(StoreFault::Unanswered(format!("nothing for {ANSWER_TIMEOUT:?}"))),
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").finish_non_exhaustive()
    }
}
