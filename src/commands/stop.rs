//! Ctrl-C and SIGTERM: the first asks for a clean stop, the second ends the process at once.
//!
//! Listens on a thread of its own, so that it is heard whatever the others do.

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// The exit code after a second Ctrl-C, as a shell gives it for SIGINT.
const AT_ONCE: i32 = 130;

/// Tells when somebody has asked to stop.
#[derive(Clone)]
pub(crate) struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Starts listening.
    ///
    /// # Errors
    /// When the operating system does not let us.
    pub(crate) fn listen() -> anyhow::Result<Self> {
        let (asked, receiver) = watch::channel(false);
        let (ready, listening) = std::sync::mpsc::sync_channel(1);
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build();
                match runtime {
                    Ok(runtime) => runtime.block_on(wait_twice(&asked, &ready)),
                    Err(error) => {
                        let _ = ready.send(Err(error));
                    }
                }
            })
            .context("cannot start a thread for signals")?;
        listening
            .recv()
            .context("the thread for signals ended")?
            .context("cannot listen for Ctrl-C")?;
        Ok(Self(receiver))
    }

    /// Whether somebody has asked.
    pub(crate) fn asked(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns when somebody has asked.
    pub(crate) async fn wait(&self) {
        let mut receiver = self.0.clone();
        if receiver.wait_for(|asked| *asked).await.is_err() {
            // Nobody listens any more, so nobody can ask.
            std::future::pending::<()>().await;
        }
    }
}

async fn wait_twice(
    asked: &watch::Sender<bool>,
    ready: &std::sync::mpsc::SyncSender<std::io::Result<()>>,
) {
    let listeners = signal(SignalKind::interrupt())
        .and_then(|interrupt| signal(SignalKind::terminate()).map(|term| (interrupt, term)));
    let (mut interrupt, mut terminate) = match listeners {
        Ok(listeners) => listeners,
        Err(error) => {
            let _ = ready.send(Err(error));
            return;
        }
    };
    let _ = ready.send(Ok(()));
    for first in [true, false] {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        if !first {
            std::process::exit(AT_ONCE);
        }
        asked.send_replace(true);
        eprintln!("kithkin: stopping; once more to leave at once (nothing acknowledged is lost)");
    }
}
