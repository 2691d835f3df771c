//! The promise of docs/providers.md: its example is a provider. It is compiled, registered and used here as it stands there.

#![allow(clippy::unwrap_used, reason = "a test")]

mod control;
#[path = "provider_external/elsewhere.rs"]
#[allow(dead_code, reason = "a part of it is for tests/provider_external.rs")]
mod elsewhere;
#[path = "../docs/examples/program.rs"]
mod program;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use control::{Pierhead, wait_for};
use elsewhere::Elsewhere;
use pierhead::addons::providers::{House, Providers, TYPES};
use pierhead::config::Config;
use pierhead::control::{ControlThread, LiveEdge};
use pierhead::edge::Edge;
use pierhead::routes::Table;

#[test]
fn the_document_shows_what_is_compiled_here() {
    let (document, example) =
        (include_str!("../docs/providers.md"), include_str!("../docs/examples/program.rs"));
    assert!(
        document.contains(&format!("```rust\n{example}```")),
        "docs/providers.md and docs/examples/program.rs differ"
    );
}

#[test]
fn its_table_in_the_configuration_is_checked_with_its_place() {
    let types = [TYPES, &[program::PROGRAM]].concat();
    let build = |table: &str| {
        let config = Config::parse(&format!("[provider.cloud]\n{table}\n"), Path::new("p.toml")).unwrap();
        Providers::build(&config, &types, &House::new(Path::new("/nowhere")))
            .map(drop)
            .map_err(|error| error.to_string())
    };
    assert_eq!(build("type = \"program\"\nprogram = \"/bin/x\"\nspeaks = \"postgres\""), Ok(()));
    for (table, at, words) in [
        ("type = \"program\"\nprogram = \"/bin/x\"\nspeaks = \"odd\"", "p.toml:4:10: ", "expected a kind"),
        (
            "type = \"program\"\nprogram = \"/bin/x\"\nspeaks = \"redis\"\nspeed = 1",
            "p.toml:5:9: ",
            "unknown field `speed`",
        ),
        ("type = \"program\"\nspeaks = \"redis\"", "p.toml:2:1: ", "missing field `program`"),
        ("type = \"program\"\nprogram = 7\nspeaks = \"redis\"", "p.toml:3:11: ", "invalid type"),
        ("type = \"programme\"", "p.toml:2:", "expected one of: external, secret, program"),
    ] {
        let error = build(table).unwrap_err();
        assert!(error.starts_with(at) && error.contains(words), "{table}: {error}");
    }
}

/// In this process: an edge, a control thread that knows one more type, and a program that makes "databases": it leads to one that is
/// there, after it has failed once and has been asked three times.
#[test]
fn a_database_is_made_by_it_reached_by_name_and_removed() {
    let pierhead = Pierhead::stopped();
    let name = pierhead.name("made");
    let away = Elsewhere::start(&pierhead.name("db"), &name);
    let dir = pierhead.dir.path();
    let script = dir.join("make-database");
    let text = format!(
        "#!/bin/sh\ncd {dir}\necho \"$*\" >>calls\ncase $1 in\n\
         begin) [ -e once ] || {{ touch once; echo no room >&2; exit 1; }}; echo id-$2;;\n\
         status) echo x >>asked; [ $(wc -l <asked) -gt 3 ] && echo ready {address} 5432 || echo pending 0;;\n\
         remove) rm -f asked;;\nesac\n",
        dir = dir.display(),
        address = away.address,
    );
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    pierhead.configure_too(&format!(
        "[provider.cloud]\ntype = \"program\"\nprogram = \"{}\"\nspeaks = \"postgres\"\n",
        script.display()
    ));

    let here = Here::start(&pierhead);
    let ended = pierhead.try_create("cloud", &name, &away.password, &[]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.starts_with(&format!("postgres://{name}:")), "{ended:?}");
    assert_eq!(pierhead.sql(&name, "SELECT current_user"), name);
    let info = pierhead.json(&["info", &name]);
    assert_eq!((&info["provider"], &info["kind"]), (&"cloud".into(), &"postgres".into()));
    let events = pierhead.ok(&["events", &name]);
    for words in ["no room", "the database id-", "provisioning:provider", "provisioned", "ready"] {
        assert!(events.contains(words), "{words} is not in\n{events}");
    }
    pierhead.ok(&["destroy", &name, "--force"]);
    assert!(pierhead.ok(&["events", &name]).contains(&format!("the database {name} is removed")));
    let calls = fs::read_to_string(dir.join("calls")).unwrap();
    let count = |call: String| calls.lines().filter(|line| **line == call).count();
    assert_eq!(count(format!("begin {name}")), 2, "{calls}");
    assert_eq!(count(format!("status id-{name}")), 4, "{calls}");
    assert!(count(format!("remove {name}")) >= 1 && calls.ends_with(&format!("remove {name}\n")), "{calls}");
    here.end();
}

/// A call that does not return is broken off, and the program with it; at the deadline that is an error.
#[test]
fn a_program_that_hangs_holds_nobody_up() {
    let pierhead = Pierhead::stopped_without_docker();
    let (script, pids) = (pierhead.dir.path().join("make-database"), pierhead.dir.path().join("pids"));
    let text = format!("#!/bin/sh\n[ $1 = remove ] && exit\necho $$ >>{}\nexec sleep 600\n", pids.display());
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    pierhead.configure_too(&format!(
        "[provider.cloud]\ntype = \"program\"\nprogram = \"{}\"\nspeaks = \"postgres\"\n\
         [deadlines]\ncall = \"300ms\"\nstep = \"1s\"\n",
        script.display()
    ));
    let here = Here::start(&pierhead);
    let (name, other) = (pierhead.name("hangs"), pierhead.name("key"));
    let ended = pierhead.run(&["create", "cloud", &name]);
    assert!(ended.code == Some(1) && ended.stderr.contains("did not answer within 300ms"), "{ended:?}");
    pierhead.ok(&["create", "secret", &other]);
    let page = pierhead.http("GET", "/metrics", b"").1;
    assert!(page.contains("pierhead_addon_errors_total{state=\"provisioning\"} 1"), "{page}");
    pierhead.ok(&["destroy", &name, "--force"]);
    let pids = fs::read_to_string(pids).unwrap();
    assert!(pids.lines().count() >= 2, "it was tried again");
    wait_for("the programs to be gone", Duration::from_secs(20), || {
        pids.lines().all(|pid| !Path::new("/proc").join(pid).join("exe").exists())
    });
    here.end();
}

/// An edge and a control thread in this process, that know the example.
struct Here {
    edge: Edge,
    control: ControlThread,
}

impl Here {
    fn start(pierhead: &Pierhead) -> Self {
        let mut config = Config::load(Some(&pierhead.config())).unwrap();
        if let Some(host) = &pierhead.docker_host {
            config.docker.host = Some(host.clone());
        }
        let (config, table) = (Arc::new(config), Arc::new(Table::new()));
        let edge = Edge::start(&config, &table).unwrap();
        let live = Arc::new(LiveEdge::new(edge.view(), Arc::clone(&config)));
        let types = [TYPES, &[program::PROGRAM]].concat();
        let control = ControlThread::start_with(config, table, live, &types).unwrap();
        Here { edge, control }
    }

    fn end(self) {
        self.control.shutdown();
        self.edge.drain(Duration::ZERO, Duration::ZERO);
        wait_for("the edge to end", Duration::from_secs(20), || self.edge.is_over());
    }
}
