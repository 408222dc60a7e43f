//! Starting a simulator, and what others can see and do while it runs.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::timeout;

use crate::counts::Counts;
use crate::handshake::HandshakeRequest;
use crate::hub::{Farewell, Hub};
use crate::misbehaviour::{Misbehaviour, OddFrame};
use crate::options::{Rate, SimulatorOptions};
use crate::session::Ending;
use crate::{pacing, playback, server};

/// Something to do on the simulator's thread.
type Call = Box<dyn FnOnce(&Hub) + Send>;

/// Calls that may wait: each caller waits for its own, so this many threads may call at once without waiting longer.
const CALLS: usize = 64;

/// A feed server.
#[derive(Debug)]
pub struct Simulator;

impl Simulator {
    /// Starts a simulator on a thread of its own. It listens when this returns.
    ///
    /// Fails if the address cannot be bound or the recording cannot be opened.
    pub fn start(options: SimulatorOptions) -> io::Result<SimulatorHandle> {
        let listener = std::net::TcpListener::bind(options.listen)?;
        listener.set_nonblocking(true)?;
        let addr = listener.local_addr()?;
        if let Some(recording) = &options.recording {
            drop(recording.open()?);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = {
            let _entered = runtime.enter();
            TcpListener::from_std(listener)?
        };
        let (calls, received) = sync_channel(CALLS);
        let wake = Arc::new(Notify::new());
        let (woken, stop) = (Arc::clone(&wake), Arc::new(Notify::new()));
        let stopped = Arc::clone(&stop);
        let run = move || {
            // the sessions are local to this thread, and so must be the future that owns them
            let serve = async move { serve(options, listener, (received, woken), stopped).await };
            LocalSet::new().block_on(&runtime, serve);
        };
        let thread = std::thread::Builder::new().name("simulator".to_owned()).spawn(run)?;
        Ok(SimulatorHandle { addr, calls, wake, stop, thread: Mutex::new(Some(thread)) })
    }
}

async fn serve(
    options: SimulatorOptions,
    listener: TcpListener,
    (calls, wake): (Receiver<Call>, Arc<Notify>),
    stop: Arc<Notify>,
) {
    let recording = options.recording.clone();
    let hub = Rc::new(Hub::new(options));
    let accepting = spawn_local(server::accept(Rc::clone(&hub), listener));
    let player = Rc::clone(&hub);
    spawn_local(async move {
        match recording {
            None => pacing::generate(player).await,
            Some(recording) => {
                let ended = playback::play(Rc::clone(&player), recording).await;
                // a recording that becomes unreadable ends there
                player.failure.replace(ended.err().map(|error| error.to_string()));
                player.is_played.set(true);
            }
        }
    });
    tokio::select! {
        () = answer(&hub, &calls, &wake) => {}
        () = stop.notified() => {}
    }
    accepting.abort();
    let farewell = hub.farewell.get();
    hub.each_session(|session| session.close(farewell.code));
    let all_left = async {
        while hub.each_session(|_| ()) > 0 {
            hub.left.notified().await;
        }
    };
    // sockets that are still open then are reset by the end of the runtime
    drop(timeout(farewell.all, all_left).await);
}

/// Does what others call for.
async fn answer(hub: &Hub, calls: &Receiver<Call>, wake: &Notify) {
    loop {
        while let Ok(call) = calls.try_recv() {
            call(hub);
        }
        wake.notified().await;
    }
}

/// A running simulator. Dropping it resets its connections and stops it.
///
/// Its methods may be called from any thread, also within an asynchronous runtime: they wait for the simulator's own
/// thread only, which takes far less than a millisecond. After [`stop`](Self::stop) they do nothing and return defaults.
#[derive(Debug)]
pub struct SimulatorHandle {
    addr: SocketAddr,
    calls: SyncSender<Call>,
    wake: Arc<Notify>,
    stop: Arc<Notify>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl SimulatorHandle {
    /// The address that it listens on.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The address of its socket, without a token: `ws://127.0.0.1:PORT/socket`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("ws://{}/socket", self.addr)
    }

    /// What it has done so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.call(Hub::counts)
    }

    /// Different events so far by channel.
    #[must_use]
    pub fn sent(&self) -> BTreeMap<String, u64> {
        self.counts().by_channel
    }

    /// Requests so far, refused ones too.
    #[must_use]
    pub fn handshakes(&self) -> u64 {
        self.counts().handshakes
    }

    /// Connections that are open now.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.call(|hub| hub.each_session(|_| ()))
    }

    /// The topics of each open connection in the order of their joins.
    #[must_use]
    pub fn topics_by_session(&self) -> Vec<Vec<String>> {
        self.call(Hub::topics)
    }

    /// The topics of all open connections.
    #[must_use]
    pub fn topics(&self) -> Vec<String> {
        self.topics_by_session().concat()
    }

    /// The newest request.
    #[must_use]
    pub fn last_request(&self) -> Option<HandshakeRequest> {
        self.call(Hub::last_request)
    }

    /// Whether all events of the options or of the recording were made.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.call(|hub| hub.is_played.get() || hub.events_left() == 0)
    }

    /// Why a recording ended before its end, if it did.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        self.call(|hub| hub.failure.borrow().clone())
    }

    /// The time of the newest frame of a recording that was sent, in Unix milliseconds, if it has one.
    #[must_use]
    pub fn played_ms(&self) -> Option<u64> {
        self.call(|hub| hub.played_ms.get())
    }

    /// Whether no connection holds back what it was handed: it was written, or is being written.
    #[must_use]
    pub fn is_written(&self) -> bool {
        self.call(Hub::is_written)
    }

    /// Replaces everything that is wrong, also with open connections. Windows and numbers of events count from here.
    pub fn misbehave(&self, misbehaviours: impl IntoIterator<Item = Misbehaviour>) {
        let misbehaviours: Vec<Misbehaviour> = misbehaviours.into_iter().collect();
        self.call(move |hub| hub.set_misbehaviours(misbehaviours));
    }

    /// Adds something that is wrong.
    pub fn also_misbehave(&self, misbehaviour: Misbehaviour) {
        self.call(move |hub| hub.add_misbehaviours(vec![misbehaviour]));
    }

    /// Makes everything right again.
    pub fn behave(&self) {
        self.misbehave([]);
    }

    /// Sends an event to everyone who joined the topic or the global form of its channel, whether they have room or
    /// not. Returns how many got it. It counts as an event but has no number other than what the payload says.
    #[allow(clippy::must_use_candidate, reason = "the event is sent")]
    pub fn send_text(&self, topic: &str, payload: &str) -> usize {
        let (topic, payload) = (topic.to_owned(), payload.to_owned());
        self.call(move |hub| hub.send(&topic, payload.as_bytes()))
    }

    /// Writes bytes as they are, header included, to every open connection. Returns how many there are.
    #[allow(clippy::must_use_candidate, reason = "the bytes are sent")]
    pub fn send_raw_frame(&self, bytes: &[u8]) -> usize {
        let bytes = bytes.to_vec();
        self.call(move |hub| hub.each_session(|session| session.send_raw(&bytes)))
    }

    /// Sends a frame that is not an event to every open connection. Returns how many there are.
    #[allow(clippy::must_use_candidate, reason = "the frame is sent")]
    pub fn send_odd(&self, odd: OddFrame) -> usize {
        self.call(move |hub| hub.each_session(|session| session.send_odd(odd)))
    }

    /// Closes every connection with a close frame.
    pub fn close_all(&self, code: u16) {
        self.call(move |hub| hub.each_session(|session| session.close(code)));
    }

    /// Resets every TCP connection; what was not written is lost.
    pub fn cut_all(&self) {
        self.call(|hub| hub.each_session(|session| session.end(Ending::Reset)));
    }

    /// Changes how many events are made.
    pub fn set_rate(&self, rate: Rate) {
        self.call(move |hub| {
            hub.rate.set(rate);
            hub.changed.notify_one();
        });
    }

    /// Makes no more events. Joins and pings are answered.
    pub fn pause(&self) {
        self.call(|hub| hub.is_paused.set(true));
    }

    /// Makes events again.
    pub fn resume(&self) {
        self.call(|hub| {
            hub.is_paused.set(false);
            hub.changed.notify_one();
        });
    }

    /// Closes every connection with 1000, waits at most a minute for the clients to read all that was sent, and ends.
    pub fn finish(&self) {
        self.call(|hub| hub.farewell.set(Farewell::FINISHED));
        self.stop();
    }

    /// Closes every connection with 1001, waits at most half a second for the clients to take that, and ends. The
    /// address is free then.
    pub fn stop(&self) {
        self.stop.notify_one();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // a panic of the simulator was printed there; its state is gone either way
            drop(thread.join());
        }
    }

    /// Does something on the simulator's thread and waits for the result; a default if it has ended.
    fn call<T: Default + Send + 'static>(&self, act: impl FnOnce(&Hub) -> T + Send + 'static) -> T {
        let (reply, replied) = sync_channel(1);
        // the caller may be gone only if its thread is
        let call: Call = Box::new(move |hub| drop(reply.send(act(hub))));
        if self.calls.send(call).is_err() {
            return T::default();
        }
        self.wake.notify_one();
        replied.recv().unwrap_or_default()
    }
}

impl Drop for SimulatorHandle {
    fn drop(&mut self) {
        self.cut_all();
        self.stop();
    }
}
