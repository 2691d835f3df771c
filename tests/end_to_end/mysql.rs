//! MySQL and MariaDB through the edge: who may in, what those read who may not, and that the edge judges bytes as the
//! server does.

use std::net::SocketAddr;
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, OptsBuilder};

use super::clients::mariadb;
use super::engine::{PASSWORD, name, own_network};
use super::mysql_engine::{
    BASE, Mariadb, MysqlStage, OTHER_PASSWORD, PORT, Packet, framed, from_anywhere, greeted, head, packet,
    respond, stopped,
};
use super::stage::HOST;
use crate::control::{Ended, docker, wait_for};

#[test]
fn the_mariadb_program_logs_in_or_reads_why_not() {
    let edge = MysqlStage::new("");
    let engine = Mariadb::shared();
    edge.wait_until_routed(engine);
    let through = |sql: &str| engine.cli(HOST, edge.port).args(["-N", "-e", sql]).run().stdout;
    assert_eq!(through("select current_user(), database()"), format!("{0}@%\t{0}\n", engine.name));
    let compressed =
        engine.cli(HOST, edge.port).args(["--compress", "-N", "-e", "show status like 'compression'"]);
    assert_eq!(compressed.run().stdout, "Compression\tON\n");

    // A role of the addon's own: the part before the dot leads there.
    let role = format!("{}.other", engine.name);
    let as_role =
        mariadb(HOST, edge.port, &role, OTHER_PASSWORD).args(["-N", "-e", "select current_user()"]).run();
    assert_eq!(as_role.stdout, format!("{role}@%\n"), "{as_role:?}");

    // What the server decides is in its own words: a wrong password, a missing database, TLS that it has not.
    let direct = engine.address().unwrap().to_string();
    let cases: [(&str, &[&str], &str); 3] = [
        ("wrong", &[&engine.name], "ERROR 1045 (28000): Access denied for user"),
        (PASSWORD, &["nowhere"], "ERROR 1044 (42000): Access denied for user"),
        (PASSWORD, &["--ssl-verify-server-cert"], "ERROR 2026 (HY000): TLS/SSL error: SSL is required, but"),
    ];
    for (password, arguments, text) in cases {
        let run = |host: &str, port| {
            mariadb(host, port, &engine.name, password)
                .args(arguments.iter().copied())
                .args(["-e", "select 1"])
                .run()
        };
        let (through, directly) = (run(HOST, edge.port), run(&direct, PORT));
        assert!(directly.stderr.starts_with(text), "{directly:?}");
        assert_eq!(
            (through.code, from_anywhere(&through.stderr)),
            (directly.code, from_anywhere(&directly.stderr))
        );
    }

    let off = stopped();
    let refusals = [
        (
            "nobody-here",
            "ERROR 1045 (28000): Access denied for user 'nobody-here': no addon has that name. Log in as the addon's \
             name: mysql://NAME:PASSWORD@HOST/DB. \"pierhead list\" shows the names.\n"
                .to_owned(),
        ),
        (&off, format!("ERROR 1105 (08S01): addon \"{off}\" is stopped. \"pierhead start {off}\" starts it.\n")),
    ];
    for (name, text) in refusals {
        let ended = login(&edge, name);
        assert_eq!((ended.code, ended.stderr), (Some(1), text));
    }
    edge.stage.settle_addon(&engine.name);
    assert!(edge.stage.metric("pierhead_routed_total", &["protocol=\"mysql\""]) >= 4);
    assert_eq!(edge.stage.metric("pierhead_refused_total", &["protocol=\"mysql\"", "reason=\"stopped\""]), 1);
}

fn login(edge: &MysqlStage, name: &str) -> Ended {
    mariadb(HOST, edge.port, name, PASSWORD).args(["-e", "select 1"]).run()
}

/// What a server says to bytes of any kind behind its greeting.
#[test]
fn the_edge_judges_bytes_as_the_server_does() {
    let edge = MysqlStage::new("");
    let engine = Mariadb::shared();
    edge.wait_until_routed(engine);
    let (at, server) = (edge.address(), SocketAddr::new(engine.address().unwrap(), PORT));
    let user = [engine.name.as_bytes(), b"\0"].concat();
    let (database, attributes, lenenc, tls) = (1 << 3, 1 << 20, 1 << 21, 1 << 11);
    let response = |flags, rest: &[u8]| framed(1, &[&head(flags)[..], &user, rest].concat());
    let cases = [
        // Understood: the server asks for the account's own plugin.
        response(BASE, b"\0x\0"),
        response(BASE, b"\0x"),
        response(BASE & !1, b"\0x\0"),
        response(BASE | tls, b"\0x\0"),
        response(BASE | 1 << 27, b"\0x\0"),
        response(BASE & !(1 << 15), b"hash\0x\0"),
        response(BASE | lenenc, b"\xfe\x03\0\0\0\0\0\0\0abcx\0"),
        response(BASE | database, b"\0app\0x\0"),
        response(BASE | attributes, b"\0x\0\x04\x01a\x01b"),
        response(BASE | attributes, b"\0x\0\x04\x09a\x01b"),
        response(BASE | attributes, b"\0x\0\x04\x01a\x01bjunk"),
        framed(1, &[&head(BASE)[..], b"'", engine.name.as_bytes(), b"'\0\0x\0"].concat()),
        // Not understood: a request for TLS that was not offered, fields that do not end, other protocols.
        framed(1, &head(BASE | tls)),
        framed(1, &head(BASE)),
        framed(1, &head(BASE)[..31]),
        framed(1, b""),
        framed(1, b"a"),
        framed(1, &[&head(BASE)[..], b"\0"].concat()),
        framed(1, &[&head(BASE)[..], b"user"].concat()),
        framed(1, b"\x01\x80\0\0\x01user\0pw"),
        response(BASE, b"\x20abc"),
        response(BASE | lenenc, b"\xfbx\0"),
        response(BASE | lenenc, b"\xffx\0"),
        response(BASE | lenenc, b"\xfe\xff\xff\xff\xff\xff\xff\xff\xffx\0"),
        response(BASE | database, b"\0"),
        response(BASE | attributes, b"\0x\0"),
        response(BASE | attributes, b"\0x\0\x20abc"),
        framed(0, &head(BASE)),
        framed(2, &head(BASE)),
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03".to_vec(),
    ];
    for bytes in cases {
        let (through, directly) = (Answer::to(&bytes, at), Answer::to(&bytes, server));
        assert!(through.is_like(&directly), "{bytes:?}: {through:?}, but {directly:?}");
    }
}

/// A server's answer to a client's first packet.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    /// The number of the packet, the plugin, and the length of its nonce.
    Switch(u8, String, usize),
    /// The number of the packet, the code, and the text with an SQLSTATE in front.
    Error(u8, u16, String),
}

impl Answer {
    fn to(bytes: &[u8], at: SocketAddr) -> Answer {
        use std::io::Write;
        let (mut socket, greeting) = greeted(at);
        assert_eq!((greeting.sequence, greeting.payload[0]), (0, 10));
        socket.write_all(bytes).unwrap();
        let Packet { sequence, payload } = packet(&mut socket);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        match payload[0] {
            AUTH_SWITCH => {
                let end = payload.iter().position(|byte| *byte == 0).unwrap();
                Answer::Switch(sequence, text(&payload[1..end]), payload.len() - end)
            }
            0xff => {
                Answer::Error(sequence, u16::from_le_bytes([payload[1], payload[2]]), text(&payload[3..]))
            }
            other => panic!("{other:x} {payload:?}"),
        }
    }

    /// The same, but for what the edge adds to the server's text.
    fn is_like(&self, server: &Answer) -> bool {
        match (self, server) {
            (Answer::Error(a, b, text), Answer::Error(c, d, words)) => {
                (a, b) == (c, d) && text.starts_with(words)
            }
            _ => self == server,
        }
    }
}

/// The client takes the edge's number for its connection's; to end a query by it must hit nobody.
#[test]
fn the_number_of_a_connection_leads_nowhere() {
    let edge = MysqlStage::new("");
    let engine = Mariadb::shared();
    edge.wait_until_routed(engine);
    block_on(async {
        let mut connection = connect(&edge, engine).await.unwrap();
        let told = connection.id();
        assert!((0x7fff_ff00..=0x7fff_ffff).contains(&told), "{told}");
        let real: Option<u32> = connection.query_first("select connection_id()").await.unwrap();
        assert!(real.is_some_and(|real| real < 0x7fff_ff00));
        match connection.query_drop(format!("kill query {told}")).await {
            Err(Error::Server(error)) => assert_eq!((error.code, &*error.state), (1094, "HY000"), "{error}"),
            other => panic!("{other:?}"),
        }
        connection.disconnect().await.unwrap();
    });
}

#[test]
fn fifty_connections_at_once_are_fifty_sessions() {
    let edge = MysqlStage::new("");
    let engine = Mariadb::shared();
    edge.wait_until_routed(engine);
    edge.stage.settle_addon(&engine.name);
    block_on(async {
        let connections = futures_util::future::join_all((0..50).map(|_| connect(&edge, engine))).await;
        let mut connections: Vec<Conn> = connections.into_iter().map(Result::unwrap).collect();
        let mut sessions = std::collections::HashSet::new();
        for connection in &mut connections {
            sessions.insert(connection.query_first::<u32, _>("select connection_id()").await.unwrap());
        }
        assert_eq!(sessions.len(), 50);
        let addon = format!("addon=\"{}\"", engine.name);
        wait_for("the addon's counter to say so", Duration::from_secs(30), || {
            edge.stage.metric("pierhead_connections_active", &[&addon]) == 50
        });
        for connection in connections {
            connection.disconnect().await.unwrap();
        }
    });
    edge.stage.settle_addon(&engine.name);
}

/// Anybody who knows a name can begin a log-in and leave.
#[test]
fn a_hundred_abandoned_log_ins_do_not_lock_an_addon_up() {
    let edge = MysqlStage::new("");
    let engine = Mariadb::shared();
    edge.wait_until_routed(engine);
    assert!((0..120).all(|_| abandon(&edge, &engine.name) == AUTH_SWITCH));
    let ended = login(&edge, &engine.name);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    edge.stage.settle_addon(&engine.name);
}

/// One that looks names up keeps count of who leaves; and who comes then reads what to do.
#[test]
fn a_server_that_turns_the_edge_away_is_not_quoted() {
    let edge = MysqlStage::new("");
    let gateway = docker(&["network", "inspect", "-f", "{{(index .IPAM.Config 0).Gateway}}", own_network()]);
    let host = format!("edge-of-this-host:{gateway}");
    let arguments =
        ["--skip-name-resolve=0", "--host-cache-size=128", "--max-connect-errors=10", "--max-connections=10"];
    let options = ["--add-host", &host];
    let engine = Mariadb::start("mysql-touchy", &options, &arguments);
    edge.wait_until_routed(&engine);
    let refused = |text: &str| {
        let ended = login(&edge, &engine.name);
        assert_eq!(ended.code, Some(1));
        assert!(ended.stderr.starts_with(text) && !ended.stderr.contains(&gateway), "{}", ended.stderr);
    };

    // Ten are in, one is on its way; the server has no place for the next one.
    block_on(async {
        let mut inside = vec![];
        for _ in 0..10 {
            inside.push(connect(&edge, &engine).await.unwrap());
        }
        let (mut waiting, _) = greeted(edge.address());
        respond(&mut waiting, 1, &engine.name);
        assert_eq!(packet(&mut waiting).payload[0], AUTH_SWITCH);
        refused("ERROR 1040 (08004): Too many connections: its server has no room for more; close those");
        drop(waiting);
        for connection in inside {
            connection.disconnect().await.unwrap();
        }
    });
    edge.stage.settle_addon(&engine.name);

    assert!((0..20).any(|_| abandon(&edge, &engine.name) == ERR), "the server minds nothing");
    let addon = &engine.name;
    refused(&format!(
        "ERROR 1105 (08S01): addon \"{addon}\" is not reachable (its server has blocked the edge, error 1129"
    ));
    engine.as_root("flush hosts");
    assert_eq!(login(&edge, &engine.name).code, Some(0));
}

/// Leaves when the server waits for the password. What the server has said last.
fn abandon(edge: &MysqlStage, name: &str) -> u8 {
    let (mut socket, _) = greeted(edge.address());
    respond(&mut socket, 1, name);
    packet(&mut socket).payload[0]
}

#[test]
fn who_says_nothing_or_half_of_it_reads_that_it_took_too_long() {
    use std::io::Read;
    let edge = MysqlStage::new("[limits]\nidentify_timeout = \"500ms\"\n");
    for bytes in [&b""[..], &framed(1, &head(BASE))[..20]] {
        use std::io::Write;
        let (mut socket, _) = greeted(edge.address());
        socket.write_all(bytes).unwrap();
        let Packet { sequence, payload } = packet(&mut socket);
        assert_eq!((sequence, &payload[..9]), (2, &b"\xff\x87\x04#08S01"[..]));
        assert!(payload[9..].starts_with(b"Got timeout reading communication packets"));
        assert_eq!(socket.read(&mut [0]).unwrap(), 0, "an orderly end");
    }
    assert_eq!(
        edge.stage.metric("pierhead_refused_total", &["protocol=\"mysql\"", "reason=\"too_slow\""]),
        2
    );
}

#[test]
fn a_container_that_is_there_but_no_server_is_not_reachable() {
    let edge = MysqlStage::new("[limits]\ndial_timeout = \"600ms\"\n");
    let name = name("mysql-deaf");
    let label = ["-l", "pierhead.protocol=mysql"];
    super::engine::run(
        &[
            &["-d", "--name", &name, "--network", own_network()],
            &label[..],
            &["pierhead/tiny:1", "sleep", "1d"],
        ]
        .concat(),
    );
    let text = format!(
        "ERROR 1105 (08S01): addon \"{name}\" is not reachable (connection refused). Retry in a few seconds; \
         \"pierhead info {name}\" shows what is wrong.\n"
    );
    wait_for("the route", Duration::from_secs(30), || login(&edge, &name).stderr == text);
}

/// The first bytes of an AuthSwitchRequest and of an error.
const AUTH_SWITCH: u8 = 0xfe;
const ERR: u8 = 0xff;

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

async fn connect(edge: &MysqlStage, engine: &Mariadb) -> Result<Conn, Error> {
    let options = OptsBuilder::default().ip_or_hostname(HOST).tcp_port(edge.port).prefer_socket(false);
    Conn::new(options.user(Some(&engine.name)).pass(Some(PASSWORD)).db_name(Some(&engine.name))).await
}
