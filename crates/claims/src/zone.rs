//! The two hypotheses of a claim about a number.

use crate::verdict::{Verdict, Why};
use collimate_measure::Interval;

/// Two hypotheses about a number, with the indifference zone between them.
///
/// ```text
/// at least t, zone z:  supported when the number exceeds t − z,  refuted when it is below t
/// at most  t, zone z:  supported when the number is below t + z, refuted when it exceeds t
/// ```
/// For a number inside the zone either verdict is possible. Outside it the error rates hold.
///
/// # Examples
/// ```
/// use collimate_claims::{Verdict, Zone};
/// use collimate_measure::Interval;
/// let zone = Zone::at_least(0.9, 0.1);
/// let seen = Interval { low: 0.85, high: 0.95, confidence: 0.99 };
/// assert_eq!(zone.decide(&seen), Verdict::Upheld); // all of it exceeds 0.8
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Zone {
    /// The end of the zone on the side where the claim is false.
    pub null: f64,
    /// The end of the zone on the side where the claim is true.
    pub alternative: f64,
}

impl Zone {
    /// Returns the zone between two hypotheses. The claim is that the number lies on the side of `alternative`.
    pub fn new(null: f64, alternative: f64) -> Self {
        Self { null, alternative }
    }

    /// Returns the zone of "the number is at least `threshold`", of width `zone` below it.
    pub fn at_least(threshold: f64, zone: f64) -> Self {
        Self { null: threshold - zone, alternative: threshold }
    }

    /// Returns the zone of "the number is at most `threshold`", of width `zone` above it.
    pub fn at_most(threshold: f64, zone: f64) -> Self {
        Self { null: threshold + zone, alternative: threshold }
    }

    /// Returns true if large numbers support the claim.
    pub fn rising(&self) -> bool {
        self.alternative >= self.null
    }

    /// Returns the distance of a number from the middle of the zone, positive on the side of the claim.
    pub fn margin(&self, value: f64) -> f64 {
        let middle = (self.null + self.alternative) / 2.0;
        if self.rising() { value - middle } else { middle - value }
    }

    /// Returns the verdict of an interval: Upheld if all of it lies beyond `null` on the side of the claim, Refuted if all of it
    /// lies beyond `alternative` on the other side. If both hold, the nearer end of the zone decides.
    pub fn decide(&self, interval: &Interval) -> Verdict {
        let (low, high) = (interval.low, interval.high);
        let (supported, against) = if self.rising() {
            (low > self.null, high < self.alternative)
        } else {
            (high < self.null, low > self.alternative)
        };
        match (supported, against) {
            (true, true) if self.margin((low + high) / 2.0) >= 0.0 => Verdict::Upheld,
            (true, true) => Verdict::Refuted,
            (true, false) => Verdict::Upheld,
            (false, true) => Verdict::Refuted,
            (false, false) => Verdict::Inconclusive(Why::Cap),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_decided_in_both_directions() {
        let at = |low, high| Interval { low, high, confidence: 0.9 };
        let zone = Zone::at_least(1.0, 0.2);
        assert_eq!(zone.decide(&at(0.1, 0.9)), Verdict::Refuted);
        assert_eq!(zone.decide(&at(0.7, 1.1)), Verdict::Inconclusive(Why::Cap));
        assert_eq!(zone.decide(&at(0.91, 0.93)), Verdict::Upheld);
        assert_eq!(zone.decide(&at(0.81, 0.83)), Verdict::Refuted);
        let zone = Zone::at_most(1.0, 0.2);
        assert_eq!(zone.decide(&at(0.1, 1.1)), Verdict::Upheld);
        assert_eq!(zone.decide(&at(1.1, 2.0)), Verdict::Refuted);
        assert_eq!(zone.decide(&at(f64::NAN, f64::NAN)), Verdict::Inconclusive(Why::Cap));
    }
}
