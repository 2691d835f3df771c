//! Drivers of three languages and four families: each does the same through the edge as directly, and sees the same.

use std::io::Write;

use comfy_table::Table;
use serde_json::{Map, Value, json};
use tokio_postgres::{Client, Config, Error, NoTls};

use super::clients::script;
use super::engine::{self, Engine, PASSWORD};
use super::stage::{HOST, Stage};

/// Where a driver's cases are written down.
pub const DRIVERS: [(&str, &str); 7] = [
    ("psycopg", "postgres_cases.py"),
    ("psycopg2", "postgres_cases.py"),
    ("asyncpg", "postgres_cases.py"),
    ("pg8000", "postgres_cases.py"),
    ("pg", "postgres_cases.js"),
    ("postgres.js", "postgres_cases.js"),
    ("tokio-postgres", "here"),
];
/// What must be the same through the edge as directly.
pub const SAME: [&str; 6] = ["login", "parameter", "result", "prepared", "crowd", "wrong"];
const UNKNOWN: &str = "nobody-here";

#[test]
fn every_driver_sees_what_it_sees_on_a_direct_connection() {
    let stage = Stage::new("");
    let engine = Engine::shared();
    stage.wait_until_routed(engine);
    let direct = engine.address().unwrap().to_string();
    let mut table = Table::new();
    table.set_header([&["client"], &SAME[..], &["unknown", "stopped"]].concat());
    for (driver, source) in DRIVERS {
        let mut through = cases(driver, source, HOST, stage.pierhead.port, engine);
        let directly = cases(driver, source, &direct, 5432, engine);
        let mut row = vec![driver.to_owned()];
        for case in SAME {
            let place = (format!("{HOST}:{}", stage.pierhead.port), format!("{direct}:5432"));
            let (seen, expected) = (anywhere(&through[case], &place.0), anywhere(&directly[case], &place.1));
            assert_eq!(seen, expected, "{driver}, {case}");
            row.push("as direct".to_owned());
        }
        assert_eq!(through["login"], json!({"ok": engine.name}), "{driver}");
        assert_eq!(through["crowd"], json!({"ok": 50}), "{driver}");
        assert_eq!(through["prepared"], json!({"ok": [55, 5050, 500_500]}), "{driver}");
        assert!(through["result"]["ok"].as_str().is_some_and(|text| text.starts_with("300000 ")), "{driver}");
        assert!(text_of(&through["wrong"]).contains("password authentication failed for user"), "{driver}");
        let off = engine::stopped();
        let expected = [
            (
                "unknown",
                "28000",
                format!("no addon named \"{UNKNOWN}\""),
                "Log in as the addon's name".into(),
            ),
            ("stopped", "57P03", format!("addon \"{off}\" is stopped"), format!("\"pierhead start {off}\"")),
        ];
        for (case, code, message, hint) in expected {
            let seen = through[case].take();
            let text = text_of(&seen);
            assert!(text.contains(&message) && text.contains(&hint), "{driver}, {case}: {seen}");
            // Drivers on libpq do not tell the code of a login that has failed.
            assert!([json!(code), Value::Null].contains(&seen["code"]), "{driver}, {case}: {seen}");
            row.push(seen["code"].as_str().unwrap_or("message, hint").to_owned());
        }
        table.add_row(row);
    }
    stage.settle(engine);
    // Not print!: a test that succeeds is not heard.
    writeln!(std::io::stderr(), "{table}").unwrap();
}

/// What was seen, without the place that some drivers name in their messages.
pub fn anywhere(seen: &Value, place: &str) -> String {
    let (host, port) = place.rsplit_once(':').unwrap();
    seen.to_string().replace(host, "HOST").replace(&format!("port {port}"), "port PORT")
}

fn text_of(seen: &Value) -> &str {
    seen["text"].as_str().unwrap_or_default()
}

fn cases(driver: &str, source: &str, host: &str, port: u16, engine: &Engine) -> Value {
    if driver == "tokio-postgres" {
        return tokio_postgres_cases(host, port, &engine.name);
    }
    let (unknown, stopped) = (format!("unknown={UNKNOWN}"), format!("stopped={}", engine::stopped()));
    let port = port.to_string();
    script(source).args([driver, host, &port, &engine.name, PASSWORD, &unknown, &stopped]).json()
}

fn tokio_postgres_cases(host: &str, port: u16, name: &str) -> Value {
    let logins = [
        ("login", name, PASSWORD),
        ("parameter", name, PASSWORD),
        ("result", name, PASSWORD),
        ("prepared", name, PASSWORD),
        ("crowd", name, PASSWORD),
        ("wrong", name, "not the password"),
        ("unknown", UNKNOWN, PASSWORD),
        ("stopped", engine::stopped(), PASSWORD),
    ];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut seen = Map::new();
    for (case, user, password) in logins {
        let mut config = Config::new();
        config.host(host).port(port).user(user).password(password).dbname(user);
        let value = match runtime.block_on(tokio_postgres_case(case, &config)) {
            Ok(value) => json!({"ok": value}),
            Err(error) => described(&error),
        };
        seen.insert(case.to_owned(), value);
    }
    seen.into()
}

async fn tokio_postgres_case(case: &str, config: &Config) -> Result<Value, Error> {
    if case == "crowd" {
        let all = futures_util::future::try_join_all((0..50).map(|_| one_of_a_crowd(config))).await?;
        return Ok(json!(all.len()));
    }
    let (client, connection) = config.connect(NoTls).await?;
    let connection = tokio::spawn(connection);
    let value = match case {
        "parameter" => {
            let parameter = "0123456789".repeat(30_000);
            let row = client.query_one("select $1::text", &[&parameter]).await?;
            let back: String = row.get(0);
            json!([back.len(), back == parameter])
        }
        "result" => {
            let row = client.query_one("select repeat('0123456789', 30000)", &[]).await?;
            let text: String = row.get(0);
            json!(format!("{} {}", text.len(), text == "0123456789".repeat(30_000)))
        }
        "prepared" => prepared(&client).await?,
        _ => json!(client.query_one("select current_user::text", &[]).await?.get::<_, String>(0)),
    };
    drop(client);
    let _ = connection.await;
    Ok(value)
}

/// As in `tests/clients/postgres_cases.py`: waits until fifty sessions are here at once, and then until all have seen that.
async fn one_of_a_crowd(config: &Config) -> Result<(), Error> {
    let (client, connection) = config.connect(NoTls).await?;
    let connection = tokio::spawn(connection);
    let crowd = format!("crowd-{}", std::process::id());
    let wait = format!(
        "set application_name = '{crowd}'; do $$ begin for n in 1..1200 loop perform pg_stat_clear_snapshot();
         if (select count(*) from pg_stat_activity where application_name = '{crowd}') >= 50
         then perform pg_sleep(2); return; end if; perform pg_sleep(0.05); end loop; raise exception 'alone'; end $$"
    );
    client.batch_execute(&wait).await?;
    drop(client);
    let _ = connection.await;
    Ok(())
}

async fn prepared(client: &Client) -> Result<Value, Error> {
    let statement = client.prepare("select sum(n) from generate_series(1, $1::int) n").await?;
    let mut sums = vec![];
    for n in [10, 100, 1000] {
        sums.push(client.query_one(&statement, &[&n]).await?.get::<_, i64>(0));
    }
    Ok(json!(sums))
}

fn described(error: &Error) -> Value {
    let Some(error) = error.as_db_error() else { return json!({"text": error.to_string()}) };
    let hint = error.hint().map(|hint| format!("\nHINT:  {hint}")).unwrap_or_default();
    json!({"code": error.code().code(), "text": format!("{}{hint}", error.message())})
}
