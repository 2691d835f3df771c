use super::*;

fn nothing() -> Seen {
    Seen {
        secret: false,
        image: false,
        network: false,
        volume: Presence::Missing,
        container: Container::Missing,
    }
}

fn running() -> Seen {
    Seen { secret: true, image: true, network: true, volume: Presence::Ours, container: ours(Phase::Running) }
}

fn ours(phase: Phase) -> Container {
    Container::Ours {
        id: "c".into(),
        phase,
        name_ok: true,
        attached: true,
        limits_ok: true,
        made_ok: true,
        start: "s1".into(),
    }
}

fn ready() -> Life {
    Life { state: State::Ready, provisioned: true, checked: Some("s1".into()), ..Life::new(0) }
}

fn decided(life: &Life, seen: &Seen) -> (String, &'static str) {
    let decision = next_action(life, seen, 0);
    (decision.state.to_string(), decision.action.as_str())
}

#[test]
fn a_new_addon_is_provisioned_step_by_step() {
    let (life, mut seen) = (Life::new(0), nothing());
    let mut step = |change: fn(&mut Seen), state: &str, action: &str| {
        change(&mut seen);
        assert_eq!(decided(&life, &seen), (state.to_owned(), action));
    };
    step(|_| {}, "provisioning:secret", "ensure-secret");
    step(|seen| seen.secret = true, "provisioning:image", "ensure-image");
    step(|seen| seen.image = true, "provisioning:network", "ensure-network");
    step(|seen| seen.network = true, "provisioning:volume", "ensure-volume");
    step(|seen| seen.volume = Presence::Ours, "provisioning:container", "ensure-container");
    step(|seen| seen.container = ours(Phase::Down), "provisioning:start", "start");
    step(|seen| seen.container = ours(Phase::Running), "provisioned:login", "check-login");
}

#[test]
fn ready_means_that_this_start_has_let_a_login_in() {
    assert_eq!(decided(&ready(), &running()), ("ready".into(), "nothing"));
    let restarted = Life { checked: Some("s0".into()), ..ready() };
    assert_eq!(decided(&restarted, &running()), ("provisioned:login".into(), "check-login"));
}

#[test]
fn destroy_takes_the_row_last_and_nothing_of_others() {
    let mut life = ready();
    life.want(Desired::Destroyed, 0);
    let mut seen = running();
    for (action, gone) in [
        ("remove-container", (|seen: &mut Seen| seen.container = Container::Missing) as fn(&mut Seen)),
        ("remove-volume", |seen| seen.volume = Presence::Missing),
        ("remove-secret", |seen| seen.secret = false),
        ("forget", |_| {}),
    ] {
        assert_eq!(decided(&life, &seen), ("deprovisioning".into(), action));
        gone(&mut seen);
    }
    let foreign =
        Seen { container: Container::Foreign("container x".into()), volume: Presence::Foreign, ..nothing() };
    assert_eq!(decided(&life, &foreign), ("deprovisioning".into(), "forget"));
}

#[test]
fn restart_stops_then_wants_it_running() {
    let mut life = ready();
    life.want(Desired::Restart, 0);
    let mut seen = running();
    assert_eq!(decided(&life, &seen), ("stopping".into(), "stop"));
    seen.container = ours(Phase::Down);
    assert_eq!(decided(&life, &seen), ("waiting".into(), "want-running"));
}

#[test]
fn lost_data_are_reported_and_not_papered_over() {
    let volume = Seen { volume: Presence::Missing, container: Container::Missing, ..running() };
    let secret = Seen { secret: false, ..running() };
    let replaced = Seen { volume: Presence::Replaced, ..running() };
    for (seen, word) in [(volume, "volume"), (replaced, "volume"), (secret, "password file")] {
        let Action::Fail(reason) = next_action(&ready(), &seen, 0).action else { panic!("not an error") };
        assert!(reason.contains(word), "{reason}");
    }
}

#[test]
fn a_volume_that_docker_put_there_is_made_again_before_anything_is_in_it() {
    let life = Life::new(0);
    let mut seen = Seen { volume: Presence::Replaced, ..running() };
    assert_eq!(decided(&life, &seen), ("provisioning:volume".into(), "remove-container"));
    seen.container = Container::Missing;
    assert_eq!(decided(&life, &seen), ("provisioning:volume".into(), "remove-volume"));
}

#[test]
fn failures_back_off_become_errors_at_the_deadline_and_are_tried_again() {
    let mut life = Life::new(0);
    enter(&mut life, State::Provisioning(Step::Start), 0);
    let mut now = 0;
    let mut delays = vec![];
    while life.state != State::Error {
        assert!(after_failure(&mut life, Failure::Retry("no".into()), &Deadlines::default(), now));
        delays.push(life.retry_at - now);
        now = life.retry_at;
    }
    assert_eq!(delays[..4], [500, 1000, 2000, 4000]);
    assert!(delays.iter().all(|delay| *delay <= 60_000) && now < 300_000, "{delays:?}");
    assert_eq!(life.reason.as_deref(), Some("no"));

    let down = Seen { container: ours(Phase::Down), ..running() };
    let wait = next_action(&life, &down, now - 10).action;
    assert_eq!(wait, Action::Wait(Duration::from_millis(10)));
    // Tried again, and still an error until it is overcome.
    let decision = next_action(&life, &down, now);
    assert_eq!(decision, Decision { state: State::Error, action: Action::Start });
    (life.checked, life.provisioned) = (Some("s1".into()), true);
    let decision = next_action(&life, &running(), now);
    assert!(enter(&mut life, decision.state, now));
    assert_eq!((life.state, life.reason, life.attempts), (State::Ready, None, 0));
}

#[test]
fn not_yet_is_not_written_before_the_deadline() {
    let mut life = Life::new(0);
    enter(&mut life, State::Provisioning(Step::Login), 0);
    assert!(!after_failure(&mut life, Failure::NotYet("starting up".into()), &Deadlines::default(), 179_000));
    assert!(after_failure(&mut life, Failure::NotYet("starting up".into()), &Deadlines::default(), 180_000));
    assert_eq!((life.state, life.reason.as_deref()), (State::Error, Some("starting up")));
}

#[test]
fn a_clock_that_is_set_back_delays_by_a_minute_at_most() {
    let life = Life { retry_at: 10_000_000, ..Life::new(0) };
    assert_eq!(next_action(&life, &nothing(), 0).action, Action::Wait(Duration::from_secs(60)));
}

#[test]
fn words_can_be_read_back() {
    let mut states = State::PLAIN.to_vec();
    states.extend(Step::ALL.map(State::Provisioning));
    for state in states {
        assert_eq!(State::parse(&state.to_string()), Some(state));
    }
    assert_eq!(State::parse("provisioning"), None);
    assert_eq!(Desired::parse("restart"), Some(Desired::Restart));
}

#[test]
fn another_plan_is_live_where_that_can_be_and_waits_for_a_restart_elsewhere() {
    let with = |phase: Phase, limits: bool, made: bool| {
        let mut seen = running();
        seen.container = ours(phase);
        if let Container::Ours { limits_ok, made_ok, .. } = &mut seen.container {
            (*limits_ok, *made_ok) = (limits, made);
        }
        decided(&ready(), &seen).1
    };
    assert_eq!(with(Phase::Running, false, true), "set-limits");
    assert_eq!(with(Phase::Running, false, false), "set-limits");
    assert_eq!(with(Phase::Running, true, false), "nothing");
    assert_eq!(with(Phase::Down, true, false), "remove-container");
    assert_eq!(with(Phase::Down, false, true), "set-limits");
    let mut seen = Seen { image: false, ..running() };
    seen.container = ours(Phase::Down);
    if let Container::Ours { made_ok, .. } = &mut seen.container {
        *made_ok = false;
    }
    assert_eq!(decided(&ready(), &seen).1, "ensure-image", "before the container goes");
}
