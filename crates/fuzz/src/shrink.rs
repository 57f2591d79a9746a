//! Makes a failing tape small: cuts, blanks and lowers its bytes as long as it still fails.

/// The most trials for one tape.
const TRIALS_MAX: u32 = 20_000;

/// Returns the smallest failing tape that was found.
pub fn smallest(tape: &[u8], fails: &dyn Fn(&[u8]) -> bool) -> Vec<u8> {
    let mut best = tape.to_vec();
    let mut left = TRIALS_MAX;
    loop {
        let before = best.clone();
        let mut size = best.len().max(1);
        while size > 0 {
            cut(&mut best, size, fails, &mut left);
            size /= 2;
        }
        lower(&mut best, fails, &mut left);
        if best == before || left == 0 {
            return best;
        }
    }
}

/// Takes pieces of a size out.
fn cut(best: &mut Vec<u8>, size: usize, fails: &dyn Fn(&[u8]) -> bool, left: &mut u32) {
    let mut at = 0;
    while at < best.len() && *left > 0 {
        *left -= 1;
        let mut shorter = best.clone();
        shorter.drain(at..best.len().min(at + size));
        if fails(&shorter) {
            *best = shorter;
        } else {
            at += size;
        }
    }
}

/// Makes single bytes smaller.
fn lower(best: &mut [u8], fails: &dyn Fn(&[u8]) -> bool, left: &mut u32) {
    for at in 0..best.len() {
        let own = best[at];
        for smaller in [0, own / 2, own.saturating_sub(1)] {
            if smaller >= best[at] || *left == 0 {
                continue;
            }
            *left -= 1;
            let kept = std::mem::replace(&mut best[at], smaller);
            if !fails(best) {
                best[at] = kept;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::smallest;

    #[test]
    fn only_what_makes_it_fail_is_left() {
        let tape: Vec<u8> = (0..200).collect();
        let fails = |bytes: &[u8]| bytes.contains(&77) && bytes.iter().any(|b| *b > 150);
        assert_eq!(smallest(&tape, &fails), [77, 151]);
    }
}
