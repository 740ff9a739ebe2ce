//! Registers as in a dense HyperLogLog of Redis, so that `PFCOUNT` reads them.
//!
//! A header of 16 bytes: `HYLL`, the encoding, three unused bytes, and the cached number of elements. Then six bits for
//! each register, the lowest first (`hyperloglog.c`). The sparse encoding is refused: this exporter never writes it, and
//! decoders for it have had bugs.

use crate::stats::hyperloglog::{REGISTERS, Union};

const HEADER_BYTES: usize = 16;

/// The length of the value.
pub(super) const BYTES: usize = HEADER_BYTES + REGISTERS / 4 * 3;

const MAGIC: [u8; 4] = *b"HYLL";
const DENSE: u8 = 0;

/// Set in the last byte of the header: the cached number is not valid, and Redis computes it when it is needed.
const NOT_CACHED: u8 = 0x80;

/// The value for these registers.
pub(super) fn pack(union: &Union) -> Vec<u8> {
    let mut value = Vec::with_capacity(BYTES);
    value.extend(MAGIC);
    value.extend([DENSE, 0, 0, 0]);
    value.extend([0, 0, 0, 0, 0, 0, 0, NOT_CACHED]);
    let (mut bits, mut count) = (0_u32, 0);
    for register in union.registers() {
        bits |= u32::from(register & 0x3f) << count;
        count += 6;
        if count == 24 {
            let [first, second, third, _] = bits.to_le_bytes();
            value.extend([first, second, third]);
            (bits, count) = (0, 0);
        }
    }
    value
}

/// The registers of a value; `None` if it is damaged: it has another length or encoding, or an impossible rank.
pub(super) fn unpack(value: &[u8]) -> Option<Union> {
    let (header, packed) = value.split_at_checked(HEADER_BYTES)?;
    let [m, a, g, i, encoding, ..] = header else { return None };
    if value.len() != BYTES || [*m, *a, *g, *i] != MAGIC || *encoding != DENSE {
        return None;
    }
    let mut registers = Vec::with_capacity(REGISTERS);
    for [first, second, third] in packed.as_chunks().0 {
        let bits = u32::from_le_bytes([*first, *second, *third, 0]);
        registers.extend([0, 6, 12, 18].map(|shift| (bits >> shift & 0x3f).to_le_bytes()[0]));
    }
    Union::from_registers(&registers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn union() -> Union {
        let registers: Vec<_> = (0..REGISTERS).map(|at| u8::try_from(at * 7 % 52).unwrap()).collect();
        Union::from_registers(&registers).unwrap()
    }

    #[test]
    fn packed_registers_are_unpacked_unchanged() {
        let value = pack(&union());
        assert_eq!(value.len(), 12_304);
        assert!(unpack(&value).unwrap().registers().eq(union().registers()));
        // What `PFCOUNT` changes.
        let counted = [&value[..8], &[1, 2, 3, 4, 5, 6, 7, 0], &value[16..]].concat();
        assert!(unpack(&counted).unwrap().registers().eq(union().registers()));
    }

    #[test]
    fn damaged_values_are_refused() {
        let value = pack(&union());
        let changed = |at: usize, byte: u8| {
            let mut changed = value.clone();
            changed[at] = byte;
            changed
        };
        for damaged in [
            Vec::new(),
            b"HYLL".to_vec(),
            value[..BYTES - 1].to_vec(),
            [&value[..], &[0]].concat(),
            changed(0, b'h'),
            // Sparse.
            changed(4, 1),
            // A rank of 63.
            changed(16, 0x3f),
        ] {
            assert!(unpack(&damaged).is_none(), "{} bytes", damaged.len());
        }
    }
}
