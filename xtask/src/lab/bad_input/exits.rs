//! The table of exit codes, one named case for each code, on a real host.

use std::fs;

use anyhow::{Result, ensure};

use super::ground::Ground;
use super::program::{Expected, Lang};
use super::{Case, Outcome};

/// What must come before everything else: the release that serves in every other case.
pub(crate) const FIRST: &[Case] = &[
    ("exit 6: a first release falls ill and there is no way back", first_release_falls_ill),
    ("exit 0: the same release, well again, goes on with resume", resumed),
];

/// The rest of the table; 1, 2 and 7 stand in other files too.
pub(crate) const CASES: &[Case] = &[
    ("exit 0, 3, 9: good, bad, not yet proven", verdicts),
    ("exit 3: a check blocks the release before its build", blocked_by_a_check),
    ("exit 8: a plan with changes", changed_plan),
    ("exit 4, 0: only time is missing, then it is called off", left_in_its_bake),
    ("exit 5: a release falls ill in its canary and is taken back", taken_back),
];

/// A bake that no case waits for.
const BAKE: &str = r#"[gates.bake]
for          = "10m"
slo          = ["any_success"]
traffic      = ["synthetic"]
rate         = "5/s"
min_requests = 10
requests     = ["GET /products?q=walnut+tray"]
"#;

fn first_release_falls_ill(ground: &mut Ground) -> Result<Outcome> {
    let ship = ground.guanka.start(Lang::En, &ground.words(&["ship"]))?;
    ground.wait_for_state("settling")?;
    fs::write(ground.sick("1"), "")?;
    let answer = ship.end()?;
    let expected = Expected {
        exit: 6,
        both: vec!["guanka status".to_owned()],
        en: "no way back",
        ..Expected::default()
    };
    expected.holds(Lang::En, &answer)?;
    Ok(Outcome::Clear)
}

fn resumed(ground: &mut Ground) -> Result<Outcome> {
    fs::remove_file(ground.sick("1"))?;
    ground.guanka.call(Lang::Zh, &ground.words(&["resume"]))?.exits(0)?;
    ground.still_serves()?;
    ground.guanka.call(Lang::En, &ground.words(&["status"]))?.exits(0)?;
    Ok(Outcome::Clear)
}

fn verdicts(ground: &mut Ground) -> Result<Outcome> {
    for (bad, total, exit, word) in
        [("281", "518400", 0, "good"), ("50", "100", 3, "bad"), ("0", "3", 9, "not_yet")]
    {
        let limit = if exit == 0 { "0.06%" } else { "1%" };
        let words = ["prove", "--bad", bad, "--total", total, "--limit", limit, "--json"];
        let answer = ground.guanka.call(Lang::En, &words)?.exits(exit)?;
        ensure!(answer.out.contains(word), "{word:?} is missing: {}", answer.shown());
    }
    Ok(Outcome::Clear)
}

fn blocked_by_a_check(ground: &mut Ground) -> Result<Outcome> {
    // Without SIGTERM every request under way is cut when the manager stops the program.
    let (caught, deaf) = ("syscall.SIGTERM, os.Interrupt", "os.Interrupt");
    ground.rewrite("main.go", caught, deaf)?;
    // What the blocked release declares otherwise must not reach the host either.
    ground.rewrite("guanka.toml", "keepalive    = \"2s\"", "keepalive    = \"3s\"")?;
    let settings = || ground.host_file("var/lib/guanka/shop.demo/settings.json");
    let before = settings()?;
    let tried = refused_by_a_check(ground);
    ensure!(settings()? == before, "the settings of a blocked release were stored");
    ground.rewrite("main.go", deaf, caught)?;
    ground.restore()?;
    tried
}

fn refused_by_a_check(ground: &Ground) -> Result<Outcome> {
    for lang in [Lang::En, Lang::Zh] {
        let answer = ground.guanka.call(lang, &ground.words(&["ship"]))?.exits(3)?;
        let text = answer.text();
        let explains =
            answer.out.lines().last().is_some_and(|line| line.contains("guanka explain"));
        ensure!(explains, "the last line is no command: {}", answer.shown());
        ensure!(text.contains("main.go:"), "no place is named: {}", answer.shown());
        ground.still_serves()?;
    }
    Ok(Outcome::Clear)
}

fn changed_plan(ground: &mut Ground) -> Result<Outcome> {
    ground.guanka.call(Lang::En, &ground.words(&["plan", "--exit-code"]))?.exits(0)?;
    ground.rewrite("guanka.toml", "keepalive    = \"2s\"", "keepalive    = \"3s\"")?;
    ground.refuses(
        &["plan", "--exit-code"],
        &Expected {
            exit: 8, zh: "什么也没有改动", en: "Nothing was changed", ..next_is_in_text()
        },
    )?;
    Ok(Outcome::Clear)
}

/// Who does not wait leaves with 4; who calls a release off before any user met it gets what was
/// asked for, and that is no failure.
fn left_in_its_bake(ground: &mut Ground) -> Result<Outcome> {
    ground.release("slow-to-prove")?;
    ground.rewrite("guanka.toml", "[gates.canary]", &format!("{BAKE}\n[gates.canary]"))?;
    let ship = ground.words(&["ship", "--no-wait"]);
    ground.guanka.call(Lang::Zh, &ship)?.exits(4)?;
    let state = ground.status()?["rollout"]["state"].to_string();
    ensure!(state.contains("baking"), "it bakes on without its driver: {state}");
    ground.guanka.call(Lang::En, &ground.words(&["abort"]))?.exits(0)?;
    ground.restore()?;
    ground.still_serves()?;
    Ok(Outcome::Clear)
}

/// A plan is no error: its next step stands in its last sentence.
fn next_is_in_text() -> Expected {
    Expected { both: vec!["guanka ship".to_owned()], has_no_next: true, ..Expected::default() }
}

fn taken_back(ground: &mut Ground) -> Result<Outcome> {
    ground.release("ill")?;
    let ship = ground.guanka.start(Lang::Zh, &ground.words(&["ship"]))?;
    ground.wait_for_state("canary\"")?;
    fs::write(ground.sick("ill"), "")?;
    let answer = ship.end()?.exits(5)?;
    ensure!(answer.text().contains("已回退"), "it was taken back: {}", answer.shown());
    ground.still_serves()?;
    Ok(Outcome::Clear)
}
