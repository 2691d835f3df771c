//! Crash points: where the tests stop a Pierhead for good, to see that the next one finishes its work.
//!
//! A debug build with `PIERHEAD_CRASH_AT=before:ensure-volume` says so on stderr and stops its control thread there,
//! for ever; the test then sends SIGKILL. A release build has none of this.

use super::lifecycle::Action;

/// The place right `before` or `after` an action.
#[cfg(debug_assertions)]
pub(super) fn point(when: &str, action: &Action) {
    named_point(when, action.as_str());
}

/// The place right `before` or `after` something with this name, such as `upgrade-move`.
#[cfg(debug_assertions)]
pub fn named_point(when: &str, name: &str) {
    let here = format!("{when}:{name}");
    if std::env::var("PIERHEAD_CRASH_AT").is_ok_and(|point| point == here) {
        eprintln!("pierhead: stopped at {here}, as PIERHEAD_CRASH_AT says");
        loop {
            std::thread::park();
        }
    }
}

/// The place right `before` or `after` an action: nothing in a release build.
#[cfg(not(debug_assertions))]
pub(super) fn point(_when: &str, _action: &Action) {}

/// The same for what has another name.
#[cfg(not(debug_assertions))]
pub fn named_point(_when: &str, _name: &str) {}
