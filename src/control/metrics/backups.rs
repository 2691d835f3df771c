//! What `/metrics` tells of backups.

use super::{ADDONS_MAX, Page};
use crate::addons::Addon;
use crate::addons::backups::{Backup, State};
use crate::control::backups::Counts;

/// Backups, as the page tells of them.
#[derive(Default)]
pub struct BackupsSeen<'a> {
    /// How many there have been.
    pub counts: Counts,
    /// Their rows.
    pub rows: &'a [Backup],
}

pub(super) fn write(page: &mut Page, addons: &[Addon], backups: &BackupsSeen<'_>) {
    let Counts { good, failed, under_way } = backups.counts;
    page.head(
        "pierhead_backups_good_total",
        "counter",
        "Backups that were restored into a scratch addon and stored.",
    );
    page.sample(&[], good);
    page.head("pierhead_backups_failed_total", "counter", "Backups that failed.");
    page.sample(&[], failed);
    page.head("pierhead_backups_under_way", "gauge", "Backups, restores and clones that go on.");
    page.sample(&[], under_way);
    page.head(
        "pierhead_backup_last_success_timestamp_seconds",
        "gauge",
        "When the latest good backup was begun.",
    );
    for addon in addons.iter().take(ADDONS_MAX) {
        let good = backups.rows.iter().filter(|row| row.addon == addon.name && row.state == State::Good);
        if let Some(at) = good.map(|row| row.started_at).max() {
            page.sample(&[("addon", addon.name.as_str())], at.unsigned_abs() / 1000);
        }
    }
}
