//! Limits of the rings: which records go when new ones have been written.

use crate::store::{Keep, Ring, RingSize};

/// Returns the number of the oldest records that go, so that the rest is within the limits.
/// `weights` are the weights of the records, oldest first.
pub fn surplus<E>(
    ring: Ring,
    size: RingSize,
    keep: &Keep,
    weights: impl Iterator<Item = Result<u64, E>>,
) -> Result<usize, E> {
    let limit = *keep.records.get(ring) as u64;
    let RingSize {
        mut records,
        mut bytes,
    } = size;
    let mut gone = 0;
    for weight in weights {
        if records <= limit && bytes <= keep.ring_bytes {
            break;
        }
        records = records.saturating_sub(1);
        bytes = bytes.saturating_sub(weight?);
        gone += 1;
    }
    Ok(gone)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::store::PerRing;

    #[test]
    fn the_oldest_go_until_both_limits_hold() {
        let keep = Keep {
            records: PerRing {
                ignored: 3,
                refused: 2,
            },
            ring_bytes: 100,
            ..Keep::default()
        };
        for (ring, weights, expected) in [
            (Ring::Ignored, &[10, 10, 10][..], 0),
            (Ring::Ignored, &[10, 10, 10, 10], 1),
            (Ring::Refused, &[10, 10, 10, 10], 2),
            (Ring::Ignored, &[60, 40, 1], 1),
            (Ring::Ignored, &[1, 40, 60], 1),
            (Ring::Ignored, &[1, 101], 2),
            (Ring::Ignored, &[], 0),
        ] {
            let size = RingSize {
                records: weights.len() as u64,
                bytes: weights.iter().sum(),
            };
            let weights = weights.iter().map(|weight| Ok::<_, Infallible>(*weight));
            assert_eq!(
                surplus(ring, size, &keep, weights.clone()),
                Ok(expected),
                "{weights:?}"
            );
        }
    }
}
