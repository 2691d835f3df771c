//! Tests of what needs no engine: labels, and who gets which name.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use bollard::models::ContainerSummary;

use super::labels::{self, Claim, Problem};
use super::{Addresses, Container, Rejected, RouteBook, Status, Tenure};
use crate::dialect::{Name, NameError, Protocol};
use crate::routes::{Route, RouteState, Table, Upstream};

const PG: Protocol = Protocol::Postgres;

/// A running container of that name on the bridge, with `pierhead.protocol=postgres`.
fn running(name: &str) -> Container {
    Container {
        id: format!("id-{name}").into(),
        name: name.to_owned(),
        created_s: 100,
        labels: BTreeMap::from([(labels::PROTOCOL.to_owned(), "postgres".to_owned())]),
        status: Status::Running,
        exit_code: None,
        network_mode: "default".to_owned(),
        networks: BTreeMap::from([("bridge".to_owned(), v4("172.17.0.2"))]),
        namespace: None,
    }
}

fn labelled(name: &str, labels: &[(&str, &str)]) -> Container {
    let mut container = running(name);
    container.labels.extend(labels.iter().map(|(key, value)| (key.to_string(), value.to_string())));
    container
}

fn v4(text: &str) -> Addresses {
    Addresses { v4: Some(text.parse().unwrap()), v6: None }
}

fn v6(text: &str) -> Addresses {
    Addresses { v4: None, v6: Some(text.parse().unwrap()) }
}

fn ready(address: &str) -> RouteState {
    RouteState::Ready(Upstream::Tcp(address.parse().unwrap()))
}

fn claim(name: &str, state: RouteState) -> Claim {
    Claim { protocol: PG, name: Name::parse(name).unwrap(), state, connections_max: 0, tls_port: None }
}

#[test]
fn one_label_is_enough() {
    assert_eq!(labels::read(&running("blog")), (vec![claim("blog", ready("172.17.0.2:5432"))], vec![]));
    let mut stranger = running("blog");
    stranger.labels.clear();
    assert_eq!(labels::read(&stranger), (vec![], vec![]));
}

#[test]
fn every_label_is_read() {
    let container = labelled(
        "Blog_DB",
        &[
            (labels::NAME, "blog"),
            (labels::PORT, " 6000 "),
            (labels::CONNECTIONS_MAX, "7"),
            (labels::TLS_PORT, "6443"),
        ],
    );
    let mut expected = claim("blog", ready("172.17.0.2:6000"));
    expected.connections_max = 7;
    expected.tls_port = Some(6443);
    assert_eq!(labels::read(&container), (vec![expected], vec![]));
}

#[test]
fn wrong_labels_say_what_is_wrong() {
    let problem = |name: &str, labels: &[(&str, &str)]| {
        let (claims, mut problems) = labels::read(&labelled(name, labels));
        assert_eq!((claims.len(), problems.len()), (0, 1));
        problems.remove(0)
    };
    let text = || "1blog".to_owned();
    assert_eq!(problem("1blog", &[]), Problem::ContainerName { text: text(), error: NameError::Start });
    assert_eq!(
        problem("ok", &[(labels::NAME, "1blog")]),
        Problem::NameLabel { text: text(), error: NameError::Start }
    );
    for port in ["0", "65536", "-1", "x", ""] {
        for label in [labels::PORT, labels::TLS_PORT] {
            assert_eq!(problem("ok", &[(label, port)]), Problem::Port { label, text: port.to_owned() });
        }
    }
    let two = Problem::PortCount { label: labels::TLS_PORT, ports: 2, protocols: 1 };
    assert_eq!(problem("ok", &[(labels::TLS_PORT, "1,2")]), two);
    let max = Problem::ConnectionsMax("many".to_owned());
    assert_eq!(problem("ok", &[(labels::CONNECTIONS_MAX, "many")]), max);
    for protocol in ["", "oracle", "Postgres"] {
        assert!(matches!(problem("ok", &[(labels::PROTOCOL, protocol)]), Problem::Protocol(_)));
    }
}

#[test]
fn good_protocols_are_routed_beside_wrong_ones() {
    let container =
        labelled("blog", &[(labels::PROTOCOL, "oracle, postgres,postgres"), (labels::PORT, "1,2,3")]);
    let (claims, problems) = labels::read(&container);
    assert_eq!(claims, [claim("blog", ready("172.17.0.2:2"))]);
    assert!(matches!(&problems[..], [Problem::Protocol(_), Problem::ProtocolTwice(PG)]), "{problems:?}");
}

#[test]
fn the_network_is_chosen() {
    let mut container = running("blog");
    container.networks = BTreeMap::from([
        ("a".into(), v6("fd00::2")),
        ("b".into(), v4("10.0.0.2")),
        ("c".into(), v4("10.1.0.2")),
    ]);
    let state = |container: &Container| labels::read(container).0.remove(0).state;
    assert_eq!(state(&container), ready("10.0.0.2:5432"), "IPv4 of the first network by name");
    container.labels.insert(labels::NETWORK.into(), "c".into());
    assert_eq!(state(&container), ready("10.1.0.2:5432"));
    container.labels.insert(labels::NETWORK.into(), "a".into());
    assert_eq!(state(&container), ready("[fd00::2]:5432"), "IPv6 if there is only that");

    container.labels.insert(labels::NETWORK.into(), "d".into());
    let missing = Problem::NotOnNetwork("d".into(), "blog".into());
    assert_eq!(labels::read(&container), (vec![claim("blog", RouteState::Starting)], vec![missing]));
    container.status = Status::Stopped;
    assert_eq!(labels::read(&container), (vec![claim("blog", RouteState::Stopped)], vec![]));
}

#[test]
fn containers_without_a_network_of_their_own() {
    let mode = |mode: &str, networks: &[(&str, Addresses)]| {
        let mut container = running("blog");
        container.network_mode = mode.to_owned();
        container.networks =
            networks.iter().map(|(name, addresses)| (name.to_string(), *addresses)).collect();
        labels::read(&container)
    };
    let nowhere = Addresses::default();
    assert_eq!(mode("host", &[("host", nowhere)]).0, [claim("blog", ready("127.0.0.1:5432"))]);
    assert_eq!(mode("none", &[("none", nowhere)]), (vec![], vec![Problem::NoNetwork("blog".into())]));
    assert_eq!(mode("none", &[("own", v4("10.0.0.2"))]).0, [claim("blog", ready("10.0.0.2:5432"))]);
    let shared = Problem::SharedNetwork("0123456789ab".into());
    assert_eq!(mode("container:0123456789abcdef", &[]), (vec![], vec![shared]));
    let unplugged = vec![Problem::NoAddress("blog".into())];
    assert_eq!(mode("own", &[]), (vec![claim("blog", RouteState::Starting)], unplugged));
}

#[test]
fn each_status_has_its_state() {
    for (status, state) in [
        (Status::Created, RouteState::Starting),
        (Status::Running, ready("172.17.0.2:5432")),
        (Status::Restarting, RouteState::Starting),
        (Status::Paused, RouteState::Stopped),
        (Status::Stopped, RouteState::Stopped),
    ] {
        let mut container = running("blog");
        container.status = status;
        assert_eq!(labels::read(&container).0, [claim("blog", state)], "{status:?}");
    }
}

#[test]
fn a_listed_container_has_its_own_name_and_exit_code() {
    let summary: ContainerSummary = serde_json::from_str(
        r#"{"Id": "ab", "Names": ["/web/db", "/blog"], "State": "exited", "Status": "Exited (137) 2 hours ago"}"#,
    )
    .unwrap();
    let container = Container::from_list(summary).unwrap();
    assert_eq!((container.name.as_str(), container.exit_code), ("blog", Some(137)));
}

#[test]
fn the_older_container_has_the_name() {
    let book = RouteBook::new(Arc::new(Table::new()));
    let owner = || route(&book, "blog").map(|route| route.container.to_string());
    let claimant = |container: &str, created_s| {
        let mut container = labelled(container, &[(labels::NAME, "blog")]);
        container.created_s = created_s;
        container
    };
    book.put(claimant("b", 100));
    book.put(claimant("c", 90));
    assert_eq!(owner().as_deref(), Some("id-c"), "the older, though it came later");
    book.put(claimant("a", 90));
    assert_eq!(owner().as_deref(), Some("id-a"), "the smaller id, if they are of one age");

    let report: Vec<_> = book.report().into_iter().map(|Rejected { container, .. }| container).collect();
    assert_eq!(report, ["b", "c"]);
    assert!(book.report().iter().all(|rejected| rejected.name == "blog"));
    assert!(book.report()[0].reason.to_string().contains("older container a"));

    book.remove("id-a");
    assert_eq!(owner().as_deref(), Some("id-c"));
    let mut stopped = claimant("c", 90);
    stopped.status = Status::Stopped;
    book.put(stopped);
    assert_eq!(owner().as_deref(), Some("id-c"), "a stopped container keeps its name");
    book.remove("id-c");
    book.remove("id-b");
    assert_eq!((owner(), book.report().len()), (None, 0));
}

#[test]
fn a_container_wins_over_a_placeholder() {
    let book = RouteBook::new(Arc::new(Table::new()));
    let blog = Name::parse("blog").unwrap();
    book.set_placeholder(PG, blog.clone(), RouteState::Starting, 5);
    let placeholder = route(&book, "blog").unwrap();
    assert_eq!((&placeholder.state, placeholder.connections_max), (&RouteState::Starting, 5));
    assert_eq!(&*placeholder.container, "");

    book.put(running("blog"));
    assert_eq!(route(&book, "blog").unwrap().state, ready("172.17.0.2:5432"));
    book.set_placeholder(PG, blog.clone(), RouteState::Stopped, 5);
    assert_eq!(route(&book, "blog").unwrap().state, ready("172.17.0.2:5432"));
    book.remove("id-blog");
    assert_eq!(route(&book, "blog").unwrap().state, RouteState::Stopped);
    book.remove_placeholder(PG, &blog);
    assert!(route(&book, "blog").is_none());
}

#[test]
fn a_rename_takes_the_old_name_away() {
    let book = RouteBook::new(Arc::new(Table::new()));
    book.put(running("blog"));
    let mut renamed = running("blog");
    renamed.name = "shop".to_owned();
    let change = book.put(renamed.clone()).unwrap();
    assert_eq!((change.container.name.as_str(), change.gone), ("shop", false));
    assert!(route(&book, "blog").is_none());
    assert!(route(&book, "shop").is_some());
    let generation = route(&book, "shop").unwrap().generation;
    assert!(book.put(renamed).is_none(), "nothing changed");
    assert_eq!(route(&book, "shop").unwrap().generation, generation);
}

#[test]
fn a_list_replaces_all_but_what_is_newer() {
    let book = RouteBook::new(Arc::new(Table::new()));
    for name in ["kept", "gone", "newer"] {
        book.put(running(name));
    }
    let except: HashSet<Arc<str>> = HashSet::from(["id-newer".into(), "id-destroyed".into()]);
    let changes = book.replace_all(vec![running("kept"), running("added"), running("destroyed")], &except);
    let mut changes: Vec<_> =
        changes.iter().map(|change| (change.container.name.as_str(), change.gone)).collect();
    changes.sort_unstable();
    assert_eq!(changes, [("added", false), ("gone", true)]);
    let names: Vec<_> = book.table().snapshot().iter().map(|route| route.name.to_string()).collect();
    assert_eq!(names, ["added", "kept", "newer"]);
}

fn route(book: &RouteBook, name: &str) -> Option<Arc<Route>> {
    book.table().lookup(PG, name)
}

#[test]
fn only_the_generation_in_use_has_the_name_and_a_hold_covers_whoever_has_it() {
    let book = RouteBook::new(Arc::new(Table::new()));
    let blog = Name::parse("blog").unwrap();
    let state = || route(&book, "blog").map(|route| (route.state.clone(), route.container.to_string()));
    let tenure = |generation, held| book.set_tenure(PG, blog.clone(), Tenure { generation, held });
    let second = || {
        let mut second = running("second");
        second.labels.insert(labels::NAME.into(), "blog".into());
        second.labels.insert(labels::GENERATION.into(), "2".into());
        second
    };
    book.set_placeholder(PG, blog.clone(), RouteState::Starting, 5);
    tenure(1, false);
    // The new one is there before the old one is seen: it gets nothing.
    book.put(second());
    assert_eq!(state(), Some((RouteState::Starting, String::new())));
    book.put(running("blog"));
    assert_eq!(state(), Some((ready("172.17.0.2:5432"), "id-blog".into())));
    assert_eq!(book.report(), []);

    tenure(1, true);
    assert_eq!(state(), Some((RouteState::Held, "id-blog".into())));
    // Whatever becomes of the containers meanwhile, it is held.
    book.remove("id-blog");
    assert_eq!(state(), Some((RouteState::Held, String::new())));
    book.put(running("blog"));
    let before = book.table().version();
    tenure(2, false);
    assert_eq!(state(), Some((ready("172.17.0.2:5432"), "id-second".into())));
    assert_eq!(book.table().version(), before + 1, "one change, not two");
    assert_eq!(book.report(), [], "the kept one is no problem");
    tenure(2, false);
    assert_eq!(book.table().version(), before + 1, "the same again is no change");
    book.remove_tenure(PG, &blog);
    assert!(state().is_some());
}
