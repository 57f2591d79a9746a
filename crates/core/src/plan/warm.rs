//! What the warm arm costs: while a release is under way two arms hold memory, and on a small host
//! the second one may not fit. Measured sizes come in, sentences and a limit go out.

use crate::quantity::Bytes;
use crate::say::Said;

/// What is known of a host's memory and of the program on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// All of the host's.
    pub total: Bytes,
    /// What programs can still have, by the kernel's own estimate.
    pub available: Bytes,
    /// What the arm that runs holds now; `None` where none runs.
    pub resident: Option<Bytes>,
}

/// What a plan says about memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warmth {
    /// It fits, or nothing is known against it.
    Fits(Said),
    /// The second arm may not fit.
    Tight(Said),
}

/// A host up to this size gives both arms a soft limit of their own where none is declared.
const SMALL: Bytes = Bytes(2 << 30);
/// The share of a small host's memory that one arm is told of, in hundredths: two arms leave a
/// fifth to nginx, the panel and the system.
const SHARE: u64 = 40;
/// A second arm is larger for a while than the one that has settled: by a quarter.
const GROWTH: u64 = 125;

/// Returns the limit that arms are told of on a small host where guanka.toml declares none.
pub fn soft_limit(total: Bytes, declared: Option<Bytes>) -> Option<Bytes> {
    let is_small = total.0 > 0 && total <= SMALL;
    (declared.is_none() && is_small).then(|| whole_mib(total.0 / 100 * SHARE))
}

/// Says what two arms need and whether the host has it.
pub fn weigh(memory: Memory, declared: Option<Bytes>) -> Warmth {
    let Memory { total, available, resident } = memory;
    let (total_mb, free_mb) = (mib(total), mib(available));
    let limited = soft_limit(total, declared).map(|limit| {
        let limit = mib(limit);
        Said::new(
            format!(";小主机:两臂各以 GOMEMLIMIT 软限 {limit} MiB 的九成"),
            format!("; a small host: each arm is told nine tenths of {limit} MiB as GOMEMLIMIT"),
        )
    });
    let limited = limited.unwrap_or_else(|| Said::new("", ""));
    let Some((one, is_measured)) = resident.map(|r| (r, true)).or(declared.map(|d| (d, false)))
    else {
        return Warmth::Fits(Said::new(
            format!("内存:共 {total_mb} MiB,可用 {free_mb} MiB;尚无运行中的臂可测{}", limited.zh),
            format!(
                "memory: {free_mb} of {total_mb} MiB available; no arm runs that could be \
                 measured{}",
                limited.en
            ),
        ));
    };
    let second = Bytes(one.0 / 100 * GROWTH);
    let (one_mb, two_mb, second_mb) = (mib(one), mib(Bytes(one.0 * 2)), mib(second));
    let (zh, en) = if is_measured {
        (
            format!("内存:一臂实测 {one_mb} MiB,发布期间两臂约 {two_mb} MiB"),
            format!("memory: an arm holds {one_mb} MiB, two of them about {two_mb} MiB"),
        )
    } else {
        (
            format!("内存:每臂至多 {one_mb} MiB,两臂至多 {two_mb} MiB"),
            format!("memory: an arm may hold {one_mb} MiB, two of them {two_mb} MiB"),
        )
    };
    if second <= available {
        return Warmth::Fits(Said::new(
            format!("{zh};主机可用 {free_mb} / {total_mb} MiB{}", limited.zh),
            format!("{en}; {free_mb} of {total_mb} MiB are available{}", limited.en),
        ));
    }
    // What both may have: what is free and what the running one holds, a fifth left to others.
    let held = resident.map_or(0, |resident| resident.0);
    let suggested = mib(whole_mib((available.0 + held) / 100 * SHARE));
    Warmth::Tight(Said::new(
        format!(
            "{zh},而主机可用仅 {free_mb} / {total_mb} MiB:第二臂(约 {second_mb} MiB)可能放不下,内\
             核会杀进程。腾出内存,或设 [process] memory = \"{suggested}M\"{}",
            limited.zh
        ),
        format!(
            "{en}, but only {free_mb} of {total_mb} MiB are available: the second arm (about \
             {second_mb} MiB) may not fit and the kernel would kill. Free some, or set [process] \
             memory = \"{suggested}M\"{}",
            limited.en
        ),
    ))
}

fn mib(bytes: Bytes) -> u64 {
    bytes.0 >> 20
}

fn whole_mib(bytes: u64) -> Bytes {
    Bytes(bytes >> 20 << 20)
}

#[cfg(test)]
mod tests {
    use super::{Memory, Warmth, soft_limit, weigh};
    use crate::quantity::Bytes;

    const MIB: u64 = 1 << 20;

    fn memory(total: u64, available: u64, resident: Option<u64>) -> Memory {
        Memory {
            total: Bytes(total * MIB),
            available: Bytes(available * MIB),
            resident: resident.map(|r| Bytes(r * MIB)),
        }
    }

    #[test]
    fn a_second_arm_that_does_not_fit_is_told_of_with_a_limit_that_does() {
        let Warmth::Tight(said) = weigh(memory(4096, 400, Some(400)), None) else {
            panic!("400 MiB and a quarter more do not fit into 400");
        };
        assert!(said.en.contains("memory = \"320M\""), "{}", said.en);
        assert!(said.en.contains("400 of 4096 MiB"), "{}", said.en);
        let fits = weigh(memory(4096, 500, Some(400)), None);
        assert!(matches!(fits, Warmth::Fits(said) if said.en.contains("about 800 MiB")));
    }

    #[test]
    fn only_a_small_host_limits_by_itself_and_never_against_what_is_declared() {
        assert_eq!(soft_limit(Bytes(1000 * MIB), None), Some(Bytes(400 * MIB)));
        assert_eq!(soft_limit(Bytes(1000 * MIB), Some(Bytes(MIB))), None);
        assert_eq!(soft_limit(Bytes(4000 * MIB), None), None);
        assert_eq!(soft_limit(Bytes(0), None), None, "unknown is not small");
        let Warmth::Fits(said) = weigh(memory(1000, 900, None), None) else {
            panic!("nothing is known against it");
        };
        assert!(said.zh.contains("400 MiB"), "{}", said.zh);
    }

    #[test]
    fn without_a_running_arm_the_declared_limit_is_what_two_may_hold() {
        let tight = weigh(memory(4096, 500, None), Some(Bytes(512 * MIB)));
        assert!(matches!(tight, Warmth::Tight(said) if said.en.contains("two of them 1024 MiB")));
    }
}
