//! The controller's socket: who is of the same user may hand over, follow and look.

use std::os::unix::net::UnixStream;
use std::sync::Arc;

use guanka_core::quantity::Millis;
use guanka_core::say::Said;
use guanka_world::controller::Entry;
use guanka_world::transport::line::{Heard, Line};

use super::message::{Ask, Driven, PROTOCOL, Tell};
use super::shift::Shift;
use super::{Office, lock};
use crate::failure::because;

/// Who says nothing for this long is let go.
const IDLE: Millis = Millis::from_secs(60);
/// How often a follower hears at the least that the controller is there.
const BEAT: Millis = Millis::from_secs(5);

/// Answers one connection until it ends.
pub(super) fn answer(office: &Arc<Office>, stream: UnixStream) {
    // Another user's connection is closed before a byte of it is read.
    let Ok(mut line) = Line::over(stream) else { return };
    while let Ok(Heard::Message(ask)) = line.hear::<Ask>(IDLE) {
        let said = match ask {
            Ask::Hello { .. } => line.say(&Tell::Hello { protocol: PROTOCOL }),
            Ask::Drive { entry } => {
                let entry = Entry { stopped: None, ..entry };
                let tell = match office.drive(entry) {
                    Ok(()) => Tell::TakenOn,
                    Err(error) => Tell::Refused { why: because(&error) },
                };
                line.say(&tell)
            }
            Ask::Follow { host, service } => match office.shift(&host, &service) {
                Some(shift) => follow(&mut line, &shift),
                None => line.say(&Tell::NotDriven),
            },
            Ask::List => line.say(&Tell::Driven { driven: driven(office) }),
        };
        if said.is_err() {
            return;
        }
    }
}

/// Tells everything of a drive from its beginning, to its end.
fn follow(line: &mut Line, shift: &Shift) -> std::io::Result<()> {
    let feed = shift.feed();
    let mut next = 0;
    loop {
        let (lines, end) = feed.after(next, BEAT);
        if lines.is_empty() {
            match end {
                Some(end) => return line.say(&Tell::Ended { end }),
                None => line.say(&Tell::Alive)?,
            }
        }
        for told in lines {
            next = told.number + 1;
            line.say(&Tell::Told { at_ms: told.at_ms, told: told.told })?;
        }
    }
}

fn driven(office: &Office) -> Vec<Driven> {
    let mut all: Vec<Driven> = lock(&office.shifts).values().map(|shift| shift.driven()).collect();
    let stopped = |entry: &Entry| -> Option<Driven> {
        let Entry { host, service, number, stopped, .. } = entry.clone();
        let why = stopped?;
        let waits = Some(Said::new(
            format!("已停下,等人处理:{}", why.zh),
            format!("stopped for a person: {}", why.en),
        ));
        Some(Driven { host, service, number, waits })
    };
    all.extend(lock(&office.roster).entries().iter().filter_map(stopped));
    all
}
