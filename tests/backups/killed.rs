//! SIGKILL at every step of a backup and of a restore into a new addon: the next Pierhead says that it has failed, and nothing of
//! it is left.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use super::control::wait_for;
use super::stage::{REDIS, Stage};

#[test]
fn a_killed_backup_has_failed_and_leaves_nothing() {
    let mut stage = Stage::new(&REDIS, "[backup]\nkeep = 1\n");
    let one = stage.name("one");
    stage.create(&one);
    stage.fill(&one);
    let good = stage.backup(&one);
    let sum = stage.sum(&one);
    let points =
        ["before:backup-verify", "before:backup-import", "after:backup-archive", "after:backup-manifest"];
    for (nth, point) in points.iter().enumerate() {
        cut_off(&mut stage, point, &["backup", &one]);
        wait_for("the next one to clean up", Duration::from_secs(120), || {
            stage.backups(&one, "failed").len() == nth + 1
                && stage.addons() == [one.as_str()]
                && files(&stage, &one) == 2
        });
        let failed = stage.backups(&one, "failed").pop().unwrap();
        assert!(failed["reason"].as_str().unwrap().contains("pierhead ended while it was"), "{failed}");
        assert!(stage.pierhead.ok(&["events", &one]).contains("pierhead ended while it was"), "{point}");
        assert_eq!((stage.good(&one), stage.sum(&one)), (vec![good.clone()], sum.clone()), "{point}");
    }

    // A new one is good, and the old one is to go.
    cut_off(&mut stage, "before:backup-remove", &["backup", &one]);
    wait_for("the old one to go", Duration::from_secs(60), || files(&stage, &one) == 2);
    assert!(stage.good(&one).len() == 1 && stage.good(&one) != [good.clone()]);

    let (id, new) = (stage.good(&one).pop().unwrap(), stage.name("new"));
    for verb in [&["restore", &one, "--from", &id, "--as", &new][..], &["clone", &one, &new]] {
        cut_off(&mut stage, "before:fill-new", verb);
        wait_for("the new addon to go", Duration::from_secs(120), || stage.addons() == [one.as_str()]);
        stage.pierhead.ok(verb);
        assert_eq!(stage.sum(&new), sum);
        stage.pierhead.ok(&["destroy", &new, "--force"]);
    }
    stage.leaves_nothing(&[&one]);
}

/// Asks for something, kills Pierhead at this point, and starts the next one.
fn cut_off(stage: &mut Stage, point: &str, arguments: &[&str]) {
    stage.pierhead.kill();
    stage.pierhead.serve(Some(point));
    wait_for("the addon", Duration::from_secs(60), || stage.pierhead.state(arguments[1]) == "ready");
    let mut asked =
        stage.pierhead.command(arguments).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    wait_for("the crash point", Duration::from_secs(120), || stage.pierhead.has_stopped_at_crash_point());
    stage.pierhead.kill();
    assert!(!asked.wait().unwrap().success(), "{point}");
    stage.pierhead.serve(None);
}

/// How many files are at the target.
fn files(stage: &Stage, name: &str) -> usize {
    fs::read_dir(stage.file("data/backups").join(name)).unwrap().count()
}
