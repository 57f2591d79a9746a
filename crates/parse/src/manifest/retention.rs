//! What stays on a host and for how long: `[logs]` and `[releases]`.

use guanka_core::facts::declared::{LogPlace, Logs, Releases};
use guanka_core::quantity::Millis;
use guanka_core::say::Said;

use super::reader::Reader;

/// The agent looks at logs every ten seconds; shorter than this would only make archives.
const EVERY_MIN: Millis = Millis::from_secs(60);

/// Reads `[logs]`.
pub(super) fn logs(reader: &mut Reader<'_, '_>) -> Option<Logs> {
    let rotate = reader.size("logs", "rotate")?;
    if rotate.0 == 0 {
        return not_so(reader, "logs", "rotate", "应大于 0", "it must be more than nothing");
    }
    let every = reader.duration("logs", "every");
    if every.is_some_and(|every| every < EVERY_MIN) {
        return not_so(reader, "logs", "every", "至少 1m", "it is 1m at the least");
    }
    let budget = reader.size("logs", "budget")?;
    // The access log and both arms' output may each be as large before it is rotated.
    if budget.0 < 3 * rotate.0 {
        let zh = format!("须容下三份日志,即至少 3 × {rotate}");
        let en = format!("it must hold three logs, so 3 × {rotate} at the least");
        return not_so(reader, "logs", "budget", &zh, &en);
    }
    let place = match reader.word("logs", "place", &["file", "journald"])?.as_str() {
        "journald" => LogPlace::Journald,
        _ => LogPlace::File,
    };
    if place == LogPlace::Journald
        && reader.text("process", "manager").is_some_and(|manager| manager == "supervisor")
    {
        let zh = "[process] manager = \"supervisor\" 时只能写文件";
        let en = "under [process] manager = \"supervisor\" it is a file";
        return not_so(reader, "logs", "place", zh, en);
    }
    let keep = u32::try_from(reader.number("logs", "keep", 1, 1000)?).ok()?;
    Some(Logs { rotate, every, keep, budget, place })
}

/// Reads `[releases]`.
pub(super) fn releases(reader: &mut Reader<'_, '_>) -> Option<Releases> {
    Some(Releases {
        keep: u32::try_from(reader.number("releases", "keep", 2, 1000)?).ok()?,
        budget: reader.size("releases", "budget")?,
    })
}

/// Leaves the problem of a value that is well written and makes no sense.
fn not_so<T>(reader: &mut Reader<'_, '_>, path: &str, key: &str, zh: &str, en: &str) -> Option<T> {
    let value = reader.text(path, key).unwrap_or_default();
    let what = Said::new(
        format!("{path}.{key} = \"{value}\" 不合理"),
        format!("{path}.{key} = \"{value}\" makes no sense"),
    );
    reader.problem(path, key, reader.place(path, key), what, Said::new(zh, en))
}
