use super::*;

fn name() -> Name {
    Name::parse("blog").unwrap()
}

fn passwords(present: Option<&str>, next: Option<&str>) -> Passwords {
    let password = |text: &str| Password::new(text.into());
    Passwords { present: present.map(password), next: next.map(password) }
}

fn let_in(login: &Login, passwords: &Passwords, two: bool) -> Vec<(String, String)> {
    let accounts = login.accounts(passwords, two).into_iter();
    accounts
        .flat_map(|account| {
            account.passwords.iter().map(|p| (account.login.clone(), p.expose().into())).collect::<Vec<_>>()
        })
        .collect()
}

/// Through every state of row and files that a rotation passes through, in order, crashes included: what a client was told
/// last is let in, and so is what it was told before until the grace is over.
#[test]
fn whoever_was_told_something_is_let_in() {
    for two in [true, false] {
        for second in [false, true] {
            let at = |phase| Login { phase, second, ..Login::application(&name()) };
            let steps = [
                (at(Phase::Ready), passwords(Some("old"), None)),
                (at(Phase::Rotating(5)), passwords(Some("old"), None)),
                (at(Phase::Rotating(5)), passwords(Some("old"), Some("new"))),
                (at(Phase::Grace(9)), passwords(Some("old"), Some("new"))),
                (at(Phase::Ending), passwords(Some("old"), Some("new"))),
                (at(Phase::Ending), passwords(Some("new"), Some("new"))),
                (at(Phase::Ending), passwords(Some("new"), None)),
                (Login { second: second == two, ..at(Phase::Ready) }, passwords(Some("new"), None)),
            ];
            let told = |(login, files): &(Login, Passwords)| {
                let password = login.current_password(files).unwrap();
                (login.current_name(two), password.expose().to_owned())
            };
            for pair in steps.windows(2) {
                let now = let_in(&pair[1].0, &pair[1].1, two);
                assert!(now.contains(&told(&pair[1])), "{pair:?}");
                let over = pair[1].0.phase == Phase::Ending;
                assert!(over || now.contains(&told(&pair[0])), "{pair:?}");
            }
            let end = let_in(&steps[7].0, &steps[7].1, two);
            assert_eq!(end, [told(&steps[7])]);
            assert_eq!(told(&steps[7]).1, "new");
            assert_ne!(told(&steps[0]), told(&steps[7]));
        }
    }
}

#[test]
fn what_is_removed_is_let_in_no_more() {
    let mut login = Login::bound(&name(), "reader".into(), Rights::ReadOnly, 1);
    assert_eq!(let_in(&login, &passwords(None, None), true), []);
    assert_eq!(let_in(&login, &passwords(Some("p"), None), true), [("blog.reader".into(), "p".into())]);
    login.phase = Phase::Removing;
    assert_eq!(let_in(&login, &passwords(Some("p"), Some("q")), true), []);
}

#[test]
fn a_grace_is_waited_for_and_the_rest_is_done_at_once() {
    let mut login = Login::application(&name());
    assert_eq!(login.due_in(10), None);
    login.phase = Phase::Grace(30);
    assert_eq!(login.due_in(10), Some(Duration::from_millis(20)));
    assert_eq!(login.due_in(40), Some(Duration::ZERO));
    login.phase = Phase::Ending;
    assert_eq!(login.due_in(40), Some(Duration::ZERO));
}

#[test]
fn roles_leave_room_for_the_second_name() {
    for good in ["reader", "r", "9", &"x".repeat(28)] {
        let role = Role::parse_bound(&name(), good).unwrap();
        for spoken in role.spoken() {
            dialect::Login::parse(format!("blog.{spoken}").as_bytes()).unwrap();
        }
    }
    for bad in ["", "Reader", "a.b", "a b", "reader_2", "app_2", &"x".repeat(29)] {
        assert!(Role::parse_bound(&name(), bad).is_err(), "{bad}");
    }
}

#[test]
fn phases_come_back_from_the_store() {
    use Phase::*;
    for phase in [Making, Ready, Rotating(7), Grace(8), Ending, Removing] {
        let (word, number) = phase.to_store();
        assert_eq!(Phase::from_store(word, number), Some(phase));
    }
    assert_eq!(Phase::from_store("odd", 0), None);
}
