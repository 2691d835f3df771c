//! What clients that need no script of tests/clients see in each of its cases (see redis_cases.py): redis-cli, and the
//! crate redis.

use redis::{
    Client, Connection, ConnectionAddr, IntoConnectionInfo, ProtocolVersion, RedisConnectionInfo, RedisResult,
};
use serde_json::{Map, Value, json};

use super::clients::{Program, program, redis_cli};
use super::engine::PASSWORD;

const VALUE_LEN: usize = 300_000;
const CONNECTIONS: usize = 50;

/// What redis-cli sees, each case with `options` as further arguments. It has no publishing that ends by itself.
pub fn redis_cli_cases(
    host: &str,
    port: u16,
    name: &str,
    options: impl Fn(&str) -> Vec<String>,
    others: &[(&str, &str)],
) -> Value {
    let as_user = |user: &str, password: &str| {
        let options = options(user);
        redis_cli(host, port, user, password).args(options.iter().map(String::as_str))
    };
    let cli = || as_user(name, PASSWORD);
    let login = |cli: Program| cli.args(["ACL", "WHOAMI"]);
    // Without a name it sends AUTH with one argument.
    let alone = program("redis-cli").args(["-h", host, "-p", &port.to_string()]);
    let alone = alone.env("REDISCLI_AUTH", &format!("{name}:{PASSWORD}"));
    let mut seen = Map::from_iter([
        ("login".to_owned(), said(login(cli()))),
        ("value".to_owned(), cli_value(&cli)),
        ("pipeline".to_owned(), cli_pipeline(&cli)),
        ("many".to_owned(), cli_many(&cli)),
        ("wrong".to_owned(), said(login(as_user(name, "not the password")))),
    ]);
    if options(name).is_empty() {
        seen.insert("alone".to_owned(), said(login(alone)));
    }
    seen.extend(
        others.iter().map(|(case, other)| ((*case).to_owned(), said(login(as_user(other, PASSWORD))))),
    );
    seen.into()
}

/// An answer, or what a person sees: a login that fails is told on stderr, a connection that fails too.
fn said(cli: Program) -> Value {
    let ended = cli.run();
    if ended.code == Some(0) && ended.stderr.is_empty() {
        json!({"ok": ended.stdout.trim_end()})
    } else {
        json!({"text": ended.stderr + &ended.stdout})
    }
}

/// In three parts, as an argument of a program holds 128 KiB at most.
fn cli_value(cli: &impl Fn() -> Program) -> Value {
    let parts = ["a", "b", "c"].map(|letter| letter.repeat(VALUE_LEN / 3));
    let pairs = ["one", "two", "three"].into_iter().zip(&parts).flat_map(|(key, part)| [key, part.as_str()]);
    let set = cli().args(["MSET"]).args(pairs).run();
    let back = cli().args(["MGET", "one", "two", "three"]).run().stdout;
    let same = back.lines().eq(parts.iter().map(String::as_str));
    json!({"ok": format!("{} {} {same}", back.lines().map(str::len).sum::<usize>(), set.stdout.trim())})
}

fn cli_pipeline(cli: &impl Fn() -> Program) -> Value {
    let commands: String = (0..5_000).map(|n| format!("INCRBY redis-cli-sum {n}\r\n")).collect();
    cli().args(["DEL", "redis-cli-sum"]).run();
    let piped = cli().args(["--pipe"]).run_with_input(commands.as_bytes());
    assert!(piped.stdout.ends_with("errors: 0, replies: 5000\n"), "{}", piped.stdout);
    let sum = cli().args(["GET", "redis-cli-sum"]).run().stdout;
    json!({"ok": sum.trim().parse::<u64>().ok()})
}

fn cli_many(cli: &impl Fn() -> Program) -> Value {
    let running: Vec<_> = (0..CONNECTIONS).map(|_| cli().args(["ECHO", "here"]).start()).collect();
    let ended = running.into_iter().map(|client| client.finish());
    json!({"ok": ended.filter(|ended| ended.stdout == "here\n").count()})
}

/// What the crate redis sees.
pub fn redis_rs_cases(
    host: &str,
    port: u16,
    protocol: ProtocolVersion,
    name: &str,
    others: &[(&str, &str)],
) -> Value {
    type Work = fn(&Client, &mut Connection) -> RedisResult<Value>;
    let alone = format!("{name}:{PASSWORD}");
    let cases: [(&str, Option<&str>, &str, Work); 7] = [
        ("login", Some(name), PASSWORD, login),
        ("value", Some(name), PASSWORD, value),
        ("pipeline", Some(name), PASSWORD, pipeline),
        ("published", Some(name), PASSWORD, published),
        ("many", Some(name), PASSWORD, many),
        ("alone", None, &alone, login),
        ("wrong", Some(name), "not the password", login),
    ];
    let others = others.iter().map(|(case, user)| (*case, Some(*user), PASSWORD, login as Work));
    let attempt = |user: Option<&str>, password: &str, work: Work| {
        let mut login = RedisConnectionInfo::default().set_password(password).set_protocol(protocol);
        if let Some(user) = user {
            login = login.set_username(user);
        }
        let address = ConnectionAddr::Tcp(host.to_owned(), port);
        let client = Client::open(address.into_connection_info()?.set_redis_settings(login))?;
        work(&client, &mut client.get_connection()?)
    };
    let seen = cases.into_iter().chain(others).map(|(case, user, password, work)| {
        let result = attempt(user, password, work);
        let seen =
            result.map_or_else(|error| json!({"text": error.to_string()}), |value| json!({"ok": value}));
        (case.to_owned(), seen)
    });
    Map::from_iter(seen).into()
}

fn login(_: &Client, connection: &mut Connection) -> RedisResult<Value> {
    redis::cmd("ACL").arg("WHOAMI").query::<String>(connection).map(Value::from)
}

fn value(_: &Client, connection: &mut Connection) -> RedisResult<Value> {
    let value: Vec<u8> = (0..VALUE_LEN).map(|n| ((n * 7919 + n / 251) % 256) as u8).collect();
    redis::cmd("SET").arg("value").arg(&value).exec(connection)?;
    let back: Vec<u8> = redis::cmd("GET").arg("value").query(connection)?;
    Ok(format!("{} {}", back.len(), back == value).into())
}

fn pipeline(_: &Client, connection: &mut Connection) -> RedisResult<Value> {
    let mut commands = redis::pipe();
    (0..5_000u32).for_each(|n| _ = commands.cmd("ECHO").arg(format!("{n:060}")));
    let answers: Vec<String> = commands.query(connection)?;
    Ok(answers.iter().map(|answer| answer.parse::<u64>().unwrap_or_default()).sum::<u64>().into())
}

fn published(client: &Client, connection: &mut Connection) -> RedisResult<Value> {
    let mut listener = client.get_connection()?;
    let mut messages = listener.as_pubsub();
    messages.subscribe("channel")?;
    redis::cmd("PUBLISH").arg("channel").arg(vec![b'x'; VALUE_LEN]).exec(connection)?;
    Ok(messages.get_message()?.get_payload_bytes().len().into())
}

fn many(client: &Client, _: &mut Connection) -> RedisResult<Value> {
    let connections = (0..CONNECTIONS).map(|_| {
        let client = client.clone();
        std::thread::spawn(move || client.get_connection())
    });
    // All are open before the first is used.
    let connections: Vec<_> =
        connections.collect::<Vec<_>>().into_iter().map(|thread| thread.join().unwrap()).collect();
    let mut answers = 0;
    for connection in connections {
        answers += usize::from(redis::cmd("ECHO").arg("here").query::<String>(&mut connection?)? == "here");
    }
    Ok(answers.into())
}
