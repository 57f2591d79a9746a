//! The last lines of the arms' own output.

use guanka_core::name::{Arm, ServiceName};
use guanka_world::files;
use guanka_world::hostroot::HostRoot;

/// The most lines that one question gets.
const LINES_MAX: usize = 10_000;

/// Returns the last lines of one arm or of both, each with its arm.
pub(super) fn tail(
    host: &HostRoot,
    service: &ServiceName,
    arm: Option<Arm>,
    lines: usize,
) -> std::io::Result<Vec<(Arm, String)>> {
    let arms = arm.map_or_else(|| vec![Arm::Blue, Arm::Green], |arm| vec![arm]);
    let mut found = Vec::new();
    for arm in arms {
        let path = host.arm_log(service, arm);
        match files::last_lines(&path, lines.min(LINES_MAX)) {
            Ok(texts) => found.extend(texts.into_iter().map(|text| (arm, text))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}
