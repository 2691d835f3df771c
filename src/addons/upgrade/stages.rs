//! The words of an upgrade: how far it is, by which way, what to do.

/// How far an upgrade is. Written before the action that belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The image is pulled, the versions are compared, the disk is looked at.
    Check,
    /// The new container is made and started; a login at itself succeeds.
    Prepare,
    /// Logins wait from here on; the sessions that are open are ended.
    Hold,
    /// The old engine is stopped, where both use the same volume.
    Stop,
    /// The data go from the old engine to the new one.
    Move,
    /// Both hold the same.
    Verify,
    /// The new container becomes the addon's.
    Switch,
    /// Logins go on; the old engine is stopped.
    Settle,
    /// Done: the old container is kept, stopped, until `--finish` or `rollback`.
    Kept,
    /// The old container and its volume are removed. Afterwards there is no row.
    Finish,
    /// `rollback`: logins wait, the new engine is stopped, the old one started.
    Return,
    /// It has failed: the old engine serves again.
    Revive,
    /// What was made for it is removed.
    Remove,
    /// Over: the addon is as it was before. The reason is beside it.
    Undone,
    /// It has failed, and not everything is as it was. The reason is beside it; what was made is left for somebody to look at.
    Failed,
}

/// Which way the data take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Written out by the old engine and read in by the new one, which has a volume of its own: for another major version.
    Move,
    /// The new engine takes over the old one's volume: for versions that read each other's files.
    Swap,
}

/// What to do. Each can be repeated, if a crash hides whether it was done; but [`Action::Move`] is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Pull the image, compare versions, look at the disk.
    Check,
    /// Make and start the new container, and log in at it.
    Prepare,
    /// End the sessions of the old engine, and wait until there are none.
    EndSessions,
    /// Stop the old engine.
    StopOld,
    /// Write out and read in.
    Move,
    /// Compare what both hold.
    Verify,
    /// Make the new container the addon's.
    Switch,
    /// Stop the new engine, start the old one, log in at it, and make it the addon's.
    Return,
    /// Start the old engine, if it does not run, and log in at it.
    Revive,
    /// Remove the new container, and the volume if it is its own.
    RemoveNew,
    /// Remove the old container, and the volume if nobody uses it any more.
    RemoveOld,
    /// Nothing is left to do.
    Nothing,
}

impl Stage {
    /// Every stage.
    pub const ALL: [Stage; 15] = [
        Stage::Check,
        Stage::Prepare,
        Stage::Hold,
        Stage::Stop,
        Stage::Move,
        Stage::Verify,
        Stage::Switch,
        Stage::Settle,
        Stage::Kept,
        Stage::Finish,
        Stage::Return,
        Stage::Revive,
        Stage::Remove,
        Stage::Undone,
        Stage::Failed,
    ];

    /// The word in the store and in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Stage::Check => "check",
            Stage::Prepare => "prepare",
            Stage::Hold => "hold",
            Stage::Stop => "stop",
            Stage::Move => "move",
            Stage::Verify => "verify",
            Stage::Switch => "switch",
            Stage::Settle => "settle",
            Stage::Kept => "kept",
            Stage::Finish => "finish",
            Stage::Return => "return",
            Stage::Revive => "revive",
            Stage::Remove => "remove",
            Stage::Undone => "undone",
            Stage::Failed => "failed",
        }
    }

    /// The other way round; `None` for any other word.
    pub fn parse(word: &str) -> Option<Self> {
        Stage::ALL.into_iter().find(|stage| stage.as_str() == word)
    }

    /// Whether nothing happens any more before somebody asks for something.
    pub fn is_settled(self) -> bool {
        matches!(self, Stage::Kept | Stage::Undone | Stage::Failed)
    }
}

impl Method {
    /// The word in the store and in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Move => "move",
            Method::Swap => "swap",
        }
    }

    /// The other way round; `None` for any other word.
    pub fn parse(word: &str) -> Option<Self> {
        [Method::Move, Method::Swap].into_iter().find(|method| method.as_str() == word)
    }
}

impl Action {
    /// The word in logs and, behind `upgrade-`, in the names of crash points.
    pub fn as_str(self) -> &'static str {
        match self {
            Action::Check => "check",
            Action::Prepare => "prepare",
            Action::EndSessions => "end-sessions",
            Action::StopOld => "stop-old",
            Action::Move => "move",
            Action::Verify => "verify",
            Action::Switch => "switch",
            Action::Return => "return",
            Action::Revive => "revive",
            Action::RemoveNew => "remove-new",
            Action::RemoveOld => "remove-old",
            Action::Nothing => "nothing",
        }
    }
}
