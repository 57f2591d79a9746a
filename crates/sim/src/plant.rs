//! Bugs that can be planted, to prove that the checkers see. Each is one that a hand could slip
//! into the driver, the agent or the machine.

/// A planted bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// The agent writes the candidate's share where green's belongs.
    WrongShareDirection,
    /// The agent obeys a driver that lost its right.
    LowerEpochAccepted,
    /// The driver takes "not yet" for "good".
    NotYetPromotes,
    /// The driver acts first and writes the journal afterwards.
    EffectsBeforeJournal,
    /// The driver stops the candidate before its share is gone.
    StopBeforeShare,
    /// The agent keeps the share when the driver falls silent.
    LeaseIgnored,
    /// After a restart nobody asks for a verdict again.
    NobodyAsksAgain,
    /// A host may fail only once.
    RetryBudgetOne,
    /// Taking back forgets the last host.
    RollbackForgetsHost,
    /// The agent performs an old command that was long under way.
    StaleCommandAccepted,
    /// The agent performs a command again when it is repeated.
    RepeatActsAgain,
    /// The driver counts deadlines on the wall clock.
    WallClock,
}

impl Plant {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::WrongShareDirection,
        Self::LowerEpochAccepted,
        Self::NotYetPromotes,
        Self::EffectsBeforeJournal,
        Self::StopBeforeShare,
        Self::LeaseIgnored,
        Self::NobodyAsksAgain,
        Self::RetryBudgetOne,
        Self::RollbackForgetsHost,
        Self::StaleCommandAccepted,
        Self::RepeatActsAgain,
        Self::WallClock,
    ];

    /// Returns its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::WrongShareDirection => "wrong-share-direction",
            Self::LowerEpochAccepted => "lower-epoch-accepted",
            Self::NotYetPromotes => "not-yet-promotes",
            Self::EffectsBeforeJournal => "effects-before-journal",
            Self::StopBeforeShare => "stop-before-share",
            Self::LeaseIgnored => "lease-ignored",
            Self::NobodyAsksAgain => "nobody-asks-again",
            Self::RetryBudgetOne => "retry-budget-one",
            Self::RollbackForgetsHost => "rollback-forgets-host",
            Self::StaleCommandAccepted => "stale-command-accepted",
            Self::RepeatActsAgain => "repeat-acts-again",
            Self::WallClock => "wall-clock",
        }
    }

    /// Reads a name back.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|plant| plant.name() == name)
    }
}
