//! How much memory the machine has, and how much some of its processes hold.

use std::fs;

use guanka_core::plan::warm::Memory;
use guanka_core::quantity::Bytes;

/// Reads the machine's memory and what the largest of some processes holds.
pub fn read(pids: impl Iterator<Item = u32>) -> Option<Memory> {
    let machine = fs::read_to_string("/proc/meminfo").ok()?;
    let resident = pids
        .filter_map(|pid| fs::read_to_string(format!("/proc/{pid}/status")).ok())
        .filter_map(|text| field(&text, "VmRSS"))
        .max();
    let (total, available) = (field(&machine, "MemTotal")?, field(&machine, "MemAvailable")?);
    Some(Memory { total, available, resident })
}

/// Reads `Name:   123 kB`.
fn field(text: &str, name: &str) -> Option<Bytes> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    let number: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(Bytes(number << 10))
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn this_process_holds_some_of_the_machines_memory() {
        let memory = read([std::process::id()].into_iter()).expect("/proc is there");
        let resident = memory.resident.expect("it runs");
        assert!(resident.0 > 1 << 20 && resident < memory.total, "{memory:?}");
        assert!(memory.available <= memory.total);
        assert_eq!(read(std::iter::empty()).expect("there").resident, None);
    }
}
