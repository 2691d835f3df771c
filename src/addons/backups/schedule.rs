//! When a backup is due, and which go. Sans-IO: in come rows and the time.

use super::{Backup, State};
use crate::addons::UnixMs;

/// When the next backup of an addon is due; `rows` are its backups. A failed one is tried again sooner.
pub fn due_at(rows: &[Backup], created_at: UnixMs, every_ms: i64) -> UnixMs {
    let last = rows.iter().filter(|row| row.started_at >= created_at).max_by_key(|row| row.started_at);
    match last {
        None => created_at,
        Some(row) if row.state == State::Failed => row.started_at + every_ms.min(RETRY_MS),
        Some(row) => row.started_at + every_ms,
    }
}

/// Whether an addon that is to be backed up has no good backup that is young enough.
pub fn is_overdue(rows: &[Backup], created_at: UnixMs, every_ms: i64, now: UnixMs) -> bool {
    let good = rows.iter().filter(|row| row.state == State::Good).map(|row| row.started_at).max();
    good.unwrap_or(created_at).max(created_at).saturating_add(every_ms.saturating_mul(2)) < now
}

/// The backups at one target that go: beyond the latest `keep`, or older than `keep_for_ms`. The latest good one stays in any
/// case. Of those that failed a few are kept, for people.
pub fn surplus(rows: &[Backup], keep: usize, keep_for_ms: Option<i64>, now: UnixMs) -> Vec<&Backup> {
    let latest = |state: State| {
        let mut found: Vec<_> = rows.iter().filter(|row| row.state == state).collect();
        found.sort_by_key(|row| std::cmp::Reverse(row.started_at));
        found
    };
    let is_old = |row: &Backup| keep_for_ms.is_some_and(|max| row.started_at.saturating_add(max) < now);
    let good = latest(State::Good).into_iter().enumerate().skip(1);
    let good = good.filter(|(nth, row)| *nth >= keep || is_old(row)).map(|(_, row)| row);
    good.chain(latest(State::Failed).into_iter().skip(FAILED_KEPT)).collect()
}

const RETRY_MS: i64 = 3_600_000;
const FAILED_KEPT: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::Name;

    fn row(started_at: UnixMs, state: State) -> Backup {
        let name = |text| Name::parse(text).unwrap();
        Backup {
            id: format!("blog-{started_at}"),
            addon: name("blog"),
            kind: name("postgres"),
            plan: name("small"),
            image: "postgres:17".into(),
            target: name("local"),
            state,
            reason: None,
            extension: "dump".into(),
            bytes: 1,
            sha256: String::new(),
            stored_bytes: 1,
            stored_sha256: String::new(),
            encrypted: false,
            scheduled: true,
            started_at,
            finished_at: None,
        }
    }

    #[test]
    fn a_backup_is_due_at_once_then_every_time_and_sooner_after_a_failure() {
        let day = 86_400_000;
        assert_eq!(due_at(&[], 50, day), 50);
        assert_eq!(due_at(&[row(100, State::Good)], 50, day), 100 + day);
        assert_eq!(due_at(&[row(100, State::Good), row(200, State::Failed)], 50, day), 200 + RETRY_MS);
        assert_eq!(due_at(&[row(100, State::Failed)], 50, 1000), 1100);
        // Those of an earlier addon of this name say nothing.
        assert_eq!(due_at(&[row(100, State::Good)], 500, day), 500);
    }

    #[test]
    fn overdue_is_twice_the_time_without_a_good_one() {
        let rows = [row(100, State::Good), row(900, State::Failed)];
        assert!(!is_overdue(&rows, 0, 1000, 2100) && is_overdue(&rows, 0, 1000, 2101));
        assert!(!is_overdue(&[], 5000, 1000, 7000) && is_overdue(&[], 5000, 1000, 7001));
        assert!(!is_overdue(&rows, 0, i64::MAX, 1 << 50));
    }

    #[test]
    fn the_latest_stay_and_the_last_good_one_in_any_case() {
        let rows = [row(1, State::Good), row(2, State::Good), row(3, State::Failed), row(4, State::Good)];
        let ids = |rows: Vec<&Backup>| rows.iter().map(|row| row.started_at).collect::<Vec<_>>();
        assert_eq!(ids(surplus(&rows, 2, None, 100)), [1]);
        assert_eq!(ids(surplus(&rows, 3, Some(97), 100)), [2, 1]);
        assert_eq!(ids(surplus(&rows, 9, Some(1), 1000)), [2, 1]);
        assert_eq!(ids(surplus(&rows, 0, None, 100)), [2, 1]);
        let failed: Vec<_> = (0..12).map(|at| row(at, State::Failed)).collect();
        assert_eq!(ids(surplus(&failed, 1, None, 100)), [1, 0]);
        // What is under way or about to go is nobody's surplus.
        let under_way = [row(1, State::Storing), row(2, State::Removing), row(3, State::Good)];
        assert_eq!(surplus(&under_way, 0, Some(0), 100).len(), 0);
    }
}
