//! Workers that are threads of this process.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crossbeam::channel::{Receiver, Sender, TrySendError, bounded, never, select};

use super::error::{LaunchError, SendError};
use super::listener::Listener;
use super::port::{WorkerPort, WorkerReceiver, WorkerSender};
use super::{EventSink, Exit, ExitReport, INBOX_BOUND, Launch, Launcher, OUTBOX_BOUND, Worker};
use crate::threads;

/// How long a killed thread may take to return before it is left to itself.
const DETACH_GRACE: Duration = Duration::from_secs(5);

/// Starts workers as named threads that run `body`.
///
/// A thread can not be killed. [`Worker::kill`] and dropping the handle close its port, so that it hears `None`, can
/// say nothing more and sees [`WorkerPort::killed`]; a thread that has not returned five seconds later is reported as
/// [`Exit::Detached`] and runs on unheard, on a device that others are then given. Where that can not be borne, use
/// processes. Nor is a thread pinned to its cores: pools that it is the first to use belong to the whole process.
pub struct ThreadLauncher<In, Out> {
    body: Arc<Body<In, Out>>,
    grace: Duration,
}

type Body<In, Out> = dyn Fn(WorkerPort<In, Out>) + Send + Sync;

/// How a body ended: its panic's message, or nothing.
type Ended = Result<(), String>;

impl<In, Out> ThreadLauncher<In, Out> {
    /// Workers that run `body`, each on a thread of its own. Its return is the worker's end.
    #[must_use]
    pub fn new(body: Arc<dyn Fn(WorkerPort<In, Out>) + Send + Sync>) -> Self {
        Self { body, grace: DETACH_GRACE }
    }
}

impl<In, Out> Launcher<In, Out> for ThreadLauncher<In, Out>
where
    In: Send + 'static,
    Out: Send + 'static,
{
    fn launch(&self, launch: &Launch<'_>, sink: EventSink<Out>) -> Result<Box<dyn Worker<In>>, LaunchError> {
        let name = launch.name;
        let refused = |source| LaunchError::Thread { name: name.to_owned(), source };
        let (inbox, messages) = bounded(INBOX_BOUND);
        let (outbox, said) = bounded(OUTBOX_BOUND);
        let (killer, kill) = bounded(1);
        let (returns, returned) = bounded(1);
        let cord = Arc::new(Cord { inbox: Mutex::new(Some(inbox)), killed: Arc::default() });

        let receiver = WorkerReceiver::new(messages, Arc::clone(&cord.killed));
        let port = WorkerPort::new(receiver, WorkerSender::channel(outbox));
        let body = Arc::clone(&self.body);
        let supervised = Supervised { said, kill, returned, cord: Arc::clone(&cord), grace: self.grace };
        let handle = ThreadWorker { cord, killer };
        // Should the second thread be refused, dropping the handle closes the first one's port.
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || run(&*body, port, &returns))
            .map_err(refused)?;
        threads::spawn(&format!("worker {name}"), move || supervised.supervise(Listener::new(sink)))
            .map_err(refused)?;
        Ok(Box::new(handle))
    }
}

fn run<In, Out>(body: &Body<In, Out>, port: WorkerPort<In, Out>, returns: &Sender<Ended>) {
    let ended = catch_unwind(AssertUnwindSafe(|| body(port))).map_err(|panic| message(&*panic));
    // Of a detached thread nobody waits for the end.
    let _: Result<(), _> = returns.send(ended);
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a text".to_owned())
}

/// What ties a thread to whoever launched it; cut once.
struct Cord<In> {
    inbox: Mutex<Option<Sender<In>>>,
    killed: Arc<AtomicBool>,
}

impl<In> Cord<In> {
    fn cut(&self) {
        self.killed.store(true, Ordering::Release);
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// The handle on a thread.
struct ThreadWorker<In> {
    cord: Arc<Cord<In>>,
    killer: Sender<()>,
}

impl<In: Send> Worker<In> for ThreadWorker<In> {
    fn send(&self, message: In) -> Result<(), SendError> {
        let inbox = self.cord.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = inbox.as_ref().ok_or(SendError::Gone)?.try_send(message);
        sent.map_err(|error| match error {
            TrySendError::Full(_) => SendError::Full,
            TrySendError::Disconnected(_) => SendError::Gone,
        })
    }

    fn kill(&self) {
        self.end();
    }

    fn pid(&self) -> Option<u32> {
        None
    }
}

impl<In> ThreadWorker<In> {
    fn end(&self) {
        self.cord.cut();
        // Full: it has been told already. Closed: the worker is gone.
        let _: Result<(), _> = self.killer.try_send(());
    }
}

impl<In> Drop for ThreadWorker<In> {
    fn drop(&mut self) {
        self.end();
    }
}

/// The supervising thread's own.
struct Supervised<In, Out> {
    said: Receiver<Out>,
    kill: Receiver<()>,
    returned: Receiver<Ended>,
    cord: Arc<Cord<In>>,
    grace: Duration,
}

impl<In, Out> Supervised<In, Out> {
    fn supervise(mut self, mut listener: Listener<Out>) {
        let ended = self.hear(&mut listener).or_else(|| {
            self.cord.cut();
            // A thread that waits to be heard is let go.
            self.said = never();
            self.returned.recv_timeout(self.grace).ok()
        });
        let exit = match ended {
            Some(Ok(())) => Exit::Returned,
            Some(Err(message)) => Exit::Panicked(message),
            None => Exit::Detached,
        };
        listener.exited(ExitReport::bare(exit));
    }

    /// Passes messages on until the body has ended; `None` if the worker is to be killed first.
    fn hear(&mut self, listener: &mut Listener<Out>) -> Option<Ended> {
        loop {
            select! {
                recv(self.said) -> message => match message {
                    Ok(message) => {
                        if !self.passes_on(message, listener) {
                            return None;
                        }
                    }
                    // It will say nothing more, and may work on.
                    Err(_) => self.said = never(),
                },
                recv(self.returned) -> ended => {
                    // What it said before it returned is still to be heard.
                    for message in self.said.try_iter() {
                        if !self.passes_on(message, listener) {
                            break;
                        }
                    }
                    return ended.ok();
                }
                recv(self.kill) -> _ => return None,
            }
        }
    }

    /// Whether anyone still listens. A killed worker is not passed on, even if its kill has not been seen here yet.
    fn passes_on(&self, message: Out, listener: &mut Listener<Out>) -> bool {
        !self.cord.killed.load(Ordering::Acquire) && listener.hears(message)
    }
}

#[cfg(test)]
#[path = "thread_tests.rs"]
mod tests;
