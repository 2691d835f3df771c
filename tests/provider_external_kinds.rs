//! The promise of tests/provider_external.rs for other kinds: Redis, and MariaDB, whose servers block a host that connects and goes
//! too often - and the host that looks after them is the one that all clients come from.

#![allow(clippy::unwrap_used, reason = "a test")]

mod control;
#[path = "provider_external/elsewhere.rs"]
#[allow(dead_code, reason = "a part of it is for tests/provider_external.rs")]
mod elsewhere;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use control::{Ended, Pierhead, docker, further_port, redis_image, wait_for};
use elsewhere::{Container, HostName};

const SOON: Duration = Duration::from_secs(60);

#[test]
fn a_redis_elsewhere_is_ready_when_a_login_has_succeeded() {
    let (mut pierhead, host) = configured("");
    pierhead.serve(None);
    let name = pierhead.name("cache");
    let acl = ["redis-server", "--user", &name, "on", ">sesame", "~*", "&*", "+@all"];
    let away = Container::run(&pierhead.name("redis"), &[], &redis_image(), &acl);
    host.leads_to(&[&away.address()]);
    let ended = create(&pierhead, &name, "redis", &host.name, "sesame", &[]);
    assert_eq!(ended.code, Some(0), "{ended:?}\n{}", pierhead.log_text());
    assert!(ended.stdout.starts_with("redis://") && ended.stdout.contains("sesame@127.0.0.1:"), "{ended:?}");
    assert_eq!(pierhead.json(&["info", &name])["backend"]["at"], format!("{}:6379", host.name));
    let mut client = TcpStream::connect(("127.0.0.1", pierhead.redis_port)).unwrap();
    client.set_read_timeout(Some(SOON)).unwrap();
    write!(client, "AUTH {name} sesame\r\nSET k v\r\n").unwrap();
    let mut answer = [0; 10];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"+OK\r\n+OK\r\n");
    assert!(pierhead.ok(&["env", "--addon", &name]).starts_with("export REDIS_URL='redis://"));
}

#[test]
fn a_mariadb_elsewhere_is_looked_after_and_does_not_block_the_edge() {
    let port = further_port();
    let (mut pierhead, host) =
        configured(&format!("[[listener]]\ndialect = \"mysql\"\nlisten = [\"127.0.0.1:{port}\"]\n"));
    pierhead.serve(None);
    let (known, unknown) = (pierhead.name("known"), pierhead.name("unknown"));
    let away = mariadb(&pierhead, &known, &unknown);
    host.leads_to(&[&away.address()]);
    let ended = create(&pierhead, &known, "mariadb", &host.name, "sesame", &[]);
    assert_eq!(ended.code, Some(0), "{ended:?}\n{}", pierhead.log_text());
    // Its password is not told: ready when it has accepted a connection.
    let args = ["create", "elsewhere", &unknown, "--protocol", "mysql", "--host", &host.name];
    let ended = pierhead.run(&args);
    assert!(ended.code == Some(0) && ended.stderr.contains("was not told the password"), "{ended:?}");
    assert!(
        ended.stderr.contains(&format!("mysql://{unknown}:PASSWORD@127.0.0.1:{port}/{unknown}")),
        "{ended:?}"
    );
    let url = pierhead.run(&["url", &unknown]);
    assert!(url.code == Some(4) && url.stderr.contains("PASSWORD"), "{url:?}");

    // It is looked at once a second: four times what blocks a host here.
    let looks = || {
        pierhead.log_text().lines().filter(|line| line.contains("addon=") && line.contains("backend")).count()
    };
    assert!(looks() >= 2, "both were located");
    std::thread::sleep(Duration::from_secs(12));
    for (name, user) in [(&known, &known), (&unknown, &unknown)] {
        assert_eq!(pierhead.state(name), "ready", "{}", pierhead.log_text());
        assert_eq!(login(port, user), "1");
    }
    // That would have been found: so many connections without a login do block.
    for _ in 0..6 {
        let _ =
            TcpStream::connect((away.address().as_str(), 3306)).map(|mut stream| stream.read(&mut [0; 200]));
    }
    wait_for("this host to be blocked", SOON, || {
        login(port, &unknown).contains("its server has blocked the edge")
    });
    docker(&["exec", &away.name, "mariadb-admin", "--user=root", "--password=root", "flush-hosts"]);
    assert_eq!(login(port, &unknown), "1");
}

fn login(port: u16, user: &str) -> String {
    let mut command = std::process::Command::new("mariadb");
    let port = format!("--port={port}");
    command.args(["--no-defaults", "--skip-ssl", "--host=127.0.0.1", &port, "-N", "-B", "-e", "SELECT 1"]);
    let output = command.arg(format!("--user={user}")).arg(user).env("MYSQL_PWD", "sesame").output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&said).trim().to_owned()
}

/// One that blocks a host after four connections that came to nothing.
fn mariadb(pierhead: &Pierhead, one: &str, other: &str) -> Container {
    let env =
        ["MARIADB_ROOT_PASSWORD=root", "MARIADB_ROOT_HOST=%", "MARIADB_PASSWORD=sesame"].map(str::to_owned);
    let env = [&env[..], &[format!("MARIADB_USER={one}"), format!("MARIADB_DATABASE={one}")]].concat();
    let env: Vec<&str> = env.iter().flat_map(|variable| ["--env", variable.as_str()]).collect();
    let args = ["mariadbd", "--skip-name-resolve=0", "--host-cache-size=128", "--max-connect-errors=4"];
    let container = Container::run(&pierhead.name("mariadb"), &env, "pierhead/mariadb:10.11", &args);
    let sql = |sql: &str| {
        let run = ["exec", &container.name, "mariadb", "--user=root", "--password=root", "-e", sql];
        control::try_docker(&run)
    };
    // Over its socket it may be the server that only sets the database up.
    let ping = [
        "exec",
        &container.name,
        "mariadb-admin",
        "-h127.0.0.1",
        "--protocol=tcp",
        "--user=root",
        "--password=root",
        "ping",
    ];
    wait_for("MariaDB", Duration::from_secs(120), || control::try_docker(&ping).is_ok());
    let grant = format!(
        "CREATE DATABASE `{other}`; CREATE USER `{other}`@`%` IDENTIFIED BY 'sesame'; GRANT ALL ON `{other}`.* TO `{other}`@`%`"
    );
    sql(&grant).unwrap();
    container
}

fn create(
    pierhead: &Pierhead,
    name: &str,
    protocol: &str,
    host: &str,
    password: &str,
    more: &[&str],
) -> Ended {
    let where_it_is = ["--protocol", protocol, "--host", host];
    pierhead.try_create("elsewhere", name, password, &[&where_it_is, more].concat())
}

fn configured(more: &str) -> (Pierhead, HostName) {
    let pierhead = Pierhead::stopped();
    let host = HostName::new(&format!("{}.test", pierhead.name("host")));
    pierhead.configure_too(&format!(
        "[provider.elsewhere]\ntype = \"external\"\nallow = [\"{}\"]\n[backend]\ncheck_every = \"1s\"\n{more}",
        host.name
    ));
    (pierhead, host)
}
