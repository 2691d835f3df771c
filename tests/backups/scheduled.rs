//! Backups that nobody asks for.

use std::fs;
use std::time::Duration;

use super::control::wait_for;
use super::stage::{REDIS, Stage};

#[test]
fn addons_are_backed_up_when_it_is_due() {
    let stage = Stage::stopped(&REDIS);
    let disk = stage.file("disk");
    fs::create_dir(&disk).unwrap();
    let stage = stage.serve(&format!(
        "[backup]\nevery = \"15s\"\nkeep = 2\nto = \"disk\"\n[backup.target.disk]\nurl = \"file://{}\"\n",
        disk.display()
    ));
    let (one, other) = (stage.name("one"), stage.name("other"));
    for name in [&one, &other] {
        stage.create(name);
    }
    stage.pierhead.ok(&["create", "postgres", &stage.name("third")]);
    for name in [&one, &other, &stage.name("third")] {
        wait_for("a second good backup", Duration::from_secs(120), || stage.good(name).len() >= 2);
        assert!(stage.backups(name, "good").iter().all(|backup| backup["scheduled"] == true));
        let metric = format!("pierhead_backup_last_success_timestamp_seconds{{addon=\"{name}\"}} ");
        assert!(stage.metrics().contains(&metric));
    }
    let says = |text: &str| stage.pierhead.run(&["doctor"]).stdout.contains(text);
    wait_for("doctor to be content", Duration::from_secs(120), || {
        says("every addon that can be backed up is")
    });

    // Nobody looks, and it fails.
    fs::rename(&disk, stage.file("elsewhere")).unwrap();
    wait_for("doctor to say so", Duration::from_secs(120), || {
        says(&format!("{one}: the latest backup failed: target disk"))
    });
    assert!(!stage.metrics().contains("pierhead_backups_failed_total 0\n"));
    assert!(stage.pierhead.ok(&["events", &one]).contains("failed: target disk"));
    assert!(stage.good(&one).len() <= 2, "older ones go");
    // It is tried again without anybody.
    let good = stage.good(&one);
    fs::rename(stage.file("elsewhere"), &disk).unwrap();
    wait_for("another good one", Duration::from_secs(120), || stage.good(&one).last() != good.last());
}
