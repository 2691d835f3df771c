//! Much data: what goes in is what comes out, and the splice lane has carried it.

use super::clients::script;
use super::engine::{Engine, PASSWORD};
use super::stage::{HOST, Stage};
use crate::control::wait_for;

const MEBIBYTES: u64 = 256;

#[test]
fn copy_of_256_mib_in_and_out_has_equal_hashes() {
    let stage = Stage::new("");
    let engine = Engine::shared();
    stage.wait_until_routed(engine);
    let (port, mebibytes) = (stage.pierhead.port.to_string(), MEBIBYTES.to_string());
    let hashes = script("postgres_copy.py").args([HOST, &port, &engine.name, PASSWORD, &mebibytes]).json();
    assert_eq!(hashes["in"], hashes["out"]);
    let bytes = MEBIBYTES << 20;
    assert!(hashes["in"].as_str().unwrap().starts_with(&format!("{bytes} ")), "{hashes}");
    // Counters, not hope: each direction was promoted, and has delivered no byte less than it was given. How often it
    // was promoted is a matter of pace: the server writes 8 KiB at a time, and a quick reader takes each by itself.
    stage.settle(engine);
    let addon = format!("addon=\"{}\"", engine.name);
    for direction in ["client_to_backend", "backend_to_client"] {
        let way = format!("direction=\"{direction}\"");
        let by_lane = |lane| stage.metric("pierhead_bytes_total", &[&addon, &way, lane]);
        wait_for("all bytes to be counted", std::time::Duration::from_secs(30), || by_lane("lane=") >= bytes);
        let (copied, spliced) = (by_lane("lane=\"copy\""), by_lane("lane=\"splice\""));
        assert!(spliced > bytes / 100 && copied > 0, "{direction}: {copied} B copied, {spliced} B spliced");
    }
}
