//! Where a driver sits: in a terminal that may close, or in the controller. The lease's holder says
//! it, so that everybody who looks at the host can tell.

/// The word in a holder's name that tells a controller.
const WORD: &str = "serve";

/// Where a driver sits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seat {
    /// In the command that somebody has given.
    Foreground,
    /// In `guanka serve`.
    Controller,
}

impl Seat {
    /// Returns the name under which this process holds leases; it ends with ` pid N start T`.
    pub(crate) fn holder(self) -> String {
        let own = crate::agent::own_name();
        match (self, own.split_once(' ')) {
            (Self::Controller, Some((who, process))) => format!("{who} {WORD} {process}"),
            _ => own,
        }
    }

    /// Tells from a holder's name where it sits.
    pub(crate) fn of(holder: &str) -> Self {
        match holder.split_whitespace().nth(1) {
            Some(WORD) => Self::Controller,
            _ => Self::Foreground,
        }
    }

    /// Returns the code used in JSON.
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::Foreground => "foreground",
            Self::Controller => "controller",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Seat;

    #[test]
    fn a_holder_says_where_it_sits_and_still_ends_with_its_process() {
        for seat in [Seat::Foreground, Seat::Controller] {
            let holder = seat.holder();
            assert_eq!(Seat::of(&holder), seat, "{holder}");
            let words: Vec<&str> = holder.split_whitespace().collect();
            let [.., "pid", pid, "start", _] = words.as_slice() else { panic!("{holder}") };
            assert_eq!(*pid, std::process::id().to_string());
        }
    }
}
