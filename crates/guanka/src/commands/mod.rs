//! The subcommands, one file each, in the order of the help text.

mod adopt;
mod agent;
mod audit;
mod back;
mod build;
pub(crate) mod check;
mod completions;
mod doctor;
mod exec;
mod explain;
mod help;
mod host;
mod init;
mod inventory;
mod leave;
mod load;
mod logs;
mod plan;
mod project;
mod prove;
mod remove;
mod report;
mod resume;
mod schema;
mod serve;
mod ship;
mod signals;
mod status;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use guanka_core::say::{Lang, Said};

use crate::failure::codes::USAGE;
use crate::failure::{Exit, Failure};
use crate::terminal::{Terminal, failure};

/// Takes a Go service from a commit to all of its traffic, and lets it forward only on proof.
#[derive(Parser)]
#[command(name = "guanka", version, disable_help_subcommand = false, propagate_version = true)]
pub(crate) struct Cli {
    /// The language of what people read: zh or en.
    #[arg(long, global = true, value_parser = ["zh", "en"])]
    lang: Option<String>,
    /// Machine-readable output on stdout.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    verb: Verb,
}

/// The verbs, daily ones first.
#[derive(Subcommand)]
enum Verb {
    /// Draft guanka.toml from a module's source.
    Init(init::Args),
    /// Ask the seven checkpoints of a module, its guanka.toml and a host.
    Check(check::Args),
    /// Explain a check or an error code, with examples.
    Explain(explain::Args),
    /// Build the release alone, verified; same source, same digest.
    Build(build::Args),
    /// Show what shipping would change and how long each gate needs; changes nothing.
    Plan(plan::Args),
    /// Ship: checks, build, gates, canary, full, or back.
    #[command(visible_aliases = ["deploy", "up"])]
    Ship(ship::Args),
    /// Show where everything is.
    Status(status::Args),
    /// Show the last lines of the arms' own output.
    Logs(logs::Args),
    /// Give the old release everything back.
    #[command(visible_alias = "undo")]
    Rollback(resume::Args),
    /// Go on with a rollout that was interrupted or held.
    Resume(resume::Args),
    /// End a rollout; the stable release keeps or gets everything.
    Abort(resume::AbortArgs),
    /// Take the program that runs behind a site in as blue, where it runs; a plan first.
    Adopt(adopt::Args),
    /// Give an adopted program its requests back, and everything as it was; a plan first.
    Leave(leave::Args),
    /// Take a service off its host: out of nginx, its arms, its releases; data stays.
    Remove(remove::Args),
    /// Show how a release went, as text, JSON, Markdown or one page.
    Report(report::Args),
    /// Load a service at a fixed rate and measure from the due time.
    Load(load::Args),
    /// List the Go programs that run on a host and what leads to them.
    Inventory(inventory::Args),
    /// Tell whether this machine is fit to build and to be shipped to.
    Doctor(doctor::Args),
    /// Add, list, look at or forget the servers that are reached over SSH.
    Host(host::Args),
    /// Say what the evidence shows: good 0, bad 3, else 9.
    Prove(prove::Args),
    /// Show users' traffic by route and arm, as the gates count it.
    Signals(signals::Args),
    /// Check or print the audit log.
    Audit(audit::Args),
    /// Keep a host; the other commands start it where it does not run.
    Agent(agent::Args),
    /// Drive rollouts that are handed over, for days; `ship` then only follows.
    Serve(serve::Args),
    /// Print the JSON Schema of guanka.toml.
    Schema(schema::Args),
    /// Print completions for a shell.
    Completions(completions::Args),
    /// Become an arm's program; the process manager calls it.
    #[command(hide = true)]
    Exec(exec::Args),
}

/// Reads the command line, runs the subcommand and returns how it ended.
pub(crate) fn main() -> Exit {
    let asked = spoken_lang();
    let early = Terminal::new(asked, std::env::args().any(|arg| arg == "--json"));
    let command = help::spoken(Cli::command(), early.lang);
    let cli = match command.try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => return usage(&early, &error),
    };
    let terminal = Terminal::new(asked, cli.json);
    match run(&cli.verb, &terminal) {
        Ok(exit) => exit,
        Err(failed) => failure::show(&terminal, &failed),
    }
}

fn run(verb: &Verb, terminal: &Terminal) -> Result<Exit, Failure> {
    match verb {
        Verb::Init(args) => init::run(args, terminal),
        Verb::Check(args) => check::run(args, terminal),
        Verb::Explain(args) => explain::run(args, terminal),
        Verb::Build(args) => build::run(args, terminal),
        Verb::Plan(args) => plan::run(args, terminal),
        Verb::Ship(args) => ship::run(args, terminal),
        Verb::Status(args) => status::run(args, terminal),
        Verb::Logs(args) => logs::run(args, terminal),
        Verb::Rollback(args) => resume::rollback(args, terminal),
        Verb::Resume(args) => resume::run(args, terminal),
        Verb::Abort(args) => resume::abort(args, terminal),
        Verb::Adopt(args) => adopt::run(args, terminal),
        Verb::Leave(args) => leave::run(args, terminal),
        Verb::Remove(args) => remove::run(args, terminal),
        Verb::Report(args) => report::run(args, terminal),
        Verb::Load(args) => load::run(args, terminal),
        Verb::Inventory(args) => inventory::run(args, terminal),
        Verb::Doctor(args) => doctor::run(args, terminal),
        Verb::Host(args) => host::run(args, terminal),
        Verb::Prove(args) => prove::run(args, terminal),
        Verb::Signals(args) => signals::run(args, terminal),
        Verb::Audit(args) => audit::run(args, terminal),
        Verb::Agent(args) => agent::run(args, terminal),
        Verb::Serve(args) => serve::run(args, terminal),
        Verb::Schema(args) => schema::run(args, terminal),
        Verb::Completions(args) => completions::run(args, terminal),
        Verb::Exec(args) => exec::run(args, terminal),
    }
}

/// Returns the language asked for on the command line; it is needed before the line is parsed, for
/// the help texts.
fn spoken_lang() -> Option<Lang> {
    let args: Vec<String> = std::env::args().collect();
    let word = args.iter().enumerate().find_map(|(i, arg)| {
        arg.strip_prefix("--lang=")
            .map(str::to_owned)
            .or_else(|| (arg == "--lang").then(|| args.get(i + 1).cloned()).flatten())
    })?;
    match word.as_str() {
        "zh" => Some(Lang::Zh),
        "en" => Some(Lang::En),
        _ => None,
    }
}

/// Ends a command line that clap did not accept: help and version are results, the rest is usage.
fn usage(terminal: &Terminal, error: &clap::Error) -> Exit {
    use clap::error::ErrorKind;
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            terminal.line(error.to_string().trim_end());
            Exit::Done
        }
        _ => {
            let text = error.to_string();
            let why = text.trim().trim_start_matches("error: ").to_owned();
            let failed = Failure::new(
                &USAGE,
                Said::new("正在读取命令行", "reading the command line"),
                Said::new(why.clone(), why),
            );
            failure::show(terminal, &failed)
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Cli;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
