//! Crash points: where the tests stop a Pierhead for good, to see that the next one finishes its work.
//!
//! A debug build with `PIERHEAD_CRASH_AT=before:ensure-volume` says so on stderr and stops its control thread there,
//! for ever; the test then sends SIGKILL. A release build has none of this.

/// The place right `before` or `after` a step of this name.
#[cfg(debug_assertions)]
pub(crate) fn point(when: &str, step: &str) {
    let here = format!("{when}:{step}");
    if std::env::var("PIERHEAD_CRASH_AT").is_ok_and(|point| point == here) {
        eprintln!("pierhead: stopped at {here}, as PIERHEAD_CRASH_AT says");
        loop {
            std::thread::park();
        }
    }
}

/// The place right `before` or `after` a step: nothing in a release build.
#[cfg(not(debug_assertions))]
pub(crate) fn point(_when: &str, _step: &str) {}
