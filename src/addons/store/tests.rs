use tempfile::TempDir;

use super::*;
use crate::addons::lifecycle::{Desired, Life, State, Step};
use crate::addons::logins::{Login, Phase, Rights, Role};
use crate::addons::{Backend, Order};
use crate::dialect::Protocol;

pub(super) fn addon(name: &str) -> Addon {
    Addon {
        name: Name::parse(name).unwrap(),
        kind: Name::parse("postgres").unwrap(),
        protocol: Protocol::Postgres,
        plan: Name::parse("small").unwrap(),
        order: crate::addons::Order::docker(),
        image: "postgres:17".into(),
        life: Life::new(1),
        container_id: None,
        created_at: 1,
        updated_at: 1,
        generation: 1,
        volume: 1,
    }
}

#[test]
fn rows_come_back_as_they_were_written() {
    let dir = TempDir::new().unwrap();
    let (blog, instance) = (addon("blog"), {
        let store = Store::open(dir.path()).unwrap();
        store.create(&addon("blog")).unwrap();
        store.create(&addon("api")).unwrap();
        store.instance().to_owned()
    });
    let store = Store::open(dir.path()).unwrap();
    assert_eq!((store.instance(), instance.len()), (instance.as_str(), 32));
    assert_eq!(store.addon(&blog.name).unwrap().as_ref(), Some(&blog));
    assert_eq!(store.addons().unwrap(), [addon("api"), blog.clone()]);

    let changed = store
        .change(&blog.name, |addon| {
            addon.container_id = Some("c".into());
            addon.life = Life {
                desired: Desired::Restart,
                state: State::Provisioning(Step::Login),
                reason: Some("why".into()),
                provisioned: true,
                checked: Some("then".into()),
                since: 2,
                attempts: 3,
                retry_at: 4,
            };
        })
        .unwrap();
    assert_eq!(store.addon(&blog.name).unwrap(), changed);
    store.forget(&blog.name).unwrap();
    store.forget(&blog.name).unwrap();
    assert_eq!(store.addon(&blog.name).unwrap(), None);
    assert_eq!(store.change(&blog.name, |_| {}).unwrap(), None);
}

#[test]
fn a_second_addon_of_a_name_changes_nothing() {
    let dir = TempDir::new().unwrap();
    let store = Store::open(dir.path()).unwrap();
    store.create(&addon("blog")).unwrap();
    let other = Addon { image: "other".into(), ..addon("blog") };
    assert!(matches!(store.create(&other), Err(StoreError::Exists(name)) if name.as_str() == "blog"));
    assert_eq!(store.addons().unwrap(), [addon("blog")]);
    assert_eq!(store.events(Some(&other.name), 0, 10).unwrap().len(), 1);
}

#[test]
fn changes_of_state_are_events() {
    let dir = TempDir::new().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let name = addon("blog").name;
    store.create(&addon("blog")).unwrap();
    store.change(&name, |addon| addon.life.state = State::Provisioning(Step::Image)).unwrap();
    store.change(&name, |addon| addon.life.attempts = 7).unwrap();
    store.change(&name, |addon| addon.life.desired = Desired::Stopped).unwrap();
    let events = store.events(Some(&name), 0, 2).unwrap();
    assert_eq!((events[0].from.as_str(), events[0].to.as_str()), ("waiting", "provisioning:image"));
    assert_eq!(events[1].note, "wanted stopped");
    store.create(&addon("shop")).unwrap();
    let latest = store.events(None, events[0].id, 10).unwrap();
    assert_eq!((&latest[0], latest[1].addon.as_str(), latest.len()), (&events[1], "shop", 2));
    for since in 0..2 * i64::from(events::EVENTS_MAX) {
        let state = if since % 2 == 0 { State::Ready } else { State::Stopped };
        store.change(&name, |addon| addon.life.state = state).unwrap();
    }
    assert_eq!(store.events(Some(&name), 0, 10_000).unwrap().len(), events::EVENTS_MAX as usize);
}

#[test]
fn one_process_at_a_time_and_no_later_format() {
    let dir = TempDir::new().unwrap();
    let store = Store::open(dir.path()).unwrap();
    assert!(matches!(Store::open(dir.path()), Err(StoreError::Locked(_))));
    store.connection().pragma_update(None, "user_version", 99).unwrap();
    drop(store);
    let error = Store::open(dir.path()).err().unwrap().to_string();
    assert!(error.contains("99") && error.contains("pierhead.db"), "{error}");
}

#[test]
fn a_row_that_makes_no_sense_is_named() {
    let dir = TempDir::new().unwrap();
    let store = Store::open(dir.path()).unwrap();
    store.create(&addon("blog")).unwrap();
    store.connection().execute("UPDATE addons SET state = 'odd'", []).unwrap();
    let error = store.addons().unwrap_err().to_string();
    assert!(error.contains("blog") && error.contains("odd") && error.contains("state"), "{error}");
}

#[test]
fn a_full_disk_fails_the_change_and_keeps_the_row() {
    let dir = TempDir::new().unwrap();
    let store = Store::open(dir.path()).unwrap();
    store.create(&addon("blog")).unwrap();
    // What SQLite does on a full disk, without filling one.
    let pages: i64 = store.connection().pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
    store.connection().pragma_update(None, "max_page_count", pages).unwrap();
    let long = "x".repeat(100_000);
    let result = store.change(&addon("blog").name, |addon| addon.life.reason = Some(long));
    assert!(matches!(result, Err(StoreError::Sqlite(_))));
    assert_eq!(store.addons().unwrap(), [addon("blog")]);
}

#[test]
fn logins_come_back_as_they_were_written_and_go_with_their_addon() {
    let dir = TempDir::new().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let (blog, shop) = (addon("blog"), addon("shop"));
    for addon in [&blog, &shop] {
        store.create(addon).unwrap();
    }
    let application = Login::application(&blog.name);
    assert_eq!(store.logins(&blog.name).unwrap(), std::slice::from_ref(&application));
    let write = |login: &Login| {
        let row = |_: &[Login]| Ok::<_, StoreError>((Written::Row(login.clone()), ()));
        store.change_logins(&login.addon, row).unwrap();
    };
    let mut reader = Login::bound(&blog.name, "reader".into(), Rights::ReadOnly, 7);
    write(&reader);
    write(&Login::bound(&shop.name, "reader".into(), Rights::Owner, 8));
    reader.phase = Phase::Grace(99);
    (reader.second, reader.end_sessions, reader.reason) = (true, true, Some("why".into()));
    write(&reader);
    let rotated = Login { phase: Phase::Rotating(5), ..application };
    write(&rotated);
    assert_eq!(store.logins(&blog.name).unwrap(), [rotated, reader]);

    let refused =
        store.change_logins(&blog.name, |_| Err::<(Written, ()), _>(StoreError::Exists(shop.name.clone())));
    assert!(refused.is_err());
    let gone = |_: &[Login]| Ok::<_, StoreError>((Written::Gone(Role::Bound("reader".into())), ()));
    store.change_logins(&blog.name, gone).unwrap();
    assert_eq!(store.logins(&blog.name).unwrap().len(), 1);
    store.forget(&blog.name).unwrap();
    let left = store.all_logins().unwrap();
    assert!(left.len() == 1 && left[0].addon == shop.name, "{left:?}");
}

#[test]
fn an_order_comes_back_as_it_was_written() {
    let dir = TempDir::new().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let order = Order {
        provider: Name::parse("rds").unwrap(),
        arguments: serde_json::json!({"host": "db.example.com", "port": 5432}).as_object().unwrap().clone(),
        id: Some("id".into()),
        backend: Backend::parse("db.example.com:5432"),
    };
    let addon = Addon { order, ..addon("blog") };
    store.create(&addon).unwrap();
    assert_eq!(store.addon(&addon.name).unwrap(), Some(addon));
}

/// What a Pierhead from before there were providers has left.
#[test]
fn an_older_store_is_brought_up_to_date() {
    let dir = TempDir::new().unwrap();
    let connection = Connection::open(dir.path().join("pierhead.db")).unwrap();
    for migration in &schema::MIGRATIONS[..7] {
        connection.execute_batch(migration).unwrap();
    }
    connection.pragma_update(None, "user_version", 7).unwrap();
    for (name, state) in [("going", "destroying"), ("coming", "provisioning:login"), ("blog", "ready")] {
        let row = format!(
            "INSERT INTO addons VALUES ('{name}', 'postgres', 'postgres', 'small', 'i', 'running', '{state}', NULL, 1, NULL, 1, 0, 0, NULL, 1, 1, 1, 1);
             INSERT INTO events (addon, at, from_state, to_state, note) VALUES ('{name}', 1, '{state}', 'destroyed', '');"
        );
        connection.execute_batch(&row).unwrap();
    }
    drop(connection);
    let store = Store::open(dir.path()).unwrap();
    let states: Vec<_> = store.addons().unwrap().iter().map(|addon| addon.life.state).collect();
    assert_eq!(states, [State::Ready, State::Provisioning(Step::Login), State::Deprovisioning]);
    assert!(store.addons().unwrap().iter().all(|addon| addon.order == Order::docker()));
    let events = store.events(None, 0, 9).unwrap();
    let words: Vec<_> = events.iter().map(|event| (event.from.as_str(), event.to.as_str())).collect();
    let gone = "deprovisioned";
    assert_eq!(words, [("deprovisioning", gone), ("provisioned:login", gone), ("ready", gone)]);
}
