//! Waiting for a route that is held, as one is while its addon is upgraded: the client is neither answered nor refused
//! until it is let go.
//!
//! A held client costs its task and what it has sent so far. The lobby's held clients are woken together: at once when
//! the table has changed, by a task that looks at one number every [`LOOK_EVERY`] for as long as anybody is held; and
//! a few times a second, to see who has gone.

use std::cell::Cell;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout_at};

use super::dial::Wanted;
use super::leg::Leg;
use super::{Lobby, Ticket};
use crate::dialect::{Reason, Refusal};
use crate::routes::Table;
use crate::sys::peer_has_gone;

/// What the held clients of one lobby wait for.
#[derive(Default)]
pub(super) struct Waiting(Rc<Shared>);

#[derive(Default)]
struct Shared {
    woken: Notify,
    held: Cell<usize>,
    /// Whether the task that wakes them runs. It ends by itself once nobody is held.
    is_watched: Cell<bool>,
}

impl Lobby {
    /// Waits until the route is not held any more, whatever it is then. `Err(None)`: the client has gone.
    pub(super) async fn hold(
        &self,
        client: &Leg,
        wanted: &Wanted<'_>,
        surplus: &[u8],
        ticket: &mut Ticket,
    ) -> Result<(), Option<Refusal>> {
        let refusal = |detail: String| Some(Refusal::of(wanted.name, Reason::Starting, detail));
        if !ticket.hold() {
            self.counters.held_short.add(1);
            return Err(refusal(format!("{} logins wait already", self.limits.held_max)));
        }
        let _held = self.wait_among_others();
        let deadline = Instant::now() + self.limits.hold_timeout.get();
        loop {
            // Asked for before the look, so that a change right behind it wakes us.
            let mut woken = std::pin::pin!(self.waiting.0.woken.notified());
            woken.as_mut().enable();
            if !self.is_held(wanted)? {
                return Ok(());
            }
            if has_gone(client, surplus) {
                return Err(None);
            }
            if timeout_at(deadline, woken).await.is_err() {
                self.counters.held_too_long.add(1);
                return Err(refusal(format!("held for {:?}", self.limits.hold_timeout.get())));
            }
        }
    }

    /// Counts one more as held until the guard is dropped, and sees to it that somebody wakes it.
    fn wait_among_others(&self) -> Held<'_> {
        self.counters.held.open();
        let shared = &self.waiting.0;
        shared.held.set(shared.held.get() + 1);
        if !shared.is_watched.replace(true) {
            tokio_uring::spawn(watch(Arc::clone(&self.table), Rc::clone(shared)));
        }
        Held(self)
    }
}

/// Wakes who is held, until nobody is.
async fn watch(table: Arc<Table>, shared: Rc<Shared>) {
    let mut version = table.version();
    // Between the first one's look and this, the table may have changed.
    shared.woken.notify_waiters();
    for look in 1u32.. {
        sleep(LOOK_EVERY).await;
        if shared.held.get() == 0 {
            break;
        }
        let now = table.version();
        if now != version || look.is_multiple_of(LOOKS_FOR_ALL) {
            version = now;
            shared.woken.notify_waiters();
        }
    }
    shared.is_watched.set(false);
}

/// Whether there is nobody to be served any more. A client that has ended its stream may still want the answer to what it
/// has sent before; one that has sent no more than its name wants none.
fn has_gone(client: &Leg, surplus: &[u8]) -> bool {
    peer_has_gone(client.socket().as_fd()) || (surplus.is_empty() && client.has_ended())
}

struct Held<'a>(&'a Lobby);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let Held(lobby) = self;
        lobby.counters.held.close();
        let held = &lobby.waiting.0.held;
        held.set(held.get() - 1);
    }
}

/// How soon a change of the table is noticed.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// After so many looks, everybody looks whether their client has gone: 4 times a second.
const LOOKS_FOR_ALL: u32 = 12;
