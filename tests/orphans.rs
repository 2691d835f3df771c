//! The promise: what of Pierhead's belongs to no addon is found, and removed if somebody wants it so; nothing else is.

#![allow(clippy::unwrap_used, reason = "a test")]

mod control;

use std::fs;

use control::{Pierhead, docker, try_docker};
use serde_json::Value;

#[test]
fn what_belongs_to_no_addon_is_found_and_removed() {
    let mut pierhead = Pierhead::start();
    let (kept, lost) = (pierhead.name("kept"), pierhead.name("lost"));
    for name in [&kept, &lost] {
        pierhead.ok(&["create", "redis", name]);
    }
    assert_eq!(orphans(&pierhead), [""; 0]);
    let url = pierhead.ok(&["url", &kept]);

    // As if the store had been put back from a copy of last week.
    pierhead.kill();
    let data = pierhead.dir.path().join("data");
    let store = rusqlite::Connection::open(data.join("pierhead.db")).unwrap();
    store.execute("DELETE FROM addons WHERE name = ?1", [&lost]).unwrap();
    drop(store);
    let half = data.join("secrets").join(pierhead.name("half"));
    fs::create_dir(&half).unwrap();
    fs::write(half.join(".password.new"), "").unwrap();
    // Somebody else's, and one of ours under another name.
    let label = pierhead.label().unwrap().trim_start_matches("label=").to_owned();
    let (foreign, odd) = (format!("pierhead-{}", pierhead.name("foreign")), pierhead.name("odd"));
    docker(&["volume", "create", &foreign]);
    let labels = [label.as_str(), "pierhead.managed=true", &format!("pierhead.name={lost}")];
    docker(&["volume", "create", "--label", labels[0], "--label", labels[1], "--label", labels[2], &odd]);
    pierhead.serve(None);

    let mut expected = vec![
        format!("container {lost}"),
        format!("secret {}", data.join("secrets").join(&lost).display()),
        format!("secret {}", half.display()),
        format!("volume {odd}"),
        format!("volume pierhead-{lost}"),
    ];
    expected.sort();
    assert_eq!(orphans(&pierhead), expected);
    let shown = pierhead.ok(&["doctor"]);
    assert!(shown.contains("warn  orphans") && shown.contains("pierhead doctor --fix"), "{shown}");

    // Nobody is there to be asked: nothing happens.
    let refused = pierhead.run(&["doctor", "--fix"]);
    assert!(refused.code == Some(2) && refused.stderr.contains("--force"), "{refused:?}");
    assert_eq!(orphans(&pierhead), expected);

    let fixed = pierhead.ok(&["doctor", "--fix", "--force"]);
    assert!(fixed.contains(&format!("volume {odd} (is left: remove it by hand)")), "{fixed}");
    assert_eq!(orphans(&pierhead), [format!("volume {odd}")]);
    assert!(try_docker(&["inspect", &lost]).is_err() && !half.exists());
    assert_eq!(docker(&["volume", "ls", "-q", "--filter", &format!("name=^{foreign}$")]), foreign);
    assert_eq!(pierhead.state(&kept), "ready");
    assert_eq!(pierhead.ok(&["url", &kept]), url);
    docker(&["volume", "rm", &odd, &foreign]);
    // Its name is free again.
    pierhead.ok(&["create", "redis", &lost]);
    // Nobody's data are removed because somebody sends a wrong name.
    let (status, body) =
        pierhead.http("POST", "/v1/doctor/fix", format!(r#"{{"names": ["{kept}"]}}"#).as_bytes());
    assert_eq!((status, body.as_str()), (200, r#"{"taken_on":[]}"#));
    assert_eq!(pierhead.state(&kept), "ready");
}

/// What doctor says belongs to no addon.
fn orphans(pierhead: &Pierhead) -> Vec<String> {
    let ended = pierhead.run(&["doctor", "--json"]);
    let found: Value = serde_json::from_str(&ended.stdout).unwrap();
    let text = |one: &Value, key: &str| one[key].as_str().unwrap().to_owned();
    let all = found["orphans"].as_array().cloned().unwrap_or_default();
    let mut all: Vec<_> =
        all.iter().map(|one| format!("{} {}", text(one, "what"), text(one, "called"))).collect();
    all.sort();
    all
}
