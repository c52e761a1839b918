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
    /// True if large numbers support the claim.
    rising: bool,
}

impl Zone {
    /// Returns the zone between two hypotheses. The claim is that the number lies on the side of `alternative`.
    pub fn new(null: f64, alternative: f64) -> Self {
        Self { null, alternative, rising: alternative >= null }
    }

    /// Returns the zone of "the number is at least `threshold`", of width `zone` below it.
    pub fn at_least(threshold: f64, zone: f64) -> Self {
        Self { null: threshold - zone, alternative: threshold, rising: true }
    }

    /// Returns the zone of "the number is at most `threshold`", of width `zone` above it.
    pub fn at_most(threshold: f64, zone: f64) -> Self {
        Self { null: threshold + zone, alternative: threshold, rising: false }
    }

    /// Returns the zone of width `zone` above `null`, for a claim that large numbers support.
    pub(crate) fn above(null: f64, zone: f64) -> Self {
        Self { null, alternative: null + zone, rising: true }
    }

    /// Returns true if large numbers support the claim.
    pub fn rising(&self) -> bool {
        self.rising
    }

    /// Returns the reason why the hypotheses make no sense, if there is one.
    pub(crate) fn fault(&self) -> Option<String> {
        let (null, alternative) = (self.null, self.alternative);
        if !null.is_finite() || !alternative.is_finite() {
            return Some(format!("two finite hypotheses are needed, given {null} and {alternative}"));
        }
        let width = if self.rising { alternative - null } else { null - alternative };
        let given = collimate_figures::short_number(width);
        (width < 0.0).then(|| format!("the width of the zone must be at least 0, but is {given}"))
    }

    /// Returns the reason why the hypotheses make no sense for a number in `[low, high]` that a test compares with both.
    pub(crate) fn fault_within(&self, low: f64, high: f64) -> Option<String> {
        let (null, alternative) = (self.null, self.alternative);
        let fits = |x: f64| (low..=high).contains(&x);
        self.fault().or_else(|| {
            (!fits(null) || !fits(alternative) || null == alternative).then(|| {
                format!(
                    "two different hypotheses inside the bounds {low} … {high} are needed, given {null} and {alternative}"
                )
            })
        })
    }

    /// Returns the distance of a number from the middle of the zone, positive on the side of the claim.
    pub fn margin(&self, value: f64) -> f64 {
        let middle = (self.null + self.alternative) / 2.0;
        if self.rising() { value - middle } else { middle - value }
    }

    /// Returns the verdict of an interval: Upheld if all of it lies beyond `null` on the side of the claim, Refuted if all of it
    /// lies beyond `alternative` on the other side. If both hold, the nearer end of the zone decides.
    ///
    /// A zone of negative width, or one that is not finite, gives Inconclusive with [`Why::Invalid`].
    pub fn decide(&self, interval: &Interval) -> Verdict {
        if let Some(reason) = self.fault() {
            return Verdict::Inconclusive(Why::Invalid(reason));
        }
        let (low, high) = (interval.low, interval.high);
        let (supported, against) = if self.rising() {
            (low > self.null, high < self.alternative)
        } else {
            (high < self.null, low > self.alternative)
        };
        self.settle(supported, against, (low + high) / 2.0).unwrap_or(Verdict::Inconclusive(Why::Cap))
    }

    /// Returns the verdict of two one-sided tests, or `None` if neither decides. If both decide, the number lies in the zone, where
    /// either verdict is right, and the end that is nearer to `estimate` decides.
    pub(crate) fn settle(&self, supported: bool, against: bool, estimate: f64) -> Option<Verdict> {
        match (supported, against) {
            (true, true) if self.margin(estimate) < 0.0 => Some(Verdict::Refuted),
            (true, _) => Some(Verdict::Upheld),
            (false, true) => Some(Verdict::Refuted),
            (false, false) => None,
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

    #[test]
    fn a_zone_of_negative_width_does_not_reverse_the_claim() {
        let at = |low, high| Interval { low, high, confidence: 0.9 };
        for zone in [Zone::at_least(0.9, -0.1), Zone::at_most(0.9, -0.1), Zone::at_least(0.9, f64::NAN)] {
            for interval in [at(0.0, 0.1), at(0.94, 0.96), at(1.9, 2.0)] {
                assert!(matches!(zone.decide(&interval), Verdict::Inconclusive(Why::Invalid(_))));
            }
        }
        let reason = Zone::at_least(0.9, -0.1).fault().unwrap();
        assert_eq!(reason, "the width of the zone must be at least 0, but is -0.1");
        assert_eq!(Zone::at_least(0.9, 0.0).fault(), None);
        assert!(Zone::at_most(f64::INFINITY, 1.0).fault().unwrap().contains("finite"));
        assert!(Zone::new(0.2, 0.2).fault_within(0.0, 1.0).unwrap().contains("two different"));
        assert!(Zone::new(0.2, 1.2).fault_within(0.0, 1.0).unwrap().contains("0 … 1"));
    }
}
