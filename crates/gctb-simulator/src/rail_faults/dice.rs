//! Dice that fall the same way each time: a hash of what is asked about. It must not know faults.

pub(super) const MILLION: u64 = 1_000_000;

/// A hash of texts and numbers that is the same on every machine and in every run: FNV-1a over the parts, each with its
/// length, then the finalizer of splitmix64, since FNV alone spreads its low bits badly.
pub(super) fn hash(parts: &[&[u8]]) -> u64 {
    const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(PRIME);
    let mixed = parts.iter().fold(BASIS, |hash, part| {
        let length = u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes();
        length.iter().chain(part.iter()).fold(hash, |hash, byte| step(hash, *byte))
    });
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Whether something that happens so many times in a million happens now.
pub(super) fn falls(per_million: u32, parts: &[&[u8]]) -> bool {
    hash(parts) % MILLION < u64::from(per_million)
}
