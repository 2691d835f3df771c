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
    wait_for("doctor to be content", Duration::from_secs(120), || says("what is to be backed up is"));

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

#[test]
fn an_addon_has_a_schedule_of_its_own() {
    let mut stage = Stage::new(&REDIS, "");
    let (one, other) = (stage.name("one"), stage.name("other"));
    for name in [&one, &other] {
        stage.create(name);
    }
    let doctor = stage.pierhead.run(&["doctor"]).stdout;
    assert!(doctor.contains("only when somebody asks"), "{doctor}");
    assert!(stage.pierhead.ok(&["schedule", &one]).contains("when somebody asks, as the configuration says"));
    let said = stage.pierhead.json(&["schedule", &one, "15s"]);
    assert!(said["every_s"] == 15 && said["own"] == true, "{said}");
    for bad in ["often", "0s", "10ms", ""] {
        let refused = stage.pierhead.run(&["schedule", &one, bad]);
        assert_eq!(refused.code, Some(2), "{refused:?}");
    }
    // It outlives a restart.
    stage.pierhead.kill();
    stage.pierhead.serve(None);
    wait_for("two good ones", Duration::from_secs(120), || {
        stage.pierhead.json(&["backups", &one])["backups"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|backup| backup["state"] == "good")
            .count()
            >= 2
    });
    assert_eq!(stage.good(&other).len(), 0);
    let said = stage.pierhead.json(&["schedule", &one, "off"]);
    assert!(said.get("every_s").is_none() && said["own"] == true, "{said}");
    let said = stage.pierhead.json(&["schedule", &one, "default"]);
    assert!(said.get("every_s").is_none() && said["own"] == false, "{said}");
    wait_for("the last one to end", Duration::from_secs(60), || stage.addons().len() == 2);
    stage.leaves_nothing(&[&one, &other]);
}
