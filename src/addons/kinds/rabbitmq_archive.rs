//! The definitions of RabbitMQ: queues, exchanges, bindings and policies of the addon's virtual host. Users, their passwords and
//! rights are Pierhead's, and stay out; messages no program of the server can write down.

use serde_json::{Map, Value, json};

use super::archive::{Archive, Edit, Ends};
use crate::dialect::Name;

/// How definitions are written out and read in.
pub(super) fn archive() -> Archive {
    Archive {
        format: "definitions of RabbitMQ (JSON)",
        extension: "json",
        export: ["rabbitmqctl", "-q", "export_definitions", "-"].map(str::to_owned).to_vec(),
        import: ["sh", "-c", IMPORT].map(str::to_owned).to_vec(),
        import_prefix: String::new(),
        // What is tried first, in a virtual host of its own, is what could fail.
        atomic: true,
        swap: None,
        edit: Some(Edit { out, back }),
        // It takes none: who is root in the container has the server's cookie.
        password_variable: "PIERHEAD_UNUSED",
        check: is_whole,
    }
}

fn is_whole(ends: Ends<'_>) -> Result<(), &'static str> {
    match (ends.head.trim_ascii_start(), ends.tail.trim_ascii_end()) {
        ([b'{', ..], [.., b'}']) => Ok(()),
        _ => Err("it is no JSON object"),
    }
}

/// What a server writes, without what is not the addon's.
fn out(name: &Name, written: &[u8]) -> Result<Vec<u8>, String> {
    let found = parse(written)?;
    let mut kept = Map::new();
    for (key, value) in &found {
        if key.ends_with("_version") {
            kept.insert(key.clone(), value.clone());
        }
    }
    kept.insert("vhosts".into(), json!([{ "name": name.as_str() }]));
    for list in LISTS {
        let own = of(&found, list)?.iter().filter(|item| item["vhost"] == name.as_str());
        kept.insert(list.into(), own.cloned().collect());
    }
    Ok(format!("{}\n", Value::Object(kept)).into_bytes())
}

/// Two lines for [`IMPORT`]: the same for a virtual host in which it is tried, and for the addon's own.
fn back(name: &Name, archive: &[u8]) -> Result<Vec<u8>, String> {
    let found = parse(archive)?;
    let mut text = String::new();
    for vhost in [format!("{name}{TRIAL}"), name.to_string()] {
        let mut renamed = Map::from_iter([("vhosts".to_owned(), json!([{ "name": vhost }]))]);
        for list in LISTS {
            let mut items = of(&found, list)?.clone();
            for item in &mut items {
                let item = item.as_object_mut().ok_or_else(|| format!("something in {list} is no object"))?;
                item.insert("vhost".into(), vhost.clone().into());
            }
            renamed.insert(list.into(), items.into());
        }
        text.push_str(&format!("{}\n", Value::Object(renamed)));
    }
    Ok(text.into_bytes())
}

fn parse(bytes: &[u8]) -> Result<Map<String, Value>, String> {
    let found: Map<String, Value> = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if found.contains_key("queues") { Ok(found) } else { Err("there are no queues in it".into()) }
}

fn of<'a>(found: &'a Map<String, Value>, list: &str) -> Result<&'a Vec<Value>, String> {
    found.get(list).and_then(Value::as_array).ok_or_else(|| format!("{list} is no list in it"))
}

const LISTS: [&str; 4] = ["queues", "exchanges", "bindings", "policies"];
/// A dot is in no addon's name.
const TRIAL: &str = ".trial";

/// The trial's virtual host goes again whatever comes of it. What is in the addon's own already stays.
const IMPORT: &str = r#"set -eu
dir=$(mktemp -d)
cat >"$dir/both"
sed -n 1p "$dir/both" >"$dir/trial"
sed -n 2p "$dir/both" >"$dir/own"
vhost=$(sed 's/.*"vhosts":\[{"name":"\([^"]*\)".*/\1/' "$dir/trial")
trap 'rabbitmqctl -q delete_vhost "$vhost" >/dev/null 2>&1; rm -rf "$dir"' EXIT
rabbitmqctl -q import_definitions "$dir/trial"
rabbitmqctl -q import_definitions "$dir/own""#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_the_addons_stays_out_and_the_name_is_the_new_ones() {
        let name = |text| Name::parse(text).unwrap();
        let written = json!({
            "rabbitmq_version": "3.10.8",
            "users": [{ "name": "blog", "password_hash": "sesame" }],
            "permissions": [{ "user": "blog", "vhost": "blog" }],
            "vhosts": [{ "name": "/" }, { "name": "blog" }],
            "queues": [{ "name": "q", "vhost": "blog" }, { "name": "other", "vhost": "/" }],
            "exchanges": [], "bindings": [], "policies": [],
        });
        let archive = out(&name("blog"), written.to_string().as_bytes()).unwrap();
        let text = String::from_utf8(archive.clone()).unwrap();
        assert!(!text.contains("sesame") && !text.contains("other") && text.contains("3.10.8"), "{text}");
        assert_eq!(is_whole(Ends { head: &archive, tail: &archive }), Ok(()));
        let both = String::from_utf8(back(&name("new"), &archive).unwrap()).unwrap();
        let lines: Vec<Value> = both.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines[0]["queues"], json!([{ "name": "q", "vhost": "new.trial" }]));
        assert_eq!((&lines[1]["queues"][0]["vhost"], lines.len()), (&json!("new"), 2));
        assert!(lines[1].get("users").is_none());
        for bad in [
            "{}",
            "[]",
            "{\"queues\": 1}",
            "{\"queues\": [1], \"exchanges\": [], \"bindings\": [], \"policies\": []}",
        ] {
            assert!(back(&name("new"), bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
