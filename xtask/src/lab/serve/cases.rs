//! The cases, in an order in which each leaves a release that serves.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::Case;
use super::office::{Office, interrupt, says};
use crate::lab::bad_input::ground::ask;
use crate::process;

/// A controller that was asked to end is gone within this.
const LEAVES: Duration = Duration::from_secs(5);
/// What a change of what is listed may take.
const LIMIT: Duration = Duration::from_secs(60);

pub(super) const CASES: &[Case] = &[
    ("a ship follows its release in the controller and ends as if it drove itself", followed),
    ("a blocked release ends its ship with the gate's own exit code", blocked),
    ("killed in a canary and started again: it goes on, the ship follows on", killed),
    ("asked to end in a canary: gone within 5 s, names what is unfinished, goes on later", ended),
    ("Ctrl-C of a ship leaves the release running", interrupted),
    ("--no-wait comes back at once, status -w sees the release through", not_waited_for),
    ("abort takes a canary back in the controller, whose ship ends", aborted),
    ("a controller that cannot take an abort on does not keep it from being done", not_taken_on),
    ("rollback after the end goes on in the controller without its terminal", rolled_back),
    ("a release held on purpose goes on in the controller with resume", held),
    ("resume of a driven release follows it", looked_on),
    ("a host that is away is waited for", away),
    ("a host whose journal says something else than was handed over is not built for", other),
    ("two services at once, over a kill of the controller", two),
    ("a second controller is refused", refused),
];

fn followed(office: &mut Office) -> Result<()> {
    let answer = office.call(&["ship"])?.exits(0)?;
    let text = answer.text();
    for words in ["The static checks run.", "built ", "Done: every host serves", "released"] {
        ensure!(text.contains(words), "{words:?} is missing: {}", answer.shown());
    }
    ensure!(office.controller_said().contains("shop.demo #1"), "the controller drove it");
    office.open_doors();
    Ok(())
}

fn blocked(office: &mut Office) -> Result<()> {
    let ground = &office.ground;
    let (caught, deaf) = ("syscall.SIGTERM, os.Interrupt", "os.Interrupt");
    ground.rewrite("main.go", caught, deaf)?;
    let tried = office.call(&["ship"]);
    ground.rewrite("main.go", deaf, caught)?;
    let answer = tried?.exits(3)?;
    ensure!(answer.text().contains("main.go:"), "no place is named: {}", answer.shown());
    // What does not compile is told by the controller's ship, too.
    ground.rewrite("main.go", "package main", "package main\n\nvar broken int = \"text\"")?;
    let tried = office.call(&["ship"]);
    ground.rewrite("main.go", "package main\n\nvar broken int = \"text\"", "package main")?;
    let answer = tried?.exits(1)?;
    ensure!(answer.text().contains("GK1301"), "the compiler's words: {}", answer.shown());
    Ok(())
}

fn killed(office: &mut Office) -> Result<()> {
    office.long_release("killed")?;
    let ship = office.begin(&["ship"])?;
    office.is_in_canary()?;
    office.kill()?;
    says(&ship, "the controller is gone")?;
    let status = office.call(&["status"])?.exits(0)?;
    ensure!(status.text().contains("driver: nobody"), "{}", status.shown());
    office.start()?;
    let answer = ship.end()?.exits(0)?;
    ensure!(answer.text().contains("released"), "{}", answer.shown());
    office.ground.serves = "killed";
    Ok(())
}

fn ended(office: &mut Office) -> Result<()> {
    office.long_release("ended")?;
    let ship = office.begin(&["ship"])?;
    office.is_in_canary()?;
    let began = Instant::now();
    let exit = office.end()?;
    let took = began.elapsed();
    ensure!(exit == 0, "it ended with {exit}");
    ensure!(took < LEAVES, "it took {} ms", took.as_millis());
    ensure!(office.controller_said().contains("unfinished: rollout"), "names what is unfinished");
    let status = office.ground.status()?;
    ensure!(status["host"]["lease"].is_null(), "its lease is given back: {}", status["host"]);
    ensure!(status["host"]["green"] == 50, "the canary keeps its share: {}", status["host"]);
    office.start()?;
    ship.end()?.exits(0)?;
    office.ground.serves = "ended";
    Ok(())
}

fn interrupted(office: &mut Office) -> Result<()> {
    office.long_release("interrupted")?;
    let ship = office.begin(&["ship"])?;
    office.is_in_canary()?;
    interrupt(&ship)?;
    let answer = ship.end()?.exits(130)?;
    ensure!(answer.text().contains("guanka status -w"), "how to watch: {}", answer.shown());
    office.ground.wait_for_state("\"done\"")?;
    office.ground.serves = "interrupted";
    Ok(())
}

fn not_waited_for(office: &mut Office) -> Result<()> {
    let watch = office.begin(&["status", "shop.demo", "-w", "--json"])?;
    office.ground.release("watched")?;
    office.call(&["ship", "--no-wait"])?.exits(4)?;
    ensure!(office.listed() == 1, "it is on the controller's list");
    office.ground.wait_for_state("\"done\"")?;
    office.ground.serves = "watched";
    let sees = || watch.so_far().lines().last().is_some_and(|l| l.contains("done")).then_some(());
    process::wait_for("status -w sees the end", LIMIT, sees)?;
    interrupt(&watch)?;
    let answer = watch.end()?.exits(130)?;
    let mut states = Vec::new();
    for line in answer.out.lines() {
        let value: Value =
            serde_json::from_str(line).with_context(|| format!("no JSON: {line}"))?;
        let service = &value["services"][0];
        let state = service["rollout"]["state"]["state"].to_string();
        if state.contains("canary\"") {
            ensure!(service["driver"]["seat"] == "controller", "who drives? {line}");
        }
        if states.last() != Some(&state) {
            states.push(state);
        }
    }
    let sees = |state: &str| states.iter().any(|seen| seen.contains(state));
    ensure!(sees("canary") && sees("settling") && sees("done"), "it saw {}", states.join(" "));
    Ok(())
}

fn aborted(office: &mut Office) -> Result<()> {
    office.long_release("aborted")?;
    let before = office.taken_over();
    let ship = office.begin(&["ship"])?;
    office.is_in_canary()?;
    let answer = office.call(&["abort", "--reason", "lab"])?.exits(5)?;
    ensure!(answer.text().contains("Taken back"), "it follows to the end: {}", answer.shown());
    let answer = ship.end()?.exits(7)?;
    ensure!(answer.text().contains("GK1203"), "another driver: {}", answer.shown());
    let drives = office.taken_over() - before;
    ensure!(drives == 2, "the controller took over {drives} times, not for ship and for abort");
    Ok(())
}

fn not_taken_on(office: &mut Office) -> Result<()> {
    office.long_release("not-taken-on")?;
    let ship = office.begin(&["ship"])?;
    office.is_in_canary()?;
    // A list that cannot be written is the fault of a controller that otherwise lives.
    let list = office.ground.guanka.controller().join("rollouts.json");
    let aside = list.with_extension("aside");
    fs::rename(&list, &aside).context("take the list away")?;
    fs::create_dir(&list).context("stand in its way")?;
    let answer = office.call(&["abort"])?.exits(5)?;
    ensure!(answer.text().contains("so it is driven here"), "{}", answer.shown());
    ship.end()?.exits(7)?;
    office.kill()?;
    fs::remove_dir(&list).context("clear the way")?;
    fs::rename(&aside, &list).context("bring the list back")?;
    office.start()
}

/// The releases that were aborted have never served, so the one before is `interrupted`.
fn rolled_back(office: &mut Office) -> Result<()> {
    let back = office.begin(&["rollback"])?;
    office.ground.wait_for_state("\"settling\"")?;
    let driver = office.ground.status()?["driver"].clone();
    ensure!(driver["seat"] == "controller", "who drives? {driver}");
    interrupt(&back)?;
    back.end()?.exits(130)?;
    // A rollback has no canary whose settling could be short: it settles for a minute.
    let gone_on = || (office.listed() == 0).then_some(());
    process::wait_for("the rollback goes on to its end", 2 * LIMIT, gone_on)?;
    office.ground.wait_for_state("\"done\"")?;
    office.ground.serves = "interrupted";
    Ok(())
}

fn held(office: &mut Office) -> Result<()> {
    office.ground.release("held")?;
    office.call(&["ship", "--until", "stage"])?.exits(0)?;
    ensure!(office.ground.status()?["rollout"]["state"].to_string().contains("held"), "it is held");
    office.call(&["resume"])?.exits(0)?;
    office.ground.serves = "held";
    let said = office.controller_said();
    ensure!(said.matches("taken over").count() >= 2, "the controller drove it: {said}");
    Ok(())
}

fn looked_on(office: &mut Office) -> Result<()> {
    office.long_release("looked-on")?;
    office.call(&["ship", "--no-wait"])?.exits(4)?;
    office.is_in_canary()?;
    let holder = office.ground.status()?["driver"]["holder"].clone();
    let resume = office.begin(&["resume"])?;
    says(&resume, "Canary step 1")?;
    ensure!(office.ground.status()?["driver"]["holder"] == holder, "it took the lease");
    resume.end()?.exits(0)?;
    office.ground.serves = "looked-on";
    Ok(())
}

fn away(office: &mut Office) -> Result<()> {
    office.ground.release("away")?;
    let ship = office.begin(&["ship", "--until", "stage"])?;
    says(&ship, "The release is being built")?;
    // The root under another name is a host without an agent, whose users go on.
    let root = office.ground.host.root.clone();
    let aside = root.with_extension("aside");
    fs::rename(&root, &aside).context("take the host away")?;
    let killed = office.ground.kill_agent();
    let told = killed.and_then(|()| says(&ship, "the host is away"));
    fs::rename(&aside, &root).context("bring the host back")?;
    told?;
    ship.end()?.exits(0)?;
    office.call(&["resume"])?.exits(0)?;
    office.ground.serves = "away";
    Ok(())
}

/// The journal is chained, so the list is changed here; it is the difference that counts.
fn other(office: &mut Office) -> Result<()> {
    office.long_release("other")?;
    office.call(&["ship", "--no-wait"])?.exits(4)?;
    office.is_in_canary()?;
    office.kill()?;
    let list = office.ground.guanka.controller().join("rollouts.json");
    let text = fs::read_to_string(&list).context("read the list")?;
    let project = office.ground.project.display().to_string();
    ensure!(text.contains(&project), "the list names the project: {text}");
    fs::write(&list, text.replace(&project, "/elsewhere")).context("change the list")?;
    office.start()?;
    let refuses = || office.controller_said().contains("than was handed over").then_some(());
    process::wait_for("the controller refuses", LIMIT, refuses)?;
    let status = office.call(&["status"])?.exits(0)?;
    ensure!(status.text().contains("stopped for a person"), "{}", status.shown());
    office.call(&["resume"])?.exits(0)?;
    office.ground.serves = "other";
    Ok(())
}

fn two(office: &mut Office) -> Result<()> {
    second_site(office)?;
    let host = format!("hosts      = [\"local:{}\"]", office.ground.host.root.display());
    let more = format!(
        "[env.two]\n{host}\nproduction = false\n[env.two.proxy]\ndomain = \"two.example.com\"\n\n\
         [process]"
    );
    office.long_release("two")?;
    office.ground.rewrite("guanka.toml", "[process]", &more)?;
    let one = office.begin(&["ship", "--env", "demo"])?;
    let other = office.begin(&["ship", "--env", "two"])?;
    let both = || (office.listed() == 2).then_some(());
    process::wait_for("both are on the list", LIMIT, both)?;
    says(&one, "Canary step 1")?;
    office.kill()?;
    office.start()?;
    one.end()?.exits(0)?;
    other.end()?.exits(0)?;
    office.ground.serves = "two";
    office.call(&["remove", "--env", "two", "--yes"])?.exits(0)?;
    Ok(())
}

/// Lays a second site beside the first one, as the panel does.
fn second_site(office: &Office) -> Result<()> {
    let panel = office.ground.host.root.join("www/server/panel/vhost");
    let (one, two) = ("shop.example.com", "two.example.com");
    for folder in ["nginx/well-known", "rewrite", "nginx"] {
        let from = panel.join(folder).join(format!("{one}.conf"));
        let text = fs::read_to_string(&from).with_context(|| format!("read {}", from.display()))?;
        let text = text.replace(one, two);
        fs::write(panel.join(folder).join(format!("{two}.conf")), text)?;
    }
    fs::create_dir_all(panel.join("nginx/extension").join(two))?;
    fs::create_dir_all(office.ground.host.root.join("www/wwwroot").join(two))?;
    Ok(())
}

fn refused(office: &mut Office) -> Result<()> {
    let answer = office.ground.guanka.call(crate::lab::bad_input::program::Lang::En, &["serve"])?;
    let answer = answer.exits(1)?;
    ensure!(answer.text().contains("GK1601"), "{}", answer.shown());
    // The one that runs still answers.
    office.call(&["status"])?.exits(0)?;
    ask(office.ground.host.ports.shop, "/healthz", "lab").map(|_| ())
}
