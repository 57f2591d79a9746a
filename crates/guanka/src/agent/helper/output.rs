//! The arms' own output, a page at a time. Whoever follows asks again from where a page ended, so
//! nothing of a reader is kept here.

use guanka_core::name::{Arm, ServiceName};
use guanka_core::say::Said;
use guanka_world::hostroot::HostRoot;
use guanka_world::logs::{self, From, Unfinished};
use guanka_world::obstacle;
use guanka_world::transport::wire::Answer;

use super::super::refusal::could_not;

/// Answers with a page of an arm's output.
pub(super) fn page(
    host: &HostRoot,
    service: &ServiceName,
    arm: Arm,
    from: &From,
    unfinished: Unfinished,
) -> Answer {
    match logs::page(host, service, arm, from, unfinished) {
        Ok(page) => Answer::LogPage { page },
        Err(error) => {
            let why = obstacle::said(&error);
            could_not(Said::new(
                format!("读取 {arm} 的输出失败:{}", why.zh),
                format!("reading {arm}'s output: {}", why.en),
            ))
        }
    }
}
