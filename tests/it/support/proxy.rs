//! A TCP proxy on loopback that breaks connections in the ways in which a network breaks them, and on command.
//!
//! It promises: bytes pass unchanged and in order; a cut happens after exactly the byte that was asked for; what was
//! swallowed never shows later as a stream with a hole, because such a connection ends when its time is over; what was
//! read is delivered even if its sender has left meanwhile, as a network does. One thread, ended with the value.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::time::sleep;

use super::redis::free_port;
use super::wait::{SOON, wait_until};

/// Connections at a time: the service has a dozen, and a test that leaks them shall be seen. Later ones are dropped.
const MAX_CONNECTIONS: usize = 256;
/// What is read at once, and so what a delay or a swallow takes at once.
const CHUNK: usize = 16 * 1024;
/// A slow line moves in so many steps.
const SLOW_STEPS_A_SECOND: u32 = 50;
/// Between tries to listen again on a port that is still being given back.
const LISTEN_AGAIN: Duration = Duration::from_millis(10);

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From the one who connected.
    ToServer,
    /// To the one who connected.
    ToClient,
}

/// What becomes of the bytes, on connections that are open and on those to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// They pass.
    Pass,
    /// Each piece that is read passes so much later, in both directions.
    Delay(Duration),
    /// So many more pass in this direction, over all connections; then the connection whose turn it is ends, and the
    /// others pass.
    CutAfter(Direction, u64),
    /// Connections are accepted and everything is swallowed.
    HalfOpen,
    /// What is asked arrives, what is answered is swallowed.
    Mute,
    /// Nobody listens, and open connections end.
    Refuse,
    /// So many bytes a second on each connection and direction.
    Slow(u64),
}

impl Mode {
    fn swallows(self, direction: Direction) -> bool {
        self == Mode::HalfOpen || (self == Mode::Mute && direction == Direction::ToClient)
    }
}

/// The proxy; ended with the value.
pub(crate) struct Proxy {
    address: SocketAddr,
    control: Arc<Control>,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

struct Control {
    backend: SocketAddr,
    mode: watch::Sender<Mode>,
    /// What is left of [`Mode::CutAfter`].
    budget: Mutex<u64>,
    is_listening: AtomicBool,
    open: AtomicUsize,
    accepted: AtomicU64,
    cuts: AtomicU64,
    passed: [AtomicU64; 2],
}

impl Proxy {
    /// In front of the server at `backend`, which need not run yet.
    pub(crate) fn start(backend: SocketAddr) -> Proxy {
        // a port that nobody is given while the proxy refuses
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let control = Arc::new(Control {
            backend,
            mode: watch::Sender::new(Mode::Pass),
            budget: Mutex::new(0),
            is_listening: AtomicBool::new(false),
            open: AtomicUsize::new(0),
            accepted: AtomicU64::new(0),
            cuts: AtomicU64::new(0),
            passed: Default::default(),
        });
        let (end, ended) = oneshot::channel();
        let thread = std::thread::spawn({
            let control = Arc::clone(&control);
            move || {
                actix_rt::System::new().block_on(async move {
                    tokio::select! {
                        () = listen(address, &control) => {}
                        _ = ended => {}
                    }
                });
            }
        });
        let proxy = Proxy { address, control, end: Some(end), thread: Some(thread) };
        proxy.set(Mode::Pass);
        proxy
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on. Returns when nobody listens any more, or somebody does again.
    #[track_caller]
    pub(crate) fn set(&self, mode: Mode) {
        if let Mode::CutAfter(_, bytes) = mode {
            *self.control.budget.lock().unwrap() = bytes;
        }
        self.control.mode.send_replace(mode);
        let should_listen = mode != Mode::Refuse;
        let is_so = || self.control.is_listening.load(SeqCst) == should_listen;
        wait_until("the proxy has changed its mode", SOON, is_so, || format!("{mode:?} is not in force"));
    }

    /// The mode that holds now: [`Mode::CutAfter`] becomes [`Mode::Pass`] by itself.
    pub(crate) fn mode(&self) -> Mode {
        *self.control.mode.borrow()
    }

    /// Ends every open connection, and goes on as before.
    pub(crate) fn cut_all(&self) {
        let mode = self.mode();
        self.set(Mode::Refuse);
        let none = || self.connections() == 0;
        wait_until("every connection has ended", SOON, none, || format!("{} are open", self.connections()));
        self.set(mode);
    }

    /// Open connections.
    pub(crate) fn connections(&self) -> usize {
        self.control.open.load(SeqCst)
    }

    /// Connections so far.
    pub(crate) fn accepted(&self) -> u64 {
        self.control.accepted.load(SeqCst)
    }

    /// Connections that [`Mode::CutAfter`] has ended.
    pub(crate) fn cuts(&self) -> u64 {
        self.control.cuts.load(SeqCst)
    }

    /// Bytes that have passed in this direction.
    pub(crate) fn passed(&self, direction: Direction) -> u64 {
        self.control.passed[direction as usize].load(SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// Listens whenever the mode says so.
async fn listen(address: SocketAddr, control: &Arc<Control>) {
    let mut mode = control.mode.subscribe();
    loop {
        let listener = loop {
            match TcpListener::bind(address).await {
                Ok(listener) => break listener,
                Err(_) => sleep(LISTEN_AGAIN).await,
            }
        };
        control.is_listening.store(true, SeqCst);
        tokio::select! {
            () = accept(&listener, control) => {}
            _ = mode.wait_for(|mode| *mode == Mode::Refuse) => {}
        }
        drop(listener);
        control.is_listening.store(false, SeqCst);
        // fails only without a sender, which `control` holds
        drop(mode.wait_for(|mode| *mode != Mode::Refuse).await);
    }
}

async fn accept(listener: &TcpListener, control: &Arc<Control>) {
    while let Ok((client, _)) = listener.accept().await {
        control.accepted.fetch_add(1, SeqCst);
        if control.open.load(SeqCst) < MAX_CONNECTIONS {
            control.open.fetch_add(1, SeqCst);
            let control = Arc::clone(control);
            actix_rt::spawn(async move {
                // a connection that breaks is what the proxy is for
                drop(serve(client, &control).await);
                control.open.fetch_sub(1, SeqCst);
            });
        }
    }
}

/// One connection from end to end.
async fn serve(client: TcpStream, control: &Arc<Control>) -> io::Result<()> {
    let is_spoiled = Rc::new(Cell::new(false));
    let pass_on = async {
        let server = connect(control).await?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        let pump = |direction| Pump { direction, control, is_spoiled: &is_spoiled };
        tokio::try_join!(
            pump(Direction::ToServer).run(from_client, to_server),
            pump(Direction::ToClient).run(from_server, to_client),
        )
    };
    tokio::select! {
        ended = pass_on => ended.map(drop),
        () = end_of(control, &is_spoiled) => Ok(()),
    }
}

/// The server's end. Half open, the server is not even asked.
async fn connect(control: &Control) -> io::Result<TcpStream> {
    if *control.mode.borrow() == Mode::HalfOpen {
        // a change of the mode ends the connection: who connected has spoken to nobody
        std::future::pending::<()>().await;
    }
    TcpStream::connect(control.backend).await
}

/// Returns when the connection must end: nobody is to be connected, or the time of swallowing is over.
async fn end_of(control: &Control, is_spoiled: &Cell<bool>) {
    let mut mode = control.mode.subscribe();
    is_spoiled.set(is_spoiled.get() || *mode.borrow() == Mode::HalfOpen);
    loop {
        let now = *mode.borrow_and_update();
        let still_swallows = matches!(now, Mode::HalfOpen | Mode::Mute);
        if now == Mode::Refuse || (is_spoiled.get() && !still_swallows) || mode.changed().await.is_err() {
            return;
        }
    }
}

struct Pump<'c> {
    direction: Direction,
    control: &'c Arc<Control>,
    is_spoiled: &'c Cell<bool>,
}

impl Pump<'_> {
    async fn run(self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) -> io::Result<()> {
        let mut mode = self.control.mode.subscribe();
        let mut chunk = vec![0; CHUNK];
        loop {
            let read = from.read(&mut chunk).await?;
            if read == 0 {
                return to.shutdown().await;
            }
            self.deliver(&chunk[..read], &mut to, &mut mode).await?;
        }
    }

    async fn deliver(
        &self,
        bytes: &[u8],
        to: &mut OwnedWriteHalf,
        mode: &mut watch::Receiver<Mode>,
    ) -> io::Result<()> {
        let now = *mode.borrow_and_update();
        match now {
            Mode::CutAfter(direction, _) if direction == self.direction => {
                let allowed = self.take_of_budget(bytes.len());
                self.write(&bytes[..allowed], to).await?;
                if allowed < bytes.len() { Err(self.cut()) } else { Ok(()) }
            }
            Mode::Delay(delay) => {
                tokio::select! {
                    () = sleep(delay) => {}
                    _ = mode.changed() => {}
                }
                self.write(bytes, to).await
            }
            Mode::Slow(rate) => self.trickle(bytes, rate, to, mode).await,
            now if now.swallows(self.direction) => {
                self.is_spoiled.set(true);
                Ok(())
            }
            _ => self.write(bytes, to).await,
        }
    }

    /// Writes in small pieces, for as long as the line is slow.
    async fn trickle(
        &self,
        bytes: &[u8],
        rate: u64,
        to: &mut OwnedWriteHalf,
        mode: &watch::Receiver<Mode>,
    ) -> io::Result<()> {
        let step = usize::try_from(rate / u64::from(SLOW_STEPS_A_SECOND)).unwrap_or(usize::MAX).max(1);
        for piece in bytes.chunks(step) {
            if *mode.borrow() == Mode::Slow(rate) {
                sleep(Duration::from_secs(1) / SLOW_STEPS_A_SECOND).await;
            }
            self.write(piece, to).await?;
        }
        Ok(())
    }

    async fn write(&self, bytes: &[u8], to: &mut OwnedWriteHalf) -> io::Result<()> {
        to.write_all(bytes).await?;
        self.control.passed[self.direction as usize].fetch_add(bytes.len() as u64, SeqCst);
        Ok(())
    }

    /// How many of the bytes may still pass before the cut.
    fn take_of_budget(&self, wanted: usize) -> usize {
        let mut budget = self.control.budget.lock().unwrap();
        let allowed = usize::try_from(*budget).unwrap_or(usize::MAX).min(wanted);
        *budget -= allowed as u64;
        allowed
    }

    fn cut(&self) -> io::Error {
        self.control.cuts.fetch_add(1, SeqCst);
        // unless the test has asked for something else meanwhile
        self.control.mode.send_if_modified(|mode| {
            let is_ours = matches!(mode, Mode::CutAfter(..));
            if is_ours {
                *mode = Mode::Pass;
            }
            is_ours
        });
        io::ErrorKind::ConnectionAborted.into()
    }
}
