//! How many processors a Go program takes by itself, how many it should take under its limits, and
//! so whether it has to be told. A number that is set by hand is never changed again while the
//! program runs, so it is set only where the runtime would not come to it by itself.

use crate::facts::binary::BuildInfo;
use crate::quantity::CpuPercent;

/// Whether a program's Go runtime looks at its group's processor time: since 1.25, unless the go
/// line of its go.mod, or a `//go:debug` line, says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runtime {
    /// It does, at its own group and not at those around it.
    ReadsQuota,
    /// It takes every processor it may run on.
    TakesAll,
}

/// The limits a program stands under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// The processors it may run on.
    pub processors: u32,
    /// The processor time of its own group.
    pub own: Option<CpuPercent>,
    /// The least processor time of the groups around it.
    pub around: Option<CpuPercent>,
}

impl Runtime {
    /// Reads Go's own record in a program. What has none is taken for one that takes all.
    pub fn of(build: Option<&BuildInfo>) -> Self {
        let Some(build) = build else { return Self::TakesAll };
        let is_off = ["DefaultGODEBUG", "GODEBUG"].iter().any(|key| {
            let words = build.settings.get(*key).map_or("", String::as_str);
            words.split(',').any(|word| word.trim() == "containermaxprocs=0")
        });
        match version(&build.go) {
            Some(found) if found >= (1, 25) && !is_off => Self::ReadsQuota,
            _ => Self::TakesAll,
        }
    }

    /// Returns the number that the runtime comes to by itself.
    pub fn by_itself(self, room: Room) -> u32 {
        match self {
            Self::TakesAll => room.processors,
            Self::ReadsQuota => under(room.processors, room.own),
        }
    }
}

/// Returns what `GOMAXPROCS` is to be set to, if the runtime would come to another number.
pub fn to_set(runtime: Runtime, room: Room) -> Option<u32> {
    to_tell(runtime, room, None)
}

/// Returns what `GOMAXPROCS` is to be set to where no group holds the declared processor time: the
/// number itself is then all that holds it, so it has no least but one.
pub fn to_tell(runtime: Runtime, room: Room, declared: Option<CpuPercent>) -> Option<u32> {
    let least = room.own.into_iter().chain(room.around).min();
    let told = declared.map_or(u32::MAX, CpuPercent::processors);
    let wanted = under(room.processors, least).min(told);
    (runtime.by_itself(room) != wanted).then_some(wanted)
}

/// Returns how many processors a time limit leaves: the whole ones that hold it, and two at least,
/// as Go's own rule has it: with one, a collection of garbage would stop everything else.
fn under(processors: u32, limit: Option<CpuPercent>) -> u32 {
    limit.map_or(processors, |limit| processors.min(limit.processors().max(2)))
}

/// Reads `go1.26.8`, `go1.25rc1`.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.strip_prefix("go")?.split('.');
    let digits = |part: &str| {
        let end = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
        part[..end].parse().ok()
    };
    Some((digits(parts.next()?)?, digits(parts.next()?)?))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Room, Runtime, to_set, to_tell, version};
    use crate::facts::binary::BuildInfo;
    use crate::quantity::CpuPercent;

    fn build(go: &str, settings: &[(&str, &str)]) -> BuildInfo {
        let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        BuildInfo {
            go: go.to_owned(),
            path: "x".to_owned(),
            module: None,
            deps: Vec::new(),
            settings: settings.iter().map(own).collect::<BTreeMap<_, _>>(),
        }
    }

    fn room(processors: u32, own: u32, around: u32) -> Room {
        let limit = |percent: u32| (percent > 0).then_some(CpuPercent(percent));
        Room { processors, own: limit(own), around: limit(around) }
    }

    /// Processors, own quota, quota around it (0 is none); what Go 1.19 and Go 1.27 take; what is
    /// set for each. The first rows were measured with real programs of both.
    #[test]
    fn the_number_is_set_only_where_the_runtime_would_not_come_to_it() {
        let rows = [
            ((2, 0, 0), (2, 2), (None, None)),
            ((1, 0, 0), (1, 1), (None, None)),
            ((4, 50, 0), (4, 2), (Some(2), None)),
            ((4, 100, 0), (4, 2), (Some(2), None)),
            ((4, 150, 0), (4, 2), (Some(2), None)),
            ((4, 250, 0), (4, 3), (Some(3), None)),
            ((4, 400, 0), (4, 4), (None, None)),
            ((3, 0, 0), (3, 3), (None, None)),
            ((2, 50, 0), (2, 2), (None, None)),
            ((1, 50, 0), (1, 1), (None, None)),
            // Groups around the own one are what no version of Go looks at.
            ((8, 0, 300), (8, 8), (Some(3), Some(3))),
            ((8, 600, 300), (8, 6), (Some(3), Some(3))),
            ((8, 300, 600), (8, 3), (Some(3), None)),
        ];
        for ((processors, own, around), (old, new), (set_old, set_new)) in rows {
            let room = room(processors, own, around);
            let taken = [Runtime::TakesAll, Runtime::ReadsQuota].map(|r| r.by_itself(room));
            assert_eq!(taken, [old, new], "{room:?}");
            assert_eq!(to_set(Runtime::TakesAll, room), set_old, "{room:?}");
            assert_eq!(to_set(Runtime::ReadsQuota, room), set_new, "{room:?}");
        }
    }

    #[test]
    fn without_a_group_of_its_own_the_declared_time_is_told_as_whole_processors() {
        let tell = |processors, own, declared: u32| {
            let declared = (declared > 0).then_some(CpuPercent(declared));
            to_tell(Runtime::ReadsQuota, room(processors, own, 0), declared)
        };
        assert_eq!(tell(2, 0, 100), Some(1));
        assert_eq!(tell(8, 0, 250), Some(3));
        assert_eq!(tell(2, 0, 200), None, "it takes no more by itself");
        assert_eq!(tell(2, 0, 0), None);
        assert_eq!(tell(8, 300, 400), None, "its group gives it less");
        assert_eq!(to_tell(Runtime::TakesAll, room(8, 300, 0), Some(CpuPercent(400))), Some(3));
    }

    #[test]
    fn a_new_toolchain_alone_does_not_read_quotas() {
        let old_line = [("DefaultGODEBUG", "asynctimerchan=1,containermaxprocs=0,gotypesalias=0")];
        let cases = [
            (build("go1.26.8", &[]), Runtime::ReadsQuota),
            (build("go1.25rc1", &[("DefaultGODEBUG", "tls3des=1")]), Runtime::ReadsQuota),
            (build("go1.26.8", &old_line), Runtime::TakesAll),
            (build("go1.24.9", &[]), Runtime::TakesAll),
            (build("devel", &[]), Runtime::TakesAll),
        ];
        for (found, expected) in cases {
            assert_eq!(Runtime::of(Some(&found)), expected, "{found:?}");
        }
        assert_eq!(Runtime::of(None), Runtime::TakesAll);
        assert_eq!(version("go1.9"), Some((1, 9)));
    }
}
