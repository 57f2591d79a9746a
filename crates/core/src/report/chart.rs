//! The gate's chart: the bad share of each slice of time as a bar, the limit drawn across, and
//! below it the interval of the whole beside the limit. SVG as text, readable without colour: what
//! is over the limit is hatched.

use std::fmt::Write;

use super::release::percent;
use crate::gates::ObjectiveJudgement;
use crate::say::Lang;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 220.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 14.0;
const PLOT: f64 = 130.0;
/// More bars than this cannot be told apart; neighbours are added up.
const BARS: usize = 120;

/// Draws one objective's counts.
pub fn svg(judged: &ObjectiveJudgement, lang: Lang) -> String {
    let bars = bars(judged);
    let top_share = scale_top(judged, &bars);
    let mut svg = String::new();
    let title = escape(judged.sentence.get(lang));
    let _ = write!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         role=\"img\"><title>{title}</title>\
         <defs><pattern id=\"over\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" \
         patternTransform=\"rotate(45)\"><rect width=\"6\" height=\"6\" class=\"over\"/>\
         <line x1=\"0\" y1=\"0\" x2=\"0\" y2=\"6\" class=\"hatch\"/></pattern></defs>"
    );
    draw_bars(&mut svg, judged, &bars, top_share);
    draw_limit(&mut svg, judged, top_share, lang);
    draw_interval(&mut svg, judged, lang);
    svg.push_str("</svg>");
    svg
}

/// Returns the bars as (requests, bad), neighbours added up where there are too many.
fn bars(judged: &ObjectiveJudgement) -> Vec<(u64, u64)> {
    let together = judged.counts.len().div_ceil(BARS).max(1);
    judged
        .counts
        .chunks(together)
        .map(|chunk| (chunk.iter().map(|s| s.n).sum(), chunk.iter().map(|s| s.x).sum()))
        .collect()
}

fn scale_top(judged: &ObjectiveJudgement, bars: &[(u64, u64)]) -> f64 {
    let worst = bars.iter().filter(|(n, _)| *n > 0).map(|(n, x)| *x as f64 / *n as f64);
    let top = worst.fold(judged.limit * 2.0, f64::max);
    top.clamp(1e-6, 1.0)
}

fn draw_bars(svg: &mut String, judged: &ObjectiveJudgement, bars: &[(u64, u64)], top: f64) {
    let plot_width = WIDTH - LEFT - RIGHT;
    let step = plot_width / bars.len().max(1) as f64;
    for (at, (n, x)) in bars.iter().enumerate() {
        if *n == 0 {
            continue;
        }
        let share = *x as f64 / *n as f64;
        let height = (share / top).min(1.0) * PLOT;
        let class = if share > judged.limit { "url(#over)" } else { "" };
        let fill =
            if class.is_empty() { "class=\"bar\"".to_owned() } else { format!("fill=\"{class}\"") };
        let _ = write!(
            svg,
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" {fill}>\
             <title>{x} / {n} = {}</title></rect>",
            LEFT + at as f64 * step,
            TOP + PLOT - height.max(1.0),
            (step - 1.0).max(1.0),
            height.max(1.0),
            percent(share),
        );
    }
    let _ = write!(
        svg,
        "<line x1=\"{LEFT}\" y1=\"{0}\" x2=\"{1}\" y2=\"{0}\" class=\"axis\"/>\
         <text x=\"{2}\" y=\"{3}\" class=\"label\" text-anchor=\"end\">{4}</text>\
         <text x=\"{2}\" y=\"{0}\" class=\"label\" text-anchor=\"end\">0</text>",
        TOP + PLOT,
        WIDTH - RIGHT,
        LEFT - 6.0,
        TOP + 8.0,
        percent(top),
    );
}

fn draw_limit(svg: &mut String, judged: &ObjectiveJudgement, top: f64, lang: Lang) {
    let y = TOP + PLOT - (judged.limit / top).min(1.0) * PLOT;
    let word = match lang {
        Lang::Zh => "拦截线",
        Lang::En => "limit",
    };
    let _ = write!(
        svg,
        "<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{}\" y2=\"{y:.1}\" class=\"limit\"/>\
         <text x=\"{}\" y=\"{:.1}\" class=\"limit-label\" text-anchor=\"end\">{word} {}</text>",
        WIDTH - RIGHT,
        WIDTH - RIGHT,
        y - 4.0,
        percent(judged.limit),
    );
}

/// Draws the interval of the whole beside the limit, on a scale of its own.
fn draw_interval(svg: &mut String, judged: &ObjectiveJudgement, lang: Lang) {
    let top = (judged.upper.max(judged.limit) * 1.15).clamp(1e-9, 1.0);
    let x = |share: f64| LEFT + (share / top).min(1.0) * (WIDTH - LEFT - RIGHT);
    let y = TOP + PLOT + 30.0;
    let word = match lang {
        Lang::Zh => "区间",
        Lang::En => "interval",
    };
    let seen = if judged.n == 0 { 0.0 } else { judged.x as f64 / judged.n as f64 };
    let _ = write!(
        svg,
        "<text x=\"{0}\" y=\"{1}\" class=\"label\" text-anchor=\"end\">{word}</text>\
         <rect x=\"{2:.1}\" y=\"{3}\" width=\"{4:.1}\" height=\"10\" class=\"interval\"/>\
         <circle cx=\"{5:.1}\" cy=\"{y}\" r=\"3.5\" class=\"seen\"/>\
         <line x1=\"{6:.1}\" y1=\"{7}\" x2=\"{6:.1}\" y2=\"{8}\" class=\"limit\"/>\
         <text x=\"{2:.1}\" y=\"{9}\" class=\"label\">{10} … {11} (n = {12}, x = {13})</text>",
        LEFT - 6.0,
        y + 4.0,
        x(judged.lower),
        y - 5.0,
        (x(judged.upper) - x(judged.lower)).max(1.0),
        x(seen),
        x(judged.limit),
        y - 12.0,
        y + 12.0,
        y + 28.0,
        percent(judged.lower),
        percent(judged.upper),
        judged.n,
        judged.x,
    );
}

/// Returns a text that may stand in HTML or SVG.
pub fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            _ => safe.push(c),
        }
    }
    safe
}
