//! What every run of the tests holds: kept tapes pass, a short campaign finds nothing, and no
//! target is so one-sided that it proves nothing.

use guanka_fuzz::campaign::{self, Plan};
use guanka_fuzz::{kept, target};

/// Cases of the short campaign.
const CASES: u64 = 26_000;

#[test]
fn every_kept_tape_passes() {
    let targets = target::all();
    for entry in kept::read(kept::LIST).expect("a list of tapes") {
        let found = targets.iter().find(|target| target.name == entry.target);
        let found = found.unwrap_or_else(|| panic!("no target {}", entry.target));
        let end = campaign::live(found, &entry.tape);
        assert!(end.is_ok(), "{}: {end:?}, kept because {}", entry.target, entry.why);
    }
}

#[test]
fn a_short_campaign_finds_nothing_and_sees_both_ends() {
    let plan = Plan { targets: target::all(), cases: CASES, seed: 20_260_101, threads: 2 };
    let outcome = campaign::run(&plan, &mut |_| ());
    assert!(outcome.failures.is_empty(), "{:#?}", outcome.failures);
    assert!(outcome.cases() >= CASES, "{} cases", outcome.cases());
    // These take everything: a list in JSON, pages, rows, and texts that are always something.
    let takes_all =
        ["panel-list", "page", "markdown", "report-lines", "gomod", "go-source", "rows"];
    for tally in &outcome.tallies {
        let is_two_sided = tally.whole >= 10 && tally.refused >= 10;
        assert!(is_two_sided || takes_all.contains(&tally.target), "{tally:?}");
        assert!(tally.whole > 0, "{tally:?}");
    }
}
