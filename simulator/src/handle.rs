//! Starts a simulator and controls it while it runs.

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

use crate::counts::SimulatorCounts;
use crate::handshake::HandshakeRequest;
use crate::hub::{Farewell, Hub};
use crate::misbehaviour::{Misbehaviour, OddFrame};
use crate::options::{Rate, SimulatorOptions};
use crate::pacing;
use crate::playback;
use crate::rest::desk::{RestCounts, RestDesk, RestRequest};
use crate::rest::faults::RestFault;
use crate::rest::history::{FeedHistory, Generated};
use crate::rest::limits::RestLimits;
use crate::server;
use crate::session::Ending;

/// A call that runs on the simulator's thread.
type Call = Box<dyn FnOnce(&Hub) + Send>;

/// Capacity of the queue of calls. A caller waits for its own call, so only more threads than this wait for a place.
const CALLS: usize = 64;

/// A feed server.
#[derive(Debug)]
pub struct Simulator;

impl Simulator {
    /// Starts a simulator on its own thread; it listens when this returns.
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
            // sessions are not `Send`: the future that owns them is made on this thread
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
                // an unreadable frame ends the recording
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
    // the end of the runtime resets sockets that are still open
    drop(timeout(farewell.all, all_left).await);
}

/// Runs the calls of handles.
async fn answer(hub: &Hub, calls: &Receiver<Call>, wake: &Notify) {
    loop {
        while let Ok(call) = calls.try_recv() {
            call(hub);
        }
        wake.notified().await;
    }
}

/// Controls a running simulator. Dropping it resets all connections and stops the simulator.
///
/// Methods may be called from any thread, including within an asynchronous runtime: they wait for the simulator's thread,
/// which takes far less than a millisecond. After [`stop`](Self::stop) they do nothing and return defaults.
#[derive(Debug)]
pub struct SimulatorHandle {
    addr: SocketAddr,
    calls: SyncSender<Call>,
    wake: Arc<Notify>,
    stop: Arc<Notify>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl SimulatorHandle {
    /// Returns the address it listens on.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Returns the URL of the socket without a token: `ws://127.0.0.1:PORT/socket`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("ws://{}/socket", self.addr)
    }

    /// Returns the base URL of the REST API: `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn rest_url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Returns the events of the history in the order in which they were made; without a REST API there is none.
    #[must_use]
    pub fn generated(&self) -> Vec<Generated> {
        self.call(|hub| hub.feed.borrow().history().map(FeedHistory::generated).unwrap_or_default())
    }

    /// Returns the totals of the REST API since startup.
    #[must_use]
    pub fn rest_counts(&self) -> RestCounts {
        self.call(|hub| {
            let forgotten = hub.feed.borrow().history().map_or(0, FeedHistory::forgotten);
            hub.rest.as_ref().map(|rest| rest.counts(forgotten)).unwrap_or_default()
        })
    }

    /// Returns the latest requests and handshakes, oldest first.
    #[must_use]
    pub fn rest_requests(&self) -> Vec<RestRequest> {
        self.call(|hub| hub.rest.as_ref().map(RestDesk::requests).unwrap_or_default())
    }

    /// Replaces all misbehaviours of the REST API; windows count from here.
    pub fn rest_misbehave(&self, faults: impl IntoIterator<Item = RestFault>) {
        let faults: Vec<RestFault> = faults.into_iter().collect();
        self.call(move |hub| {
            if let Some(rest) = &hub.rest {
                rest.set_faults(faults);
            }
            hub.apply_rest_faults();
        });
    }

    /// Ends all misbehaviours of the REST API.
    pub fn rest_behave(&self) {
        self.rest_misbehave([]);
    }

    /// Changes the limits of the REST API and keeps the counts.
    pub fn set_rest_limits(&self, limits: RestLimits) {
        self.call(move |hub| {
            if let Some(rest) = &hub.rest {
                rest.set_limits(limits);
            }
        });
    }

    /// Returns the totals since startup.
    #[must_use]
    pub fn counts(&self) -> SimulatorCounts {
        self.call(Hub::counts)
    }

    /// Returns the number of distinct events by channel.
    #[must_use]
    pub fn sent(&self) -> BTreeMap<String, u64> {
        self.counts().by_channel
    }

    /// Returns the number of requests, including refused ones.
    #[must_use]
    pub fn handshakes(&self) -> u64 {
        self.counts().handshakes
    }

    /// Returns the number of open connections.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.call(|hub| hub.each_session(|_| ()))
    }

    /// Returns the topics of each open connection in the order of their joins.
    #[must_use]
    pub fn topics_by_session(&self) -> Vec<Vec<String>> {
        self.call(Hub::topics)
    }

    /// Returns the topics of all open connections.
    #[must_use]
    pub fn topics(&self) -> Vec<String> {
        self.topics_by_session().concat()
    }

    /// Returns the latest request.
    #[must_use]
    pub fn last_request(&self) -> Option<HandshakeRequest> {
        self.call(Hub::last_request)
    }

    /// Whether all events of the options or of the recording were sent.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.call(|hub| hub.is_played.get() || hub.events_left() == 0)
    }

    /// Returns why a recording stopped early, if it did.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        self.call(|hub| hub.failure.borrow().clone())
    }

    /// Returns the time of the latest frame sent from a recording, in Unix milliseconds, if known.
    #[must_use]
    pub fn played_ms(&self) -> Option<u64> {
        self.call(|hub| hub.played_ms.get())
    }

    /// Whether everything handed to connections was written or is being written.
    #[must_use]
    pub fn is_written(&self) -> bool {
        self.call(Hub::is_written)
    }

    /// Replaces all misbehaviours, including those of open connections. Windows and numbers of events count from here.
    pub fn misbehave(&self, misbehaviours: impl IntoIterator<Item = Misbehaviour>) {
        let misbehaviours: Vec<Misbehaviour> = misbehaviours.into_iter().collect();
        self.call(move |hub| hub.set_misbehaviours(misbehaviours));
    }

    /// Adds a misbehaviour.
    pub fn also_misbehave(&self, misbehaviour: Misbehaviour) {
        self.call(move |hub| hub.add_misbehaviours(vec![misbehaviour]));
    }

    /// Ends all misbehaviours.
    pub fn behave(&self) {
        self.misbehave([]);
    }

    /// Sends an event to every connection that joined the topic or the global form of its channel, regardless of room.
    /// Returns the number of receivers. It counts as an event and has no number but one in the payload.
    #[allow(clippy::must_use_candidate, reason = "the event is sent")]
    pub fn send_text(&self, topic: &str, payload: &str) -> usize {
        let (topic, payload) = (topic.to_owned(), payload.to_owned());
        self.call(move |hub| hub.send(&topic, payload.as_bytes()))
    }

    /// Sends a frame that is not an event to every open connection. Returns their number.
    #[allow(clippy::must_use_candidate, reason = "the frame is sent")]
    pub fn send_odd(&self, odd: OddFrame) -> usize {
        self.call(move |hub| hub.each_session(|session| session.send_odd(odd)))
    }

    /// Closes every connection with a close frame.
    pub fn close_all(&self, code: u16) {
        self.call(move |hub| hub.each_session(|session| session.close(code)));
    }

    /// Resets every TCP connection; unwritten frames are lost.
    pub fn cut_all(&self) {
        self.call(|hub| hub.each_session(|session| session.end(Ending::Reset)));
    }

    /// Changes the rate of events.
    pub fn set_rate(&self, rate: Rate) {
        self.call(move |hub| {
            hub.rate.set(rate);
            hub.changed.notify_one();
        });
    }

    /// Stops making events; joins and pings are still answered.
    pub fn pause(&self) {
        self.call(|hub| hub.is_paused.set(true));
    }

    /// Makes events again after [`pause`](Self::pause).
    pub fn resume(&self) {
        self.call(|hub| {
            hub.is_paused.set(false);
            hub.changed.notify_one();
        });
    }

    /// Closes every connection with code 1000, waits up to a minute for clients to read everything, and ends.
    pub fn finish(&self) {
        self.call(|hub| hub.farewell.set(Farewell::FINISHED));
        self.stop();
    }

    /// Closes every connection with code 1001, waits up to half a second for clients to close, and ends. Afterwards the
    /// address is free.
    pub fn stop(&self) {
        self.stop.notify_one();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // a panic of the simulator was printed by its own thread
            drop(thread.join());
        }
    }

    /// Runs `act` on the simulator's thread and returns its result, or a default if the simulator has ended.
    fn call<T: Default + Send + 'static>(&self, act: impl FnOnce(&Hub) -> T + Send + 'static) -> T {
        let (reply, replied) = sync_channel(1);
        // sending fails only if the caller's thread has ended
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
