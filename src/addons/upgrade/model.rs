//! Upgrades against a model of the world: whatever crashes, fails, is cancelled or rolled back, at every moment exactly one
//! engine is routed to, it has every write that was acknowledged, two engines never run on one volume, and once it is
//! quiet nothing that nobody needs is left.

use proptest::prelude::*;

use super::*;

/// The engines and volumes of one addon: 0 is the old one, 1 the new one.
#[derive(Clone, Debug)]
struct World {
    method: Method,
    container: [bool; 2],
    running: [bool; 2],
    /// Acknowledged writes in a volume; `None`: there is none.
    volume: [Option<u64>; 2],
    /// Which engine the row says is the addon's.
    addons: usize,
    sessions: bool,
    acknowledged: u64,
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Work,
    CrashBefore,
    /// After the effect, before it is written.
    CrashAfter,
    Fail,
    FailForGood,
    /// The engines do not hold the same, where that is looked at.
    LoseARow,
    /// A client writes, if it is let in.
    Write,
    Cancel,
    Finish,
    RollBack,
    /// The lifecycle looks after the addon, if it may.
    Lifecycle,
    TimePasses,
}

impl World {
    fn volume_of(&self, engine: usize) -> usize {
        if self.method == Method::Swap { 0 } else { engine }
    }

    fn start(&mut self, engine: usize) {
        self.container[engine] = true;
        self.volume[self.volume_of(engine)].get_or_insert(0);
        self.running[engine] = true;
        assert!(
            self.method == Method::Move || self.running != [true, true],
            "two engines on one volume: {self:?}"
        );
    }

    fn stop(&mut self, engine: usize) {
        self.running[engine] = false;
        self.sessions &= engine != self.addons;
    }

    fn remove(&mut self, engine: usize) {
        assert_ne!(engine, self.addons, "the addon itself is removed: {self:?}");
        self.stop(engine);
        self.container[engine] = false;
        if self.method == Method::Move {
            self.volume[engine] = None;
        }
    }

    fn write(&mut self, upgrade: &Upgrade) {
        // Who is in stays in; who comes is held, or let in where the engine runs.
        self.sessions |= !upgrade.holds() && self.running[self.addons];
        if self.sessions && self.running[self.addons] {
            self.acknowledged += 1;
            let volume = self.volume_of(self.addons);
            *self.volume[volume].as_mut().unwrap() += 1;
        }
    }

    fn act(&mut self, upgrade: &Upgrade, lose: bool) -> Result<Outcome, Failure> {
        let new_lacks = |world: &World| world.volume[0] != world.volume[1];
        match upgrade.action() {
            Action::Check => {
                let (from, to) = ("15.1".into(), "17.1".into());
                return Ok(Outcome::Planned { from, to, method: self.method });
            }
            Action::Prepare => self.start(1),
            Action::EndSessions => self.sessions &= self.method == Method::Swap,
            Action::StopOld => self.stop(0),
            Action::Move => {
                assert!(
                    !self.sessions && self.running == [true, true] && self.volume[1] == Some(0),
                    "{self:?}"
                );
                self.volume[1] = self.volume[0].map(|rows| if lose { rows / 2 } else { rows });
                return Ok(Outcome::Moved(1));
            }
            Action::Verify if new_lacks(self) => return Err(Failure::Lasting("not the same".into())),
            Action::Verify => {}
            Action::Switch => {
                self.start(1);
                self.addons = 1;
            }
            Action::Return => {
                self.stop(1);
                self.start(0);
                // Forced: what was written since is given up.
                self.addons = 0;
                self.acknowledged = self.volume[0].unwrap();
            }
            Action::Revive => {
                if self.method == Method::Swap {
                    self.stop(1);
                }
                self.start(0);
            }
            Action::RemoveNew => self.remove(1),
            Action::RemoveOld => self.remove(0),
            Action::Nothing => {}
        }
        Ok(Outcome::Plain)
    }

    fn check(&self, upgrade: &Upgrade) {
        let volume = self.volume[self.volume_of(self.addons)];
        assert_eq!(volume, Some(self.acknowledged), "a write is lost: {self:?} {upgrade:?}");
        assert!(self.container[self.addons]);
    }
}

/// One round of the task. `false`: nothing is left to do, or the row is gone.
fn round(upgrade: &mut Option<Upgrade>, world: &mut World, now: &mut UnixMs, event: Event) -> bool {
    *now += 10;
    let Some(row) = upgrade.as_mut().filter(|row| !row.stage.is_settled()) else { return false };
    if let Event::CrashBefore = event {
        row.resumed(*now);
        return true;
    }
    let action = row.action();
    // The row of the addon is written together with the stage.
    let addons = world.addons;
    let result = match event {
        Event::Fail => Err(Failure::Retry("no answer".into())),
        Event::FailForGood => Err(Failure::Lasting("no".into())),
        _ => world.act(row, matches!(event, Event::LoseARow)),
    };
    if let Event::CrashAfter = event {
        if action == Action::Switch {
            world.addons = addons;
        }
        if action == Action::Return {
            world.addons = addons;
            world.acknowledged = world.volume[world.volume_of(1)].unwrap();
        }
        row.resumed(*now);
        return true;
    }
    match result {
        Ok(_) if action == Action::RemoveOld => *upgrade = None,
        Ok(outcome) => row.succeeded(outcome, *now),
        Err(failure) => *now += row.failed(failure, *now).as_millis() as i64,
    }
    true
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        12 => Just(Event::Work),
        2 => Just(Event::CrashBefore),
        2 => Just(Event::CrashAfter),
        2 => Just(Event::Fail),
        1 => Just(Event::FailForGood),
        1 => Just(Event::LoseARow),
        6 => Just(Event::Write),
        1 => Just(Event::Cancel),
        1 => Just(Event::Finish),
        1 => Just(Event::RollBack),
        4 => Just(Event::Lifecycle),
        1 => Just(Event::TimePasses),
    ];
    prop::collection::vec(event, 0..60)
}

/// Starts the addon's engine where the lifecycle would.
fn lifecycle(upgrade: Option<&Upgrade>, world: &mut World) {
    if upgrade.is_none_or(|row| !row.owns()) {
        world.start(world.addons);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5000))]

    #[test]
    fn whatever_happens_nothing_is_lost_and_it_ends(events in events(), swap in any::<bool>()) {
        let mut now = 1_000_000;
        let place = Place { generation: 1, volume: 1 };
        let images = ("postgres:15".to_owned(), "postgres:17".to_owned());
        let mut upgrade = Some(Upgrade::new(Name::parse("blog").unwrap(), images, place, 2, 60_000, now));
        let mut world = World {
            method: if swap { Method::Swap } else { Method::Move },
            container: [true, false],
            running: [true, false],
            volume: [Some(3), None],
            addons: 0,
            sessions: true,
            acknowledged: 3,
        };
        for event in events {
            match (event, &mut upgrade) {
                (Event::Write, Some(row)) => world.write(row),
                (Event::Cancel, Some(row)) => drop(row.cancel(now)),
                (Event::Finish, Some(row)) => drop(row.finish(now)),
                (Event::RollBack, Some(row)) => drop(row.roll_back(now)),
                (Event::Lifecycle, row) => lifecycle(row.as_ref(), &mut world),
                (Event::TimePasses, _) => now += 200_000,
                _ => drop(round(&mut upgrade, &mut world, &mut now, event)),
            }
            if let Some(row) = &upgrade {
                world.check(row);
            }
        }
        let mut rounds = 0;
        while round(&mut upgrade, &mut world, &mut now, Event::Work) {
            lifecycle(upgrade.as_ref(), &mut world);
            if let Some(row) = &upgrade {
                world.check(row);
            }
            rounds += 1;
            prop_assert!(rounds < 40, "no end: {upgrade:?} {world:?}");
        }
        lifecycle(upgrade.as_ref(), &mut world);
        check_end(upgrade.as_ref(), &world)?;
    }
}

fn check_end(upgrade: Option<&Upgrade>, world: &World) -> Result<(), TestCaseError> {
    prop_assert!(world.running[world.addons], "{:?}", world);
    let Some(row) = upgrade else {
        prop_assert!(world.addons == 1 && !world.container[0], "left behind: {:?}", world);
        return Ok(());
    };
    prop_assert!(!row.holds() && row.held_at.is_none(), "held for ever: {:?}", row);
    match row.stage {
        Stage::Kept => {
            prop_assert!(world.addons == 1 && world.container[0] && !world.running[0], "{:?}", world)
        }
        Stage::Undone => {
            prop_assert!(world.addons == 0 && !world.container[1], "left behind: {:?}", world);
            prop_assert!(row.reason.is_some() && (world.method == Method::Swap || world.volume[1].is_none()));
        }
        // Nothing works, and the old engine could not be started either.
        Stage::Failed => prop_assert!(world.addons == 0 && row.reason.is_some(), "{:?}", row),
        _ => prop_assert!(false, "not over: {:?}", row),
    }
    Ok(())
}

#[test]
fn the_way_of_each_method() {
    for (method, way) in [
        (Method::Move, "check prepare hold move verify switch settle kept"),
        (Method::Swap, "check hold stop prepare switch settle kept"),
    ] {
        let images = ("a:1".to_owned(), "a:2".to_owned());
        let place = Place { generation: 1, volume: 1 };
        let mut upgrade = Upgrade::new(Name::parse("blog").unwrap(), images, place, 2, 60_000, 0);
        let mut stages = vec![];
        for at in 0..20 {
            stages.push(upgrade.stage.as_str());
            if upgrade.stage.is_settled() {
                break;
            }
            let outcome = match upgrade.stage {
                Stage::Check => Outcome::Planned { from: "1".into(), to: "2".into(), method },
                _ => Outcome::Plain,
            };
            upgrade.succeeded(outcome, at);
        }
        assert_eq!(stages.join(" "), way);
    }
}

#[test]
fn logins_are_held_no_longer_than_was_allowed() {
    let images = ("a:1".to_owned(), "a:2".to_owned());
    let mut upgrade =
        Upgrade::new(Name::parse("blog").unwrap(), images, Place { generation: 1, volume: 1 }, 2, 5_000, 0);
    upgrade.succeeded(Outcome::Planned { from: "1".into(), to: "2".into(), method: Method::Move }, 0);
    upgrade.succeeded(Outcome::Plain, 100);
    assert_eq!((upgrade.stage, upgrade.held_at), (Stage::Hold, Some(100)));
    upgrade.succeeded(Outcome::Plain, 2_100);
    assert_eq!((upgrade.stage, upgrade.time_left(2_100)), (Stage::Move, Some(Duration::from_secs(3))));
    // A clock that was set back makes nothing longer than what was allowed.
    assert_eq!(upgrade.time_left(-9_000), Some(Duration::from_secs(5)));
    assert_eq!(upgrade.time_left(9_000), Some(Duration::ZERO));
    upgrade.failed(Failure::Retry("late".into()), 5_100);
    assert_eq!((upgrade.stage, upgrade.reason.as_deref()), (Stage::Revive, Some("late")));
    upgrade.succeeded(Outcome::Plain, 6_000);
    assert!(upgrade.stage == Stage::Remove && !upgrade.holds() && upgrade.held_at.is_none());
}

#[test]
fn the_lifecycle_gets_a_shared_volume_back_only_once_the_new_engine_is_stopped() {
    for (method, stage) in [(Method::Swap, Stage::Revive), (Method::Move, Stage::Failed)] {
        let images = ("a:1".to_owned(), "a:2".to_owned());
        let place = Place { generation: 1, volume: 1 };
        let mut upgrade = Upgrade::new(Name::parse("blog").unwrap(), images, place, 2, 60_000, 0);
        upgrade.succeeded(Outcome::Planned { from: "1".into(), to: "2".into(), method }, 0);
        for _ in 0..2 {
            upgrade.succeeded(Outcome::Plain, 0);
        }
        upgrade.failed(Failure::Lasting("no".into()), 1);
        assert_eq!(upgrade.stage, Stage::Revive);
        for at in 1..9 {
            upgrade.failed(Failure::Lasting("no again".into()), at * 1_000_000);
        }
        assert_eq!((upgrade.stage, upgrade.owns()), (stage, method == Method::Swap));
    }
}
