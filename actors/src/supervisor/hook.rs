//! Logs a panic once, with the actor's name, instead of printing it and logging the restart as well.

use crate::ports::names::ActorName;
use core::any::Any;
use core::cell::Cell;
use std::panic;
use std::sync::Once;

thread_local! {
    /// The actor whose code runs on this thread now, and its incarnation.
    static CURRENT: Cell<Option<(ActorName, u64)>> = const { Cell::new(None) };
}

/// Installs the hook, once in a process. Panics outside of actors go to the hook that was there before.
pub(super) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            // `try_with`: a thread may panic while it takes its thread-locals down.
            let Some((actor, incarnation)) = CURRENT.try_with(Cell::get).ok().flatten() else {
                return before(info);
            };
            let place = info.location().map(ToString::to_string).unwrap_or_default();
            let message = text(info.payload());
            tracing::error!(%actor, incarnation, place, message, "actor panicked");
        }));
    });
}

/// What a panic said.
pub(super) fn text(payload: &(dyn Any + Send)) -> String {
    let text = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}

/// Says whose code runs on this thread until it is dropped.
pub(super) struct Running(Option<(ActorName, u64)>);

impl Running {
    pub(super) fn now(name: ActorName, incarnation: u64) -> Self {
        Self(CURRENT.replace(Some((name, incarnation))))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        CURRENT.set(self.0);
    }
}
