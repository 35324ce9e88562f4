//! [`line_end`]: where a line ends, and whether it is plain ASCII, found in one pass over its bytes.
//!
//! Sixteen bytes at a time, by instructions that every processor of the target has. Lines of events are short, often
//! shorter than a call into a library that first asks which processor this is.

use std::num::NonZeroU128;

use wide::u8x16;

const BLOCK: usize = 16;
const TWO: usize = 2 * BLOCK;
const FOUR: usize = 4 * BLOCK;
const EIGHT: usize = 8 * BLOCK;

/// The position of the first CR or LF, or the input's length if there is none, and whether all bytes before it are
/// ASCII.
// Inlined with everything below, as the call would cost as much as a short line.
#[inline(always)]
pub(crate) fn line_end(input: &[u8]) -> (usize, bool) {
    let Some((first, mut rest)) = input.split_first_chunk::<BLOCK>() else {
        return short_line_end(input);
    };
    // Small steps first: most lines are short.
    let mut scan = Scan::default();
    if let Some(found) = scan.step(Blocks::<1>::of(first)) {
        return found;
    }
    for _ in 0..2 {
        let Some((four, more)) = rest.split_first_chunk::<FOUR>() else {
            break;
        };
        rest = more;
        if let Some(found) = scan.step(Blocks::<4>::of(four)) {
            return found;
        }
    }
    while let Some((eight, more)) = rest.split_first_chunk::<EIGHT>() {
        rest = more;
        if let Some(found) = scan.step(Blocks::<8>::of(eight)) {
            return found;
        }
    }
    while let Some((two, more)) = rest.split_first_chunk::<TWO>() {
        rest = more;
        if let Some(found) = scan.step(Blocks::<2>::of(two)) {
            return found;
        }
    }
    if rest.is_empty() {
        return scan.nothing_in(input);
    }
    // What is left is less than a step, which therefore reaches back: bytes that have no break may count once more.
    let found = if let Some(two) = input.last_chunk::<TWO>() {
        scan.at = input.len() - TWO;
        scan.step(Blocks::<2>::of(two))
    } else if let Some(one) = input.last_chunk::<BLOCK>() {
        scan.at = input.len() - BLOCK;
        scan.step(Blocks::<1>::of(one))
    } else {
        None
    };
    found.unwrap_or_else(|| scan.nothing_in(input))
}

/// Less than a block, byte by byte.
fn short_line_end(input: &[u8]) -> (usize, bool) {
    let mut is_ascii = true;
    for (at, byte) in input.iter().enumerate() {
        if matches!(byte, b'\r' | b'\n') {
            return (at, is_ascii);
        }
        is_ascii &= byte.is_ascii();
    }
    (input.len(), is_ascii)
}

/// How far the search is.
#[derive(Default)]
struct Scan {
    at: usize,
    /// All bytes so far, one over the other: its highest bits tell whether one of them was not ASCII.
    seen: u8x16,
}

impl Scan {
    #[inline(always)]
    fn step<const N: usize>(&mut self, blocks: Blocks<N>) -> Option<(usize, bool)> {
        if blocks.may_have_break()
            && let Some(breaks) = NonZeroU128::new(blocks.breaks())
        {
            let at = breaks.trailing_zeros() as usize;
            // Mostly all is ASCII, on both sides of the break.
            let is_ascii = is_ascii(self.seen | blocks.seen())
                || (is_ascii(self.seen) && blocks.high_bits() & before(breaks) == 0);
            return Some((self.at + at, is_ascii));
        }
        self.seen |= blocks.seen();
        self.at += N * BLOCK;
        None
    }

    #[inline(always)]
    fn nothing_in(&self, input: &[u8]) -> (usize, bool) {
        (input.len(), is_ascii(self.seen))
    }
}

/// Blocks that are scanned together.
#[derive(Clone, Copy)]
struct Blocks<const N: usize>([u8x16; N]);

impl<const N: usize> Blocks<N> {
    #[inline(always)]
    fn of<const LENGTH: usize>(bytes: &[u8; LENGTH]) -> Self {
        const { assert!(LENGTH == N * BLOCK) };
        let mut blocks = [u8x16::ZERO; N];
        for (block, bytes) in blocks.iter_mut().zip(bytes.as_chunks().0) {
            *block = u8x16::new(*bytes);
        }
        Self(blocks)
    }

    /// All bytes, one over the other.
    #[inline(always)]
    fn seen(self) -> u8x16 {
        self.0
            .into_iter()
            .fold(u8x16::ZERO, |seen, block| seen | block)
    }

    /// Rules out most blocks by one comparison: both breaks are among the smallest bytes, and of those only tabs are
    /// usual in texts.
    #[inline(always)]
    fn may_have_break(self) -> bool {
        let least = self.0.into_iter().fold(u8x16::splat(u8::MAX), u8x16::min);
        let is_low = least.min(u8x16::splat(b'\r')).cmp_eq(least);
        is_low.move_mask() != 0
    }

    /// One bit for each byte that is a break.
    #[inline(always)]
    fn breaks(self) -> u128 {
        let [line_feed, carriage_return] = [b'\n', b'\r'].map(u8x16::splat);
        let is_break = |block: u8x16| block.cmp_eq(line_feed) | block.cmp_eq(carriage_return);
        Self(self.0.map(is_break)).high_bits()
    }

    /// One bit for each byte with its highest bit set.
    #[inline(always)]
    fn high_bits(self) -> u128 {
        let masks = self.0.into_iter().enumerate();
        masks.fold(0, |bits, (at, block)| {
            bits | u128::from(block.move_mask().cast_unsigned()) << (at * BLOCK)
        })
    }
}

/// The bits below the lowest one.
#[inline(always)]
fn before(bits: NonZeroU128) -> u128 {
    (bits.get() - 1) & !bits.get()
}

#[inline(always)]
fn is_ascii(seen: u8x16) -> bool {
    seen.move_mask() == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is to be found, said in the plainest way.
    fn plainly(input: &[u8]) -> (usize, bool) {
        let end = input.iter().position(|byte| b"\r\n".contains(byte));
        let end = end.unwrap_or(input.len());
        (end, input[..end].is_ascii())
    }

    fn check(input: &[u8]) {
        assert_eq!(line_end(input), plainly(input), "{input:?}");
    }

    #[test]
    fn each_byte_is_what_it_is_wherever_it_stands_and_whatever_follows() {
        for length in (0..=150).chain([1000]) {
            let mut input = vec![b'x'; length];
            check(&input);
            for at in 0..length {
                // Around the bounds of what the search compares with, and the first byte that is no ASCII.
                for byte in [
                    0, b'\t', b'\n', 0x0b, b'\r', 0x0e, 0x7f, 0x80, 0x8a, 0x8d, 0xff,
                ] {
                    input[at] = byte;
                    check(&input);
                }
                input[at] = b'x';
            }
        }
    }

    #[test]
    fn what_follows_the_break_does_not_count() {
        for length in 1..150 {
            for end in 0..length {
                let mut input = vec![0xff; length];
                input[..end].fill(b'x');
                input[end] = b'\n';
                check(&input);
                input[end..].fill(b'\r');
                check(&input);
                if let Some(before) = end.checked_sub(1) {
                    input[before] = 0x80;
                    check(&input);
                }
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_like_one_by_one(
            input in proptest::collection::vec(
                proptest::prop_oneof![8 => 0x20..0x7f_u8, 1 => proptest::num::u8::ANY, 1 => 0..0x10_u8],
                0..400,
            )
        ) {
            check(&input);
        }
    }
}
