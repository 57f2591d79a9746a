//! What becomes of an error sent into a channel: whether somebody reads it before, beside or only
//! after the signal.

use guanka_core::facts::gosource::ErrorFate;

use super::super::ast::{Expr, ExprKind, Stmt, StmtKind};
use super::super::module::At;
use super::super::scope::{self, Given};
use super::super::token::Kind;
use super::super::walk::{self, Node};
use super::{Flow, Way, actions, unclear, worst};

impl<'t, 'a> Flow<'_, 't, 'a> {
    /// Follows an error into a channel.
    pub(super) fn sent(
        &self,
        channel: &'t Expr<'a>,
        way: &Way<'t, 'a>,
        stmt: &Stmt<'a>,
    ) -> ErrorFate {
        let words = self.module.file(&way.at).words(channel);
        let how = match &stmt.kind {
            StmtKind::Send(..) => format!("sent to {words}"),
            _ => format!("{words} is closed"),
        };
        match &channel.bare().kind {
            ExprKind::Name(name) => {
                let lost = self.lost(way, stmt.start, stmt.end, &how);
                self.named_channel(name, channel.start, &way.at, lost)
            }
            ExprKind::Selector(_, field) => self.field_channel(field, &way.at, &how),
            _ => unclear(&how),
        }
    }

    fn named_channel(
        &self,
        name: &'a str,
        place: u32,
        at: &At<'t, 'a>,
        lost: ErrorFate,
    ) -> ErrorFate {
        let Some(id) = at.func else { return unclear(name) };
        let defs = scope::reaching(self.module.functions[id].defs(), name, place);
        if defs.is_empty() {
            let folder = &self.module.file(at).folder;
            let Some(package) = self.module.packages.get(folder.as_str()) else {
                return unclear(name);
            };
            let fates = package.all.iter().filter_map(|id| self.read_in(*id, name, &lost));
            return best(fates).unwrap_or(lost);
        }
        let param = defs.iter().find_map(|def| match def.given {
            Given::Param(index) => Some(index),
            _ => None,
        });
        let Some(index) = param else {
            return self.read_in(id, name, &lost).unwrap_or(lost);
        };
        // The channel comes from the caller: look there.
        let Some(next) = self.deeper() else { return unclear(name) };
        let callers = self.module.callers(id);
        let fates = callers.into_iter().filter_map(|site| {
            let arg = site.call.args.get(index)?;
            Some(match &arg.bare().kind {
                ExprKind::Name(outer) => {
                    next.named_channel(outer, arg.start, &site.at, lost.clone())
                }
                _ => unclear(name),
            })
        });
        worst(fates).unwrap_or_else(|| unclear(name))
    }

    /// Looks for reads of a channel in one declared function; `None` when it is not used there.
    fn read_in(&self, id: usize, name: &str, lost: &ErrorFate) -> Option<ErrorFate> {
        let function = &self.module.functions[id];
        let at = At { file: function.file, func: Some(id), frame: None };
        let body = &function.decl.func.body;
        let mut reads = Vec::new();
        let mut passed = None;
        let mut inside = Vec::new();
        walk::block(body, &mut |node| match node {
            Node::Expr(e) => match &e.kind {
                ExprKind::Unary(Kind::Arrow | Kind::Range, x) if x.name() == Some(name) => {
                    reads.push(e);
                }
                ExprKind::Call(call) if !is_own_use(&call.fun) => {
                    let place = call.args.iter().position(|arg| arg.name() == Some(name));
                    match (place, self.module.function(&call.fun, &at)) {
                        (Some(place), Some(own)) => inside.push((own, place, e)),
                        (Some(_), None) => {
                            passed = Some(self.module.file(&at).words(&call.fun));
                        }
                        (None, _) => {}
                    }
                }
                _ => {}
            },
            Node::Stmt(Stmt { kind: StmtKind::Return(list), .. })
                if list.iter().any(|e| e.name() == Some(name)) =>
            {
                passed = Some("the caller".to_owned());
            }
            _ => {}
        });
        let fates = reads.into_iter().map(|read| self.read(read, &at, lost));
        let taken = passed.map(|to| ErrorFate::Unclear(format!("{name} is given to {to}")));
        let within = inside.into_iter().filter_map(|(own, place, call)| {
            let param = self.module.functions[own].decl.func.params.get(place)?.name?;
            let read = self.deeper()?.read_in(own, param, lost)?;
            Some(self.read_by(call, read, &at, lost))
        });
        best(fates.chain(taken).chain(within))
    }

    /// Judges a read in a function of the module by where that function is called.
    fn read_by(
        &self,
        call: &'t Expr<'a>,
        read: ErrorFate,
        at: &At<'t, 'a>,
        lost: &ErrorFate,
    ) -> ErrorFate {
        if read != ErrorFate::ReadWithSignal {
            return read;
        }
        let Some(way) = self.way(call.start, call.end, at) else { return unclear("read") };
        let is_go = |n: &Node<'t, 'a>| matches!(n, Node::Stmt(Stmt { kind: StmtKind::Go(_), .. }));
        if way.nodes.iter().any(is_go) || self.border(&way, way.nodes.len() - 1) > 0 {
            return unclear("read in another goroutine");
        }
        let waits = actions::waits_in(self.module, way.nodes[0], at);
        if waits.iter().any(|wait| *wait < call.start) { lost.clone() } else { read }
    }

    /// Judges one read of a channel.
    fn read(&self, read: &'t Expr<'a>, at: &At<'t, 'a>, lost: &ErrorFate) -> ErrorFate {
        let Some(way) = self.way(read.start, read.end, at) else { return unclear("read") };
        let place = way.nodes.len() - 1;
        let border = self.border(&way, place);
        if border > 0 {
            // Another goroutine reads it: what it does with the error counts.
            let Node::Block(body) = way.nodes[border] else { return unclear("read") };
            let behind = body.list.iter().filter(|s| s.end > read.start);
            let done = behind.filter_map(|stmt| self.act(&way, stmt)).next();
            let is_fatal = self.is_given_to_end(&way, place);
            return match done {
                _ if is_fatal => ErrorFate::EndsProgram,
                Some(done) => done,
                None => ErrorFate::Unclear("read in another goroutine".to_owned()),
            };
        }
        let select = way.nodes.iter().find_map(|node| match node {
            Node::Stmt(stmt) => match &stmt.kind {
                StmtKind::Select(cases) => {
                    let is_head = |s: &Stmt<'a>| s.start <= read.start && read.end <= s.end;
                    let in_head = cases.iter().any(|c| c.head.first().is_some_and(is_head));
                    in_head.then_some((stmt.start, cases.iter().any(|c| c.head.is_empty())))
                }
                _ => None,
            },
            _ => None,
        });
        let start = match select {
            // With a default it looks once and goes on.
            Some((_, true)) => return lost.clone(),
            Some((start, false)) => start,
            None => read.start,
        };
        let waits = actions::waits_in(self.module, way.nodes[0], at);
        if waits.iter().any(|wait| *wait < start) {
            lost.clone()
        } else {
            ErrorFate::ReadWithSignal
        }
    }

    fn is_given_to_end(&self, way: &Way<'t, 'a>, place: usize) -> bool {
        way.nodes[..place].iter().any(|node| match node {
            Node::Expr(e) => e.call().is_some_and(|call| {
                actions::role(self.module, call, &way.at) == actions::Role::Ends
            }),
            _ => false,
        })
    }

    /// Looks for a `select` that reads a channel kept in a field, or one that a method hands out.
    fn field_channel(&self, field: &'a str, at: &At<'t, 'a>, how: &str) -> ErrorFate {
        let folder = &self.module.file(at).folder;
        let Some(package) = self.module.packages.get(folder.as_str()) else { return unclear(how) };
        let mut names = vec![field];
        for id in &package.all {
            let decl = self.module.functions[*id].decl;
            let gives = super::super::trace::returns(&decl.func.body)
                .iter()
                .any(|list| matches!(list, [one] if one.last_name() == Some(field)));
            if gives {
                names.push(decl.name);
            }
        }
        let mut is_read = false;
        for function in &self.module.functions {
            walk::block(&function.decl.func.body, &mut |node| {
                let Node::Stmt(Stmt { kind: StmtKind::Select(cases), .. }) = node else { return };
                let has_default = cases.iter().any(|case| case.head.is_empty());
                let reads =
                    cases.iter().filter_map(|c| c.head.first()).any(|s| reads_any(s, &names));
                is_read |= reads && !has_default && cases.len() > 1;
            });
        }
        if is_read { ErrorFate::ReadWithSignal } else { unclear(how) }
    }
}

/// Returns whether a case's head receives from a field or method of one of the names.
fn reads_any(head: &Stmt<'_>, names: &[&str]) -> bool {
    let mut found = false;
    walk::stmt(head, &mut |node| {
        if let Node::Expr(Expr { kind: ExprKind::Unary(Kind::Arrow, x), .. }) = node {
            let source = x.call().map_or(&**x, |call| &call.fun);
            let is_selector = matches!(source.bare().kind, ExprKind::Selector(..));
            found |= is_selector && source.last_name().is_some_and(|n| names.contains(&n));
        }
    });
    found
}

/// Returns whether a function only looks at a channel and gives it to nobody.
fn is_own_use(fun: &Expr<'_>) -> bool {
    matches!(fun.name(), Some("close" | "len" | "cap" | "make"))
        || matches!(fun.last_name(), Some("Notify" | "Stop"))
        || matches!(fun.bare().kind, ExprKind::Func(_))
}

/// Returns the best of several fates: one reader is enough.
fn best(fates: impl Iterator<Item = ErrorFate>) -> Option<ErrorFate> {
    fates.min_by_key(|fate| match fate {
        ErrorFate::EndsProgram => 0,
        ErrorFate::ReadWithSignal => 1,
        ErrorFate::Unclear(_) => 2,
        ErrorFate::Swallowed { .. } => 3,
    })
}
