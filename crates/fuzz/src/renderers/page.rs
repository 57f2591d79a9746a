//! The report's page: whatever its texts hold, its tags are the same and the texts are shown.

use guanka_core::name::ServiceName;
use guanka_core::report::html;
use guanka_core::report::release::{CauseLine, ReleaseReport, StepReport};
use guanka_core::rollout::verdict::Verdict;
use guanka_core::say::{Lang, Said};

use super::{Field, Renderer, Texts, Trouble, refused, same};
use crate::reading::{html_tags, html_text};
use crate::tape::Tape;

/// The page.
pub const PAGE: Renderer = Renderer {
    name: "page",
    fields: &[
        Field { name: "release", plain: "0123456789abcdef", frame: "{}" },
        Field { name: "revision", plain: "1a2b3c", frame: "1a{}" },
        Field { name: "ending", plain: "promoted", frame: "pro{}moted" },
        Field { name: "began", plain: "2026-01-01", frame: "2026{}" },
        Field { name: "step", plain: "build", frame: "b{}" },
        Field { name: "what it showed", plain: "built", frame: "b{}" },
        Field { name: "cause", plain: "POST /orders", frame: "POST /{}" },
        Field { name: "what speaks for it", plain: "healthy", frame: "h{}" },
        Field { name: "traffic", plain: "none failed", frame: "n{}" },
        Field { name: "next", plain: "guanka status", frame: "guanka {}" },
    ],
    trial,
};

/// Builds a report; every field of the type stands here.
pub(super) fn report(values: &[&str]) -> Result<ReleaseReport, Trouble> {
    let &[release, revision, ending, began, step, says, cause, counter, traffic, next] = values
    else {
        return Err(refused("ten values"));
    };
    let said = |text: &str| Said::new(text, text);
    Ok(ReleaseReport {
        schema: 1,
        service: ServiceName::new("shop", "prod").map_err(refused)?,
        number: 7,
        release: Some(release.to_owned()),
        revision: revision.to_owned(),
        ended: "promoted".to_owned(),
        ending: said(ending),
        exit: 0,
        began: began.to_owned(),
        steps: vec![StepReport {
            step: "build".to_owned(),
            title: said(step),
            took_ms: 10,
            verdict: Some(Verdict::Good),
            says: said(says),
        }],
        first_traffic_ms: Some(1),
        all_traffic_ms: None,
        findings: Vec::new(),
        judgements: Vec::new(),
        evidence: Vec::new(),
        causes: vec![CauseLine { says: said(cause), explains: 0.5, counter: Some(said(counter)) }],
        traffic: said(traffic),
        failed_by_switch: None,
        next: said(next),
    })
}

fn trial(values: &[&str], tape: &mut Tape<'_>) -> Result<Texts, Trouble> {
    let lang = if tape.below(2) == 0 { Lang::Zh } else { Lang::En };
    let page = html::render(&report(values)?, lang);
    let plain: Vec<&str> = PAGE.fields.iter().map(|field| field.plain).collect();
    same("the tags", &html_tags(&page), &html_tags(&html::render(&report(&plain)?, lang)))?;
    let shown = html_text(&page);
    for (field, value) in PAGE.fields.iter().zip(values) {
        let value: String = match field.name {
            // Cut in the page, as a digest is; what is left of it shows all the same.
            "release" => value.chars().take(1).collect(),
            _ => (*value).to_owned(),
        };
        same(field.name, &shown.contains(&value), &true)?;
    }
    Ok(vec![page])
}
