//! Who may in, and what those read who may not.

use super::clients::psql;
use super::engine::{self, Engine, PASSWORD};
use super::stage::{HOST, Stage};

#[test]
fn psql_logs_in_or_reads_why_not() {
    let stage = Stage::new("");
    let engine = Engine::shared();
    stage.wait_until_routed(engine);
    assert_eq!(stage.sql(engine, "select current_user || ' ' || current_database()"), {
        format!("{0} {0}", engine.name)
    });

    // A role of the addon's own: the part before the dot leads there.
    let role = format!("{}.reader", engine.name);
    engine.sql(&format!("create role \"{role}\" login password 'p'"));
    let as_role = psql(HOST, stage.pierhead.port, &role, "p").args(["-d", &engine.name]);
    let ended = as_role.args(["-c", "select current_user"]).run();
    assert_eq!((ended.code, ended.stdout.trim()), (Some(0), &*role), "{}", ended.stderr);

    // The wrong password is the database's business: the same words as on a direct connection.
    let direct = engine.address().unwrap().to_string();
    let wrong = |host: &str, port| psql(host, port, &engine.name, "wrong").args(["-c", "select 1"]).run();
    let (through, directly) = (wrong(HOST, stage.pierhead.port), wrong(&direct, 5432));
    assert!(directly.stderr.contains("FATAL:  password authentication failed for user"), "{directly:?}");
    let port = stage.pierhead.port.to_string();
    let through_text = through.stderr.replace(HOST, &direct).replace(&port, "5432");
    assert_eq!((through.code, through_text), (directly.code, directly.stderr));

    refused(
        &stage,
        "nobody-here",
        "FATAL:  no addon named \"nobody-here\"",
        "HINT:  Log in as the addon's name",
    );
    let off = engine::stopped();
    let hint = format!("HINT:  \"pierhead start {off}\" starts it.");
    refused(&stage, off, &format!("FATAL:  addon \"{off}\" is stopped"), &hint);
    stage.settle(engine);
}

/// Logs in as `name`, and must read both texts.
#[track_caller]
fn refused(stage: &Stage, name: &str, message: &str, hint: &str) {
    let ended = psql(HOST, stage.pierhead.port, name, PASSWORD).args(["-c", "select 1"]).run();
    assert_eq!(ended.code, Some(2), "{ended:?}");
    for text in [message, hint] {
        assert!(ended.stderr.contains(text), "{:?} does not say {text:?}", ended.stderr);
    }
}
