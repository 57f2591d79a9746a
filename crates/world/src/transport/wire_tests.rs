//! What is written on the wire comes back as it was.

use std::collections::BTreeMap;

use guanka_core::quantity::{Millis, Rate};

use super::Answer;
use crate::load::{KindCounts, LoadRun, SelfCheck};

#[test]
fn a_run_with_statuses_comes_back_whole() {
    let mut kind = KindCounts::new("POST /orders", &[Millis(100)]);
    kind.statuses = BTreeMap::from([(201, 7), (500, 1)]);
    let run = LoadRun {
        generator: "guanka".to_owned(),
        rate: Rate(80.0),
        measured: Millis(1000),
        warm_up: Millis(0),
        connections: 4,
        stopped_early: false,
        thresholds: vec![Millis(100)],
        kinds: vec![kind],
        slice: Millis(1000),
        slices: Vec::new(),
        self_check: SelfCheck::new(),
    };
    let text = serde_json::to_string(&Answer::Loaded { run: Box::new(run), stopped_for: None })
        .expect("written");
    let Ok(Answer::Loaded { run, .. }) = serde_json::from_str(&text) else {
        panic!("{text} does not read back");
    };
    assert_eq!(run.kinds[0].statuses[&201], 7);
}
