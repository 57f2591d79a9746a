//! The way back to an adopted program: from a canary that is proven bad, where it serves still, and
//! after a release has taken over, where `rollback` names the way.

use std::fs;

use anyhow::{Context, Result, ensure};

use super::adoption::{declare, leave, listener, pid_of_blue, ship, start_by_hand};
use super::edits::is_alive;
use super::ground::{Ground, SITE, ask};
use super::visitors::{Class, Visitors};
use super::{Case, Outcome};

/// The cases, each on a host of its own.
pub(super) const CASES: &[Case] =
    &[("a bad canary goes back to the adopted program; after a release, leave does", way_back)];

/// The release whose list of products fails.
const GOOD: &str = "watch(\"GET /products\", catalog.list)";
const BAD: &str = "watch(\"GET /products\", func(w http.ResponseWriter, r *http.Request) {\n\
    \t\tproblem(w, http.StatusInternalServerError, \"no products\")\n\t})";

fn way_back(ground: &mut Ground) -> Result<Outcome> {
    start_by_hand(ground)?;
    ground.comes_to_serve("old")?;
    declare(ground, SITE)?;
    ground.call(&["adopt", "--yes"])?.exits(0)?;
    let pid = listener(ground)?;
    taken_back(ground, pid).context("a bad canary")?;
    rollback_refused(ground, "old").context("rollback before any release")?;
    ensure!(is_alive(pid) && listener(ground)? == pid, "the adopted program was ended");
    ship(ground, "1", SITE, ground.site.port)?;
    ensure!(!is_alive(pid), "the old program still runs");
    rollback_refused(ground, "1").context("rollback after a release")?;
    leave(ground, SITE, ground.site.port)?;
    ground.started.push(listener(ground)?);
    Ok(Outcome::Clear)
}

/// Ships what fails: the adopted program keeps its process and gets every request back.
fn taken_back(ground: &Ground, pid: u32) -> Result<()> {
    let routes = ground.project.join("routes.go");
    let good = fs::read_to_string(&routes).context("read routes.go")?;
    ensure!(good.contains(GOOD), "routes.go does not hold {GOOD:?}");
    fs::write(&routes, good.replacen(GOOD, BAD, 1)).context("write routes.go")?;
    let during = Visitors::start(ground.site.port, SITE, Class::Closing, (20, 7));
    let shipped = ground.call(&["ship"]);
    let met = during.end();
    let shipped = shipped?.exits(5)?;
    ensure!(shipped.text().contains("proven bad"), "{}", shipped.shown());
    ensure!(met.failed > 0, "the canary had no visitors");
    println!("      the bad canary: {} of {} visitors failed", met.failed, met.requests);
    let after: Vec<Visitors> = [Class::Closing, Class::FinAware]
        .map(|class| Visitors::start(ground.site.port, SITE, class, (20, 7)))
        .into();
    let blue = pid_of_blue(ground)?;
    ensure!(blue == pid && listener(ground)? == pid, "blue is {blue} and was {pid}");
    let status = ground.status()?;
    ensure!(status["host"]["active"] == "blue", "{status}");
    ensure!(status["host"]["green"] == 0, "the candidate has a share: {status}");
    let (code, body) = ask(ground.site.port, SITE, "/healthz")?;
    ensure!(code == 200 && body.contains("\"old\""), "{code}: {body}");
    for visitors in after {
        let met = visitors.end();
        ensure!(met.failed == 0, "after it was taken back: {met:?}");
    }
    fs::write(&routes, good).context("write routes.go")
}

/// Holds a rollback to one line that names the way, and to changing nothing.
fn rollback_refused(ground: &Ground, serving: &str) -> Result<()> {
    let refused = ground.call(&["rollback"])?.exits(1)?;
    let text = refused.text();
    ensure!(text.contains("GK1210") && text.contains("guanka leave"), "{}", refused.shown());
    ground.serves(serving)
}
