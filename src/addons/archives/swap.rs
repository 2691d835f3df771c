//! Imports that an engine takes in with its next start: laid out first, then changed for the present files, and changed back
//! if the engine does not come up with them.
//!
//! That files are changed is in the store before they are; a Pierhead that is started finds it there and goes on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{ArchiveError, Archives, program, unchanged};
use crate::addons::Addon;
use crate::addons::kinds::{self, Archive, Swap};
use crate::addons::lifecycle::{Container, Desired, Failure, Phase, State};
use crate::addons::store::{StoreError, Swapped};

impl Archives {
    /// Changes the files of an addon for those that have been laid out, and waits until its engine has come up with them.
    pub(super) async fn swap_in(
        &self,
        addon: &Addon,
        archive: &Archive,
        swap: &Swap,
        container: &str,
    ) -> Result<(), ArchiveError> {
        let row = self.store.addon(&addon.name)?;
        let checked = row.and_then(|row| row.life.checked);
        let swapped = Swapped { addon: addon.name.clone(), checked };
        self.store.begin_swap(&swapped)?;
        crate::addons::crash::point("before", "swap");
        // The program ends with the engine, so only that it has failed before can be told from it.
        let refused = match self.program(addon, archive, &swap.swap, container).await {
            Err(error) => Some(error.to_string()),
            Ok(program) => match program::drained(program).await {
                Err(ArchiveError::Failed(why)) if !why.contains(KILLED) => Some(why),
                _ => None,
            },
        };
        crate::addons::crash::point("after", "swap");
        self.settle(&swapped, refused).await
    }

    /// Goes on with what an earlier Pierhead has begun.
    pub fn resume_all(self: &Arc<Self>) -> Result<(), StoreError> {
        for swapped in self.store.swaps()? {
            let Ok(turn) = self.turn(&swapped.addon) else { continue };
            let archives = Arc::clone(self);
            tokio::spawn(async move {
                let result = archives.settle(&swapped, None).await;
                let note = match &result {
                    Ok(()) => "an import that was cut off is done".to_owned(),
                    Err(error) => format!("an import that was cut off failed: {error}"),
                };
                tracing::info!(addon = %swapped.addon, note);
                if let Ok(Some(addon)) = archives.store.addon(&swapped.addon) {
                    // The log has it.
                    let _ = archives.store.note(&addon, note);
                }
                drop(turn);
            });
        }
        Ok(())
    }

    /// Waits until the engine has come up with other files. `refused`: it was not even ended, for this reason. Whatever cannot
    /// be done is tried again.
    async fn settle(&self, swapped: &Swapped, refused: Option<String>) -> Result<(), ArchiveError> {
        let mut watch = Watch { since: Instant::now(), restarts: 0, why: refused };
        loop {
            let Some(addon) = self.store.addon(&swapped.addon)? else { return Ok(()) };
            if addon.life.state == State::Ready && addon.life.checked != swapped.checked {
                match self.keep(&addon).await {
                    Ok(()) => return Ok(()),
                    Err(error) => tracing::warn!(addon = %addon.name, %error, "the files before an import"),
                }
            } else if let Some(why) = self.look(&addon, swapped, &mut watch).await {
                match self.undo(&addon).await {
                    Ok(()) => return Err(unchanged(&why)),
                    Err(error) => {
                        tracing::error!(addon = %addon.name, %error, "the files before an import are not back yet");
                    }
                }
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Why the files have to be changed back; `None` as long as they need not.
    async fn look(&self, addon: &Addon, swapped: &Swapped, watch: &mut Watch) -> Option<String> {
        if let Some(why) = &watch.why {
            return Some(why.clone());
        }
        // Whoever has stopped it decides when it is seen.
        if addon.life.desired != Desired::Running && addon.life.desired != Desired::Restart {
            watch.since = Instant::now();
            return None;
        }
        let Ok(seen) = self.provisioner.observe(addon).await else { return None };
        let Container::Ours { id, phase, start, .. } = &seen.container else { return None };
        let waited = watch.since.elapsed();
        if Some(start) == swapped.checked.as_ref() && *phase == Phase::Running && waited > END_MAX {
            watch.why = Some("the engine was not ended".into());
        }
        watch.restarts += u32::from(*phase == Phase::Restarting);
        if watch.restarts >= RESTARTS_MAX || waited > START_MAX {
            let last = self.provisioner.last_log_line(id).await;
            watch.why = Some(format!("the engine does not come up with these data: {last}"));
        }
        watch.why.clone()
    }

    /// The files before are needed no more.
    async fn keep(&self, addon: &Addon) -> Result<(), ArchiveError> {
        let (archive, swap) = how(addon)?;
        let container = addon.container_id.as_deref().unwrap_or_default();
        let program = self.program(addon, &archive, &swap.forget, container).await?;
        program::drained(program).await?;
        Ok(self.store.end_swap(&addon.name)?)
    }

    /// Puts the files before back, and waits until the engine runs with them.
    async fn undo(&self, addon: &Addon) -> Result<(), ArchiveError> {
        let (_, swap) = how(addon)?;
        self.provisioner.run_beside(addon, &swap.undo).await?;
        let since = Instant::now();
        while since.elapsed() < START_MAX {
            match self.store.addon(&addon.name)? {
                Some(row) if row.life.state != State::Ready && row.life.desired == Desired::Running => {}
                _ => break,
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok(self.store.end_swap(&addon.name)?)
    }
}

fn how(addon: &Addon) -> Result<(Archive, Swap), ArchiveError> {
    let archive = kinds::find(addon.kind.as_str()).and_then(|kind| kind.archive(&addon.name));
    let found = archive.and_then(|archive| archive.swap.clone().map(|swap| (archive, swap)));
    found.ok_or_else(|| Failure::Lasting(format!("the kind {} takes nothing in so", addon.kind)).into())
}

/// What has been seen of an engine since its files were changed.
struct Watch {
    since: Instant,
    restarts: u32,
    why: Option<String>,
}

/// How programs end whose container ends.
const KILLED: &str = "exit code 137";
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// An engine that ends writes down what it has not yet.
const END_MAX: Duration = Duration::from_secs(60);
/// Seen so often between two starts, it is not coming up.
const RESTARTS_MAX: u32 = 6;
const START_MAX: Duration = Duration::from_secs(15 * 60);
