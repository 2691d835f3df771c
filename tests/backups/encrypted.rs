//! Backups that only who has an age identity can read.

use age::secrecy::ExposeSecret;

use super::stage::{POSTGRES, Stage};

#[test]
fn what_is_encrypted_is_read_with_the_identity_and_with_no_other() {
    let stage = Stage::stopped(&POSTGRES);
    let (right, wrong) = (age::x25519::Identity::generate(), age::x25519::Identity::generate());
    let (right_file, wrong_file) = (stage.file("right.key"), stage.file("wrong.key"));
    std::fs::write(&right_file, right.to_string().expose_secret()).unwrap();
    std::fs::write(&wrong_file, wrong.to_string().expose_secret()).unwrap();
    let recipients = format!("[backup]\nrecipients = [\"{}\"]\n", right.to_public());
    let mut stage = stage.serve(&recipients);
    let one = stage.name("one");
    stage.create(&one);
    stage.fill(&one);
    let sum = stage.sum(&one);

    // The server has no identity, and knows all the same that the backup is good.
    let backup = stage.pierhead.json(&["backup", &one]);
    let (id, file) = (backup["id"].as_str().unwrap(), backup["file"].as_str().unwrap());
    assert!(backup["encrypted"] == true && file.ends_with(".dump.age"), "{backup}");
    let stored = std::fs::read(stage.file("data/backups").join(file)).unwrap();
    assert!(stored.starts_with(b"age-encryption.org/v1\n"));
    assert!(!stored.windows(5).any(|window| window == b"PGDMP"));
    let manifest =
        std::fs::read_to_string(stage.file("data/backups").join(&one).join(format!("{id}.manifest.json")));
    assert!(manifest.unwrap().contains("\"encrypted\": true"));

    stage.change(&one);
    let changed = stage.sum(&one);
    let missing = stage.file("none.key");
    for (identity, expected) in
        [(None, "set identity"), (Some(&wrong_file), "cannot be decrypted"), (Some(&missing), "none.key")]
    {
        stage.pierhead.kill();
        let line = identity.map(|file| format!("identity = \"{}\"\n", file.display())).unwrap_or_default();
        stage.configure(&format!("{recipients}{line}"));
        stage.pierhead.serve(None);
        stage.pierhead.ok(&["wait", &one]);
        let refused = stage.pierhead.run(&["restore", &one, "--from", id]);
        assert!(refused.code == Some(2) && refused.stderr.contains(expected), "{refused:?}");
        assert_eq!(stage.sum(&one), changed);
    }
    stage.pierhead.kill();
    stage.configure(&format!("[backup]\nidentity = \"{}\"\n", right_file.display()));
    stage.pierhead.serve(None);
    stage.pierhead.ok(&["wait", &one]);
    stage.pierhead.ok(&["restore", &one, "--from", id]);
    assert_eq!(stage.sum(&one), sum);
    // Whoever has the age program and the identity needs no Pierhead.
    let plain = age::decrypt(&right, &stored).unwrap();
    assert!(plain.starts_with(b"PGDMP"));
    stage.leaves_nothing(&[&one]);
}
