//! Perfect hashing: every key of a fixed set has a slot of its own, found with one small extra load and no probing.
//!
//! Keys are dealt to buckets of four on average; each bucket has a pilot number that sends its keys to free slots.
//! Buckets are placed largest first, and a pilot is searched for each (E. Fox, Q. Chen, L. Heath: "A faster algorithm
//! for constructing minimal perfect hash functions", 1992). A pilot moves a key by that many times the upper half of its
//! hash, so that two keys of one bucket are moved apart. A text cannot make a look-up slow, whatever it holds.

const KEYS_PER_BUCKET: usize = 4;
const FILLED_PERCENT: usize = 85;

/// The bucket of a key, below `buckets`.
#[inline(always)]
pub(crate) fn bucket(hash: u64, buckets: usize) -> usize {
    (((hash >> 32) * buckets as u64) >> 32) as usize
}

/// The slot of a key, below `slots`.
#[inline(always)]
pub(crate) fn slot(hash: u64, pilot: u16, slots: usize) -> usize {
    let moved = hash.wrapping_add(u64::from(pilot).wrapping_mul(hash >> 32)) & u64::from(u32::MAX);
    ((moved * slots as u64) >> 32) as usize
}

/// A placement of all keys: one pilot per bucket, and the slot of each key.
pub(crate) struct Placement {
    pub(crate) pilots: Vec<u16>,
    pub(crate) slots: usize,
    pub(crate) slot_of: Vec<usize>,
}

/// Place keys with these hashes; None when two hashes are equal or luck fails: try another seed.
pub(crate) fn place(hashes: &[u64]) -> Option<Placement> {
    let slots = (hashes.len() * 100).div_ceil(FILLED_PERCENT).max(1);
    // A multiple of four makes the pilots fill whole u64s.
    let buckets = hashes.len().div_ceil(KEYS_PER_BUCKET).max(1).next_multiple_of(4);
    let members = Members::deal(hashes, buckets);
    let mut placement = Placement { pilots: vec![0; buckets], slots, slot_of: vec![0; hashes.len()] };
    let mut taken = vec![false; slots];
    for number in members.largest_first() {
        let keys = members.of(number);
        let pilot = (0..=u16::MAX).find(|&pilot| fits(hashes, keys, pilot, &mut taken))?;
        placement.pilots[number] = pilot;
        for &key in keys {
            placement.slot_of[key as usize] = slot(hashes[key as usize], pilot, slots);
        }
    }
    Some(placement)
}

/// Take the slots of all keys of a bucket, or none of them.
fn fits(hashes: &[u64], keys: &[u32], pilot: u16, taken: &mut [bool]) -> bool {
    let slot_of = |key: &u32| slot(hashes[*key as usize], pilot, taken.len());
    let slots: Vec<usize> = keys.iter().map(slot_of).collect();
    for (count, &one) in slots.iter().enumerate() {
        if taken[one] {
            for &earlier in &slots[..count] {
                taken[earlier] = false;
            }
            return false;
        }
        taken[one] = true;
    }
    true
}

/// Which keys each bucket has: `keys[starts[b]..starts[b + 1]]`.
struct Members {
    starts: Vec<u32>,
    keys: Vec<u32>,
}

impl Members {
    fn deal(hashes: &[u64], buckets: usize) -> Self {
        let mut starts = vec![0_u32; buckets + 1];
        for &hash in hashes {
            starts[bucket(hash, buckets) + 1] += 1;
        }
        for number in 0..buckets {
            starts[number + 1] += starts[number];
        }
        let mut next = starts.clone();
        let mut keys = vec![0; hashes.len()];
        for (key, &hash) in hashes.iter().enumerate() {
            let place = &mut next[bucket(hash, buckets)];
            keys[*place as usize] = key as u32;
            *place += 1;
        }
        Self { starts, keys }
    }

    fn of(&self, number: usize) -> &[u32] {
        &self.keys[self.starts[number] as usize..self.starts[number + 1] as usize]
    }

    fn largest_first(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.starts.len() - 1).collect();
        order.sort_by_key(|&number| std::cmp::Reverse(self.of(number).len()));
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_gets_a_slot_of_its_own() {
        for count in [0_u64, 1, 2, 3, 10, 1000, 50_000].into_iter().take(if cfg!(miri) { 5 } else { 7 }) {
            let hashes: Vec<u64> = (0..count).map(|key| crate::hash::of_pair(key, 0, 7)).collect();
            let placement = place(&hashes).expect("placed");
            let mut seen = vec![false; placement.slots];
            for (key, &hash) in hashes.iter().enumerate() {
                let pilot = placement.pilots[bucket(hash, placement.pilots.len())];
                let found = slot(hash, pilot, placement.slots);
                assert_eq!(found, placement.slot_of[key]);
                assert!(!std::mem::replace(&mut seen[found], true));
            }
        }
    }

    #[test]
    fn equal_hashes_are_not_placed() {
        assert!(place(&[5, 5]).is_none());
    }
}
