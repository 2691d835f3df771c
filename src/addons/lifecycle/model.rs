//! The lifecycle against a model of the world: whatever crashes, fails or is done by somebody else in between,
//! once it is quiet the addon is what is wanted, or in error with a reason because data were lost.

use proptest::prelude::*;

use super::*;

/// What Docker and the file system hold.
#[derive(Clone, Debug, Default)]
struct World {
    secret: bool,
    image: bool,
    network: bool,
    volume: Option<Presence>,
    container: Option<Engine>,
    starts: u32,
    /// The plan that is wanted, by number.
    plan: u32,
    /// How often a login is refused after a start.
    slow_starts: u32,
}

#[derive(Clone, Debug)]
struct Engine {
    phase: Phase,
    name_ok: bool,
    attached: bool,
    /// The plan whose limits it has, and the one that it was made with.
    limits: u32,
    made: u32,
    start: u32,
    refusals_left: u32,
}

#[derive(Clone, Debug)]
enum Event {
    /// The worker goes round once.
    Work,
    /// It goes round, and is killed after the action, before its result is written.
    CrashAfterAction,
    /// It goes round, and is killed after the state is written, before the action.
    CrashBeforeAction,
    /// It goes round, and the action fails.
    FailAction,
    /// It goes round, and somebody does this between the look and the action.
    WorkAfterDrift(Drift),
    Want(Desired),
    Drift(Drift),
}

#[derive(Clone, Debug)]
enum Drift {
    RemoveContainer,
    Kill,
    Pause,
    Rename,
    Disconnect,
    RemoveImage,
    RemoveNetwork,
    /// `docker rm -f` and `docker volume rm`.
    RemoveVolume,
    RestartByDocker,
    /// Somebody wants another plan.
    OtherPlan,
}

impl World {
    fn seen(&self) -> Seen {
        let container = match &self.container {
            None => Container::Missing,
            Some(c) => Container::Ours {
                id: "id".into(),
                phase: c.phase,
                name_ok: c.name_ok,
                attached: c.attached,
                limits_ok: c.limits == self.plan,
                made_ok: c.made == self.plan,
                start: c.start.to_string(),
            },
        };
        let volume = self.volume.unwrap_or(Presence::Missing);
        Seen { secret: self.secret, image: self.image, network: self.network, volume, container }
    }

    fn start(&mut self) {
        self.starts += 1;
        let (start, refusals_left) = (self.starts, self.slow_starts);
        if let Some(c) = &mut self.container {
            (c.phase, c.start, c.refusals_left) = (Phase::Running, start, refusals_left);
        }
    }

    /// Carries out an action, as Docker would: what is gone by now cannot be acted on.
    fn act(&mut self, action: &Action) -> Result<(), Failure> {
        let needs_container = ["start", "unpause", "rename", "connect", "set-limits", "stop", "check-login"]
            .contains(&action.as_str());
        if needs_container && self.container.is_none() {
            return Err(Failure::Retry("no such container".into()));
        }
        match action {
            Action::EnsureSecret => self.secret = true,
            Action::EnsureImage => self.image = true,
            Action::EnsureNetwork => self.network = true,
            Action::EnsureVolume => self.volume = self.volume.or(Some(Presence::Ours)),
            Action::EnsureContainer => {
                if !(self.image && self.network) {
                    return Err(Failure::Retry("no such image or network".into()));
                }
                assert!(self.secret && self.container.is_none());
                self.volume = self.volume.or(Some(Presence::Replaced));
                self.container = Some(Engine {
                    phase: Phase::Down,
                    name_ok: true,
                    attached: true,
                    limits: self.plan,
                    made: self.plan,
                    start: 0,
                    refusals_left: 0,
                });
            }
            Action::Start => {
                assert!(matches!(self.container.as_ref().unwrap().phase, Phase::Down));
                self.start();
            }
            Action::Unpause => {
                let c = self.container.as_mut().unwrap();
                if c.phase != Phase::Paused {
                    return Err(Failure::Retry("not paused".into()));
                }
                c.phase = Phase::Running;
            }
            Action::Rename => self.container.as_mut().unwrap().name_ok = true,
            Action::Connect => self.container.as_mut().unwrap().attached = true,
            Action::SetLimits => self.container.as_mut().unwrap().limits = self.plan,
            Action::Stop => self.container.as_mut().unwrap().phase = Phase::Down,
            Action::CheckLogin => {
                let c = self.container.as_mut().unwrap();
                if c.refusals_left > 0 {
                    c.refusals_left -= 1;
                    return Err(Failure::NotYet("starting".into()));
                }
            }
            Action::RemoveContainer => self.container = None,
            Action::RemoveVolume => {
                assert!(self.container.is_none());
                self.volume = None;
            }
            Action::RemoveSecret => self.secret = false,
            Action::Fail(reason) => return Err(Failure::Lasting(reason.clone())),
            Action::Nothing | Action::Wait(_) | Action::WantRunning | Action::Forget => {}
        }
        Ok(())
    }

    fn drift(&mut self, drift: &Drift) {
        match (drift, &mut self.container) {
            (Drift::RemoveContainer, _) => self.container = None,
            (Drift::RemoveVolume, _) => (self.container, self.volume) = (None, None),
            (Drift::RemoveImage, _) => self.image = false,
            (Drift::RemoveNetwork, None) => self.network = false,
            (Drift::Kill, Some(c)) => c.phase = Phase::Down,
            (Drift::Pause, Some(c)) if c.phase == Phase::Running => c.phase = Phase::Paused,
            (Drift::Rename, Some(c)) => c.name_ok = false,
            (Drift::Disconnect, Some(c)) => c.attached = false,
            (Drift::OtherPlan, _) => self.plan += 1,
            (Drift::RestartByDocker, Some(c)) if c.phase == Phase::Running => self.start(),
            _ => {}
        }
    }
}

/// One round of the worker on the row `life` (`None`: the row is gone). Says whether there is more to do.
fn round(life: &mut Option<Life>, world: &mut World, now: &mut UnixMs, event: &Event) -> bool {
    *now += 10;
    let Some(row) = life else { return false };
    let seen = world.seen();
    let decision = next_action(row, &seen, *now);
    enter(row, decision.state, *now);
    match &decision.action {
        Action::Nothing => return false,
        Action::Wait(time) => {
            *now += time.as_millis() as i64;
            return true;
        }
        _ if matches!(event, Event::CrashBeforeAction) => return true,
        _ => {}
    }
    let result = match event {
        Event::FailAction => Err(Failure::Retry("the engine does not answer".into())),
        Event::WorkAfterDrift(drift) => {
            world.drift(drift);
            world.act(&decision.action)
        }
        _ => world.act(&decision.action),
    };
    if matches!(event, Event::CrashAfterAction) {
        return true;
    }
    match (result, decision.action) {
        (Err(failure), _) => {
            let written = after_failure(row, failure, &Deadlines::default(), *now);
            *now += if written { 0 } else { LOOK_AGAIN.as_millis() as i64 };
        }
        (Ok(()), Action::WantRunning) => row.desired = Desired::Running,
        (Ok(()), Action::Forget) => *life = None,
        (Ok(()), Action::CheckLogin) => {
            if let Container::Ours { start, .. } = seen.container {
                (row.checked, row.provisioned) = (Some(start), true);
            }
        }
        _ => {}
    }
    true
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let wants =
        prop::sample::select(vec![Desired::Running, Desired::Restart, Desired::Stopped, Desired::Destroyed]);
    let drifts = prop::sample::select(vec![
        Drift::RemoveContainer,
        Drift::Kill,
        Drift::Pause,
        Drift::Rename,
        Drift::Disconnect,
        Drift::RemoveImage,
        Drift::RemoveNetwork,
        Drift::RemoveVolume,
        Drift::RestartByDocker,
        Drift::OtherPlan,
    ]);
    let event = prop_oneof![
        8 => Just(Event::Work),
        2 => Just(Event::CrashAfterAction),
        2 => Just(Event::CrashBeforeAction),
        2 => Just(Event::FailAction),
        1 => wants.prop_map(Event::Want),
        2 => drifts.clone().prop_map(Event::Drift),
        1 => drifts.prop_map(Event::WorkAfterDrift),
    ];
    prop::collection::vec(event, 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn whatever_happens_it_converges(events in events(), slow_starts in 0u32..4) {
        let mut now = 1_000_000;
        let mut world = World { slow_starts, ..World::default() };
        let mut life = Some(Life::new(now));
        for event in &events {
            match (event, &mut life) {
                (Event::Drift(drift), _) => world.drift(drift),
                // Nobody can want anything of an addon that is being destroyed.
                (Event::Want(desired), Some(row)) if row.desired != Desired::Destroyed => row.want(*desired, now),
                (Event::Want(_), _) => {}
                _ => { round(&mut life, &mut world, &mut now, event); }
            }
        }
        let mut rounds = 0;
        while round(&mut life, &mut world, &mut now, &Event::Work) {
            rounds += 1;
            let lost = life.as_ref().is_some_and(|row| row.state == State::Error && rounds > 60);
            prop_assert!(rounds < 100 || lost, "no end: {:?} {:?}", life, world);
            if lost { break; }
        }
        check_end(life.as_ref(), &world)?;
    }
}

fn check_end(life: Option<&Life>, world: &World) -> Result<(), TestCaseError> {
    let Some(row) = life else {
        prop_assert!(
            !world.secret && world.volume.is_none() && world.container.is_none(),
            "left behind: {:?}",
            world
        );
        return Ok(());
    };
    if row.state == State::Error {
        prop_assert!(
            row.provisioned && world.volume != Some(Presence::Ours),
            "in error for no reason: {:?} {:?}",
            row,
            world
        );
        prop_assert!(row.reason.as_deref().is_some_and(|reason| reason.contains("volume")));
        return Ok(());
    }
    prop_assert!(row.reason.is_none() && row.is_settled(), "{:?}", row);
    let container = world.container.as_ref();
    match row.desired {
        Desired::Running => {
            prop_assert_eq!(row.state, State::Ready);
            let c = container.expect("a container that is ready");
            prop_assert!(c.phase == Phase::Running && c.name_ok && c.attached && c.refusals_left == 0);
            prop_assert!(c.limits == world.plan, "{:?}", world);
            prop_assert!(world.secret && world.volume == Some(Presence::Ours));
        }
        Desired::Stopped => {
            prop_assert_eq!(row.state, State::Stopped);
            prop_assert!(container.is_none_or(|c| c.phase == Phase::Down));
        }
        Desired::Restart | Desired::Destroyed => prop_assert!(false, "still wanted: {:?}", row.desired),
    }
    Ok(())
}
