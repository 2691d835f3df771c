//! The promise: who logs in to an addon that is held waits and then gets through, to where the route leads by then; nobody
//! waits for ever, nobody who has gone is waited with, and nobody who waits is in others' way.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use common::{TestEdge, assert_serves, connect, echo, startup, wait_for};
use pierhead::dialect::Reason;
use pierhead::routes::{RouteState, Upstream};

/// A client that has sent its name to an addon that is held, and is held.
fn held(edge: &TestEdge, name: &str) -> TcpStream {
    let before = edge.sum(|core| core.held.opened());
    let mut socket = connect(edge);
    socket.write_all(&startup(name)).unwrap();
    wait_for("the client to be held", || edge.sum(|core| core.held.opened()) == before + 1);
    socket
}

fn held_now(edge: &TestEdge) -> u64 {
    edge.sum(|core| core.held.active())
}

/// The text of the ErrorResponse that the edge ends the connection with.
fn refusal(mut socket: TcpStream) -> String {
    let mut answer = vec![];
    socket.read_to_end(&mut answer).expect("an answer and a proper close");
    String::from_utf8_lossy(&answer).into_owned()
}

fn refused(edge: &TestEdge) -> u64 {
    use pierhead::dialect::Protocol::Postgres;
    Reason::ALL.iter().map(|reason| edge.count(Postgres, |of| of.refused[*reason as usize].get())).sum()
}

#[test]
fn held_logins_go_on_where_the_route_leads_by_then() {
    let edge = TestEdge::start("");
    let old = edge.addon("blog");
    let (mut client, mut backend) = old.connect_past_login();
    edge.publish("blog", RouteState::Held, 0);
    let sockets: Vec<_> = (0..200).map(|_| held(&edge, "blog")).collect();
    assert_eq!((held_now(&edge), edge.edge.view().held()), (200, 200));
    assert_eq!(edge.edge.view().unidentified(), 0, "who is held is not in the way of those without a name");
    // Who is connected is not touched, and others are served.
    client.write_all(b"x").unwrap();
    backend.read_exact(&mut [0]).unwrap();
    edge.route("shop", echo());
    assert_serves(&edge, "shop");
    assert_eq!(held_now(&edge), 200, "another route's change lets nobody go");

    let let_go = Instant::now();
    edge.route("blog", echo());
    for mut socket in sockets {
        let mut echoed = startup("blog");
        echoed.fill(0);
        socket.read_exact(&mut echoed).unwrap();
        assert_eq!(echoed, startup("blog"));
    }
    assert!(let_go.elapsed() < Duration::from_secs(2), "{:?}", let_go.elapsed());
    drop((client, backend));
    edge.settle();
    assert_eq!((held_now(&edge), edge.edge.view().held(), refused(&edge)), (0, 0, 0));
    // The same again: whoever wakes the held has not gone for good.
    edge.publish("blog", RouteState::Held, 0);
    let mut socket = held(&edge, "blog");
    edge.route("blog", echo());
    socket.read_exact(&mut [0; 8]).unwrap();
    drop(socket);
    edge.settle();
}

#[test]
fn what_becomes_of_the_route_is_what_the_held_are_told() {
    let edge = TestEdge::start("");
    for (state, words) in [(Some(RouteState::Stopped), "stopped"), (None, "no addon named")] {
        edge.publish("blog", RouteState::Held, 0);
        let socket = held(&edge, "blog");
        match state {
            Some(state) => edge.publish("blog", state, 0),
            None => {
                let name = pierhead::dialect::Name::parse("blog").unwrap();
                let removed = pierhead::routes::Change::Remove(pierhead::dialect::Protocol::Postgres, name);
                edge.table.publish([removed]);
            }
        }
        let text = refusal(socket);
        assert!(text.contains(words), "{words}: {text}");
    }
    edge.settle();
}

#[test]
fn waiting_ends_with_its_time_and_its_places_are_limited() {
    let edge = TestEdge::start("[limits]\nhold_timeout = \"700ms\"\nheld_max = 2");
    edge.publish("blog", RouteState::Held, 0);
    let start = Instant::now();
    let (first, second) = (held(&edge, "blog"), held(&edge, "blog"));
    let mut third = connect(&edge);
    third.write_all(&startup("blog")).unwrap();
    let text = refusal(third);
    assert!(text.contains("57P03") && text.contains("starting"), "{text}");
    assert!(start.elapsed() < Duration::from_millis(600), "refused at once");
    for socket in [first, second] {
        let text = refusal(socket);
        assert!(text.contains("57P03") && text.contains("starting"), "{text}");
    }
    let took = start.elapsed();
    assert!((Duration::from_millis(650)..Duration::from_secs(3)).contains(&took), "{took:?}");
    assert_eq!(edge.sum(|core| core.held_too_long.get()), 2);
    assert_eq!(edge.sum(|core| core.held_short.get()), 1);
    edge.settle();
    assert_eq!(edge.edge.view().held(), 0);
}

#[test]
fn who_hangs_up_while_held_is_forgotten_but_not_who_has_only_said_everything() {
    let edge = TestEdge::start("");
    edge.publish("blog", RouteState::Held, 0);
    drop(held(&edge, "blog"));
    wait_for("the client that left to be forgotten", || held_now(&edge) == 0);
    let reset = held(&edge, "blog");
    socket2::SockRef::from(&reset).set_linger(Some(Duration::ZERO)).unwrap();
    drop(reset);
    wait_for("the client that was reset to be forgotten", || held_now(&edge) == 0);

    // It has asked already, and wants the answer.
    let mut socket = connect(&edge);
    socket.write_all(&[&startup("blog")[..], b"question"].concat()).unwrap();
    socket.shutdown(Shutdown::Write).unwrap();
    wait_for("the client to be held", || held_now(&edge) == 1);
    std::thread::sleep(Duration::from_millis(600));
    edge.route("blog", echo());
    let mut answer = vec![];
    socket.read_to_end(&mut answer).unwrap();
    assert!(answer.ends_with(b"question"), "{answer:?}");
    edge.settle();
    assert_eq!(refused(&edge), 0);
}

#[test]
fn a_dial_that_was_under_way_does_not_slip_through() {
    let edge = TestEdge::start("[limits]\ndial_timeout = \"3s\"\ndial_try_timeout = \"1s\"");
    let address = common::free_address();
    edge.route("late", address);
    let mut socket = connect(&edge);
    socket.write_all(&startup("late")).unwrap();
    wait_for("the first try to fail", || edge.sum(|core| core.dial_failures.get()) > 0);
    edge.publish("late", RouteState::Held, 0);
    wait_for("the client to be held", || held_now(&edge) == 1);
    // Longer than a dial may take: the clock of the dial stands still meanwhile.
    std::thread::sleep(Duration::from_millis(3200));
    edge.publish("late", RouteState::Ready(Upstream::Tcp(echo())), 0);
    socket.read_exact(&mut [0; 8]).unwrap();
    drop(socket);
    edge.settle();
}

#[test]
fn draining_ends_the_waiting() {
    let edge = TestEdge::start("");
    edge.publish("blog", RouteState::Held, 0);
    let socket = held(&edge, "blog");
    edge.edge.drain(Duration::from_secs(5), Duration::ZERO);
    let text = refusal(socket);
    assert!(text.contains("shutting down"), "{text}");
    wait_for("the edge to end", || edge.edge.is_over());
}
