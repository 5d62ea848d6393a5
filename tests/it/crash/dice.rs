//! Reproducible random numbers from a seed (`SplitMix64`).

pub struct Dice {
    state: u64,
}

impl Dice {
    /// Creates the sequence for this seed and this player.
    pub fn new(seed: u64, player: u64) -> Self {
        Self {
            state: seed ^ player.wrapping_mul(0xd134_2543_de82_ef95),
        }
    }

    /// Returns a number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    /// True once in `times` on average.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}
