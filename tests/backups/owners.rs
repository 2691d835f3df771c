//! What a token of an app may do with backups: take and restore those of its own addons, and no more.

use super::stage::{REDIS, Stage};

#[test]
fn who_has_a_token_of_an_app_backs_its_own_addons_up_and_no_more() {
    let stage = Stage::new(&REDIS, "");
    let (one, free) = (stage.name("one"), stage.name("free"));
    let token = |name: &str, app: &str| {
        let made = ["token", "create", name, "--role", "owner", "--app", app];
        stage.pierhead.ok(&made).trim().to_owned()
    };
    let (shop, crm) = (token("shop-ci", "shop"), token("crm-ci", "crm"));
    let run = |token: &str, arguments: &[&str]| {
        let output = stage.pierhead.command(arguments).env("PIERHEAD_TOKEN", token).output().unwrap();
        (output.status.code(), format!("{output:?}"))
    };
    let forbidden = |token: &str, arguments: &[&str], expected: &str| {
        let (code, said) = run(token, arguments);
        assert!(code == Some(1) && said.contains(expected), "{arguments:?}: {said}");
    };
    stage.pierhead.ok(&["create", "redis", &one, "--app", "shop"]);
    stage.create(&free);
    stage.fill(&one);
    let sum = stage.sum(&one);
    let (code, said) = run(&shop, &["backup", &one]);
    assert_eq!(code, Some(0), "{said}");
    let id = stage.good(&one).pop().unwrap();
    stage.change(&one);
    let (code, said) = run(&shop, &["restore", &one, "--from", &id]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(stage.sum(&one), sum);
    let other = stage.backup(&free);
    for arguments in [
        &["backup", &one, "--to", "local"][..],
        &["backup", &one, "--keep", "1"],
        &["restore", &one, "--from", &other],
        &["clone", &one, &stage.name("new")],
    ] {
        forbidden(&shop, arguments, "only an admin may");
    }
    for arguments in
        [&["backup", &free][..], &["backups", &free], &["backups"], &["backups", "--adopt", "local"]]
    {
        forbidden(&shop, arguments, "this token is for the app shop");
    }
    let new = stage.name("new");
    forbidden(&shop, &["restore", &one, "--from", &id, "--as", &new], "this token is for the app shop");
    forbidden(&crm, &["restore", &one, "--from", &id], "this token is for the app crm");

    // Another app's addon of the same name: what the earlier one had is not its business.
    stage.pierhead.ok(&["destroy", &one, "--force"]);
    stage.pierhead.ok(&["create", "redis", &one, "--app", "crm"]);
    let (code, said) = run(&crm, &["backups", &one]);
    assert!(code == Some(0) && !said.contains(&id), "{said}");
    forbidden(&crm, &["restore", &one, "--from", &id], "only an admin may");
    let (code, said) = run(&crm, &["backups", &one, "--remove", &id]);
    assert!(code == Some(3) && stage.good(&one) == [id], "{said}");
    stage.leaves_nothing(&[&one, &free]);
}
