//! The life of an addon whose provider has no steps of its own, sans-IO: which call comes next.
//!
//! A call that may have been made is made again: providers come to the same. So the row and what is wanted are enough to decide by.

use super::{Desired, Life, State, Step};

/// The one thing to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// Ask the provider to begin.
    Begin,
    /// Ask the provider whether it is done.
    Complete,
    /// See whether it is there and can be reached.
    Check,
    /// Nothing leads to it any more, as a restart wants: from now on it is wanted running.
    WantRunning,
    /// Ask the provider to take it away; then remove the row.
    Deprovision,
    /// All is as it should be.
    Nothing,
}

impl Call {
    /// The word in logs and in the names of crash points.
    pub fn as_str(self) -> &'static str {
        match self {
            Call::Begin => "begin",
            Call::Complete => "complete",
            Call::Check => "check",
            Call::WantRunning => "want-running",
            Call::Deprovision => "deprovision",
            Call::Nothing => "nothing",
        }
    }
}

/// Decides what to do next, and the state to be written first. `begun`: the provider has said what it calls it.
pub fn next_call(life: &Life, begun: bool) -> (State, Call) {
    let (state, call) = match life.desired {
        Desired::Destroyed => (State::Deprovisioning, Call::Deprovision),
        // Where there is no container there is nothing to stop: nobody is led there any more.
        Desired::Stopped => (State::Stopped, Call::Nothing),
        Desired::Restart => (State::Waiting, Call::WantRunning),
        Desired::Running if !begun => (State::Provisioning(Step::Begin), Call::Begin),
        Desired::Running if !life.provisioned => (State::Provisioning(Step::Complete), Call::Complete),
        // It stays ready while it is looked at.
        Desired::Running if life.state == State::Ready => (State::Ready, Call::Check),
        Desired::Running => (State::Provisioned, Call::Check),
    };
    // An error stays visible until it is overcome.
    let overcome = matches!(state, State::Ready | State::Stopped);
    (if life.state == State::Error && !overcome { State::Error } else { state }, call)
}

#[cfg(test)]
mod tests {
    use super::super::{Deadlines, Failure, after_failure, enter};
    use super::*;

    #[test]
    fn it_is_begun_completed_checked_and_taken_away() {
        let mut life = Life::new(0);
        assert_eq!(next_call(&life, false), (State::Provisioning(Step::Begin), Call::Begin));
        assert_eq!(next_call(&life, true), (State::Provisioning(Step::Complete), Call::Complete));
        life.provisioned = true;
        assert_eq!(next_call(&life, true), (State::Provisioned, Call::Check));
        life.state = State::Ready;
        assert_eq!(next_call(&life, true), (State::Ready, Call::Check));
        life.desired = Desired::Restart;
        assert_eq!(next_call(&life, true), (State::Waiting, Call::WantRunning));
        life.desired = Desired::Stopped;
        assert_eq!(next_call(&life, true), (State::Stopped, Call::Nothing));
        life.desired = Desired::Destroyed;
        // Whether or not it was begun: the answer may have been lost.
        assert_eq!(next_call(&life, false), (State::Deprovisioning, Call::Deprovision));
    }

    #[test]
    fn an_error_is_shown_until_it_is_overcome_and_everything_is_tried_again() {
        for (begun, provisioned, call) in
            [(false, false, Call::Begin), (true, false, Call::Complete), (true, true, Call::Check)]
        {
            let mut life = Life { provisioned, ..Life::new(0) };
            let (state, first) = next_call(&life, begun);
            enter(&mut life, state, 0);
            let late = Deadlines::default().of(state).as_millis() as i64;
            assert!(after_failure(&mut life, Failure::Retry("no".into()), &Deadlines::default(), late));
            assert_eq!((first, next_call(&life, begun)), (call, (State::Error, call)));
            enter(&mut life, State::Ready, late + 1);
            assert!(life.reason.is_none() && life.attempts == 0);
        }
    }
}
