//! How a target reads its bytes: small choices first, and the rest is what is tested. Owns no meaning.

/// The bytes not yet read. Reading past the end gives zeros, so that every input means something.
pub struct Choices<'a> {
    rest: &'a [u8],
}

impl<'a> Choices<'a> {
    pub fn new(bytes: &'a [u8]) -> Choices<'a> {
        Choices { rest: bytes }
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub fn byte(&mut self) -> u8 {
        match self.rest.split_first() {
            Some((&byte, rest)) => {
                self.rest = rest;
                byte
            }
            None => 0,
        }
    }

    /// A number below `bound`, which is at most 256.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::from(self.byte()) % bound
    }

    pub fn is(&mut self) -> bool {
        self.byte() & 1 != 0
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// Up to `count` bytes.
    pub fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(count.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// How what follows is to be cut: up to seven sizes, used in turn. None of them: one piece.
    pub fn cuts(&mut self) -> Cuts {
        let count = self.below(8);
        Cuts(self.take(count).iter().map(|&size| usize::from(size).max(1)).collect())
    }
}

/// Sizes of pieces.
pub struct Cuts(Vec<usize>);

impl Cuts {
    /// One piece.
    pub fn whole() -> Cuts {
        Cuts(Vec::new())
    }

    /// The pieces of `bytes`, none of them empty.
    pub fn of<'b>(&self, bytes: &'b [u8]) -> Vec<&'b [u8]> {
        let mut sizes = self.0.iter().copied().cycle();
        let mut pieces = Vec::new();
        let mut rest = bytes;
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at(sizes.next().unwrap_or(rest.len()).min(rest.len()));
            pieces.push(piece);
            rest = behind;
        }
        pieces
    }
}
