//! `guanka status -w`: looks every second. A terminal shows the newest picture in the place of the
//! last one; a pipe gets a line, or a JSON object, for each change.

use std::io::IsTerminal;
use std::sync::atomic::Ordering;

use guanka_core::quantity::Millis;
use guanka_core::say::Said;
use guanka_world::{clock, interrupt};

use super::picture::{Picture, Shown};
use super::{Sight, as_json};
use crate::failure::codes::START;
use crate::failure::{Exit, Failure, because, say};
use crate::terminal::Terminal;

/// How often it looks, and how often where the host does not answer.
const EVERY: Millis = Millis::from_secs(1);
const AWAY: Millis = Millis::from_secs(5);
/// How soon Ctrl-C is noticed.
const PIECE: Millis = Millis(100);

/// What was shown last.
#[derive(Default)]
struct Last {
    rows: usize,
    shown: Vec<String>,
    keys: Vec<String>,
}

/// Looks until Ctrl-C.
pub(super) fn run(sight: &mut Sight, terminal: &Terminal) -> Result<Exit, Failure> {
    let interrupted = interrupt::on_interrupt().map_err(|error| {
        let doing = say("正在开始查看", "beginning to watch");
        Failure::new(&START, doing, because(&error))
    })?;
    let is_drawn = !terminal.json && terminal.color && std::io::stdout().is_terminal();
    let mut last = Last::default();
    let mut looked = sight.look().map(Some)?;
    loop {
        let pause = if looked.is_some() { EVERY } else { AWAY };
        if let Some(pictures) = &looked {
            if is_drawn {
                last.draw(terminal, pictures);
            } else {
                last.append(terminal, pictures);
            }
        }
        let is_over = || interrupted.load(Ordering::SeqCst).then_some(());
        if clock::wait_for(pause, PIECE, is_over).is_some() {
            return Ok(Exit::Interrupted);
        }
        looked = match sight.look() {
            Ok(pictures) => Some(pictures),
            Err(failed) => {
                last.away(terminal, &failed);
                None
            }
        };
    }
}

impl Last {
    /// Draws the picture in the place of the last one; a line that is too long is cut, not wrapped,
    /// so that the rows can be counted.
    fn draw(&mut self, terminal: &Terminal, pictures: &[Picture]) {
        let lines = pictures.iter().flat_map(|p| p.lines(terminal, Shown::Watched));
        let lines: Vec<String> = lines.collect();
        if lines == self.shown {
            return;
        }
        let back = match self.rows {
            0 => String::new(),
            rows => format!("\x1b[{rows}A"),
        };
        let picture = terminal.harmless(&lines.join("\n"));
        terminal.draw(&format!("{back}\x1b[J\x1b[?7l{picture}\x1b[?7h"));
        self.rows = lines.len();
        self.shown = lines;
        self.keys.clear();
    }

    /// Appends what has changed.
    fn append(&mut self, terminal: &Terminal, pictures: &[Picture]) {
        let keys: Vec<String> = pictures.iter().map(Picture::key).collect();
        if keys == self.keys {
            return;
        }
        if terminal.json {
            terminal.line(&as_json(pictures));
        } else {
            let at = clock::rfc3339(clock::now_ms());
            for (picture, key) in pictures.iter().zip(&keys) {
                if !self.keys.contains(key) {
                    terminal.line(&format!("{at}  {}", picture.line(terminal)));
                }
            }
        }
        self.keys = keys;
    }

    /// Says once that the host does not answer; it is looked at again.
    fn away(&mut self, terminal: &Terminal, failed: &Failure) {
        let key = vec![failed.kind.code.to_owned()];
        if self.keys == key {
            return;
        }
        let at = clock::rfc3339(clock::now_ms());
        let said = Said::new(
            format!("{at}  暂时看不到,继续尝试:{}", failed.why.zh),
            format!("{at}  cannot look now, trying on: {}", failed.why.en),
        );
        terminal.note(terminal.said(&said));
        self.keys = key;
        self.rows = 0;
        self.shown.clear();
    }
}
