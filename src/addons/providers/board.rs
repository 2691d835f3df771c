//! What is being done about which addon, for eyes only: it is not in the store.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::addons::lifecycle::State;
use crate::dialect::Name;

/// What is being done about which addon, and how often things took too long.
#[derive(Default)]
pub struct Board {
    shown: Mutex<HashMap<Name, Shown>>,
    /// Addons that went from a state to error, by the state's word.
    passed: Mutex<BTreeMap<&'static str, u64>>,
}

/// How far something is, for a progress bar.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shown {
    /// The step; may be empty.
    pub step: String,
    /// What is being done.
    pub detail: String,
    /// How much of `total` is done; bytes for an image.
    pub current: u64,
    /// How much there is to do; 0 if that is not known.
    pub total: u64,
}

impl Board {
    /// Shows what is being done about an addon now.
    pub fn show(&self, name: &Name, shown: Shown) {
        locked(&self.shown).insert(name.clone(), shown);
    }

    /// What is being done about an addon.
    pub fn of(&self, name: &Name) -> Option<Shown> {
        locked(&self.shown).get(name).cloned()
    }

    /// Nothing is being done any more.
    pub fn clear(&self, name: &Name) {
        locked(&self.shown).remove(name);
    }

    /// An addon was in this state for too long, or can be in it no longer, and is in error now.
    pub fn deadline_passed(&self, state: State) {
        *locked(&self.passed).entry(state.as_str()).or_default() += 1;
    }

    /// How often an addon went from a state to error since start, by the state's word.
    pub fn deadlines_passed(&self) -> BTreeMap<&'static str, u64> {
        locked(&self.passed).clone()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A map is whole after every step.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
