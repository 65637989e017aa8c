//! What is said of many samples: four numbers.

use serde::Serialize;

/// Median, least, greatest, and how many there were.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Figure {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    pub(crate) samples: usize,
}

impl Figure {
    /// Sums up samples; `None` when there are none. Of an even number the median is the mean of the middle two.
    pub(crate) fn of(samples: &[f64]) -> Option<Self> {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 {
            sorted[middle]
        } else {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        };
        Some(Self { median: rounded(median), min: rounded(min), max: rounded(max), samples: sorted.len() })
    }
}

/// Three digits after the point are more than any clock here is good for.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_median_of_an_odd_number_is_the_middle_one_and_of_an_even_number_between_two() {
        let figure = |samples: &[f64]| Figure::of(samples).map(|figure| figure.median);
        assert_eq!(figure(&[9.0, 1.0, 5.0]), Some(5.0));
        assert_eq!(figure(&[9.0, 1.0, 5.0, 6.0]), Some(5.5));
        assert_eq!(figure(&[]), None);
    }

    #[test]
    fn numbers_are_rounded_to_thousandths() {
        let expected = Figure { median: 0.333, min: 0.333, max: 0.333, samples: 1 };
        assert_eq!(Figure::of(&[1.0 / 3.0]), Some(expected));
    }

    #[test]
    fn one_sample_is_all_four_numbers() {
        assert_eq!(Figure::of(&[-2.5]), Some(Figure { median: -2.5, min: -2.5, max: -2.5, samples: 1 }));
    }

    proptest! {
        #[test]
        fn the_order_of_samples_does_not_matter(samples in prop::collection::vec(any::<i16>(), 1..30)) {
            let samples: Vec<f64> = samples.into_iter().map(f64::from).collect();
            let reversed: Vec<f64> = samples.iter().rev().copied().collect();
            prop_assert_eq!(Figure::of(&samples), Figure::of(&reversed));
        }

        #[test]
        fn half_of_the_samples_are_on_either_side_of_the_median(
            samples in prop::collection::vec(0..1_000_000i32, 1..50),
        ) {
            let samples: Vec<f64> = samples.into_iter().map(f64::from).collect();
            let figure = Figure::of(&samples).unwrap();
            prop_assert_eq!(figure.samples, samples.len());
            prop_assert!(samples.iter().all(|sample| (figure.min..=figure.max).contains(sample)));
            prop_assert!(2 * samples.iter().filter(|sample| **sample <= figure.median).count() >= samples.len());
            prop_assert!(2 * samples.iter().filter(|sample| **sample >= figure.median).count() >= samples.len());
        }
    }
}
